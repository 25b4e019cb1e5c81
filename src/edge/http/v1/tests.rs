//! What `/v1/send` takes, and what it says to what it doesn't.

use proptest::prelude::*;

use super::*;

fn good(body: &str) -> Letter {
    letter(body.as_bytes(), None).unwrap_or_else(|fault| panic!("{body}: {fault:?}"))
}

/// The findings as `code pointer`.
fn findings(body: &str) -> Vec<String> {
    let fault = letter(body.as_bytes(), None).unwrap_err();
    fault.issues.iter().map(|issue| format!("{} {}", issue.code, issue.pointer)).collect()
}

/// A body that is right but for what is added.
fn with(more: &str) -> String {
    format!(r#"{{"from":"a@example.net","to":"b@example.org","text":"hi",{more}}}"#)
}

#[test]
fn addresses_come_as_texts_objects_and_lists() {
    let letter = good(
        r#"{"from":{"email":"a@example.net","name":"Ann"},"to":["b@example.org",{"address":"c@example.org"}],
            "cc":"Dee <d@example.org>","bcc":[{"email":"e@example.org","name":null}],"reply_to":"r@example.net","text":"hi"}"#,
    );
    assert_eq!(letter.from.name.as_ref().unwrap().as_str(), "Ann");
    let all: Vec<_> =
        letter.recipients().map(|mailbox| (mailbox.address.to_string(), mailbox.pointer.as_str())).collect();
    let expected =
        [("b@example.org", "/to/0"), ("c@example.org", "/to/1"), ("d@example.org", "/cc"), ("e@example.org", "/bcc/0")];
    assert_eq!(all, expected.map(|(address, pointer)| (address.to_owned(), pointer)));
    assert_eq!(letter.reply_to.len(), 1);
}

#[test]
fn both_texts_go_by_all_their_names() {
    for (body, text, html) in [
        (r#""body":"x""#, Some("x"), None),
        (r#""text":"x","html":"y""#, Some("x"), Some("y")),
        (r#""html_body":"y""#, None, Some("y")),
        (r#""body_html":"y","text":null"#, None, Some("y")),
    ] {
        let letter = good(&format!(r#"{{"from":"a@example.net","to":"b@example.org",{body}}}"#));
        assert_eq!((letter.text.as_deref(), letter.html.as_deref()), (text, html), "{body}");
    }
}

#[test]
fn all_mistakes_are_found_at_once_with_their_places() {
    let found = findings(
        r#"{"to":["b@example.org","no address",7],"subject":"a\r\nBcc: x@evil.example","subjct":"x",
            "attachments":[{"filename":"a/b","content":"AA=A"},{"content_id":"<x y>"}],"headers":{"Bcc":"x","X-A":"a\nb"}}"#,
    );
    let expected = [
        "unknown_member /subjct",
        "invalid_address /to/1",
        "wrong_type /to/2",
        "required /from",
        "control_character /subject",
        "required /text",
        "header_not_allowed /headers/Bcc",
        "control_character /headers/X-A",
        "invalid_filename /attachments/0/filename",
        "invalid_base64 /attachments/0/content",
        "required /attachments/1/filename",
        "invalid_content_id /attachments/1/content_id",
        "required /attachments/1/content",
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_unknown_member_gets_the_name_that_was_meant() {
    let fault = letter(with(r#""subjct":"x""#).as_bytes(), None).unwrap_err();
    assert_eq!(fault.issues[0].message, "is not known; did you mean subject?");
    let fault = letter(with(r#""a very long name with spaces in it":"x""#).as_bytes(), None).unwrap_err();
    assert!(!format!("{fault:?}").contains("spaces"));
}

#[test]
fn a_recipient_a_sender_and_a_text_are_needed() {
    assert_eq!(findings("{}"), ["required /to", "required /from", "required /text"]);
    assert_eq!(findings(r#"{"from":"a@b.example","to":[],"text":"x"}"#), ["required /to"]);
    assert_eq!(findings("[]"), ["wrong_type "]);
    good(r#"{"from":"a@b.example","bcc":"b@example.org","text":"x"}"#);
}

#[test]
fn numbers_and_lengths_beyond_the_limits_are_refused() {
    let many = |n: usize| vec![r#""b@example.org""#; n].join(",");
    let to = |n| format!(r#"{{"from":"a@b.example","to":[{}],"text":"x"}}"#, many(n));
    good(&to(50));
    assert_eq!(findings(&to(51)), ["too_many /to"]);
    assert_eq!(findings(&with(&format!(r#""reply_to":[{}]"#, many(11)))), ["too_many /reply_to"]);
    assert_eq!(findings(&with(&format!(r#""subject":"{}""#, "ä".repeat(256)))), ["too_long /subject"]);
    assert_eq!(findings(&with(&format!(r#""html":"{}""#, "x".repeat(letter::MAX_TEXT + 1)))), ["too_long /html"]);
    let fields = |n: usize| (0..n).map(|n| format!(r#""X-{n}":"v""#)).collect::<Vec<_>>().join(",");
    good(&with(&format!(r#""headers":{{{}}}"#, fields(30))));
    assert_eq!(findings(&with(&format!(r#""headers":{{{}}}"#, fields(31)))), ["too_many /headers"]);
    let long = (0..9).map(|n| format!(r#""X-{n}":"{}""#, "word ".repeat(400))).collect::<Vec<_>>().join(",");
    assert_eq!(findings(&with(&format!(r#""headers":{{{long}}}"#))), ["too_long /headers"]);
    let files = vec![r#"{"filename":"a","content":""}"#; 21].join(",");
    assert_eq!(findings(&with(&format!(r#""attachments":[{files}]"#))), ["too_many /attachments"]);
}

#[test]
fn attachments_come_in_the_forms_that_clients_use() {
    let letter = good(&with(
        r#""attachments":[
            {"filename":"a.txt","content":"aGVs\r\n bG8="},
            {"name":"b.png","data":"data:image/png;base64,aGVsbG8=","type":"image/png","cid":"cid:logo"},
            {"filename":"c.csv","content":"aGVsbG8=","contentType":"text/csv; charset=\"utf-8\"","contentId":"x","disposition":"attachment"}]"#,
    ));
    assert!(letter.attachments.iter().all(|file| file.content == b"hello"));
    let shape: Vec<_> = letter.attachments.iter().map(|file| (file.media.essence.as_str(), file.inline)).collect();
    assert_eq!(shape, [(BINARY, false), ("image/png", true), ("text/csv", false)]);
    assert_eq!(letter.attachments[1].content_id.as_deref(), Some("logo"));
}

#[test]
fn what_is_wrong_with_an_attachment_is_said() {
    let message = |file: &str| {
        let fault = letter(with(&format!(r#""attachments":[{file}]"#)).as_bytes(), None).unwrap_err();
        format!("{} {} {}", fault.issues[0].code, fault.issues[0].pointer, fault.issues[0].message)
    };
    assert_eq!(
        message(r#"{"filename":"a","content":"aGV*bG8="}"#),
        "invalid_base64 /attachments/0/content is not valid base64 at byte 3"
    );
    assert!(message(r#"{"filename":" \u00a0 ","content":""}"#).starts_with("invalid_filename"));
    assert!(message(r#"{"filename":"a","path":"http://169.254.169.254/"}"#).starts_with("remote_attachments_disabled"));
    assert!(message(r#"{"filename":"a","content":"","type":"multipart/mixed"}"#).starts_with("invalid_content_type"));
    assert!(message(r#"{"filename":"a","content":"","disposition":"form-data"}"#).starts_with("invalid_disposition"));
    let big = "A".repeat(letter::MAX_ATTACHED / 3 * 4 + 8);
    assert!(message(&format!(r#"{{"filename":"a","content":"{big}"}}"#)).starts_with("too_long"));
    let half = "A".repeat((letter::MAX_ATTACHED / 3 * 2 + 8) & !3);
    let two = format!(r#"{{"filename":"a","content":"{half}"}},{{"filename":"b","content":"{half}"}}"#);
    assert!(message(&two).starts_with("too_long /attachments/1"));
}

#[test]
fn headers_come_as_a_map_a_list_or_the_empty_list_of_php() {
    assert_eq!(good(&with(r#""headers":{"X-A":"1","References":"<a@b>"}"#)).fields.len(), 2);
    assert_eq!(good(&with(r#""headers":[{"name":"X-A","value":"1"}]"#)).fields.len(), 1);
    assert!(good(&with(r#""headers":[]"#)).fields.is_empty());
    assert_eq!(findings(&with(r#""headers":{"X-A":"1","x-a":"2"}"#)), ["duplicate_member /headers/x-a"]);
    assert_eq!(findings(&with(r#""headers":{"X-A\r\nBcc":"1"}"#)), ["invalid_header_name /headers"]);
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(body in r#"\{("(to|from|text|headers|attachments|cc)":(null|7|"[a@<>,\\"]*"|\[[^\]]*\]|\{"[a-z]{1,4}":"[^"]*"\}),?){0,5}\}"#) {
        let _ = letter(body.as_bytes(), None);
    }
}
