//! The message from standard input as it goes to the gate: lines that end in CR LF, a header whose addresses have domains, and no Bcc
//! where the recipients were read from it. Date and Message-ID are the gate's to add, and so is every judgement.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::addresses;
use super::exit::{self, Failure};
use crate::config::sendmail::Settings;
use crate::mail::address::Address;

/// Octets of a line without its end (RFC 5322 section 2.1.1): a longer one of the body is broken, as jobs print lines of any length.
const MAX_LINE: usize = 998;
/// Fields whose names get their domain.
const ADDRESSED: [&str; 5] = ["From", "Sender", "Reply-To", "To", "Cc"];
const RECIPIENTS: [&str; 3] = ["To", "Cc", "Bcc"];
/// Of a message that is sent on, these say to whom, and the others to whom it went before (RFC 5322 section 3.6.6).
const RESENT: [&str; 3] = ["Resent-To", "Resent-Cc", "Resent-Bcc"];
const HIDDEN: [&str; 2] = ["Bcc", "Resent-Bcc"];
/// Octets of a header, more than any program writes: each of its names costs many times that.
const MAX_HEADER: usize = 1 << 20;
/// Characters in one encoded-word, which may have 75 octets (RFC 2047 section 2): of four octets each at most.
const ENCODED: usize = 10;

#[derive(Debug)]
pub struct Letter {
    fields: Vec<Field>,
    body: Vec<u8>,
    /// The number of the line that is no field and ended the header in the place of an empty one.
    broken_at: Option<usize>,
}

#[derive(Debug)]
struct Field {
    name: String,
    /// Name, colon, value and folds, without the last line's end.
    whole: Vec<u8>,
}

impl Field {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Where its value begins.
    fn value(&self) -> usize {
        self.whole.iter().position(|octet| *octet == b':').map_or(0, |at| at + 1)
    }
}

impl Letter {
    /// Errors: a line that no server takes, which is named.
    pub fn read(input: &[u8]) -> Result<Self, Failure> {
        let mut letter = Self { fields: Vec::new(), body: Vec::with_capacity(input.len()), broken_at: None };
        let mut in_header = true;
        let mut header = 0;
        let mut lines = input.split(|octet| *octet == b'\n').enumerate().peekable();
        while let Some((number, line)) = lines.next() {
            if line.is_empty() && lines.peek().is_none() {
                // Behind the end of the last line.
                break;
            }
            let line = without_end(line);
            if in_header {
                if line.iter().any(|octet| matches!(octet, b'\r' | b'\0')) {
                    let why =
                        format!("line {} of the header has a CR or a NUL in it, which no server takes", number + 1);
                    return Err(Failure::new(exit::DATAERR, why));
                }
                if number == 0 && line.starts_with(b"From ") {
                    // Of a mailbox file.
                    continue;
                }
                header += line.len() + 2;
                if header > MAX_HEADER {
                    let why =
                        format!("the header has more than {MAX_HEADER} octets: is there an empty line behind it?");
                    return Err(Failure::new(exit::DATAERR, why));
                }
                in_header = letter.header_line(line);
                // The empty line between the two is a line of neither, and any other is the first of the body.
                if in_header || line.is_empty() {
                    continue;
                }
                letter.broken_at = Some(number + 1);
            }
            // What jobs print: a progress bar goes back to the start of its line, and a NUL is nothing that is seen. Neither may be
            // in mail, and a job's report must not be lost by them.
            for line in line.split(|octet| *octet == b'\r') {
                match line.contains(&b'\0') {
                    true => {
                        letter.body_line(&line.iter().copied().filter(|octet| *octet != b'\0').collect::<Vec<u8>>())
                    }
                    false => letter.body_line(line),
                }
            }
        }
        Ok(letter)
    }

    /// Whether it is one.
    fn header_line(&mut self, line: &[u8]) -> bool {
        if let (Some(b' ' | b'\t'), Some(field)) = (line.first(), self.fields.last_mut()) {
            field.whole.extend_from_slice(b"\r\n");
            field.whole.extend_from_slice(line);
            return true;
        }
        let Some(colon) = line.iter().position(|octet| *octet == b':') else { return false };
        let name = line.get(..colon).unwrap_or_default().trim_ascii_end();
        if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
            return false;
        }
        self.fields.push(Field { name: String::from_utf8_lossy(name).into_owned(), whole: line.to_vec() });
        true
    }

    fn body_line(&mut self, mut line: &[u8]) {
        while line.len() > MAX_LINE {
            let mut at = MAX_LINE;
            // Not within a character of UTF-8, which has four octets at most.
            while at > MAX_LINE - 4 && line.get(at).is_some_and(|octet| octet & 0xc0 == 0x80) {
                at -= 1;
            }
            let (piece, rest) = line.split_at(at);
            self.body.extend_from_slice(piece);
            self.body.extend_from_slice(b"\r\n");
            line = rest;
        }
        self.body.extend_from_slice(line);
        self.body.extend_from_slice(b"\r\n");
    }

    /// Whom the header names, as it is written there, and takes out who is not to be seen.
    ///
    /// Errors: the field that can't be read, or the line that can't be of the header: a Bcc behind it would be text that all see.
    pub fn take_recipients(&mut self) -> Result<Vec<String>, Failure> {
        if let Some(line) = self.broken_at {
            let why = format!(
                "line {line} is no field of the header, which ends with an empty line: fields behind it, such as Bcc, would be text"
            );
            return Err(Failure::new(exit::DATAERR, why));
        }
        let is_resent = self.fields.iter().any(|field| RESENT.iter().any(|name| field.is(name)));
        let names = if is_resent { RESENT } else { RECIPIENTS };
        let mut found = Vec::new();
        for field in self.fields.iter().filter(|field| names.iter().any(|name| field.is(name))) {
            found.append(&mut of_list(&field.name, field.whole.get(field.value()..).unwrap_or_default())?);
        }
        self.fields.retain(|field| !HIDDEN.iter().any(|name| field.is(name)));
        Ok(found)
    }

    /// Gives names without a domain theirs, and the letter an author.
    pub fn complete(
        &mut self,
        settings: &Settings,
        sender: Option<&Address>,
        name: Option<&str>,
    ) -> Result<(), Failure> {
        for field in self.fields.iter_mut().filter(|field| ADDRESSED.iter().any(|name| field.is(name))) {
            let start = field.value();
            // What can't be read is left to the gate, which says what is wrong with it.
            let places = addresses::places(field.whole.get(start..).unwrap_or_default()).unwrap_or_default();
            let Some(domain) = &settings.domain else { continue };
            let mut whole = Vec::with_capacity(field.whole.len());
            let mut done = 0;
            for place in places {
                let (from, end) = (start + place.start, start + place.end);
                let text = String::from_utf8_lossy(field.whole.get(from..end).unwrap_or_default());
                if !addresses::is_qualified(&text) {
                    whole.extend_from_slice(field.whole.get(done..end).unwrap_or_default());
                    whole.extend_from_slice(format!("@{domain}").as_bytes());
                    done = end;
                }
            }
            whole.extend_from_slice(field.whole.get(done..).unwrap_or_default());
            field.whole = whole;
        }
        if name.is_some_and(|name| name.contains(char::is_control)) {
            // It is often a web form's: within an encoded-word it would be seen by whoever reads From, and by no filter before.
            return Err(Failure::new(
                exit::DATAERR,
                "the name (-F) has a control character, such as the end of a line",
            ));
        }
        if !self.fields.iter().any(|field| field.is("From")) {
            let author = sender.or(settings.from.as_ref()).ok_or_else(|| {
                let why = "the message has no From, and no sender is named: give -f, or set from in the settings";
                Failure::new(exit::DATAERR, why)
            })?;
            let whole = match name.filter(|name| !name.is_empty()) {
                Some(name) => format!("From: {} <{author}>", phrase(name)),
                None => format!("From: {author}"),
            };
            self.fields.push(Field { name: "From".to_owned(), whole: whole.into_bytes() });
        }
        Ok(())
    }

    /// Whether the header needs a server that takes UTF-8 in it.
    pub fn is_international(&self) -> bool {
        self.fields.iter().any(|field| !field.whole.is_ascii())
    }

    pub fn has_eight_bits(&self) -> bool {
        self.is_international() || !self.body.is_ascii()
    }

    /// All of it, as it stands before dots are doubled.
    pub fn into_octets(self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(
            self.body.len() + self.fields.iter().map(|field| field.whole.len() + 2).sum::<usize>() + 2,
        );
        for field in &self.fields {
            octets.extend_from_slice(&field.whole);
            octets.extend_from_slice(b"\r\n");
        }
        octets.extend_from_slice(b"\r\n");
        octets.extend_from_slice(&self.body);
        octets
    }
}

/// The addresses of a list, as they are written there.
///
/// Errors: it can't be read, with what it is.
pub fn of_list(what: &str, list: &[u8]) -> Result<Vec<String>, Failure> {
    let places = addresses::places(list).map_err(|_| {
        Failure::new(
            exit::DATAERR,
            format!("{what} can't be read as a list of addresses: write user@domain, with commas between"),
        )
    })?;
    let text = |place: std::ops::Range<usize>| String::from_utf8(list.get(place).unwrap_or_default().to_vec());
    let texts: Result<Vec<String>, _> = places.into_iter().map(text).collect();
    texts.map_err(|_| Failure::new(exit::DATAERR, format!("{what} has octets that are not UTF-8")))
}

/// Without the CR before a line feed, or the CRs: some programs write a CR LF through something that makes LF to CR LF.
fn without_end(mut line: &[u8]) -> &[u8] {
    while let Some(shorter) = line.strip_suffix(b"\r") {
        line = shorter;
    }
    line
}

/// A display name, whatever is in it.
fn phrase(name: &str) -> String {
    if name.bytes().all(|octet| matches!(octet, b' '..=b'~')) {
        return format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
    }
    let characters: Vec<char> = name.chars().collect();
    let words = characters
        .chunks(ENCODED)
        .map(|part| format!("=?utf-8?B?{}?=", STANDARD.encode(part.iter().collect::<String>())));
    words.collect::<Vec<_>>().join("\r\n ")
}

#[cfg(test)]
mod tests;
