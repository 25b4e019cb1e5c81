//! A message as the fields of the APIs of providers: whoever wrote it, every recipient is named once and nobody else, nothing in a field
//! ends it, and what is said to be carried is carried.

use serde_json::Value;

use crate::config::slice::OnUnsupported;
use crate::courier::trial::{self, Trial};
use crate::mail::address::Address;

/// Of one request.
const MOST_RECIPIENTS: usize = 50;
/// ByteSend takes so many; Cloudflare names no number.
const MOST_ATTACHMENTS: [usize; 2] = [10, usize::MAX];
/// An octet is at most six in JSON, and a recipient some hundreds.
const GROWS: usize = 6;
const OVERHEAD: usize = 8192;
/// What the API has fields of its own for, or makes itself.
const NEVER_SAID: [&str; 9] =
    ["from", "to", "cc", "bcc", "subject", "received", "return-path", "dkim-signature", "message-id"];

/// The first octet says who the recipients are; the rest is the message, made of canonical lines as the gate keeps them.
pub fn run(input: &[u8]) {
    let Some((way, text)) = input.split_first() else { return };
    let content = lines(text);
    let recipients = recipients(*way);
    let of = |on_unsupported| trial::of(&content, &recipients, on_unsupported);
    let both = of(OnUnsupported::Fail).into_iter().zip(of(OnUnsupported::Drop));
    for ((strict, lenient), most) in both.zip(MOST_ATTACHMENTS) {
        for trials in [&strict, &lenient] {
            let all: Vec<&Address> = trials.iter().flat_map(|trial| &trial.recipients).collect();
            assert_eq!(all, recipients.iter().collect::<Vec<_>>(), "a recipient has no request, or two");
        }
        for (strict, lenient) in strict.iter().zip(&lenient) {
            // What can be carried whole is carried the same whatever was asked for of the rest; what must not be lost, never is.
            if let Ok(body) = &strict.body {
                assert_eq!(Some(body), lenient.body.as_ref().ok(), "nothing was lost, and it is another");
            }
            is_sound(strict, content.len(), most);
            is_sound(lenient, content.len(), most);
        }
    }
}

fn is_sound(trial: &Trial, octets: usize, most: usize) {
    let body = match &trial.body {
        Ok(body) => body,
        Err(why) => {
            assert!(why.len() < 1024 + octets.min(4096), "a reason without an end: {}", why.len());
            return;
        }
    };
    assert!(body.len() <= GROWS * octets + OVERHEAD + trial.recipients.len() * 512, "{octets} became {}", body.len());
    let body: Value = serde_json::from_slice(body).expect("a body that is no JSON");
    let texts = |key: &str| -> Vec<String> {
        let Some(list) = body.get(key) else { return Vec::new() };
        list.as_array().expect(key).iter().map(|text| text.as_str().expect(key).to_owned()).collect()
    };
    let mut named: Vec<String> = ["to", "cc", "bcc"].iter().flat_map(|key| texts(key)).collect();
    let mut meant: Vec<String> = trial.recipients.iter().map(ToString::to_string).collect();
    named.sort();
    meant.sort();
    assert_eq!(named, meant, "a recipient is lost, added or named twice");
    assert!(!texts("to").is_empty() && named.len() <= MOST_RECIPIENTS);
    is_one_line(body["subject"].as_str().expect("a subject"));
    match body["from"].as_object() {
        Some(named) => named.values().for_each(|text| is_one_line(text.as_str().expect("a name and an address"))),
        None => is_one_line(body["from"].as_str().expect("an author")),
    }
    body.get("reply_to").into_iter().for_each(|text| is_one_line(text.as_str().expect("an address")));
    texts("replyTo").iter().for_each(|text| is_one_line(text));
    for (name, value) in body.get("headers").and_then(Value::as_object).into_iter().flatten() {
        is_one_line(name);
        is_one_line(value.as_str().expect("a header that is no text"));
        assert!(!NEVER_SAID.contains(&name.to_ascii_lowercase().as_str()), "{name} is said twice");
    }
    let is_read = |key: &str| body.get(key).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    assert!(is_read("text") || is_read("html"), "the API takes no message without a text");
    let attachments = body.get("attachments").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    assert!(attachments.len() <= most, "{}", attachments.len());
    for attachment in attachments {
        is_one_line(attachment["filename"].as_str().expect("a name"));
        for key in ["type", "content_id"] {
            attachment.get(key).into_iter().for_each(|text| is_one_line(text.as_str().expect(key)));
        }
    }
}

/// It ends nothing that it stands in, and is something.
fn is_one_line(text: &str) {
    assert!(!text.trim().is_empty() && !text.contains(['\r', '\n', '\0']), "{text:?}");
}

/// One, several of whom a header may name some, one with quotes, one in UTF-8, or more than a request takes.
fn recipients(way: u8) -> Vec<Address> {
    let read = |text: &str| Address::parse_international(text).expect("an address");
    match way % 4 {
        0 => vec![read("b@example.org")],
        1 => ["b@example.org", "c@example.org", "D.d@example.org"].iter().map(|text| read(text)).collect(),
        2 => ["\"b, c\"@example.org", "\u{f6}@example.org", "b@xn--bcher-kva.example"]
            .iter()
            .map(|text| read(text))
            .collect(),
        _ => (0..53).map(|n| read(&format!("r{n}@example.org"))).collect(),
    }
}

/// Canonical lines: what stands between line feeds, without any CR or NUL.
fn lines(text: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    for line in text.split(|octet| *octet == b'\n') {
        content.extend(line.iter().filter(|octet| !matches!(octet, b'\r' | 0)));
        content.extend_from_slice(b"\r\n");
    }
    content
}
