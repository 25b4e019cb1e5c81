//! The header of a message: whoever reads it after us sees the same authors, before and after what we change in it.

use jiff::Timestamp;

use crate::mail::fixup::{self, Orders, Trace};
use crate::mail::header;
use crate::mail::id::MessageId;

const HOST: &str = "gate.example.net";
const LISTENER: &str = "submission";

/// The first octet's lowest bit says whether SMTPUTF8 was asked for; the rest is the block, made of canonical lines as the
/// scanners leave them.
pub fn run(input: &[u8]) {
    let Some((way, text)) = input.split_first() else { return };
    let block = lines(text);
    let own = fixup::mark(HOST, LISTENER);
    let Ok(read) = header::read(&block, &own, way & 1 == 1) else { return };
    assert!(!read.facts.authors.is_empty(), "nobody is the author");
    assert_eq!(read.fields().flat_map(|field| field.whole).copied().collect::<Vec<u8>>(), block, "octets are lost");
    assert_eq!(froms(&block), 1, "another reader sees another number of From");
    for author in &read.facts.authors {
        let text = author.to_string();
        assert!(!text.bytes().any(|octet| octet.is_ascii_control()), "{text:?}");
        assert_eq!(crate::mail::address::Address::parse_international(&text).as_ref(), Ok(author));
    }
    let id: MessageId = "01890000-0000-7000-8000-000000000000".parse().unwrap();
    let trace =
        Trace { helo: "a", hostname: HOST, listener: LISTENER, with: "ESMTP", cipher: None, id, only_recipient: None };
    let orders = Orders { rewrite: &|_| None, remove: &[] };
    let Ok((out, facts)) = fixup::apply(&read, &trace, orders, Timestamp::UNIX_EPOCH) else { return };
    assert!(out.starts_with(b"Received: from a ") && out.ends_with(b"\r\n"));
    if facts.received >= 100 || read.fields().count() + 3 > header::MAX_FIELDS {
        // The next server's circle, or too much for it.
        return;
    }
    let again = header::read(&out, "\r\n", true).expect("what goes out is a header");
    assert_eq!(again.facts.authors, read.facts.authors, "the authors have changed");
    assert_eq!((again.facts.received, facts.received), (read.facts.received + 1, read.facts.received + 1));
    for name in ["Bcc", "Resent-Bcc", "Return-Path"] {
        assert!(!again.has(name), "{name} goes out");
    }
    for name in ["Date", "Message-ID"] {
        assert!(again.has(name) || read.signs(name), "{name} is missing");
    }
}

/// Canonical lines, without an empty one: what stands between any CR, LF and NUL.
fn lines(text: &[u8]) -> Vec<u8> {
    let lines = text.split(|octet| matches!(octet, b'\r' | b'\n' | 0)).filter(|line| !line.is_empty());
    lines.flat_map(|line| [line, b"\r\n"].concat()).collect()
}

/// How many fields a reader finds that knows no more than that a From begins a line.
fn froms(block: &[u8]) -> usize {
    let begins = |line: &[u8]| {
        let name = line.split(|octet| *octet == b':').next().unwrap_or_default();
        line.contains(&b':') && name.trim_ascii_end().eq_ignore_ascii_case(b"from")
    };
    block.split(|octet| *octet == b'\n').filter(|line| begins(line)).count()
}
