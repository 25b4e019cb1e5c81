//! A message becomes fields, and nothing is lost without a word.

use proptest::strategy::Strategy;
use serde_json::{Value, json};

use super::*;
use crate::mail::id::MessageId;

fn to(text: &str) -> Address {
    Address::parse_international(text).unwrap()
}

/// The body for these recipients, or the reason why there is none.
fn body(on_unsupported: OnUnsupported, recipients: &[&str], content: &str) -> Result<Value, String> {
    let recipients: Vec<_> = (1..).zip(recipients.iter().map(|text| to(text))).collect();
    let sender = Some(to("bounces@example.net"));
    let content = content.replace('\n', "\r\n");
    let letter =
        Letter { message: MessageId::now(), sender: &sender, recipients: &recipients, content: content.as_bytes() };
    let bytesend = Bytesend::new(&Secret::new("bs_sesame".into()), on_unsupported, 1 << 20).unwrap();
    let request = bytesend.request(&letter).map_err(|said| {
        assert_eq!(said.enhanced.as_deref(), Some("5.6.3"));
        said.text
    })?;
    assert_eq!(request.authorization.unwrap().expose(), "Bearer bs_sesame");
    Ok(serde_json::from_slice(request.body.expose()).unwrap())
}

const HEAD: &str = "From: a@example.net\nTo: b@example.org\nSubject: x\n";

#[test]
fn rule_u16_a_message_of_many_parts_is_all_there() {
    let content = "Received: by x\nFrom: =?utf-8?q?J=C3=BCrg_=22J=22?= <a@example.net>\n\
        To: B <b@example.org>, c@Example.org\nCc: d@example.org\nReply-To: r@example.net\nDate: x\n\
        Subject: =?iso-8859-1?q?f=FCr?= dich\nIn-Reply-To: <1@x>\nReferences: <0@x>\n <1@x>\nX-Tag: one\n\
        Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/alternative; boundary=i\n\n\
        --i\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nGr=FC=DFe\n\
        --i\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\nPGI+R3LDvMOfZTwvYj4=\n--i--\n\
        --o\nContent-Type: application/pdf; name=a.pdf\nContent-Disposition: attachment; filename=a.pdf\n\
        Content-Transfer-Encoding: base64\n\nAAEC/w==\n\
        --o\nContent-Type: message/rfc822\n\nSubject: inner\n\nhello\n--o--\n";
    let all = ["b@example.org", "c@example.org", "d@example.org", "hidden@example.org"];
    let body = body(OnUnsupported::Fail, &all, content).unwrap();
    assert_eq!(
        body,
        json!({
            "from": "\"J\u{fc}rg \\\"J\\\"\" <a@example.net>",
            "to": ["b@example.org", "c@example.org"],
            "cc": ["d@example.org"],
            "bcc": ["hidden@example.org"],
            "replyTo": ["r@example.net"],
            "subject": "f\u{fc}r dich",
            "text": "Gr\u{fc}\u{df}e",
            "html": "<b>Gr\u{fc}\u{df}e</b>",
            "headers": {"In-Reply-To": "<1@x>", "References": "<0@x> <1@x>", "X-Tag": "one"},
            "attachments": [
                {"filename": "a.pdf", "content": "AAEC/w=="},
                {"filename": "part-2.eml", "content": "U3ViamVjdDogaW5uZXINCg0KaGVsbG8="},
            ],
        })
    );
}

#[test]
fn rule_u16_what_has_no_field_is_a_reason_or_left_out_as_was_asked_for() {
    let mixed =
        |parts: &str| format!("{HEAD}Content-Type: multipart/mixed; boundary=o\n\n--o\n\nhello\n--o\n{parts}\n--o--\n");
    for (content, why) in [
        (mixed("Content-Type: text/calendar; method=REQUEST\n\nBEGIN"), "the type text/calendar"),
        (mixed("\nmore text"), "a further text/plain"),
        (
            format!(
                "{HEAD}Content-Type: multipart/signed; boundary=o\n\n--o\n\nhello\n--o\nContent-Type: application/pkcs7-signature\n\nx\n--o--\n"
            ),
            "its signature",
        ),
        (
            format!(
                "{HEAD}Content-Type: multipart/related; boundary=o\n\n--o\n\nhello\n--o\nContent-Type: image/png\nContent-ID: <1>\n\nx\n--o--\n"
            ),
            "multipart/related",
        ),
        (
            format!(
                "{HEAD}Content-Type: multipart/alternative; boundary=o\n\n--o\n\nhello\n--o\nContent-Type: text/x-amp-html\n\nx\n--o--\n"
            ),
            "an alternative of type text/x-amp-html",
        ),
        (format!("{HEAD}X-Tag: a\nX-Tag: b\n\nhello\n"), "more than one X-Tag"),
        (format!("{HEAD}X-Tag: a\nx-tag: b\n\nhello\n"), "more than one x-tag"),
        (format!("{HEAD}Cc: other@example.org\n\nhello\n"), "a name in To or Cc"),
        ("From: a@example.net\nTo: b@example.org\n\nhello\n".to_owned(), "an empty subject"),
        (format!("{HEAD}Content-Type: image/png; name=a.png\n\nx\n"), "a message without text"),
    ] {
        let refused = body(OnUnsupported::Fail, &["b@example.org"], &content).unwrap_err();
        assert!(refused.contains(why), "{why}: {refused}");
        let sent = body(OnUnsupported::Drop, &["b@example.org"], &content).unwrap();
        assert_eq!(sent["to"], json!(["b@example.org"]), "{why}");
        assert!(
            why == "a message without text" || sent["text"].as_str().unwrap().starts_with("hello"),
            "{why}: {sent}"
        );
    }
}

/// Encoded words may hold any octet. Whoever makes a header of the fields must not find a line break in one.
#[test]
fn rule_u16_no_word_of_the_header_becomes_a_line_of_its_own() {
    let content = "From: =?utf-8?q?a=0D=0ABcc:_x@example.org?= <a@example.net>\nTo: b@example.org\n\
        Subject: =?utf-8?q?x=0D=0ABcc:_c@example.org?=\nReply-To: =?utf-8?q?=0D=0A?= <r@example.net>\n\
        Content-Type: multipart/mixed; boundary=o\n\n--o\n\nhello\n\
        --o\nContent-Type: application/octet-stream; name=\"\u{1}\"\n\nx\n--o--\n";
    let sent = body(OnUnsupported::Fail, &["b@example.org"], content).unwrap();
    assert_eq!(sent["from"], "\"a  Bcc: x@example.org\" <a@example.net>");
    assert_eq!((&sent["subject"], &sent["replyTo"]), (&json!("x  Bcc: c@example.org"), &json!(["r@example.net"])));
    assert_eq!(sent["attachments"][0]["filename"], "part-1", "a name without a character is none");
    // What is no address would have all of it refused by the API.
    let content = format!("{HEAD}Reply-To: nobody in particular\n\nhello\n");
    assert!(body(OnUnsupported::Fail, &["b@example.org"], &content).unwrap_err().contains("in Reply-To"));
    let sent = body(OnUnsupported::Drop, &["b@example.org"], &content).unwrap();
    assert!(sent.get("replyTo").is_none(), "{sent}");
}

#[test]
fn rule_u16_what_must_not_be_lost_or_changed_is_never_sent() {
    let many = "--o\nContent-Type: application/octet-stream; name=a\n\nx\n".repeat(11);
    for (content, why) in [
        (format!("{HEAD}Content-Type: text/plain; charset=iso-2022-jp\n\nhello\n"), "charset iso-2022-jp"),
        (format!("{HEAD}Content-Type: text/plain; charset=gbk\n\nhello\n"), "charset gbk"),
        (format!("{HEAD}Content-Type: text/plain; charset=x-unheard\n\nhello\n"), "charset x-unheard"),
        (format!("{HEAD}Content-Type: multipart/encrypted; boundary=o\n\n--o\n\nhello\n--o--\n"), "it is encrypted"),
        (format!("{HEAD}Content-Type: application/pkcs7-mime\n\nx\n"), "encrypted or signed as a whole"),
        (format!("{HEAD}Content-Type: multipart/mixed; boundary=o\n\n{many}--o--\n"), "more than 10 attachments"),
        ("From: a@x.org, b@x.org\nSubject: x\n\nhello\n".to_owned(), "not one author"),
        (
            "From: a@x.org\nSubject: =?iso-2022-jp?B?GyRC?=\n\nhello\n".to_owned(),
            "its Subject is in charset iso-2022-jp",
        ),
    ] {
        let refused = body(OnUnsupported::Drop, &["b@example.org"], &content).unwrap_err();
        assert!(refused.contains(why), "{why}: {refused}");
    }
}

#[test]
fn rule_u16_whom_no_header_names_nobody_reads_of() {
    let recipients: Vec<_> = (1..).zip(["b@example.org", "c@example.org"].map(to)).collect();
    let head = |to: &str| format!("From: a@example.net\r\n{to}Subject: x\r\n\r\nhello\r\n");
    assert_eq!(Bytesend::part(&recipients, head("To: list@example.org\r\n").as_bytes()), 1);
    assert_eq!(Bytesend::part(&recipients, head("").as_bytes()), 1);
    assert_eq!(Bytesend::part(&recipients, head("Cc: x <C@example.org>\r\n").as_bytes()), 2);
    let many: Vec<_> = (0..60).map(|n| (n, to(&format!("r{n}@example.org")))).collect();
    assert_eq!(Bytesend::part(&many, head("To: r1@example.org\r\n").as_bytes()), 50);
    let alone = body(OnUnsupported::Fail, &["b@example.org"], &head("To: undisclosed-recipients:;\r\n")).unwrap();
    assert_eq!(alone["to"], json!(["b@example.org"]));
    assert!(alone.get("bcc").is_none());
}

#[test]
fn rule_u16_what_stands_behind_a_message_in_a_message_is_never_left_out() {
    let forward = "Content-Type: message/rfc822\n\n";
    let inner = "From: c@x.org\nSubject: y\n\ntext\n";
    let file = "--o\nContent-Type: text/plain\nContent-Disposition: attachment; filename=bill.txt\n\npay\n";
    let with = |parts: &str| format!("{HEAD}Content-Type: multipart/mixed; boundary=o\n\n--o\n\nhello\n{parts}--o--\n");

    let one = body(OnUnsupported::Fail, &["b@example.org"], &with(&format!("--o\n{forward}{inner}{file}"))).unwrap();
    let names: Vec<_> = one["attachments"].as_array().unwrap().iter().map(|file| &file["filename"]).collect();
    assert_eq!(names, ["part-1.eml", "bill.txt"]);
    for behind in [file, ""] {
        for on_unsupported in [OnUnsupported::Fail, OnUnsupported::Drop] {
            let content = with(&format!("--o\n{forward}{forward}{inner}{behind}"));
            let why = body(on_unsupported, &["b@example.org"], &content).unwrap_err();
            assert!(why.contains("nothing but another message"), "{why}");
        }
    }
    let hollow = format!("{HEAD}Content-Type: multipart/mixed; boundary=o\n\n--o--\n");
    let why = body(OnUnsupported::Drop, &["b@example.org"], &hollow).unwrap_err();
    assert!(why.contains("has no end, or nothing in it"), "{why}");
}

proptest::proptest! {
    /// Strangers wrote it, and the parser is not ours: whatever they wrote, there is an answer.
    #[test]
    fn rule_u16_no_message_ends_the_courier(
        pieces in proptest::collection::vec(
            proptest::prop_oneof![
                proptest::sample::select(vec![
                    "From: a@x.org\n", "To: b@example.org,", "Subject: =?utf-8?B?", "Content-Type: multipart/mixed; boundary=o\n\n",
                    "Content-Type: multipart/signed; boundary=\"o\"\n\n", "--o\n", "--o--\n", "Content-Type: message/rfc822\n\n",
                    "Content-Transfer-Encoding: base64\n", "Content-Type: text/html; charset=utf-16\n\n", "\n", "x",
                ]).prop_map(|text: &str| text.replace('\n', "\r\n").into_bytes()),
                proptest::collection::vec(proptest::num::u8::ANY, 0..20),
            ],
            0..40,
        )
    ) {
        let content = [b"From: a@x.org\r\n".to_vec(), pieces.concat()].concat();
        let recipients = [(1, to("b@example.org"))];
        let letter = Letter { message: MessageId::now(), sender: &None, recipients: &recipients, content: &content };
        let bytesend = Bytesend::new(&Secret::new("bs_sesame".into()), OnUnsupported::Drop, 1 << 20).unwrap();
        proptest::prop_assert!(Bytesend::part(&recipients, &content) >= 1);
        if let Ok(request) = bytesend.request(&letter) {
            let body: Value = serde_json::from_slice(request.body.expose()).unwrap();
            proptest::prop_assert_eq!(&body["to"], &json!(["b@example.org"]));
        }
    }
}

#[test]
fn rule_u16_a_message_that_would_end_the_reader_is_refused_before_it_reads() {
    let nested = |line: &str| format!("{HEAD}{}", format!("Content-Type: {line}\n\n--o\n").repeat(200_000));
    for line in ["multipart/mixed; boundary=o", "message/rfc822"] {
        for on_unsupported in [OnUnsupported::Fail, OnUnsupported::Drop] {
            let why = body(on_unsupported, &["b@example.org"], &nested(line)).unwrap_err();
            assert!(why.contains("parts"), "{why}");
        }
    }
    // As deep as it may be.
    let deepest = format!("{HEAD}{}text\n", "Content-Type: multipart/mixed; boundary=o\n\n--o\n".repeat(100));
    let _ = body(OnUnsupported::Drop, &["b@example.org"], &deepest);
    let deepest = format!("{HEAD}{}text\n", "Content-Type: message/rfc822\n\n".repeat(100));
    let _ = body(OnUnsupported::Drop, &["b@example.org"], &deepest);
}

#[test]
fn rule_u16_texts_that_are_no_alternatives_are_not_sent_as_such() {
    let (text, html) = ("Content-Type: text/plain\n\nTHE TEXT\n", "Content-Type: text/html\n\n<b>the html</b>\n");
    let mixed = format!("{HEAD}Content-Type: multipart/mixed; boundary=o\n\n--o\n{text}--o\n{html}--o--\n");
    let behind = format!(
        "{HEAD}Content-Type: multipart/mixed; boundary=o\n\n--o\n{text}--o\n\
         Content-Type: multipart/alternative; boundary=i\n\n--i\n{text}--i\n{html}--i--\n--o--\n"
    );
    for content in [&mixed, &behind] {
        assert!(body(OnUnsupported::Fail, &["b@example.org"], content).unwrap_err().contains("a further text/"));
        let sent = body(OnUnsupported::Drop, &["b@example.org"], content).unwrap();
        assert!(sent["text"].as_str().unwrap().contains("THE TEXT") && sent.get("html").is_none(), "{sent}");
    }
}

#[test]
fn rule_u16_a_text_that_is_attached_keeps_its_octets() {
    let attached = |encoding: &str, octets: &str| {
        let content = format!(
            "{HEAD}Content-Type: multipart/mixed; boundary=o\n\n--o\n\nsee there\n--o\n\
             Content-Type: text/csv; charset=iso-8859-1\nContent-Disposition: attachment; filename=a.csv\n\
             Content-Transfer-Encoding: {encoding}\n\n{octets}\n--o--\n"
        );
        let sent = body(OnUnsupported::Fail, &["b@example.org"], &content).unwrap();
        sent["attachments"][0]["content"].as_str().unwrap().to_owned()
    };
    assert_eq!(attached("base64", "R/w7CkFCQwo="), "R/w7CkFCQwo=");
    assert_eq!(attached("quoted-printable", "G=FC;=0AABC=0A"), "R/w7CkFCQwo=");
    assert_eq!(attached("7bit", "plain"), "cGxhaW4=");
}

#[test]
fn rule_u16_a_409_is_put_off_while_the_same_is_under_way_and_a_failure_where_the_key_is_anothers() {
    let (sender, recipients) = (Some(to("a@example.net")), vec![(1, to("b@example.org")), (2, to("c@example.org"))]);
    let letter = Letter { message: MessageId::now(), sender: &sender, recipients: &recipients, content: b"x\r\n" };
    let of = |message: &str| json!({ "error": { "code": "NOT_UNIQUE", "message": message } }).to_string();
    for (body, is_failure) in [
        (of("Idempotency-Key already used with a different payload"), true),
        (json!({ "error": { "code": "NOT_UNIQUE" } }).to_string(), true),
        (of("Request with same Idempotency-Key is in progress. Retry later."), false),
        (json!({ "error": { "code": "OTHER", "message": "different payload" } }).to_string(), false),
        ("different payload".to_owned(), false),
        (String::new(), false),
    ] {
        let reply = Reply { status: 409, body: body.clone().into_bytes(), ..Reply::default() };
        let Judgement::Settled(outcomes) = Bytesend::judge(&reply, &letter) else { panic!("{body}") };
        let failed = outcomes.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Failed(_))).count();
        let deferred = outcomes.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Deferred(_))).count();
        assert_eq!((failed, deferred), if is_failure { (2, 0) } else { (0, 2) }, "{body}");
        assert!(outcomes.iter().all(|(_, outcome)| outcome.said().text.starts_with("HTTP 409")), "{outcomes:?}");
    }
}

#[test]
fn rule_u16_what_bytesend_suppresses_is_not_delivered() {
    let (sender, recipients) = (Some(to("a@example.net")), vec![(1, to("b@example.org"))]);
    let letter = Letter { message: MessageId::now(), sender: &sender, recipients: &recipients, content: b"x\r\n" };
    for (body, is_delivered) in [
        (json!({ "emailId": "em_1" }), true),
        (json!({ "emailId": "em_1", "status": "QUEUED" }), true),
        (json!({ "emailId": "em_1", "status": "SUPPRESSED" }), false),
        (json!({ "status": "suppressed" }), false),
    ] {
        let reply = Reply { status: 200, body: body.to_string().into_bytes(), whole: true, ..Reply::default() };
        let Judgement::Settled(outcomes) = Bytesend::judge(&reply, &letter) else { panic!("{body}") };
        match &outcomes[0].1 {
            Outcome::Delivered(_) => assert!(is_delivered, "{body}"),
            Outcome::Failed(said) => {
                assert!(!is_delivered && said.enhanced.as_deref() == Some("5.7.1"), "{body}: {said:?}")
            }
            other => panic!("{body}: {other:?}"),
        }
    }
}
