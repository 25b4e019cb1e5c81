# Sends with a service's own library for Python: python sdk.py LIBRARY PORT LETTER < key
# Each line of its output is one call: what it was, and the ids that came back or the error as the library has it.
import datetime
import json
import sys

library, port, path = sys.argv[1:]
key = sys.stdin.read().strip()
base = f"http://127.0.0.1:{port}"
with open(path, encoding="utf-8") as file:
    letter = json.load(file)
data = bytes(n * 7 & 255 for n in range(3000))
picture = b"\x89PNG\r\n\x1a\nnot really"


def address(pair):
    return f'"{pair[0]}" <{pair[1]}>' if pair[0] else pair[1]


def say(call, ids, error=None):
    print(json.dumps({"call": call, "ids": ids, "error": error}))


def show(call, found):
    print(json.dumps({"call": call, "ids": [], "error": None, "found": found}))


def tell(call, send, ids, error):
    try:
        say(call, ids(send()))
    except Exception as raised:  # each library has its own
        say(call, [], [type(raised).__name__, *error(raised)])


def resend():
    import resend as sdk

    sdk.api_url = base
    sdk.api_key = key
    error = lambda raised: [int(raised.code), raised.error_type]
    one, several = lambda sent: [sent["id"]], lambda sent: [email["id"] for email in sent["data"]]
    simple = {"from": "a@example.net", "to": "b@example.org", "subject": "simple", "text": "simple"}
    tell("simple", lambda: sdk.Emails.send(simple), one, error)
    full = {
        "from": address(letter["sender"]), "to": [address(to) for to in letter["to"]], "cc": address(letter["cc"]),
        "bcc": address(letter["bcc"]), "reply_to": address(letter["reply_to"]), "subject": letter["subject"],
        "text": letter["text"], "html": letter["html"], "headers": {letter["header"][0]: letter["header"][1]},
        "tags": [{"name": "campaign", "value": "spring"}],
        "attachments": [
            {"filename": letter["file"], "content": list(data), "content_type": "application/octet-stream"},
            {"filename": letter["picture"], "content": list(picture), "content_type": "image/png", "content_id": "logo"},
        ],
    }
    tell("all", lambda: sdk.Emails.send(full), one, error)
    tell("batch", lambda: sdk.Batch.send([simple, {**simple, "to": "c@example.org"}]), several, error)
    tell("batch with a bad one", lambda: sdk.Batch.send([simple, {**simple, "to": "nobody"}]), several, error)
    tell("bad address", lambda: sdk.Emails.send({**simple, "to": "nobody"}), one, error)
    tell("bad sender", lambda: sdk.Emails.send({**simple, "from": "ceo@example.com"}), one, error)
    tell("unknown", lambda: sdk.Emails.get("01a1f866-0d7b-7d39-bc3d-1f2a8b5c6d7e"), one, error)
    try:
        later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
        later = sdk.Emails.send({**simple, "tags": [{"name": "kind", "value": "later"}],
                                 "scheduled_at": later.strftime("%Y-%m-%dT%H:%M:%SZ")})["id"]
    except sdk.exceptions.ResendError:
        return
    show("later", sdk.Emails.get(later))
    tell("update", lambda: sdk.Emails.update({"id": later, "scheduled_at": "in 2 hours"}), one, error)
    show("updated", sdk.Emails.get(later))
    tell("cancel", lambda: sdk.Emails.cancel(later), one, error)
    tell("late update", lambda: sdk.Emails.update({"id": later, "scheduled_at": "in 2 hours"}), one, error)
    show("list", sdk.Emails.list({"limit": 1}))


def postmarker():
    from postmarker.core import PostmarkClient

    error = lambda raised: [getattr(raised, "error_code", None)]
    one = lambda sent: [sent["MessageID"]]
    several = lambda all: [sent["MessageID"] for sent in all]
    emails = PostmarkClient(server_token=key, root_api_url=base + "/").emails
    simple = {"From": "a@example.net", "To": "b@example.org", "Subject": "simple", "TextBody": "simple"}
    tell("simple", lambda: emails.send(**simple), one, error)
    from email.mime.application import MIMEApplication
    from email.mime.image import MIMEImage

    file = MIMEApplication(data)
    file.add_header("Content-Disposition", "attachment", filename=letter["file"])
    logo = MIMEImage(picture, "png", name=letter["picture"])
    logo.add_header("Content-ID", "<logo>")
    full = dict(
        From=address(letter["sender"]), To=", ".join(address(to) for to in letter["to"]), Cc=address(letter["cc"]),
        Bcc=address(letter["bcc"]), ReplyTo=address(letter["reply_to"]), Subject=letter["subject"], TextBody=letter["text"],
        HtmlBody=letter["html"], Headers={letter["header"][0]: letter["header"][1]}, Tag="spring", Metadata={"number": "17"},
        Attachments=[file, logo],
    )
    tell("all", lambda: emails.send(**full), one, error)
    tell("batch", lambda: emails.send_batch(simple, {**simple, "To": "c@example.org"}), several, error)
    tell("bad address", lambda: emails.send(**{**simple, "To": "nobody"}), one, error)
    tell("bad sender", lambda: emails.send(**{**simple, "From": "ceo@example.com"}), one, error)


def anymail(backend, only=None):
    import django
    from django.conf import settings
    from django.core.mail import EmailMultiAlternatives

    options = {
        "resend": {"RESEND_API_KEY": key, "RESEND_API_URL": base + "/"},
        "postmark": {"POSTMARK_SERVER_TOKEN": key, "POSTMARK_API_URL": base + "/"},
    }
    settings.configure(EMAIL_BACKEND=f"anymail.backends.{backend}.EmailBackend", ANYMAIL=options[backend])
    django.setup()
    error = lambda raised: [getattr(raised, "status_code", None)]

    def send(change=None, **members):
        def sent():
            defaults = dict(subject="simple", body="simple", from_email="a@example.net", to=["b@example.org"])
            message = EmailMultiAlternatives(**{**defaults, **members})
            if change:
                change(message)
            message.send()
            status = message.anymail_status
            return {who: [one.status, one.message_id] for who, one in status.recipients.items()}
        return sent

    def full(message):
        message.attach_alternative(letter["html"], "text/html")
        message.attach(letter["file"], data, "application/octet-stream")
        from email.mime.image import MIMEImage

        logo = MIMEImage(picture, "png")
        logo.add_header("Content-ID", "<logo>")
        logo.add_header("Content-Disposition", "inline", filename=letter["picture"])
        message.attach(logo)
        message.tags = ["spring"]

    def batch(message):
        message.merge_metadata = {"b@example.org": {"n": "1"}, "c@example.org": {"n": "2"}}

    ids = lambda recipients: recipients
    if only:
        tell(only, send(to=["b@example.org", "c@example.org"]), ids, error)
        return
    tell("simple", send(), ids, error)
    tell("all", send(
        full, from_email=address(letter["sender"]), to=[address(to) for to in letter["to"]], cc=[address(letter["cc"])],
        bcc=[address(letter["bcc"])], reply_to=[address(letter["reply_to"])], subject=letter["subject"], body=letter["text"],
        headers={letter["header"][0]: letter["header"][1]},
    ), ids, error)
    tell("batch", send(batch, to=["b@example.org", "c@example.org"]), ids, error)
    tell("bad address", send(to=["nobody@-.invalid-"]), ids, error)
    tell("bad sender", send(from_email="ceo@example.com"), ids, error)


{
    "resend": resend, "postmarker": postmarker, "anymail-resend": lambda: anymail("resend"),
    "anymail-postmark": lambda: anymail("postmark"), "anymail-postmark-two": lambda: anymail("postmark", "to two"),
}[library]()
