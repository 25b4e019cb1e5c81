//! The pipe a child logs to: its lines are copied to stderr, unread but for control characters, and never without bound.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{pipe2, read};

/// The longest log line that is copied; the rest of it is cut.
const LONGEST: usize = 1024;
/// Octets taken in one turn of the parent's loop. A child that writes more waits for the next turn, or loses lines.
const TURN: usize = 16 * 1024;
/// Lines of one child copied in a second: several for each of the messages a busy gate takes. A child gone mad, or taken
/// over, must not fill the disk or drown the others' lines.
const LINES: u32 = 10_000;
const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Tap {
    pipe: OwnedFd,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    since: Instant,
    kept: u32,
    lost: u64,
    /// The child closed its end: waiting for it would return at once, for ever.
    ended: bool,
}

impl Tap {
    /// The tap, and the end that becomes the child's stderr. Neither ever blocks.
    pub fn new() -> io::Result<(Self, OwnedFd)> {
        let (pipe, write) = pipe2(OFlag::O_CLOEXEC)?;
        for end in [&pipe, &write] {
            fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Ok((Self { pipe, line: Vec::new(), since: Instant::now(), kept: 0, lost: 0, ended: false }, write))
    }

    /// The pipe to wait for; none when the child has closed its end.
    pub fn open(&self) -> Option<BorrowedFd<'_>> {
        (!self.ended).then(|| self.pipe.as_fd())
    }

    /// The lines that are there, up to a turn's worth, fit to be shown.
    pub fn lines(&mut self) -> Vec<String> {
        let mut buffer = [0; TURN];
        let n = match read(&self.pipe, &mut buffer) {
            Ok(0) => {
                self.ended = true;
                return Vec::new();
            }
            Ok(n) => n,
            Err(_) => return Vec::new(),
        };
        self.line.extend_from_slice(buffer.get(..n).unwrap_or_default());
        let (all, mut lines) = (std::mem::take(&mut self.line), Vec::new());
        let whole = all.iter().rposition(|octet| *octet == b'\n').map_or(0, |end| end + 1);
        let (whole, rest) = all.split_at(whole);
        for line in whole.split_inclusive(|octet| *octet == b'\n') {
            self.keep(line, &mut lines);
        }
        match rest.len() > LONGEST {
            true => self.keep(rest, &mut lines),
            false => self.line = rest.to_vec(),
        }
        lines
    }

    fn keep(&mut self, line: &[u8], lines: &mut Vec<String>) {
        if self.since.elapsed() >= SECOND {
            if self.lost > 0 {
                lines.push(format!("WARN {} log lines were dropped: too many in a second", self.lost));
            }
            (self.since, self.kept, self.lost) = (Instant::now(), 0, 0);
        }
        if self.kept >= LINES {
            self.lost += 1;
            return;
        }
        self.kept += 1;
        let text = String::from_utf8_lossy(line.get(..LONGEST).unwrap_or(line));
        lines.push(text.trim().chars().map(|c| if c.is_control() { '?' } else { c }).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_cleaned_and_counted() {
        let (mut tap, pipe) = Tap::new().unwrap();
        let long = "x".repeat(3 * LONGEST);
        nix::unistd::write(&pipe, format!("one\nt\x1b[31mwo\nhal{long}").as_bytes()).unwrap();
        let lines = tap.lines();
        assert_eq!(lines[..2], ["one", "t?[31mwo"]);
        assert_eq!(lines[2].len(), LONGEST);
        nix::unistd::write(&pipe, b"f\n").unwrap();
        assert_eq!(tap.lines(), ["f"]);
    }

    #[test]
    fn a_child_gone_mad_is_heard_up_to_a_bound_and_then_counted() {
        let (mut tap, pipe) = Tap::new().unwrap();
        let turn = "a\n".repeat(TURN / 2);
        let mut kept = 0;
        for _ in 0..20 {
            nix::unistd::write(&pipe, turn.as_bytes()).unwrap();
            kept += tap.lines().len();
        }
        let bound = usize::try_from(LINES).unwrap();
        // A slow machine may see a second or two go by, each with its own bound.
        assert!(kept >= bound && kept < 20 * TURN / 2, "{kept}");
        std::thread::sleep(SECOND);
        nix::unistd::write(&pipe, b"calm\n").unwrap();
        let lines = tap.lines();
        assert!(lines[0].contains("log lines were dropped") && lines[1] == "calm", "{lines:?}");
    }
}
