//! Where addresses stand in a list as people and programs write it: `root (Cron Daemon)`, `Ann <a@b.c>, d`. More is understood than
//! the gate takes, and nothing is guessed.

use std::ops::Range;

/// Comments in comments.
const MAX_DEPTH: usize = 8;

/// The list can't be read in one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// The places of the addresses in it, without names, comments and angle brackets. Empty places between commas are none.
pub fn places(list: &[u8]) -> Result<Vec<Range<usize>>, Unreadable> {
    let mut reader = Reader { list, at: 0, found: Vec::new(), words: Vec::new(), angled: false, in_group: false };
    reader.read()?;
    Ok(reader.found)
}

struct Reader<'a> {
    list: &'a [u8],
    at: usize,
    found: Vec<Range<usize>>,
    /// What stands before the next comma, without blanks and comments.
    words: Vec<Range<usize>>,
    /// It had its angle brackets, so the words were a name.
    angled: bool,
    in_group: bool,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<(), Unreadable> {
        while let Some(octet) = self.peek() {
            match octet {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                b'(' => self.comment()?,
                b'<' => self.angle()?,
                b',' => {
                    self.at += 1;
                    self.end()?;
                }
                b':' if !self.in_group && !self.angled && !self.words.is_empty() => {
                    self.at += 1;
                    self.words.clear();
                    self.in_group = true;
                }
                b';' if self.in_group => {
                    self.at += 1;
                    self.end()?;
                    self.in_group = false;
                }
                b'>' | b')' | b':' | b';' | b'\0' => return Err(Unreadable),
                _ => {
                    let word = self.word()?;
                    self.words.push(word);
                }
            }
        }
        if self.in_group {
            return Err(Unreadable);
        }
        self.end()
    }

    fn peek(&self) -> Option<u8> {
        self.list.get(self.at).copied()
    }

    /// What stood before a comma or the end.
    fn end(&mut self) -> Result<(), Unreadable> {
        match (std::mem::take(&mut self.angled), self.words.len()) {
            (true, _) | (false, 0) => {}
            (false, 1) => self.found.append(&mut self.words),
            // Two names without a comma between them: one of them would get no mail.
            (false, _) => return Err(Unreadable),
        }
        self.words.clear();
        Ok(())
    }

    fn angle(&mut self) -> Result<(), Unreadable> {
        self.at += 1;
        if self.angled {
            return Err(Unreadable);
        }
        self.blanks();
        let word = self.word()?;
        self.blanks();
        // A route, `<@a.example:b@c.example>`, is nobody's any more.
        if self.peek() != Some(b'>') || word.is_empty() {
            return Err(Unreadable);
        }
        self.at += 1;
        self.found.push(word);
        self.angled = true;
        self.words.clear();
        Ok(())
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|octet| octet.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// As much as hangs together: atoms, dots, the at sign, quoted strings.
    fn word(&mut self) -> Result<Range<usize>, Unreadable> {
        let from = self.at;
        if self.angled {
            return Err(Unreadable);
        }
        while let Some(octet) = self.peek() {
            match octet {
                b'"' => self.quoted()?,
                b'(' | b')' | b'<' | b'>' | b',' | b':' | b';' | b'\0'..=b' ' => break,
                _ => self.at += 1,
            }
        }
        Ok(from..self.at)
    }

    fn quoted(&mut self) -> Result<(), Unreadable> {
        self.at += 1;
        loop {
            match self.peek().ok_or(Unreadable)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Ok(())
    }

    fn comment(&mut self) -> Result<(), Unreadable> {
        let mut depth = 0;
        loop {
            match self.peek().ok_or(Unreadable)? {
                b'(' if depth == MAX_DEPTH => return Err(Unreadable),
                b'(' => depth += 1,
                b')' => depth -= 1,
                b'\\' => self.at += 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

/// Whether an address has its domain.
pub fn is_qualified(address: &str) -> bool {
    let behind_quotes = address.rfind('"').map_or(address, |at| address.get(at..).unwrap_or_default());
    behind_quotes.contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &str) -> Result<Vec<&str>, Unreadable> {
        Ok(places(list.as_bytes())?.into_iter().map(|place| &list[place]).collect())
    }

    #[test]
    fn addresses_are_found_as_they_are_written() {
        let cases: [(&str, &[&str]); 15] = [
            ("root (Cron Daemon)", &["root"]),
            ("\"(Cron Daemon)\" <root>", &["root"]),
            (" a@b.c", &["a@b.c"]),
            ("a@b.c,d@e.f\r\n\t, g", &["a@b.c", "d@e.f", "g"]),
            ("Ann <a@b.c>, \"x, <y@z.w>\" <d@e.f> (no: really)", &["a@b.c", "d@e.f"]),
            ("Ann Example < a@b.c >", &["a@b.c"]),
            ("undisclosed-recipients:;", &[]),
            ("us: a@b.c, Bob <d@e.f>;, g@h.i", &["a@b.c", "d@e.f", "g@h.i"]),
            (", a@b.c,, ", &["a@b.c"]),
            ("", &[]),
            ("\"a b\"@c.d", &["\"a b\"@c.d"]),
            ("\"a \\\" b\" <x@y.z>", &["x@y.z"]),
            ("(a (b (c\\)))) x@y.z", &["x@y.z"]),
            ("J\u{fc}rgen <j\u{fc}rgen@example.org>", &["j\u{fc}rgen@example.org"]),
            ("=?utf-8?q?A=2C_b?= <a@b.c>", &["a@b.c"]),
        ];
        for (list, expected) in cases {
            assert_eq!(texts(list).as_deref(), Ok(expected), "{list}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_not_read() {
        for list in [
            "a@b.c d@e.f",
            "<a@b.c> <d@e.f>",
            "<a@b.c> d@e.f",
            "<a@b.c",
            "a@b.c>",
            "<>",
            "\"a",
            "(a",
            "a)",
            "us: a@b.c",
            "a;",
            "<@a.b:c@d.e>",
            "a: b: c;",
            "\"a\\",
            "((((((((((x)))))))))) a",
        ] {
            assert_eq!(texts(list), Err(Unreadable), "{list}");
        }
    }

    #[test]
    fn a_name_in_quotes_has_no_domain_by_what_stands_in_them() {
        assert!(is_qualified("a@b") && is_qualified("\"a b\"@c"));
        assert!(!is_qualified("root") && !is_qualified("\"a@b\""));
    }
}
