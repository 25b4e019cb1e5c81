//! What all content is held to, whether a dot ends it or its octets were counted: lines, their length, and how much it is.

/// Octets of a line with its CRLF, a stuffed dot not counted (RFC 5321 section 4.5.3.1.6).
const MAX_LINE: usize = 1000;

/// What makes content unfit. Reading goes on to the true end, so that no octet of it is ever taken for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A bare CR, a bare LF, or NUL.
    Framing,
    LineTooLong,
}

#[derive(Debug, Default)]
pub struct Tally {
    /// Octets of the current line.
    line: usize,
    octets: u64,
    fault: Option<Fault>,
}

impl Tally {
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Octets of the content so far, those that were not kept included.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    pub fn is_in_line(&self) -> bool {
        self.line > 0
    }

    /// So many more octets of the current line.
    pub fn measure(&mut self, octets: usize) {
        self.line = self.line.saturating_add(octets);
        if self.line > MAX_LINE {
            self.spoil(Fault::LineTooLong);
        }
    }

    pub fn end_line(&mut self) {
        self.line = 0;
    }

    /// The first fault is the one that is told, save that a fault of framing is told before any other.
    pub fn spoil(&mut self, fault: Fault) {
        if self.fault.is_none() || fault == Fault::Framing {
            self.fault = Some(fault);
        }
    }

    /// Counts octets that were measured, and keeps them as long as all is well.
    pub fn take(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        self.octets = self.octets.saturating_add(u64::try_from(octets.len()).unwrap_or(u64::MAX));
        if self.fault.is_none() {
            out.extend_from_slice(octets);
        }
    }

    pub fn keep(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        self.measure(octets.len());
        self.take(octets, out);
    }
}
