//! The content of DATA, octet by octet and once: where it ends, and what it is without its dots.
//!
//! The end is CR LF . CR LF and nothing that resembles it (RFC 5321 section 4.1.1.4): servers that disagreed about this
//! have let one message become two.

use super::tally::{Fault, Tally};

/// Scans in whatever segments the content comes. At its start it is behind the CRLF that ended the DATA command.
#[derive(Debug, Default)]
pub struct Scanner {
    at: At,
    /// Of the content with its dots un-stuffed.
    tally: Tally,
    /// A bare LF becomes the CRLF that it was meant for: a dot behind it is taken off, because who ends lines so stuffs them so
    /// (RFC 5321 section 4.5.2). One that is all of its line is content: it is no end, whatever was meant.
    repairs: bool,
    repaired: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Behind a CRLF.
    #[default]
    Start,
    /// Behind a dot that began a line.
    Dot,
    /// Behind a line's first dot and a CR.
    DotCr,
    Line,
    /// Behind a CR.
    Cr,
    /// Behind a bare LF that was repaired.
    Bare,
    /// Behind a dot behind that.
    BareDot,
}

/// What one call took.
#[derive(Debug, PartialEq, Eq)]
pub struct Scanned {
    pub consumed: usize,
    /// The content ended there; what follows are commands again.
    pub ended: bool,
}

impl Scanner {
    pub fn new(repairs: bool) -> Self {
        Self { repairs, ..Self::default() }
    }

    /// How many line ends were made of a bare LF.
    pub fn repaired(&self) -> u64 {
        self.repaired
    }

    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Takes content off the front of `input` and adds its canonical form to `out`.
    pub fn scan(&mut self, input: &[u8], out: &mut Vec<u8>) -> Scanned {
        let mut at = 0;
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            let first = rest.first().copied().unwrap_or_default();
            match self.at {
                At::Start if first == b'.' => (self.at, at) = (At::Dot, at + 1),
                At::Start => self.at = At::Line,
                At::Dot if first == b'\r' => (self.at, at) = (At::DotCr, at + 1),
                At::Dot => self.at = At::Line,
                At::DotCr if first == b'\n' => return Scanned { consumed: at + 1, ended: true },
                At::DotCr => {
                    self.tally.spoil(Fault::Framing);
                    self.tally.keep(b"\r", out);
                    self.at = At::Line;
                }
                At::Bare if first == b'.' => (self.at, at) = (At::BareDot, at + 1),
                At::BareDot if matches!(first, b'\r' | b'\n') => {
                    self.tally.keep(b".", out);
                    self.at = At::Line;
                }
                At::Bare | At::BareDot => self.at = At::Line,
                At::Line => at += self.line(rest, out),
                At::Cr if first == b'\n' => {
                    self.tally.keep(b"\r\n", out);
                    self.tally.end_line();
                    (self.at, at) = (At::Start, at + 1);
                }
                At::Cr => {
                    self.tally.spoil(Fault::Framing);
                    self.tally.keep(b"\r", out);
                    self.at = At::Line;
                }
            }
        }
        Scanned { consumed: at, ended: false }
    }

    /// Takes whole lines as long as none begins with a dot, in one run. Gives how much it took.
    fn line(&mut self, rest: &[u8], out: &mut Vec<u8>) -> usize {
        // Where the line begins, and where what was not taken yet does.
        let (mut begin, mut from) = (0, 0);
        for hit in memchr::memchr3_iter(b'\r', b'\n', 0, rest) {
            match rest.get(hit..) {
                Some([b'\r', b'\n', next, ..]) => {
                    self.tally.measure(hit + 2 - begin);
                    self.tally.end_line();
                    begin = hit + 2;
                    if *next == b'.' {
                        self.tally.take(rest.get(from..begin).unwrap_or_default(), out);
                        self.at = At::Start;
                        return begin;
                    }
                }
                // A CR with too little behind it to judge: the next call does.
                Some([b'\r', b'\n'] | [b'\r']) => {
                    self.tally.measure(hit - begin);
                    self.tally.take(rest.get(from..hit).unwrap_or_default(), out);
                    self.at = At::Cr;
                    return hit + 1;
                }
                // The LF of a CRLF that was passed over above.
                Some([b'\n', ..]) if begin == hit + 1 => (),
                Some([b'\n', ..]) if self.repairs => {
                    self.tally.measure(hit - begin);
                    self.tally.take(rest.get(from..hit).unwrap_or_default(), out);
                    self.tally.keep(b"\r\n", out);
                    self.tally.end_line();
                    self.repaired = self.repaired.saturating_add(1);
                    (begin, from) = (hit + 1, hit + 1);
                    if matches!(rest.get(begin), Some(b'.') | None) {
                        self.at = At::Bare;
                        return begin;
                    }
                }
                _ => self.tally.spoil(Fault::Framing),
            }
        }
        self.tally.measure(rest.len() - begin);
        self.tally.take(rest.get(from..).unwrap_or_default(), out);
        rest.len()
    }
}

#[cfg(test)]
#[path = "data/tests.rs"]
mod tests;

#[cfg(test)]
#[path = "data/repair.rs"]
mod repair;
