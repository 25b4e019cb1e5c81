//! What messages look like, and that no letter makes one that isn't canonical.

use proptest::prelude::*;

use super::super::tests::house::front;
use super::super::v1;
use super::*;

fn when() -> Zoned {
    "2026-11-20T10:00:00Z".parse::<Timestamp>().unwrap().to_zoned(TimeZone::UTC)
}

fn letter(more: &str) -> Letter {
    v1::letter(format!(r#"{{"from":"Ann <a@example.net>",{more}}}"#).as_bytes(), None).unwrap()
}

fn message(more: &str) -> String {
    let message = String::from_utf8(compose(&letter(more), &when())).unwrap();
    assert_eq!(uncanonical(message.as_bytes()), None, "{message}");
    message
}

/// The first thing that SMTP would not carry as it is.
fn uncanonical(message: &[u8]) -> Option<String> {
    let Some(whole) = message.strip_suffix(b"\r\n") else { return Some("no CRLF at the end".into()) };
    whole.split(|b| *b == b'\n').enumerate().find_map(|(n, line)| {
        let inner = line.strip_suffix(b"\r").unwrap_or(line);
        let bare = inner.contains(&b'\r')
            || inner.contains(&0)
            || (inner.len() == line.len() && n + 1 < whole.split(|b| *b == b'\n').count());
        (bare || inner.len() > 998).then(|| format!("line {n}: {}", String::from_utf8_lossy(line)))
    })
}

#[test]
fn a_plain_message_reads_as_it_was_written() {
    let message =
        message(r#""to":"Bob <b@example.org>","cc":["c@example.org"],"subject":"Hello","text":"one\ntwo\r\nthree""#);
    assert_eq!(
        message,
        "Date: Fri, 20 Nov 2026 10:00:00 +0000\r\n\
         From: \"Ann\" <a@example.net>\r\n\
         To: \"Bob\" <b@example.org>\r\n\
         Cc: <c@example.org>\r\n\
         Subject: Hello\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=\"utf-8\"\r\n\
         Content-Transfer-Encoding: 7bit\r\n\
         \r\n\
         one\r\ntwo\r\nthree\r\n"
    );
}

#[test]
fn a_subject_that_looks_encoded_is_read_as_it_was_written() {
    for subject in
        ["=?utf-8?Q?a=0D=0ABcc:_x@example.com?=", "x =?utf-8?B??= y", &format!("=?{}", "\u{e9}\u{1f4e7} ".repeat(40))]
    {
        let more = format!(r#""to":"b@example.org","text":"x","subject":{}"#, serde_json::json!(subject));
        let message = message(&more);
        let read = mail_parser::MessageParser::default().parse(message.as_bytes()).unwrap();
        assert_eq!(read.subject(), Some(subject), "{message}");
    }
}

#[test]
fn names_and_fields_that_look_encoded_are_read_as_they_were_written() {
    let word = "=?utf-8?Q?a=0D=0ABcc:_x@example.com?=";
    let more = format!(
        r#""to":[{{"email":"b@example.org","name":"{word}"}},"c@example.org"],"text":"x","headers":{{"X-A":"{word}"}}"#
    );
    let message = message(&more);
    let read = mail_parser::MessageParser::default().parse(message.as_bytes()).unwrap();
    let to: Vec<_> = read.to().unwrap().iter().map(|one| (one.name(), one.address())).collect();
    assert_eq!(to, [(Some(word), Some("b@example.org")), (None, Some("c@example.org"))], "{message}");
    assert!(!message.contains(word), "{message}");
}

#[test]
fn the_trace_names_the_gate_the_way_and_the_time_and_not_the_client() {
    let id: MessageId = "01a1f866-0d7b-7d39-bc3d-1f2a8b5c6d7e".parse().unwrap();
    let letter = letter(r#""to":"b@example.org","text":"x""#);
    assert_eq!(
        String::from_utf8(trace(&letter, id, &front(|_| {}).0, true, &when())).unwrap(),
        "Received: by gate.example.net (Gatepost api)\r\n\
         \twith HTTPS id 01a1f866-0d7b-7d39-bc3d-1f2a8b5c6d7e;\r\n\
         \tFri, 20 Nov 2026 10:00:00 +0000\r\n\
         Message-ID: <01M7W6C3BVFMWVRF8Z5A5NRVBY@gate.example.net>\r\n"
    );
}

#[test]
fn bcc_is_nowhere_in_the_message() {
    let text = message(r#""to":"b@example.org","bcc":["secret@example.org"],"text":"x""#);
    assert!(!text.to_lowercase().contains("bcc") && !text.contains("secret"), "{text}");
    let text = message(r#""bcc":["secret@example.org"],"text":"x""#);
    assert!(text.contains("\r\nTo: undisclosed-recipients:;\r\n") && !text.contains("secret"), "{text}");
}

#[test]
fn rule_h8_what_is_not_ascii_is_encoded() {
    let text = message(
        r#""to":{"email":"b@example.org","name":"Jürgen, der Große"},"subject":"Grüße 🎉","text":"naïve",
           "headers":{"X-Note":"größer"},"attachments":[{"filename":"Übersicht.pdf","content":"AAAA"}]"#,
    );
    assert!(text.is_ascii(), "{text}");
    assert!(text.contains("Subject: =?utf-8?"), "{text}");
    assert!(text.contains("X-Note: =?utf-8?"), "{text}");
    assert!(text.contains("filename*=UTF-8''%C3%9Cbersicht.pdf"), "{text}");
}

#[test]
fn rule_h8_long_structured_fields_are_folded_and_never_encoded() {
    let ids = "<0123456789@example.net> ".repeat(40);
    let address = format!("<https://example.net/{}>", "u".repeat(300));
    let text = message(&format!(
        r#""to":"b@example.org","text":"x","headers":{{"References":"{ids}","List-Unsubscribe":"{address}"}}"#
    ));
    assert_eq!(text.replace("\r\n ", " ").matches("<0123456789@example.net>").count(), 40, "{text}");
    assert!(text.contains(&address));
}

/// The fields of a header, unfolded, and what their encoded words (RFC 2047) mean.
fn read(message: &str) -> Vec<(String, String)> {
    let head = message.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ").replace("\r\n\t", "\t");
    let words = |value: &str| {
        let mut out = Vec::new();
        let mut rest = value;
        while let Some((before, behind)) = rest.split_once("=?utf-8?") {
            // Blanks between two of them mean nothing.
            let blank = before.trim().is_empty() && !out.is_empty();
            out.extend_from_slice(if blank { b"" } else { before.as_bytes() });
            let (kind, behind) = behind.split_once('?').unwrap();
            let (text, behind) = behind.split_once("?=").unwrap();
            assert!(kind.len() + text.len() + 13 <= 75, "{text}");
            match kind {
                "B" | "b" => out.extend(STANDARD.decode(text).unwrap()),
                _ => {
                    let text = text.replace('_', " ");
                    let mut octets = text.bytes();
                    while let Some(octet) = octets.next() {
                        let mut digit = || (octets.next().unwrap() as char).to_digit(16).unwrap() as u8;
                        out.push(if octet == b'=' { digit() * 16 + digit() } else { octet });
                    }
                }
            }
            // A character is never cut in two.
            std::str::from_utf8(&out).unwrap();
            rest = behind;
        }
        out.extend_from_slice(rest.as_bytes());
        String::from_utf8(out).unwrap()
    };
    head.split("\r\n").map(|line| line.split_once(": ").unwrap()).map(|(n, v)| (n.to_owned(), words(v))).collect()
}

#[test]
fn rule_h8_what_was_encoded_and_folded_reads_as_it_was_said() {
    let long = "Grüße 🎉 und ein Wort, das lang ist: ".repeat(5);
    let (subject, name) = (long.trim_end(), "Jürgen „Jo“ von und zu Großwörtern, der Jüngere ".repeat(2));
    let words = "plain words and no others ".repeat(8);
    let text = message(&format!(
        r#""to":{{"email":"b@example.org","name":"{}"}},"subject":"{subject}","text":"x",
           "headers":{{"X-Words":"{}","X-Long":"{}"}}"#,
        name.trim_end(),
        words.trim_end(),
        "x".repeat(900),
    ));
    let fields = read(&text);
    let field = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).unwrap();
    assert_eq!(field("Subject"), subject);
    assert_eq!(field("To"), format!("{} <b@example.org>", name.trim_end()));
    assert_eq!(field("X-Words"), words.trim_end());
    assert_eq!(field("X-Long"), "x".repeat(900));
    for line in text.split("\r\n\r\n").next().unwrap().split("\r\n") {
        // What has no place to be folded at is let be, up to 998.
        let most = if line.contains("xxx") { 998 } else { 78 };
        assert!(line.is_ascii() && line.len() <= most, "{line}");
    }
    let endless = serde_json::json!({
        "from": "a@example.net", "to": "b@example.org", "text": "x", "headers": { "X-Endless": "x".repeat(1500) },
    });
    assert!(v1::letter(endless.to_string().as_bytes(), None).is_err());
}

#[test]
fn parts_nest_as_readers_expect() {
    let text = message(
        r#""to":"b@example.org","text":"x","html":"<img src=cid:logo>","attachments":[
            {"filename":"logo.png","content":"AAAA","content_type":"image/png","content_id":"logo"},
            {"filename":"list.csv","content":"YQ1iCmMA","content_type":"text/csv; charset=utf-8"}]"#,
    );
    let kinds: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("Content-Type: "))
        .map(|kind| kind.split(';').next().unwrap())
        .collect();
    let expected = [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "text/csv",
    ];
    assert_eq!(kinds, expected);
    assert!(text.contains("Content-ID: <logo>\r\n"), "{text}");
    assert!(text.contains("Content-Disposition: inline; filename=\"logo.png\"\r\n"), "{text}");
    // A text file is not touched either, bare CR, bare LF and NUL included.
    assert!(text.contains("\r\n\r\nYQ1iCmMA\r\n"), "{text}");
}

#[test]
fn a_text_of_one_long_line_is_wrapped_without_loss() {
    let text = message(&format!(r#""to":"b@example.org","text":"{}""#, "x".repeat(5000)));
    let body = text.split("\r\n\r\n").nth(1).unwrap().replace("=\r\n", "");
    assert_eq!(body.trim_end(), "x".repeat(5000));
}

proptest! {
    #[test]
    fn no_letter_makes_a_message_that_is_not_canonical(
        name in "\\PC{0,60}",
        subject in "[^\\p{C}]{0,200}",
        text in "(\\PC|\r|\n|\t){0,300}",
        value in "[ -~é]{0,200}",
        content in prop::collection::vec(any::<u8>(), 0..300),
        inline: bool,
    ) {
        let content = STANDARD.encode(&content);
        let disposition = if inline { "inline" } else { "attachment" };
        let body = serde_json::json!({
            "from": {"email": "a@example.net", "name": name},
            "to": [{"email": "b@example.org", "name": name}],
            "subject": subject,
            "text": text,
            "html": text,
            "headers": {"X-Value": value},
            "attachments": [{"filename": "a.txt", "content": content, "content_type": "text/plain", "disposition": disposition}],
        });
        if let Ok(letter) = v1::letter(body.to_string().as_bytes(), None) {
            let message = compose(&letter, &when());
            prop_assert_eq!(uncanonical(&message), None);
            let header = message.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
            prop_assert!(message[..header].is_ascii());
            let names: Vec<_> = message[..header]
                .split(|b| *b == b'\n')
                .filter(|line| !line.starts_with(b" ") && !line.starts_with(b"\t"))
                .map(|line| String::from_utf8_lossy(line).split(':').next().unwrap().to_owned())
                .collect();
            prop_assert_eq!(names, ["Date", "From", "To", "Subject", "X-Value", "MIME-Version", "Content-Type"]);
        }
    }
}
