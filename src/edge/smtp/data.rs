//! The content of DATA, octet by octet and once: where it ends, and what it is without its dots.
//!
//! The end is CR LF . CR LF and nothing that resembles it (RFC 5321 section 4.1.1.4): servers that disagreed about this
//! have let one message become two.

/// Octets of a line with its CRLF, a stuffed dot not counted (RFC 5321 section 4.5.3.1.6).
const MAX_LINE: usize = 1000;

/// What makes content unfit. Reading goes on to the true end, so that no octet of it is ever taken for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A bare CR, a bare LF, or NUL.
    Framing,
    LineTooLong,
}

/// Scans in whatever segments the content comes. At its start it is behind the CRLF that ended the DATA command.
#[derive(Debug, Default)]
pub struct Scanner {
    at: At,
    /// Octets of the current line.
    line: usize,
    /// Octets of the content, dots un-stuffed.
    octets: u64,
    fault: Option<Fault>,
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
}

/// What one call took.
#[derive(Debug, PartialEq, Eq)]
pub struct Scanned {
    pub consumed: usize,
    /// The content ended there; what follows are commands again.
    pub ended: bool,
}

impl Scanner {
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    pub fn octets(&self) -> u64 {
        self.octets
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
                    self.spoil(Fault::Framing);
                    self.keep(b"\r", out);
                    self.at = At::Line;
                }
                At::Line => at += self.line(rest, out),
                At::Cr if first == b'\n' => {
                    self.keep(b"\r\n", out);
                    (self.at, self.line, at) = (At::Start, 0, at + 1);
                }
                At::Cr => {
                    self.spoil(Fault::Framing);
                    self.keep(b"\r", out);
                    self.at = At::Line;
                }
            }
        }
        Scanned { consumed: at, ended: false }
    }

    /// Takes whole lines as long as none begins with a dot, in one run. Gives how much it took.
    fn line(&mut self, rest: &[u8], out: &mut Vec<u8>) -> usize {
        let mut begin = 0;
        for hit in memchr::memchr3_iter(b'\r', b'\n', 0, rest) {
            match rest.get(hit..) {
                Some([b'\r', b'\n', next, ..]) => {
                    self.measure(hit + 2 - begin);
                    (begin, self.line) = (hit + 2, 0);
                    if *next == b'.' {
                        self.take(rest, begin, out);
                        self.at = At::Start;
                        return begin;
                    }
                }
                // A CR with too little behind it to judge: the next call does.
                Some([b'\r', b'\n'] | [b'\r']) => {
                    self.measure(hit - begin);
                    self.take(rest, hit, out);
                    self.at = At::Cr;
                    return hit + 1;
                }
                // The LF of a CRLF that was passed over above.
                Some([b'\n', ..]) if begin == hit + 1 => (),
                _ => self.spoil(Fault::Framing),
            }
        }
        self.measure(rest.len() - begin);
        self.take(rest, rest.len(), out);
        rest.len()
    }

    fn measure(&mut self, octets: usize) {
        self.line = self.line.saturating_add(octets);
        if self.line > MAX_LINE {
            self.spoil(Fault::LineTooLong);
        }
    }

    /// The first fault is the one that is told, save that a fault of framing is told before any other.
    fn spoil(&mut self, fault: Fault) {
        if self.fault.is_none() || fault == Fault::Framing {
            self.fault = Some(fault);
        }
    }

    fn keep(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        self.measure(octets.len());
        self.take(octets, octets.len(), out);
    }

    fn take(&mut self, from: &[u8], end: usize, out: &mut Vec<u8>) {
        let taken = from.get(..end).unwrap_or_default();
        self.octets = self.octets.saturating_add(u64::try_from(taken.len()).unwrap_or(u64::MAX));
        if self.fault.is_none() {
            out.extend_from_slice(taken);
        }
    }
}

#[cfg(test)]
#[path = "data/tests.rs"]
mod tests;
