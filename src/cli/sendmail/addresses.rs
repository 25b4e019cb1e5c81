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
                b':' if !self.in_group && !self.angled && self.is_name() => {
                    self.at += 1;
                    self.words.clear();
                    self.in_group = true;
                }
                b';' if self.in_group => {
                    self.at += 1;
                    self.end()?;
                    self.in_group = false;
                }
                b'>' | b')' | b':' | b';' => return Err(Unreadable),
                _ => {
                    let word = self.word()?;
                    // A control character is in no word: nobody would step over it.
                    if word.is_empty() {
                        return Err(Unreadable);
                    }
                    self.words.push(word);
                }
            }
        }
        if self.in_group {
            return Err(Unreadable);
        }
        self.end()
    }

    /// What stands before a colon names a group. `ann@example.org: bob@example.org;` may mean two, of whom one would get nothing.
    fn is_name(&self) -> bool {
        let texts = self.words.iter().map(|word| self.list.get(word.clone()).unwrap_or_default());
        let has_domain = |text: &[u8]| {
            let behind_quotes = text.iter().rposition(|octet| *octet == b'"').unwrap_or(0);
            text.get(behind_quotes..).unwrap_or_default().contains(&b'@')
        };
        !self.words.is_empty() && !texts.into_iter().any(has_domain)
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
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
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
                b'(' | b')' | b'<' | b'>' | b',' | b':' | b';' | b'\0'..=b' ' | 0x7f => break,
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
        let cases: [(&str, &[&str]); 16] = [
            ("root (Cron Daemon)", &["root"]),
            ("\"(Cron Daemon)\" <root>", &["root"]),
            (" a@b.c", &["a@b.c"]),
            ("a@b.c,d@e.f\r\n\t, g", &["a@b.c", "d@e.f", "g"]),
            ("Ann <a@b.c>, \"x, <y@z.w>\" <d@e.f> (no: really)", &["a@b.c", "d@e.f"]),
            ("Ann Example < a@b.c >", &["a@b.c"]),
            ("undisclosed-recipients:;", &[]),
            ("us: a@b.c, Bob <d@e.f>;, g@h.i", &["a@b.c", "d@e.f", "g@h.i"]),
            ("\"us@home\" all: a@b.c;", &["a@b.c"]),
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
            "ann@example.org: bob@example.org;",
            "\"us\"@example.org: bob@example.org;",
            "\"a\\",
            "((((((((((x)))))))))) a",
        ] {
            assert_eq!(texts(list), Err(Unreadable), "{list}");
        }
    }

    #[test]
    fn every_octet_is_read_or_refused_wherever_it_stands() {
        for octet in 0..=u8::MAX {
            for (before, after) in
                [("", ""), ("a", "b"), ("a, ", ", b"), ("<", ">"), ("<a", ">"), ("\"", "\""), ("(", ") a")]
            {
                let list = [before.as_bytes(), &[octet], after.as_bytes()].concat();
                let is_control = octet.is_ascii_control() && !matches!(octet, b'\t' | b'\r' | b'\n');
                let found = places(&list);
                assert!(found != Err(Unreadable) || octet.is_ascii(), "{list:?}");
                assert!(found == Err(Unreadable) || !is_control || matches!(before, "\"" | "("), "{list:?}");
            }
        }
    }

    #[test]
    fn a_name_in_quotes_has_no_domain_by_what_stands_in_them() {
        assert!(is_qualified("a@b") && is_qualified("\"a b\"@c"));
        assert!(!is_qualified("root") && !is_qualified("\"a@b\""));
    }
}
