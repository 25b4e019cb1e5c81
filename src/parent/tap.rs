//! The pipe a child logs to: its lines are copied to stderr, unread but for control characters, and never without bound.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{pipe2, read};

use super::post::Post;

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
    copied: u32,
    lost: u64,
}

impl Tap {
    /// The tap, and the end that becomes the child's stderr. Neither ever blocks.
    pub fn new() -> io::Result<(Self, OwnedFd)> {
        let (pipe, write) = pipe2(OFlag::O_CLOEXEC)?;
        for end in [&pipe, &write] {
            fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Ok((Self { pipe, line: Vec::new(), since: Instant::now(), copied: 0, lost: 0 }, write))
    }

    /// Copies what is there, up to a turn's worth.
    pub fn copy(&mut self, post: &Post, pid: u32) {
        let mut buffer = [0; TURN];
        let Ok(n @ 1..) = read(&self.pipe, &mut buffer) else { return };
        self.line.extend_from_slice(buffer.get(..n).unwrap_or_default());
        while let Some(end) = self.line.iter().position(|octet| *octet == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            self.print(post, pid, &line);
        }
        if self.line.len() > LONGEST {
            let line = std::mem::take(&mut self.line);
            self.print(post, pid, &line);
        }
    }

    fn print(&mut self, post: &Post, pid: u32, line: &[u8]) {
        if self.since.elapsed() >= SECOND {
            if self.lost > 0 {
                write(post, pid, &format!("WARN {} log lines were dropped: too many in a second", self.lost));
            }
            (self.since, self.copied, self.lost) = (Instant::now(), 0, 0);
        }
        if self.copied >= LINES {
            self.lost += 1;
            return;
        }
        self.copied += 1;
        let text = String::from_utf8_lossy(line.get(..LONGEST).unwrap_or(line));
        let text: String = text.trim_end().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        write(post, pid, text.trim_start());
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

fn write(post: &Post, pid: u32, text: &str) {
    // Nobody reads our stderr any more: then there is nobody to tell.
    let _ = io::stderr().write_all(format!("{} {post} {pid}: {text}\n", crate::log::now()).as_bytes());
}
