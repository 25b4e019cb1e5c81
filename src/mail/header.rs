//! The header of one message: read strictly enough that everybody who reads it after us sees the same authors.

use std::borrow::Cow;

use super::facts::{Facts, MAX_AUTHORS};
use super::flaw::{Flaw, Named};
use super::mailbox;
use super::signed::Signed;

/// Fields of one header. A message that came by many lists and gates has two hundred; each costs several looks at it.
pub const MAX_FIELDS: usize = 1000;

/// Received fields beyond which a message goes in circles (RFC 5321 section 6.3 asks for at least 100).
const MAX_RECEIVED: u32 = 100;
/// Of our own: a message may come by twice, by way of a list; not three times.
const MAX_OWN: u32 = 2;
/// Octets of a Message-ID that are noted; a line has 998 at most.
const MAX_MESSAGE_ID: usize = 512;

/// Fields of which RFC 5322 section 3.6 allows one: two are shown differently by different readers.
const ONCE: [&str; 8] = ["From", "Sender", "Reply-To", "To", "Cc", "Subject", "Date", "Message-ID"];

/// A header block, read.
#[derive(Debug)]
pub struct Header<'a> {
    pub facts: Facts,
    fields: Vec<Field<'a>>,
    signed: Signed,
    signed_by_its_author: bool,
}

/// One field as it stands, folds and final CRLF included.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    pub name: &'a str,
    pub whole: &'a [u8],
}

impl<'a> Field<'a> {
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// What stands behind the colon, folds included, without the final CRLF.
    pub fn body(&self) -> &'a [u8] {
        let body = self.whole.get(self.name.len() + 1..).unwrap_or_default();
        body.strip_suffix(b"\r\n").unwrap_or(body)
    }

    pub fn is_empty(&self) -> bool {
        self.body().trim_ascii().is_empty()
    }

    /// The body as one line. It is ASCII or UTF-8: `read` has seen to that.
    pub fn text(&self) -> Cow<'a, str> {
        #[cfg(test)]
        tests::look(self.body());
        match String::from_utf8_lossy(self.body()) {
            Cow::Borrowed(text) if !text.contains('\r') => Cow::Borrowed(text.trim()),
            text => Cow::Owned(text.replace("\r\n", "").trim().to_owned()),
        }
    }
}

/// Reads a header block: canonical lines, without the empty line that ends it. `own` is how our Received fields show
/// themselves; `utf8`, whether SMTPUTF8 was asked for (RFC 6532). H9: a line that is no field ends the header for one reader and not for another, so it ends the message.
pub fn read<'a>(block: &'a [u8], own: &str, utf8: bool) -> Result<Header<'a>, Flaw> {
    match block.is_ascii() {
        true => (),
        false if !utf8 => return Err(Flaw::EightBit),
        false => drop(std::str::from_utf8(block).map_err(|_| Flaw::NotUtf8)?),
    }
    let fields = split(block)?;
    let mut facts = Facts { utf8: !block.is_ascii(), ..Facts::default() };
    for name in ONCE {
        if fields.iter().filter(|field| field.is(name)).count() > 1 {
            return Err(Flaw::Twice(Named::of(name)));
        }
    }
    let mut ours = 0;
    for field in &fields {
        match field.name {
            name if name.eq_ignore_ascii_case("Received") => {
                facts.received = facts.received.saturating_add(1);
                ours += u32::from(field.text().contains(own));
            }
            name if name.eq_ignore_ascii_case("Message-ID") => facts.message_id = message_id(&field.text()),
            name if name.eq_ignore_ascii_case("Subject") => {
                facts.subject_octets = u32::try_from(field.text().len()).unwrap_or(u32::MAX);
            }
            _ => (),
        }
    }
    if facts.received >= MAX_RECEIVED || ours >= MAX_OWN {
        return Err(Flaw::Loop);
    }
    for name in ["From", "Sender"] {
        if let Some(field) = fields.iter().find(|field| field.is(name)) {
            let authors = mailbox::read(field.body(), MAX_AUTHORS).map_err(|_| Flaw::Author(Named::of(name)))?;
            if name == "Sender" && authors.len() != 1 {
                return Err(Flaw::Author(Named::of(name)));
            }
            // Else Sender alone would pass for the author, below a display name that is nobody's (P10).
            if authors.is_empty() {
                return Err(Flaw::Nobody);
            }
            facts.authors.extend(authors.into_iter().map(|(author, _)| author));
        } else if name == "From" {
            return Err(Flaw::NoFrom);
        }
    }
    if facts.authors.len() > MAX_AUTHORS {
        return Err(Flaw::TooManyAuthors);
    }
    facts.is_report = is_report(&fields);
    let (signed, signed_by_its_author) = (Signed::of(&fields), is_signed_by_its_author(&fields));
    Ok(Header { facts, fields, signed, signed_by_its_author })
}

impl<'a> Header<'a> {
    pub fn fields(&self) -> impl Iterator<Item = &Field<'a>> {
        self.fields.iter()
    }

    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.is(name))
    }

    /// Whether its author signed the message.
    pub fn is_signed_by_its_author(&self) -> bool {
        self.signed_by_its_author
    }

    /// Whether a signature covers this field, or its absence.
    pub fn signs(&self, name: &str) -> bool {
        self.signed.has(name)
    }
}

/// S/MIME (RFC 8551 section 3.5) and PGP/MIME (RFC 3156 section 5), whose readers compare From with the signer.
fn is_signed_by_its_author(fields: &[Field<'_>]) -> bool {
    fields.iter().filter(|field| field.is("Content-Type")).any(|field| {
        let text = field.text().to_ascii_lowercase();
        let essence = text.split(';').next().unwrap_or_default().trim();
        let opaque = matches!(essence, "application/pkcs7-mime" | "application/x-pkcs7-mime");
        essence == "multipart/signed" || opaque && !text.contains("enveloped-data")
    })
}

/// A report of deliveries (RFC 3464 section 2), as its type says.
fn is_report(fields: &[Field<'_>]) -> bool {
    fields.iter().filter(|field| field.is("Content-Type")).any(|field| {
        let text = field.text().to_ascii_lowercase();
        let essence = text.split(';').next().unwrap_or_default().trim();
        // RFC 6533 has a type of its own for addresses beyond ASCII.
        essence == "multipart/report" && text.contains("delivery-status")
    })
}

fn message_id(text: &str) -> String {
    let text = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
    text.chars().filter(|octet| matches!(octet, ' '..='~')).take(MAX_MESSAGE_ID).collect()
}

/// Fields and where each begins and ends.
fn split(block: &[u8]) -> Result<Vec<Field<'_>>, Flaw> {
    let mut fields: Vec<Field<'_>> = Vec::new();
    let mut rest = block;
    while !rest.is_empty() {
        let mut end = line(rest)?;
        let name = rest.get(..end).and_then(|first| first.split(|octet| *octet == b':').next()).unwrap_or_default();
        // `From : x` has a blank before its colon: obsolete, and read as From by some and as nothing by others.
        let named = !name.is_empty() && name.len() < end && name.iter().all(|octet| matches!(octet, b'!'..=b'~'));
        let name = std::str::from_utf8(name).ok().filter(|_| named).ok_or(Flaw::Line)?;
        while let Some(next) = rest.get(end..).filter(|next| matches!(next.first(), Some(b' ' | b'\t'))) {
            let length = line(next)?;
            // A continuation of blanks alone looks like the end of the header to some.
            if next.get(..length).unwrap_or_default().trim_ascii().is_empty() {
                return Err(Flaw::Line);
            }
            end += length;
        }
        if fields.len() == MAX_FIELDS {
            return Err(Flaw::TooManyFields);
        }
        let (whole, behind) = rest.split_at_checked(end).ok_or(Flaw::Line)?;
        fields.push(Field { name, whole });
        rest = behind;
    }
    Ok(fields)
}

/// The length of the first line, with its CRLF.
fn line(bytes: &[u8]) -> Result<usize, Flaw> {
    memchr::memchr(b'\n', bytes).map(|at| at + 1).ok_or(Flaw::Line)
}

#[cfg(test)]
pub mod tests;
