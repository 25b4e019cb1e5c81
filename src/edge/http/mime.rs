//! A letter as a message: RFC 5322 header and MIME body, in canonical lines.
//!
//! Every part of a letter was checked when it was made; here it is encoded and folded, by mail-builder. The two fields that
//! name the message's id are written apart, because the vault gives the id after it was told the size.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use mail_builder::headers::Header;
use mail_builder::headers::address::Address;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::raw::Raw;
use mail_builder::headers::text::Text;
use mail_builder::mime::{BodyPart, MimePart};

use super::field::Kind;
use super::letter::{Attachment, Letter, Mailbox, looks_encoded};
use crate::edge::front::Front;
use crate::mail::facts::Facts;
use crate::mail::fixup;
use crate::mail::id::MessageId;

/// Octets that make one line of base64 (RFC 2045 section 6.8: 76 letters).
const BASE64_LINE: usize = 57;
/// The Received field that we write ourselves.
const RECEIVED: u32 = 1;

/// The moment a letter is written, in UTC. None of the zone files are needed for that.
pub fn now() -> Zoned {
    Timestamp::now().to_zoned(TimeZone::UTC)
}

/// The Message-ID of a message whose client gave none.
pub fn message_id(id: MessageId, hostname: &str) -> String {
    format!("{}@{hostname}", id.base32())
}

/// What stands above everything else: who took the message, how, when. The client's address is left out on purpose; the
/// audit log has it.
pub fn trace(letter: &Letter, id: MessageId, front: &Front, secure: bool, when: &Zoned) -> Vec<u8> {
    let with = if secure { "HTTPS" } else { "HTTP" };
    let (date, hostname) = (date(when), &front.hostname);
    let message_id = letter.message_id.clone().unwrap_or_else(|| message_id(id, hostname));
    let mark = fixup::mark(hostname, &front.desk.name);
    format!("Received: {mark}\r\n\twith {with} id {id};\r\n\t{date}\r\nMessage-ID: <{message_id}>\r\n").into_bytes()
}

/// What the vault's policy needs to know of the header.
pub fn facts(letter: &Letter, id: MessageId, hostname: &str) -> Facts {
    let subject = letter.subject.as_ref().map_or(0, |subject| subject.as_str().len());
    Facts {
        authors: vec![letter.from.address.clone()],
        message_id: letter.message_id.clone().unwrap_or_else(|| message_id(id, hostname)),
        utf8: false,
        subject_octets: u32::try_from(subject).unwrap_or(u32::MAX),
        received: RECEIVED,
        is_report: false,
        changes: letter.changes.clone(),
    }
}

/// Everything below the trace. Bcc is in the envelope alone, and what leaves later has the date of that.
pub fn compose(letter: &Letter, when: &Zoned) -> Vec<u8> {
    let mut out = Vec::new();
    let leaves = letter.scheduled_at.map(|time| time.to_zoned(TimeZone::UTC));
    out.extend_from_slice(format!("Date: {}\r\n", date(leaves.as_ref().unwrap_or(when))).as_bytes());
    mailboxes(&mut out, "From", std::slice::from_ref(&letter.from));
    let nobody = letter.to.is_empty() && letter.cc.is_empty();
    if nobody {
        // Some receivers take a message without To and Cc for junk. RFC 5322 section 3.6.3 allows an empty group.
        write(&mut out, "To", &Raw::new("undisclosed-recipients:;"));
    }
    for (name, list) in [("To", &letter.to), ("Cc", &letter.cc), ("Reply-To", &letter.reply_to)] {
        if !list.is_empty() {
            mailboxes(&mut out, name, list);
        }
    }
    if let Some(subject) = &letter.subject {
        match subject.as_str() {
            text if looks_encoded(text) => write(&mut out, "Subject", &Raw::new(encoded(text))),
            text => write(&mut out, "Subject", &Text::new(text)),
        }
    }
    for field in &letter.fields {
        match field.kind {
            Kind::Free if looks_encoded(field.value.as_str()) => {
                write(&mut out, &field.name, &Raw::new(encoded(field.value.as_str())));
            }
            Kind::Free if !field.value.as_str().is_ascii() => {
                write(&mut out, &field.name, &Text::new(field.value.as_str()));
            }
            // As it is: encoding a long value would hide its grammar.
            _ => write(&mut out, &field.name, &Raw::new(field.value.as_str())),
        }
    }
    out.extend_from_slice(b"MIME-Version: 1.0\r\n");
    body(letter).write_part(&mut out);
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn write(out: &mut Vec<u8>, name: &str, value: &impl Header) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    value.write_header(out, name.len() + 2);
}

/// Words in base64 (RFC 2047), whatever the text is: one that looks like such a word would be read as what it isn't.
fn encoded(text: &str) -> String {
    /// Octets that make a word of at most 75 (section 2), with its charset and signs.
    const WORD: usize = 45;
    let (mut words, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let (word, others) = rest.split_at(rest.floor_char_boundary(WORD));
        words.push(format!("=?utf-8?B?{}?=", STANDARD.encode(word)));
        rest = others;
    }
    words.join(" ")
}

fn date(when: &Zoned) -> String {
    // Only years beyond 9999 can't be printed.
    DateTimePrinter::new().zoned_to_string(when).unwrap_or_default()
}

fn mailboxes(out: &mut Vec<u8>, field: &str, list: &[Mailbox]) {
    let name = |mailbox: &Mailbox| mailbox.name.as_ref().map(|name| name.as_str().to_owned());
    if list.iter().filter_map(name).any(|name| looks_encoded(&name)) {
        let one = |mailbox: &Mailbox| match name(mailbox) {
            Some(name) => format!("{} <{}>", encoded(&name), mailbox.address),
            None => format!("<{}>", mailbox.address),
        };
        let all: Vec<String> = list.iter().map(one).collect();
        return write(out, field, &Raw::new(all.join(", ")));
    }
    let one = |mailbox| Address::new_address(name(mailbox), mailbox.address.to_string());
    write(out, field, &Address::new_list(list.iter().map(one).collect()));
}

/// mixed( alternative( text, related( html, what it shows ) ), files ), each level only where it has more than one part.
fn body(letter: &Letter) -> MimePart<'_> {
    let text = letter.text.as_deref().map(|text| MimePart::new("text/plain", lines(text)));
    let (shown, beside): (Vec<_>, Vec<_>) =
        letter.attachments.iter().partition(|file| file.inline && letter.html.is_some());
    let html = letter.html.as_deref().map(|html| {
        let html = MimePart::new("text/html", lines(html));
        several("multipart/related", std::iter::once(html).chain(shown.into_iter().map(file)).collect())
    });
    let texts = several("multipart/alternative", text.into_iter().chain(html).collect());
    several("multipart/mixed", std::iter::once(texts).chain(beside.into_iter().map(file)).collect())
}

fn several<'x>(kind: &'static str, mut parts: Vec<MimePart<'x>>) -> MimePart<'x> {
    match (parts.pop(), parts.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            parts.extend(last);
            MimePart::new(kind, parts)
        }
    }
}

/// Always base64: mail-builder would send text files as they are, bare CR and NUL included.
fn file(file: &Attachment) -> MimePart<'_> {
    let media = file.media.parameters.iter().fold(ContentType::new(&file.media.essence), |media, (name, value)| {
        media.attribute(name.as_str(), value.as_str())
    });
    let shown = if file.inline { "inline" } else { "attachment" };
    let part = MimePart::new(media, BodyPart::Binary(base64_lines(&file.content).into_bytes().into()))
        .header("Content-Disposition", ContentType::new(shown).attribute("filename", file.filename.as_str()))
        .transfer_encoding("base64");
    match &file.content_id {
        Some(id) => part.cid(id.as_str()),
        None => part,
    }
}

fn base64_lines(content: &[u8]) -> String {
    let mut out = String::with_capacity(content.len() / 3 * 4 + content.len() / BASE64_LINE * 2 + 8);
    for line in content.chunks(BASE64_LINE) {
        STANDARD.encode_string(line, &mut out);
        out.push_str("\r\n");
    }
    out
}

/// The text with every line end, however it was written, as CRLF, and one at its end.
fn lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16 + 2);
    let mut rest = text;
    while let Some(end) = rest.find(['\r', '\n']) {
        let (line, tail) = rest.split_at(end);
        out.push_str(line);
        out.push_str("\r\n");
        rest = tail.strip_prefix("\r\n").or_else(|| tail.get(1..)).unwrap_or_default();
    }
    out.push_str(rest);
    if !rest.is_empty() {
        out.push_str("\r\n");
    }
    out
}

#[cfg(test)]
mod tests;
