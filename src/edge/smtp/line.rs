//! Lines out of octets: CR LF ends a line and nothing else does (RFC 5321 section 2.3.8).

use std::fmt;
use std::ops::Deref;

use zeroize::Zeroizing;

/// Octets that a client may send without a CRLF before it is cut off.
const MAX_DRAIN: usize = 64 * 1024;

/// Octets that were read and not yet understood. Bounded by what its owner feeds it between two calls of `line`.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    taken: usize,
    /// The limit of a line that was too long, and how many of its octets were thrown away; its end has not come.
    drained: Option<(usize, usize)>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// Without its CRLF; whatever else is in it, bare CR and LF included, is its reader's to judge.
    Whole(Said),
    /// Longer than this, which it may not be, and read to its end.
    TooLong(usize),
    /// It has no end.
    Endless,
}

/// What a client said. It may be a password: never printed, and wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Said(Zeroizing<Vec<u8>>);

impl From<&[u8]> for Said {
    fn from(octets: &[u8]) -> Self {
        Self(Zeroizing::new(octets.to_vec()))
    }
}

impl Deref for Said {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} octets]", self.0.len())
    }
}

impl Inbox {
    /// Where the next octets go: behind those that wait.
    pub fn room(&mut self, octets: usize) -> &mut Vec<u8> {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        if self.bytes.is_empty() && self.bytes.capacity() > octets {
            self.bytes = Vec::new();
        }
        self.bytes.reserve_exact(octets);
        &mut self.bytes
    }

    /// What waits.
    pub fn pending(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    /// Takes octets off the front, and wipes them.
    pub fn consume(&mut self, octets: usize) {
        let end = self.bytes.len().min(self.taken.saturating_add(octets));
        if let Some(consumed) = self.bytes.get_mut(self.taken..end) {
            consumed.fill(0);
        }
        self.taken = end;
    }

    /// The next line, or none before more octets come. `limit` says, from its beginning, how long it may be with its CRLF.
    pub fn line(&mut self, limit: fn(&[u8]) -> usize) -> Option<Line> {
        let pending = self.pending();
        let end = end_of_line(pending);
        let limit = self.drained.map_or_else(|| limit(pending), |(limit, _)| limit);
        match (self.drained, end) {
            (None, Some(end)) => {
                let whole =
                    (end <= limit).then(|| Said::from(pending.get(..end.saturating_sub(2)).unwrap_or_default()));
                self.consume(end);
                Some(whole.map_or(Line::TooLong(limit), Line::Whole))
            }
            (None, None) if pending.len() < limit => None,
            (_, Some(end)) => {
                self.consume(end);
                self.drained = None;
                Some(Line::TooLong(limit))
            }
            (drained, None) => {
                // The last octet may be the CR of the CRLF that is looked for.
                let gone = pending.len().saturating_sub(1);
                self.consume(gone);
                let drained = drained.map_or(0, |(_, drained)| drained).saturating_add(gone);
                self.drained = Some((limit, drained));
                (drained > MAX_DRAIN).then_some(Line::Endless)
            }
        }
    }
}

/// Where the first CRLF ends.
fn end_of_line(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', bytes)
        .find(|at| bytes.get(..*at).is_some_and(|line| line.ends_with(b"\r")))
        .map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8], step: usize) -> Vec<Line> {
        let limit: fn(&[u8]) -> usize = |_| 512;
        let mut inbox = Inbox::default();
        let mut seen = Vec::new();
        for part in input.chunks(step) {
            inbox.room(part.len()).extend_from_slice(part);
            while let Some(line) = inbox.line(limit) {
                let endless = line == Line::Endless;
                seen.push(line);
                if endless {
                    return seen;
                }
            }
            assert!(inbox.pending().len() <= step.max(512), "more is kept than one line");
        }
        seen
    }

    fn whole(text: &[u8]) -> Line {
        Line::Whole(text.into())
    }

    #[test]
    fn rule_l1_only_crlf_ends_a_line() {
        for step in [1, 2, 3, 100] {
            let seen = lines(b"a\nb\rc\r\n\n\r\r\nd\r\n\r\n", step);
            assert_eq!(seen, [whole(b"a\nb\rc"), whole(b"\n\r"), whole(b"d"), whole(b"")], "{step}");
        }
    }

    #[test]
    fn rule_l7_rule_l8_vector_v18_a_line_that_is_too_long_is_skipped_to_its_end() {
        for step in [1, 7, 512, 5000] {
            let fits = [&[b'x'; 510][..], b"\r\n"].concat();
            let over = [&[b'x'; 511][..], b"\r\n"].concat();
            let far = [&[b'x'; 5000][..], b"\r\n"].concat();
            let input = [&fits[..], &over, b"RSET\r\n", &far, b"QUIT\r\n"].concat();
            let seen = lines(&input, step);
            assert_eq!(
                seen,
                [whole(&[b'x'; 510]), Line::TooLong(512), whole(b"RSET"), Line::TooLong(512), whole(b"QUIT")],
                "{step}"
            );
        }
    }

    #[test]
    fn rule_l8_vector_v18_a_line_without_end_is_given_up() {
        assert_eq!(lines(&vec![b'x'; 100_000], 4096), [Line::Endless]);
        assert_eq!(lines(&b"\r".repeat(100_000), 4096), [Line::Endless]);
        assert_eq!(lines(&b"x\n".repeat(50_000), 4096), [Line::Endless]);
    }

    /// It is given up behind 64 KiB and no segment later, and meanwhile takes no more than one line and one segment.
    #[test]
    fn rule_l8_a_line_without_end_is_drained_in_bounded_memory() {
        for step in [1, 100, 512, 2048] {
            let mut inbox = Inbox::default();
            let mut fed = 0;
            let given_up = loop {
                inbox.room(step).extend(std::iter::repeat_n(b'x', step));
                fed += step;
                match inbox.line(|_| 512) {
                    None => assert!(inbox.bytes.capacity() <= 2 * (512 + step), "{}", inbox.bytes.capacity()),
                    other => break other,
                }
            };
            assert_eq!(given_up, Some(Line::Endless));
            assert!((MAX_DRAIN..=MAX_DRAIN + 512 + step).contains(&fed), "{step}: {fed}");
        }
        assert_eq!(MAX_DRAIN, 64 * 1024);
    }

    #[test]
    fn rule_a18_a_line_is_never_printed() {
        assert_eq!(format!("{:?}", whole(b"AUTH PLAIN c2VjcmV0")), "Whole([19 octets])");
    }

    #[test]
    fn what_was_taken_is_wiped() {
        let mut inbox = Inbox::default();
        inbox.room(20).extend_from_slice(b"AUTH PLAIN secret\r\nx");
        assert!(inbox.line(|_| 512).is_some());
        assert!(!inbox.bytes.windows(6).any(|window| window == b"secret"));
        assert_eq!(inbox.pending(), b"x");
    }
}
