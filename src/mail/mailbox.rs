//! The mailboxes in a From or Sender field: every one of them, or a refusal.
//!
//! Parsers disagree about what a sloppy From says, and a reader downstream may see another author than we did. So this is
//! RFC 5322 section 3.4, with UTF-8 where RFC 6532 section 3.2 has it, without its obsolete forms, save a dot in a display name, which everybody writes.

use std::ops::Range;

use super::address::{Address, is_atext};

/// Comments in comments: nobody needs more, and each costs a turn.
const MAX_DEPTH: usize = 8;

/// The field can't be read in one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotMailboxes;

/// A mailbox's address, and where it stands in the body: without its display name and its angle brackets.
pub type Placed = (Address, Range<usize>);

/// Reads a field body: mailboxes and groups of them, separated by commas. Groups may be empty; the list may not. Where there
/// are more than `most` mailboxes it gives some, more than `most`, and reads no further.
pub fn read(body: &[u8], most: usize) -> Result<Vec<Placed>, NotMailboxes> {
    let mut reader = Reader { most, ..Reader::new(body) };
    let mut found = Vec::new();
    loop {
        reader.item(&mut found, true)?;
        if found.len() > most {
            return Ok(found);
        }
        reader.blank()?;
        match reader.take() {
            Some(b',') => (),
            None => return Ok(found),
            Some(_) => return Err(NotMailboxes),
        }
    }
}

/// Reads the body of a structured field, token by token.
pub(super) struct Reader<'a> {
    /// Octets of the body.
    whole: usize,
    rest: &'a [u8],
    /// Mailboxes, after which it stops.
    most: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { whole: body.len(), rest: body, most: usize::MAX }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn take(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// What was passed by reading it.
    pub(super) fn taken<E>(&mut self, read: impl FnOnce(&mut Self) -> Result<(), E>) -> Result<&'a [u8], E> {
        let from = self.rest;
        read(self)?;
        Ok(from.get(..from.len() - self.rest.len()).unwrap_or_default())
    }

    /// The octets from here on that are of this kind.
    pub(super) fn run(&mut self, is_one: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|octet| !is_one(*octet)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        run
    }

    /// One mailbox, or one group where groups may be.
    fn item(&mut self, found: &mut Vec<Placed>, groups: bool) -> Result<(), NotMailboxes> {
        self.blank()?;
        let from = self.rest;
        let mut words = 0;
        loop {
            match self.peek() {
                Some(b'"') => self.quoted()?,
                Some(octet) if is_atext(octet) || octet == b'.' => self.atom(),
                Some(b'@') if words == 1 => {
                    self.rest = from;
                    return self.address(found);
                }
                Some(b'<') => {
                    self.take();
                    self.blank()?;
                    self.address(found)?;
                    self.blank()?;
                    return if self.take() == Some(b'>') { Ok(()) } else { Err(NotMailboxes) };
                }
                Some(b':') if groups && words > 0 => {
                    self.take();
                    return self.group(found);
                }
                _ => return Err(NotMailboxes),
            }
            words += 1;
            // An addr-spec has no blanks in it: `a @b` and `a(c)@b` are obsolete.
            if self.peek() != Some(b'@') {
                self.blank()?;
                if self.peek() == Some(b'@') {
                    return Err(NotMailboxes);
                }
            }
        }
    }

    fn group(&mut self, found: &mut Vec<Placed>) -> Result<(), NotMailboxes> {
        self.blank()?;
        if self.peek() == Some(b';') {
            self.take();
            return Ok(());
        }
        loop {
            self.item(found, false)?;
            if found.len() > self.most {
                return Ok(());
            }
            self.blank()?;
            match self.take() {
                Some(b',') => (),
                Some(b';') => return Ok(()),
                _ => return Err(NotMailboxes),
            }
        }
    }

    /// local-part@domain, as long as it goes.
    fn address(&mut self, found: &mut Vec<Placed>) -> Result<(), NotMailboxes> {
        let from = self.rest;
        match self.peek() {
            Some(b'"') => self.quoted()?,
            _ => self.atom(),
        }
        if self.take() != Some(b'@') {
            return Err(NotMailboxes);
        }
        self.atom();
        let text = from.get(..from.len() - self.rest.len()).and_then(|text| std::str::from_utf8(text).ok());
        let address = text.and_then(|text| Address::parse_international(text).ok()).ok_or(NotMailboxes)?;
        if address.is_encoded() {
            return Err(NotMailboxes);
        }
        found.push((address, self.whole - from.len()..self.whole - self.rest.len()));
        Ok(())
    }

    fn atom(&mut self) {
        self.run(|octet| is_atext(octet) || octet == b'.');
    }

    pub(super) fn quoted(&mut self) -> Result<(), NotMailboxes> {
        self.take();
        loop {
            match self.take() {
                Some(b'"') => return Ok(()),
                Some(b'\\') => match self.take() {
                    Some(b' '..=b'~' | 0x80..) => (),
                    _ => return Err(NotMailboxes),
                },
                Some(b' '..=b'~' | b'\t' | b'\r' | b'\n' | 0x80..) => (),
                _ => return Err(NotMailboxes),
            }
        }
    }

    /// White space, folds and comments. Folds are sound: the header reader has seen to that.
    pub(super) fn blank(&mut self) -> Result<(), NotMailboxes> {
        let mut depth = 0usize;
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r' | b'\n') => (),
                Some(b'(') if depth < MAX_DEPTH => depth += 1,
                Some(b')') if depth > 0 => depth -= 1,
                Some(b'\\') if depth > 0 => {
                    self.take();
                    if !matches!(self.peek(), Some(b' '..=b'~' | 0x80..)) {
                        return Err(NotMailboxes);
                    }
                }
                Some(b'!'..=b'\'' | b'*'..=b'~' | 0x80..) if depth > 0 => (),
                _ if depth == 0 => return Ok(()),
                _ => return Err(NotMailboxes),
            }
            self.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(body: &str) -> Result<Vec<String>, NotMailboxes> {
        read(body.as_bytes(), 9).map(|all| all.iter().map(|(address, _)| address.to_string()).collect())
    }

    #[test]
    fn vector_v26_every_mailbox_is_seen() {
        let cases: [(&str, &[&str]); 15] = [
            ("a@ok.net", &["a@ok.net"]),
            (" Ann <a@ok.net>", &["a@ok.net"]),
            ("\r\n b@evil.net", &["b@evil.net"]),
            ("a@ok.net, b@evil.net", &["a@ok.net", "b@evil.net"]),
            ("Ann <a@ok.net>,\r\n\tBob <b@evil.net>", &["a@ok.net", "b@evil.net"]),
            ("Team: a@ok.net, Bob <b@evil.net>;", &["a@ok.net", "b@evil.net"]),
            ("nobody:;", &[]),
            ("nobody:;, b@evil.net", &["b@evil.net"]),
            ("\"Ann <x@y.net>\" <a@ok.net>", &["a@ok.net"]),
            ("\"x@y.net, \\\" \" <a@ok.net>", &["a@ok.net"]),
            ("a@ok.net (Ann, (really) <x@y.net>)", &["a@ok.net"]),
            ("(x@y.net) John Q. Public <a@ok.net> (b)", &["a@ok.net"]),
            ("=?utf-8?q?b=40evil=2Enet?= <a@ok.net>", &["a@ok.net"]),
            ("\"a b\"@ok.net", &["\"a b\"@ok.net"]),
            ("a=?b@ok.net", &["a=?b@ok.net"]),
        ];
        for (body, expected) in cases {
            assert_eq!(
                texts(body).as_deref(),
                Ok(expected.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>().as_slice()),
                "{body}"
            );
        }
    }

    #[test]
    fn rule_p10_a_list_that_is_too_long_is_read_no_further() {
        for list in ["a@b.c, ".repeat(20_000), format!("g: {}", "a@b.c, ".repeat(20_000))] {
            assert_eq!(read(list.as_bytes(), 9).map(|found| found.len()), Ok(10));
        }
    }

    #[test]
    fn vector_v26_what_readers_disagree_about_is_refused() {
        let bodies = [
            "",
            " ",
            "a@ok.net,",
            ",a@ok.net",
            "a@ok.net,,b@ok.net",
            "a@ok.net b@evil.net",
            "a@ok.net <b@evil.net>",
            "<a@ok.net> <b@evil.net>",
            "<a@ok.net>b@evil.net",
            "Ann <@x.net:a@ok.net>",
            "Ann <a@ok.net",
            "Ann a@ok.net>",
            "a @ok.net",
            "a@ ok.net",
            "a(c)@ok.net",
            "a@ok.net(c",
            "a@[192.0.2.1]",
            "a: b: c@ok.net;;",
            "Team: a@ok.net",
            "<>",
            "Ann",
            "a@ok.net; b@evil.net",
            "a@ok.net\0",
            "\"Ann <a@ok.net>",
            "Ann\\ <a@ok.net>",
            "((((((((((a)))))))))) a@ok.net",
            "=?utf-8?q?ceo=40bank=2Etest=2C?=@ok.net",
            "Ann <x=?utf-8?q?ceo=40bank=2Etest?=@ok.net>",
            "\"=?utf-8?b?Y2VvQGJhbmsudGVzdCw=?=\"@ok.net",
        ];
        for body in bodies {
            assert_eq!(texts(body), Err(NotMailboxes), "{body}");
        }
    }
}
