//! The header of one message: read strictly enough that everybody who reads it after us sees the same authors.

use std::borrow::Cow;
use std::fmt;

use super::facts::{Facts, MAX_AUTHORS};
use super::mailbox;
use crate::policy::refusal::Refusal;

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
}

/// One field as it stands, folds and final CRLF included.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    pub name: &'a str,
    pub whole: &'a [u8],
}

/// Why a header can't be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A line that is neither a field nor its continuation.
    Line,
    /// Octets above 127, which need SMTPUTF8.
    EightBit,
    /// Octets above 127 that are no UTF-8.
    NotUtf8,
    NoFrom,
    /// From has only groups without members.
    Nobody,
    Twice(&'static str),
    /// From or Sender can't be read in one way only.
    Author(&'static str),
    TooManyAuthors,
    /// It would have to be changed where it is signed.
    Signed(&'static str),
    TooLong,
    Loop,
}

impl Fault {
    pub const fn refusal(self) -> Refusal {
        match self {
            Self::Loop => Refusal::Loop,
            _ => Refusal::Header,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line => f.write_str("a line of the header is no field"),
            Self::NotUtf8 => f.write_str("the header has octets that are neither ASCII nor UTF-8"),
            Self::EightBit => f.write_str("the header has octets that are not ASCII"),
            Self::NoFrom => f.write_str("the header has no From"),
            Self::Nobody => f.write_str("From names nobody"),
            Self::Twice(name) => write!(f, "the header has more than one {name}"),
            Self::Author(name) => write!(f, "{name} can't be read in one way only"),
            Self::TooManyAuthors => f.write_str("the header has too many authors"),
            Self::Signed(name) => write!(f, "{name} would have to be changed and is signed"),
            Self::TooLong => f.write_str("the header is too long"),
            Self::Loop => f.write_str("the message goes in circles"),
        }
    }
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

    /// The body as one line. It is ASCII or UTF-8: `read` has seen to that.
    pub fn text(&self) -> Cow<'a, str> {
        match String::from_utf8_lossy(self.body()) {
            Cow::Borrowed(text) if !text.contains('\r') => Cow::Borrowed(text.trim()),
            text => Cow::Owned(text.replace("\r\n", "").trim().to_owned()),
        }
    }
}

/// Reads a header block: canonical lines, without the empty line that ends it. `own` is how our Received fields show
/// themselves; `utf8`, whether SMTPUTF8 was asked for (RFC 6532). H9: a line that is no field ends the header for one reader and not for another, so it ends the message.
pub fn read<'a>(block: &'a [u8], own: &str, utf8: bool) -> Result<Header<'a>, Fault> {
    match block.is_ascii() {
        true => (),
        false if !utf8 => return Err(Fault::EightBit),
        false => drop(std::str::from_utf8(block).map_err(|_| Fault::NotUtf8)?),
    }
    let fields = split(block)?;
    let mut facts = Facts { utf8: !block.is_ascii(), ..Facts::default() };
    for name in ONCE {
        if fields.iter().filter(|field| field.is(name)).count() > 1 {
            return Err(Fault::Twice(name));
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
        return Err(Fault::Loop);
    }
    for name in ["From", "Sender"] {
        if let Some(field) = fields.iter().find(|field| field.is(name)) {
            let authors = mailbox::read(field.body()).map_err(|_| Fault::Author(name))?;
            if name == "Sender" && authors.len() != 1 {
                return Err(Fault::Author(name));
            }
            // Else Sender alone would pass for the author, below a display name that is nobody's (P10).
            if authors.is_empty() {
                return Err(Fault::Nobody);
            }
            facts.authors.extend(authors.into_iter().map(|(author, _)| author));
        } else if name == "From" {
            return Err(Fault::NoFrom);
        }
    }
    if facts.authors.len() > MAX_AUTHORS {
        return Err(Fault::TooManyAuthors);
    }
    Ok(Header { facts, fields })
}

impl<'a> Header<'a> {
    pub fn fields(&self) -> impl Iterator<Item = &Field<'a>> {
        self.fields.iter()
    }

    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.is(name))
    }

    /// Whether its author signed the message (S/MIME, RFC 8551 section 3.5; PGP/MIME, RFC 3156 section 5): readers compare
    /// From with the signer.
    pub fn is_signed_by_its_author(&self) -> bool {
        self.fields.iter().filter(|field| field.is("Content-Type")).any(|field| {
            let text = field.text().to_ascii_lowercase();
            let essence = text.split(';').next().unwrap_or_default().trim();
            let opaque = matches!(essence, "application/pkcs7-mime" | "application/x-pkcs7-mime");
            essence == "multipart/signed" || opaque && !text.contains("enveloped-data")
        })
    }

    /// Whether a DKIM signature covers this field, or its absence (RFC 6376 section 3.5, `h=`).
    pub fn signs(&self, name: &str) -> bool {
        self.fields.iter().filter(|field| field.is("DKIM-Signature")).any(|field| {
            let text = field.text();
            let mut tags = text.split(';').filter_map(|tag| tag.split_once('='));
            tags.any(|(tag, names)| {
                tag.trim() == "h" && names.split(':').any(|signed| signed.trim().eq_ignore_ascii_case(name))
            })
        })
    }
}

fn message_id(text: &str) -> String {
    let text = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
    text.chars().filter(|octet| matches!(octet, ' '..='~')).take(MAX_MESSAGE_ID).collect()
}

/// Fields and where each begins and ends.
fn split(block: &[u8]) -> Result<Vec<Field<'_>>, Fault> {
    let mut fields: Vec<Field<'_>> = Vec::new();
    let mut rest = block;
    while !rest.is_empty() {
        let mut end = line(rest)?;
        let name = rest.get(..end).and_then(|first| first.split(|octet| *octet == b':').next()).unwrap_or_default();
        // `From : x` has a blank before its colon: obsolete, and read as From by some and as nothing by others.
        let named = !name.is_empty() && name.len() < end && name.iter().all(|octet| matches!(octet, b'!'..=b'~'));
        let name = std::str::from_utf8(name).ok().filter(|_| named).ok_or(Fault::Line)?;
        while let Some(next) = rest.get(end..).filter(|next| matches!(next.first(), Some(b' ' | b'\t'))) {
            let length = line(next)?;
            // A continuation of blanks alone looks like the end of the header to some.
            if next.get(..length).unwrap_or_default().trim_ascii().is_empty() {
                return Err(Fault::Line);
            }
            end += length;
        }
        let (whole, behind) = rest.split_at_checked(end).ok_or(Fault::Line)?;
        fields.push(Field { name, whole });
        rest = behind;
    }
    Ok(fields)
}

/// The length of the first line, with its CRLF.
fn line(bytes: &[u8]) -> Result<usize, Fault> {
    memchr::memchr(b'\n', bytes).map(|at| at + 1).ok_or(Fault::Line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "by gate.example.net (Gatepost submission)";

    fn fault(block: &str) -> Fault {
        read(block.as_bytes(), OWN, false).unwrap_err()
    }

    #[test]
    fn what_policy_needs_is_read() {
        let block = "Received: from a by b; now\r\nFROM: Ann <a@ok.net>\r\nsender: b@ok.net\r\n\
                     Message-Id:\r\n <1@ok.net>\r\nSubject: a\r\n b\r\nTo: x@y.net\r\n";
        let header = read(block.as_bytes(), OWN, false).unwrap();
        let authors: Vec<_> = header.facts.authors.iter().map(ToString::to_string).collect();
        assert_eq!(authors, ["a@ok.net", "b@ok.net"]);
        assert_eq!((header.facts.message_id.as_str(), header.facts.subject_octets), ("1@ok.net", 3));
        assert_eq!((header.facts.received, header.has("Date"), header.has("to")), (1, false, true));
    }

    #[test]
    fn rule_p11_one_of_each_and_a_from() {
        assert_eq!(fault("From: a@ok.net\r\nFrom: b@evil.net\r\n"), Fault::Twice("From"));
        for name in ONCE {
            let block = format!("{name}: a@ok.net\r\nX: y\r\n{}: a@ok.net\r\n", name.to_uppercase());
            assert_eq!(fault(&block), Fault::Twice(name));
        }
        assert_eq!(fault("To: a@ok.net\r\n"), Fault::NoFrom);
        assert_eq!(fault(""), Fault::NoFrom);
    }

    #[test]
    fn rule_h9_a_line_that_is_no_field_is_refused() {
        for block in [
            " From: b@evil.net\r\nFrom: a@ok.net\r\n",
            "From: a@ok.net\r\nno colon\r\n",
            "From: a@ok.net\r\nFrom : b@evil.net\r\n",
            "From: a@ok.net\r\nFr\tom: b@evil.net\r\n",
            "From: a@ok.net\r\n: nothing\r\n",
            "From: a@ok.net\r\n \r\n b\r\n",
            "From: a@ok.net\r\n\rFrom: b@evil.net\r\n",
        ] {
            assert_eq!(fault(block), Fault::Line, "{block:?}");
        }
    }

    #[test]
    fn rule_h10_eight_bit_octets_are_refused() {
        assert_eq!(fault("From: a@ok.net\r\nSubject: gr\u{fc}n\r\n"), Fault::EightBit);
    }

    #[test]
    fn rule_h10_with_smtputf8_a_header_is_utf8_and_its_authors_are_who_they_are() {
        let block = "From: J\u{f6}rg \"\u{dc}\" (\u{fc}) <j\u{f6}rg@b\u{fc}cher.example>\r\nSubject: gr\u{fc}n\r\n";
        let facts = read(block.as_bytes(), OWN, true).unwrap().facts;
        assert_eq!(
            facts.authors.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["j\u{f6}rg@xn--bcher-kva.example"]
        );
        assert!(facts.utf8 && !read(b"From: a@ok.net\r\n", OWN, true).unwrap().facts.utf8);
        let reads = |block: &[u8]| read(block, OWN, true).map(|_| ());
        assert_eq!(reads(b"From: a@ok.net\r\nSubject: gr\xfcn\r\n"), Err(Fault::NotUtf8));
        assert_eq!(reads("From: a@ok.net\r\nBetr\u{e4}ff: x\r\n".as_bytes()), Err(Fault::Line));
        // What one reader skips as blank or unseen, and another takes for a part of the address.
        for odd in
            ["a\u{200b}@ok.net", "a@ok.net\u{a0}", "\u{a0}a@ok.net", "a@ok.net\u{3000}<b@evil.net>", "a\u{ff20}ok.net"]
        {
            assert_eq!(reads(format!("From: {odd}\r\n").as_bytes()), Err(Fault::Author("From")), "{odd:?}");
        }
    }

    #[test]
    fn rule_h3_circles_are_seen() {
        let from = "From: a@ok.net\r\n".to_owned();
        assert!(read((from.clone() + &"Received: x\r\n".repeat(99)).as_bytes(), OWN, false).is_ok());
        assert_eq!(fault(&(from.clone() + &"Received: x\r\n".repeat(100))), Fault::Loop);
        let own = format!("Received: from x\r\n\t{OWN};\r\n\tnow\r\n");
        assert!(read((from.clone() + &own).as_bytes(), OWN, false).is_ok());
        assert_eq!(fault(&(from + &own.repeat(2))), Fault::Loop);
    }

    #[test]
    fn rule_p10_vector_v26_a_from_without_a_mailbox_is_no_author_whatever_sender_says() {
        for from in ["\"CEO <ceo@bank.test>\":;", "nobody:;", "a:;, b:;", "\r\n team:\r\n ;"] {
            assert_eq!(fault(&format!("From: {from}\r\n")), Fault::Nobody);
            assert_eq!(fault(&format!("From: {from}\r\nSender: a@ok.net\r\n")), Fault::Nobody);
            assert_eq!(fault(&format!("Sender: a@ok.net\r\nFrom: {from}\r\n")), Fault::Nobody);
        }
        assert!(read(b"From: nobody:;, a@ok.net\r\n", OWN, false).is_ok());
        assert_eq!(Fault::Nobody.refusal(), Refusal::Header);
    }

    #[test]
    fn a_sender_is_one_mailbox_and_authors_are_few() {
        assert_eq!(fault("From: a@ok.net\r\nSender: a@ok.net, b@ok.net\r\n"), Fault::Author("Sender"));
        assert_eq!(fault("From: a@ok.net <b@evil.net>\r\n"), Fault::Author("From"));
        let many = vec!["a@ok.net"; MAX_AUTHORS + 1].join(", ");
        assert_eq!(fault(&format!("From: {many}\r\n")), Fault::TooManyAuthors);
    }

    #[test]
    fn what_a_signature_covers_is_known() {
        let block = "From: a@ok.net\r\nDKIM-Signature: v=1; bh=date;\r\n h=From:To:\r\n Message-ID; b=x\r\n";
        let header = read(block.as_bytes(), OWN, false).unwrap();
        assert!(header.signs("message-id") && header.signs("from"));
        assert!(!header.signs("Date") && !header.signs("Bcc"));
    }

    proptest::proptest! {
        #[test]
        fn no_header_is_too_strange_to_be_judged(
            parts in proptest::collection::vec(
                proptest::sample::select(vec![
                    "From:", "Sender:", "\r\n", " ", "a@ok.net", "<", ">", ",", ";", ":", "\"", "(", ")", "\\", "@", "\r", "\n", "x",
                ]),
                0..30,
            ),
        ) {
            let block = format!("From: {}\r\n", parts.concat());
            if let Ok(header) = read(block.as_bytes(), OWN, false) {
                // Whatever passes is read alike once more, when it is unfolded.
                let unfolded = block.replace("\r\n ", " ");
                let again = read(unfolded.as_bytes(), OWN, false);
                proptest::prop_assert_eq!(again.map(|again| again.facts.authors), Ok(header.facts.authors));
            }
        }
    }
}
