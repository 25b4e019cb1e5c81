//! Envelope, message and fates, as requests and answers have them.

use serde_json::json;

use super::*;
use crate::config::slice::OnUnsupported;
use crate::mail::id::MessageId;

fn cloudflare(drop: &[&str]) -> Cloudflare {
    let drop = drop.iter().map(|name| (*name).to_owned()).collect();
    Cloudflare::new(&Secret::new("sesame".into()), drop, Endpoint::SendRaw).unwrap()
}

fn to(text: &str) -> Address {
    Address::parse_international(text).unwrap()
}

#[test]
fn rule_u16_the_envelope_is_apart_and_the_message_is_as_it_was() {
    let sender = Some(to("a@example.net"));
    let recipients = [(1, to("b@example.org")), (2, to("hidden@example.org"))];
    let content = "Received: x\r\n y\r\nSubject: \u{fc}\r\nX-Odd:\r\n\tz\r\n\r\nReceived: \"body\"\\\r\n";
    let content = content.as_bytes();
    let letter = Letter { message: MessageId::now(), sender: &sender, recipients: &recipients, content };
    let body = |cloudflare: Cloudflare| -> Value {
        let request = cloudflare.request(&letter).unwrap();
        assert_eq!(request.authorization.unwrap().expose(), "Bearer sesame");
        serde_json::from_slice(request.body.expose()).unwrap()
    };
    let whole = body(cloudflare(&[]));
    assert_eq!(whole["from"], "a@example.net");
    assert_eq!(whole["recipients"], serde_json::json!(["b@example.org", "hidden@example.org"]));
    assert_eq!(whole["mime_message"].as_str().unwrap().as_bytes(), content);
    let less = body(cloudflare(&["received", "X-ODD"]));
    assert_eq!(less["mime_message"], "Subject: \u{fc}\r\n\r\nReceived: \"body\"\\\r\n");
}

#[test]
fn rule_u16_what_json_can_not_carry_and_what_nobody_sent_is_not_sent() {
    let recipients = [(1, to("b@example.org"))];
    let sender = Some(to("a@example.net"));
    let refused = |sender: &Option<Address>, content: &[u8]| {
        let letter = Letter { message: MessageId::now(), sender, recipients: &recipients, content };
        cloudflare(&[]).request(&letter).unwrap_err().enhanced.unwrap()
    };
    assert_eq!(refused(&sender, b"Subject: x\r\n\r\nf\xfcr\r\n"), "5.6.3");
    assert_eq!(refused(&None, b"Subject: x\r\n\r\n"), "5.1.7");
}

#[test]
fn rule_u16_each_recipient_has_the_fate_that_it_is_named_by() {
    let sender = Some(to("a@example.net"));
    let outcomes = |recipients: &[&str], result: &str| {
        let recipients: Vec<_> = (1..).zip(recipients.iter().map(|text| to(text))).collect();
        let letter = Letter { message: MessageId::now(), sender: &sender, recipients: &recipients, content: b"" };
        let body = format!("{{\"success\":true,\"errors\":[],\"messages\":[],\"result\":{result}}}").into_bytes();
        let reply = Reply { status: 200, body, whole: true, ..Reply::default() };
        match Cloudflare::judge(&reply, &letter) {
            Judgement::Settled(outcomes) => outcomes
                .into_iter()
                .map(|(number, outcome)| {
                    let word = match outcome {
                        Outcome::Delivered(_) => "delivered",
                        Outcome::Failed(_) | Outcome::Unsendable(_) => "failed",
                        Outcome::Deferred(_) | Outcome::Unknown(_) => "other",
                    };
                    (number, word)
                })
                .collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    let five = ["a@x.org", "b@x.org", "c@x.org", "D@x.org", "e@x.org"];
    let result = "{\"delivered\":[\"a@X.org\"],\"permanent_bounces\":[{\"email\":\"b@x.org\"}],\"queued\":[\"c@x.org\",\"d@x.org\"]}";
    let expected = [(1, "delivered"), (2, "failed"), (3, "delivered"), (4, "delivered"), (5, "failed")];
    assert_eq!(outcomes(&five, result), expected);
    assert_eq!(outcomes(&["a@x.org"], "{\"delivered\":[],\"permanent_bounces\":[],\"queued\":[]}"), [(1, "delivered")]);
    assert_eq!(outcomes(&["a@x.org"], "null"), [(1, "delivered")]);
}

#[test]
fn an_answer_that_says_two_things_leaves_it_unknown() {
    let (sender, recipients) = (Some(to("a@example.net")), [(1, to("a@x.org")), (2, to("b@x.org"))]);
    let letter = Letter { message: MessageId::now(), sender: &sender, recipients: &recipients, content: b"" };
    let both = "[{\"code\":10001,\"message\":\"no\"}]";
    for (success, errors, result, expected) in [
        (true, both, "{\"delivered\":[\"a@x.org\",\"b@x.org\"]}", [true, true]),
        (true, both, "null", [true, true]),
        (false, both, "{\"queued\":[\"a@x.org\"]}", [true, true]),
        (true, "[]", "{\"delivered\":[\"a@x.org\"],\"permanent_bounces\":[\"A@x.org\",\"b@x.org\"]}", [true, false]),
        (true, "[]", "{\"queued\":[\"a@x.org\",\"b@x.org\"],\"permanent_bounces\":[\"b@x.org\"]}", [false, true]),
        (true, "[]", "{\"delivered\":[\"a@x.org\"],\"queued\":[\"a@x.org\",\"b@x.org\"]}", [false, false]),
        (false, both, "{\"delivered\":[],\"queued\":[]}", [false, false]),
    ] {
        let body = format!("{{\"success\":{success},\"errors\":{errors},\"result\":{result}}}").into_bytes();
        let reply = Reply { status: 200, body, whole: true, ..Reply::default() };
        let Judgement::Settled(outcomes) = Cloudflare::judge(&reply, &letter) else { panic!("{result}") };
        let unknown: Vec<bool> = outcomes.iter().map(|(_, outcome)| matches!(outcome, Outcome::Unknown(_))).collect();
        assert_eq!(unknown, expected, "{success} {errors} {result}");
    }
}

/// What `send` is asked for these recipients, or the reason why it isn't.
fn fields(on_unsupported: OnUnsupported, recipients: &[&str], content: &str) -> Result<Value, String> {
    let recipients: Vec<_> = (1..).zip(recipients.iter().map(|text| to(text))).collect();
    let content = content.replace('\n', "\r\n");
    let letter =
        Letter { message: MessageId::now(), sender: &None, recipients: &recipients, content: content.as_bytes() };
    let drop = vec!["X-Secret".to_owned()];
    let cloudflare = Cloudflare::new(&Secret::new("sesame".into()), drop, Endpoint::Send(on_unsupported)).unwrap();
    assert!(cloudflare.part(&recipients, letter.content) >= 1);
    let request = cloudflare.request(&letter).map_err(|said| {
        assert_eq!(said.enhanced.as_deref(), Some("5.6.3"));
        said.text
    })?;
    Ok(serde_json::from_slice(request.body.expose()).unwrap())
}

#[test]
fn rule_u16_send_is_told_of_everybody_and_shown_each_part_by_its_type() {
    let content = "Received: by x\nFrom: =?utf-8?q?J=C3=BCrg?= <a@example.net>\nTo: B <b@example.org>\n\
        Cc: d@example.org\nReply-To: R <r@example.net>\nSubject: =?utf-8?q?f=C3=BCr?=\nX-Tag: one\nX-Secret: it\n\
        Message-ID: <1@x>\nReferences: <0@x>\n <1@x>\n\
        Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/related; boundary=r\n\n\
        --r\nContent-Type: multipart/alternative; boundary=i\n\n--i\n\nGreetings\n--i\nContent-Type: text/html\n\n\
        <img src=cid:logo@x>\n--i--\n--r\nContent-Type: image/png\nContent-ID: <logo@x>\n\
        Content-Transfer-Encoding: base64\n\nAAEC/w==\n--r--\n\
        --o\nContent-Type: application/x-odd; name=a.odd\nContent-Disposition: attachment; filename=a.odd\n\
        Content-Transfer-Encoding: base64\n\nAAEC/w==\n--o--\n";
    let all = ["b@example.org", "d@example.org", "hidden@example.org"];
    assert_eq!(
        fields(OnUnsupported::Fail, &all, content).unwrap(),
        json!({
            "from": {"address": "a@example.net", "name": "J\u{fc}rg"},
            "to": ["b@example.org"],
            "cc": ["d@example.org"],
            "bcc": ["hidden@example.org"],
            "reply_to": "r@example.net",
            "subject": "f\u{fc}r",
            "text": "Greetings",
            "html": "<img src=cid:logo@x>",
            "headers": {"References": "<0@x> <1@x>", "X-Tag": "one"},
            "attachments": [
                {"content": "AAEC/w==", "filename": "part-1.png", "type": "image/png", "disposition": "inline", "content_id": "logo@x"},
                {"content": "AAEC/w==", "filename": "a.odd", "type": "application/x-odd", "disposition": "attachment"},
            ],
        })
    );
}

#[test]
fn rule_u16_what_send_has_no_field_for_is_a_reason_or_left_out_as_was_asked_for() {
    const HEAD: &str = "From: a@example.net\nTo: b@example.org\nSubject: x\n";
    let invitation = "Content-Type: text/calendar; method=REQUEST; name=a.ics\n\nBEGIN:VCALENDAR";
    for (content, why) in [
        (format!("{HEAD}Sender: s@example.net\n\nhello\n"), "the header field Sender"),
        (format!("{HEAD}List-Unsubscribe: <http://x/>\n\nhello\n"), "the header field List-Unsubscribe"),
        (format!("{HEAD}Reply-To: r@example.net, q@example.net\n\nhello\n"), "more than 1 in Reply-To"),
        (
            format!("{HEAD}Content-Type: multipart/mixed; boundary=o\n\n--o\n\nhello\n--o\n{invitation}\n--o--\n"),
            "the method REQUEST",
        ),
        (
            format!(
                "{HEAD}Content-Type: multipart/related; boundary=o\n\n--o\n\nhello\n--o\nContent-Type: image/png\n\nx\n--o--\n"
            ),
            "multipart/related",
        ),
    ] {
        let refused = fields(OnUnsupported::Fail, &["b@example.org"], &content).unwrap_err();
        assert!(refused.contains(why), "{why}: {refused}");
        let sent = fields(OnUnsupported::Drop, &["b@example.org"], &content).unwrap();
        assert!(sent.get("headers").is_none() && sent["text"].as_str().unwrap().starts_with("hello"), "{sent}");
    }
    let many: String = (0..9).map(|n| format!("X-{n}: {}\n", "x".repeat(2000))).collect();
    for on_unsupported in [OnUnsupported::Fail, OnUnsupported::Drop] {
        let refused = fields(on_unsupported, &["b@example.org"], &format!("{HEAD}{many}\nhello\n")).unwrap_err();
        assert!(refused.contains("this API takes 16384"), "{refused}");
    }
}

#[test]
fn rule_u16_whom_no_header_names_send_names_to_nobody_else() {
    let recipients: Vec<_> = (1..).zip(["b@example.org", "c@example.org"].map(to)).collect();
    let of = |endpoint, drop: &[&str]| {
        let drop = drop.iter().map(|name| (*name).to_owned()).collect();
        Cloudflare::new(&Secret::new("sesame".into()), drop, endpoint).unwrap()
    };
    let content = b"From: a@example.net\r\nTo: b@example.org\r\n\r\nhello\r\n";
    let fields = Endpoint::Send(OnUnsupported::Fail);
    assert_eq!(of(fields, &[]).part(&recipients, content), 2);
    assert_eq!(of(fields, &["to"]).part(&recipients, content), 1);
    assert_eq!(of(Endpoint::SendRaw, &["to"]).part(&recipients, content), 2);
}
