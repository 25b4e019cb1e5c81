//! Whether content is lines that end in CR LF and are no longer than a server takes, as everything that comes in by SMTP is: a lone
//! CR or LF could end a message for one server and not for the next, NUL ends a text for many programs, and what is behind the
//! end of the longest line is cut off, or the message refused, by the upstream.

/// Octets of a line with its CR LF (RFC 5321 section 4.5.3.1.6).
const LONGEST: usize = 1000;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A CR or LF that doesn't stand beside the other, a NUL, or a last line without an end.
    Broken,
    /// The line of that number, counted from 1, is too long.
    Long(u64),
}

impl Fault {
    pub fn told(self) -> String {
        match self {
            Self::Broken => "its lines do not all end in CR LF, or it has a CR, LF or NUL elsewhere".to_owned(),
            Self::Long(number) => format!(
                "its line {number} has more than {LONGEST} octets, which no server need take: break it up, or encode that part \
                 (quoted-printable or base64)"
            ),
        }
    }
}

/// What was seen so far, however it is cut into parts.
#[derive(Debug, Default)]
pub struct Lines {
    after_cr: bool,
    /// Octets behind the last end of a line, and how many lines came before.
    line: usize,
    ended: u64,
    fault: Option<Fault>,
}

impl Lines {
    pub fn take(&mut self, octets: &[u8]) {
        for octet in octets {
            self.line += 1;
            if self.line > LONGEST {
                self.fault.get_or_insert(Fault::Long(self.ended + 1));
            }
            match (self.after_cr, octet) {
                (true, b'\n') => (self.after_cr, self.line, self.ended) = (false, 0, self.ended + 1),
                (true, _) | (false, b'\n' | 0) => self.fault = Some(Fault::Broken),
                (false, octet) => self.after_cr = *octet == b'\r',
            }
        }
    }

    /// Errors: what is wrong with all that came.
    pub fn verdict(&self) -> Result<(), Fault> {
        let open = (self.line > 0).then_some(Fault::Broken);
        self.fault.or(open).map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &[u8]) -> Result<(), Fault> {
        let verdicts = [1, 2, 100].map(|size| {
            let mut lines = Lines::default();
            text.chunks(size).for_each(|part| lines.take(part));
            lines.verdict()
        });
        assert!(verdicts.iter().all(|one| *one == verdicts[0]), "{text:?}");
        verdicts[0]
    }

    #[test]
    fn every_line_ends_in_both_and_neither_stands_elsewhere() {
        for good in [&b""[..], b"\r\n", b"a\r\n\r\nb\r\n", b"\xff\r\n"] {
            assert_eq!(verdict(good), Ok(()), "{good:?}");
        }
        for bad in
            [&b"a"[..], b"a\n", b"a\r", b"\n\r\n", b"a\r\r\n", b"a\rb\r\n", b"a\r\nb", b"a\x00\r\n", b"a\r\n.\n.\r\n"]
        {
            assert_eq!(verdict(bad), Err(Fault::Broken), "{bad:?}");
        }
    }

    #[test]
    fn no_line_is_longer_than_a_server_takes() {
        let of = |octets: usize| format!("a\r\n{}\r\nb\r\n", "x".repeat(octets - 2)).into_bytes();
        assert_eq!(verdict(&of(LONGEST)), Ok(()));
        assert_eq!(verdict(&of(LONGEST + 1)), Err(Fault::Long(2)));
        assert_eq!(verdict(&[&of(LONGEST + 1)[..], b"a\n"].concat()), Err(Fault::Broken), "what is worse is told");
    }
}
