//! The content of BDAT (RFC 3030): octets that were counted beforehand. No dot ends it and none is taken off; lines are held
//! to what those of DATA are held to, across the edges of chunks as well.

use super::tally::{Fault, Tally};

/// What a BDAT command announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub octets: u64,
    pub last: bool,
}

/// Scans in whatever chunks and segments the content comes.
#[derive(Debug, Default)]
pub struct Scanner {
    /// The last octet was a CR.
    cr: bool,
    tally: Tally,
}

impl Scanner {
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Takes all of `input`, which is content and nothing else, and adds it to `out`.
    pub fn scan(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let Some(first) = input.first() else { return };
        if self.cr && *first != b'\n' {
            self.tally.spoil(Fault::Framing);
        }
        let mut begin = 0;
        for hit in memchr::memchr3_iter(b'\r', b'\n', 0, input) {
            let behind_cr = match hit.checked_sub(1) {
                Some(before) => input.get(before) == Some(&b'\r'),
                None => self.cr,
            };
            match input.get(hit..) {
                Some([b'\n', ..]) if behind_cr => {
                    self.tally.measure(hit + 1 - begin);
                    self.tally.end_line();
                    begin = hit + 1;
                }
                // The next octet, or the next chunk, judges it.
                Some([b'\r'] | [b'\r', b'\n', ..]) => (),
                _ => self.tally.spoil(Fault::Framing),
            }
        }
        self.tally.measure(input.len() - begin);
        self.tally.take(input, out);
        self.cr = input.ends_with(b"\r");
    }

    /// No chunk follows. A last line without its end gets one (rule D4): what the upstream is sent ends with CRLF.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.cr {
            self.tally.spoil(Fault::Framing);
        }
        if self.tally.is_in_line() {
            self.tally.keep(b"\r\n", out);
            self.tally.end_line();
        }
    }
}

#[cfg(test)]
#[path = "chunk/tests.rs"]
mod tests;
