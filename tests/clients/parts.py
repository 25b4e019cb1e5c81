# What Python's reader of mail has for a message: python3 parts.py < message. One line of JSON.
import email
import email.policy
import hashlib
import json
import sys

message = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.SMTPUTF8)


def addresses(name):
    field = message[name]
    return [[one.display_name, one.addr_spec] for one in field.addresses] if field else []


def part(part):
    content = part.get_content()
    text = isinstance(content, str)
    return {
        "type": part.get_content_type(),
        "shown": part.get_content_disposition(),
        "name": part.get_filename(),
        "id": part["Content-ID"],
        "text": content.replace("\r\n", "\n") if text else None,
        "sha256": None if text else hashlib.sha256(content).hexdigest(),
    }


print(json.dumps({
    "from": addresses("From"), "to": addresses("To"), "cc": addresses("Cc"), "bcc": addresses("Bcc"),
    "reply_to": addresses("Reply-To"), "subject": message["Subject"], "campaign": message["X-Campaign"],
    "id": message["Message-ID"], "defects": [str(defect) for part in message.walk() for defect in part.defects],
    "parts": [part(one) for one in message.walk() if not one.is_multipart()],
}))
