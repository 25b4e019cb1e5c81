//! The JSON body of each dialect, and each message of the batches: it is refused in words that are short and its own, or becomes a message that another reader finds to
//! be from the one author, to those whom it names and with those texts and files, and from nobody and to nobody else. And the envelope of
//! a whole message: it is refused like that, or of addresses that have one spelling, on which the message has no say where the request
//! has all of it.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_parser::{Message, MessageParser, PartType};

use crate::edge::http::trial::{self, Made, Refused};
use crate::mail::address::Address;
use crate::mail::header;

/// Octets of a line (RFC 5322 section 2.1.1).
const LONGEST: usize = 998;
/// Octets of what a refusal says, for each of the at most twenty findings.
const WORDS: usize = 1024;
const FINDINGS: usize = 20;

/// Recipients of a message, and messages of the longest batch.
const RECIPIENTS: usize = 50;
const MESSAGES: usize = 500;
/// The number of whole messages, behind those of dialects and batches.
const ENVELOPE: usize = trial::DIALECTS + trial::BATCHES;
/// A whole message that has nothing to say of its envelope.
const PLAIN: &[u8] = b"From: other@example.com\r\nTo: another@example.com\r\n\r\n";

/// The first octet says in which dialect, or of which kind of batch; the rest is the body. Or that it is a whole message, behind a line
/// for each field of its request: where that is empty, there is none.
pub fn run(input: &[u8]) {
    let Some((which, body)) = input.split_first() else { return };
    match usize::from(*which) % (ENVELOPE + 1) {
        dialect @ ..trial::DIALECTS => judge(trial::message(dialect, body)),
        kind @ trial::DIALECTS..ENVELOPE => match trial::batch(kind - trial::DIALECTS, body) {
            Ok(all) => {
                assert!((1..=MESSAGES).contains(&all.len()), "{} messages", all.len());
                all.into_iter().for_each(judge);
            }
            Err(refused) => is_told(&refused),
        },
        _ => enveloped(body),
    }
}

fn judge(read: Result<Made, Refused>) {
    match read {
        Ok(made) => is_sound(&made),
        Err(refused) => is_told(&refused),
    }
}

fn enveloped(input: &[u8]) {
    let mut lines = input.splitn(3, |octet| *octet == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let fields = [line(), line()].map(|line| Some(line).filter(|line| !line.is_empty()));
    let message = line();
    let [sender, recipients] = fields;
    let (from, to) = match trial::envelope(sender, recipients, message) {
        Some(Ok(envelope)) => envelope,
        Some(Err(refused)) => return is_told(&refused),
        None => return,
    };
    let distinct: BTreeSet<_> = to.iter().collect();
    assert!((1..=RECIPIENTS).contains(&distinct.len()), "{} recipients", distinct.len());
    for address in to.iter().chain([&from]) {
        let text = address.to_string();
        let again = [Address::parse(&text), Address::parse_international(&text)];
        assert!(!text.contains(char::is_control) && again.contains(&Ok(address.clone())), "{text:?}");
    }
    if sender.is_some() && recipients.is_some() {
        let plain = trial::envelope(sender, recipients, PLAIN).expect("the same fields").expect("the same envelope");
        assert_eq!(plain, (from, to), "the message has changed its envelope");
    }
}

fn is_told(refused: &Refused) {
    let body: serde_json::Value = serde_json::from_slice(&refused.body).expect("a refusal that is no JSON");
    assert!(body["errors"].as_array().is_none_or(|errors| errors.len() <= FINDINGS), "{body}");
    assert!(refused.body.len() <= (FINDINGS + 2) * WORDS, "{}", refused.body.len());
    for text in refused.issues.iter().flat_map(|(pointer, words)| [pointer, words]).chain([&refused.message]) {
        assert!(text.len() <= WORDS && !text.contains(char::is_control), "{text:?}");
    }
}

fn is_sound(made: &Made) {
    let octets = &made.octets;
    assert!(octets.ends_with(b"\r\n") && octets.is_ascii());
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        let inner = line.strip_suffix(b"\r\n").expect("a bare line feed");
        assert!(inner.len() <= LONGEST && !inner.contains(&b'\r') && !inner.contains(&0), "{line:?}");
    }
    let end = octets.windows(4).position(|octets| octets == b"\r\n\r\n").expect("a header") + 2;
    let read = header::read(&octets[..end], "\r\n", false).expect("what was made is no header");
    assert_eq!(read.facts.authors, std::slice::from_ref(&made.author), "it is from somebody else");
    for name in ["Bcc", "Resent-Bcc", "Return-Path", "Sender", "Received"] {
        assert!(!read.has(name), "{name} was made");
    }
    let message = MessageParser::default().parse(octets.as_slice()).expect("another reader finds no message");
    same(&addresses(&message), &made.named, &made.hidden);
    assert_eq!(squeezed(message.subject().unwrap_or_default()), squeezed(made.subject.as_deref().unwrap_or_default()));
    parts(&message, made);
}

/// The addresses of To and Cc, as the other reader has them.
fn addresses(message: &Message<'_>) -> Vec<String> {
    let lists = [message.to(), message.cc()].into_iter().flatten();
    lists.flat_map(mail_parser::Address::iter).filter_map(|addr| addr.address()).map(str::to_owned).collect()
}

fn same(found: &[String], named: &[Address], hidden: &[Address]) {
    let named: Vec<String> = named.iter().map(ToString::to_string).collect();
    let is_plain = |text: &String| !text.contains(['"', '\\']);
    // Quoted names are the same in another form there.
    if named.iter().all(is_plain) {
        assert_eq!(found, named, "it names others than it goes to");
    }
    for one in hidden.iter().map(ToString::to_string) {
        assert!(named.contains(&one) || !found.contains(&one), "{one} is told of");
    }
}

/// Folding adds blanks, and between encoded words takes them.
fn squeezed(text: &str) -> String {
    text.chars().filter(|sign| !sign.is_whitespace()).collect()
}

/// Each text and each file stands there once, whole.
fn parts(message: &Message<'_>, made: &Made) {
    let leaves: Vec<_> = message.parts.iter().filter(|part| !matches!(part.body, PartType::Multipart(_))).collect();
    assert_eq!(leaves.len(), made.texts.len() + made.files.len(), "parts were added or lost");
    let (texts, files) = leaves.split_at(made.texts.len());
    for (part, text) in texts.iter().zip(&made.texts) {
        assert_eq!(lines(part.text_contents().expect("a text")), lines(text), "a text has changed");
    }
    let mut files: Vec<Vec<u8>> = files
        .iter()
        .map(|part| {
            let whole = message.raw_message();
            let raw = &whole[part.offset_body as usize..part.offset_end as usize];
            let raw: Vec<u8> = raw.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
            STANDARD.decode(raw).expect("a file in base64")
        })
        .collect();
    let mut meant = made.files.clone();
    files.sort();
    meant.sort();
    assert!(files == meant, "a file has changed");
}

/// A text without how its lines end.
fn lines(text: &str) -> Vec<String> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    text.trim_end_matches('\n').split('\n').map(str::to_owned).collect()
}
