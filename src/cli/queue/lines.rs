//! Whether content is lines that end in CR LF, as everything that comes in by SMTP is: a lone CR or LF could end a message for
//! one server and not for the next, and NUL ends a text for many programs.

/// What was seen so far, however it is cut into parts.
#[derive(Debug, Default)]
pub struct Lines {
    after_cr: bool,
    /// Something stands behind the last end of a line.
    open: bool,
    broken: bool,
}

impl Lines {
    pub fn take(&mut self, octets: &[u8]) {
        for octet in octets {
            match (self.after_cr, octet) {
                (true, b'\n') => (self.after_cr, self.open) = (false, false),
                (true, _) | (false, b'\n' | 0) => self.broken = true,
                (false, octet) => (self.after_cr, self.open) = (*octet == b'\r', true),
            }
        }
    }

    pub const fn are_sound(&self) -> bool {
        !self.broken && !self.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_ends_in_both_and_neither_stands_elsewhere() {
        let sound = |text: &[u8]| {
            let verdicts = [1, 2, 100].map(|size| {
                let mut lines = Lines::default();
                text.chunks(size).for_each(|part| lines.take(part));
                lines.are_sound()
            });
            assert!(verdicts.iter().all(|one| *one == verdicts[0]), "{text:?}");
            verdicts[0]
        };
        for good in [&b""[..], b"\r\n", b"a\r\n\r\nb\r\n", b"\xff\r\n"] {
            assert!(sound(good), "{good:?}");
        }
        for bad in
            [&b"a"[..], b"a\n", b"a\r", b"\n\r\n", b"a\r\r\n", b"a\rb\r\n", b"a\r\nb", b"a\x00\r\n", b"a\r\n.\n.\r\n"]
        {
            assert!(!sound(bad), "{bad:?}");
        }
    }
}
