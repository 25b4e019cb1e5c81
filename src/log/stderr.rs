//! The parent's stderr: a pipe, a socket of the journal, a file or a terminal, whose reader may have stopped reading. A parent
//! that waited for it could neither replace a child nor stop.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};

use super::{JSON, json, now};

/// What a pipe takes whole when it says that it takes anything: the least PIPE_BUF that POSIX allows.
const PIECE: usize = 512;
/// How long a reader may be behind, once: a busy journal catches up in less.
const GRACE: Duration = Duration::from_millis(100);

static STATE: Mutex<State> = Mutex::new(State { lost: 0, torn: false, stuck: false });

/// What became of the lines before.
#[derive(Default)]
struct State {
    /// Lines that were not taken since the last that was.
    lost: u64,
    /// The last line was taken in part.
    torn: bool,
    /// The reader was waited for in vain, and has read nothing since.
    stuck: bool,
}

/// Copies a whole line, with its end, or counts it as lost.
pub fn copy(line: &[u8]) {
    // Whoever panicked over it left three numbers that are as good as any.
    STATE.lock().unwrap_or_else(PoisonError::into_inner).line(io::stderr().as_fd(), line);
}

impl State {
    fn line(&mut self, to: BorrowedFd<'_>, line: &[u8]) {
        if self.lost > 0 {
            let end = if self.torn { "\n" } else { "" };
            let text = format!("log lines were lost: {}, nobody read them", self.lost);
            let count = match JSON.load(Ordering::Relaxed) {
                true => format!("{end}{}\n", json::own("WARN", "log.lost", &text)),
                false => format!("{end}{} WARN {text}\n", now()),
            };
            if !self.put(to, count.as_bytes()) {
                self.lost += 1;
                return;
            }
            (self.lost, self.torn) = (0, false);
        }
        if !self.put(to, line) {
            self.lost += 1;
        }
    }

    /// Whether all of it was taken. What can't be told to anybody is not lost to a reader who is slow: a closed pipe takes it.
    fn put(&mut self, to: BorrowedFd<'_>, line: &[u8]) -> bool {
        for (at, piece) in line.chunks(PIECE).enumerate() {
            if !self.piece(to, piece) {
                self.torn |= at > 0;
                return false;
            }
        }
        true
    }

    fn piece(&mut self, to: BorrowedFd<'_>, piece: &[u8]) -> bool {
        let grace = if self.stuck { Duration::ZERO } else { GRACE };
        self.stuck = !takes(to, grace);
        if self.stuck {
            return false;
        }
        match send(to.as_raw_fd(), piece, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
            Err(Errno::ENOTSOCK) => !matches!(nix::unistd::write(to, piece), Err(Errno::EAGAIN | Errno::EINTR)),
            done => !matches!(done, Err(Errno::EAGAIN | Errno::EINTR)),
        }
    }
}

/// Whether it takes a piece within that time. The signals that come meanwhile, of children that ended, change nothing.
fn takes(to: BorrowedFd<'_>, within: Duration) -> bool {
    let until = Instant::now() + within;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match poll(&mut [PollFd::new(to, PollFlags::POLLOUT)], PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO))
        {
            Err(Errno::EINTR) => {}
            ready => return ready.is_ok_and(|ready| ready > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Fills it until it takes nothing, has it read, and looks at what comes then.
    fn stuck(ours: &OwnedFd, mut theirs: impl Read) {
        let mut state = State::default();
        let long = format!("{}\n", "x".repeat(1_000));
        let mut taken = 0;
        while state.lost == 0 {
            state.line(ours.as_fd(), long.as_bytes());
            taken += 1;
            assert!(taken < 100_000, "it is never full");
        }
        state.line(ours.as_fd(), b"another\n");
        assert_eq!(state.lost, 2);
        let mut read = vec![0; 3_000_000];
        let n = theirs.read(&mut read).unwrap();
        state.line(ours.as_fd(), b"the last\n");
        assert_eq!(state.lost, 0);
        let m = theirs.read(&mut read[n..]).unwrap();
        let text = String::from_utf8_lossy(&read[..n + m]);
        let end: Vec<_> = text.lines().rev().take(2).collect();
        assert!(end[0] == "the last" && end[1].ends_with("WARN log lines were lost: 2, nobody read them"), "{end:?}");
    }

    #[test]
    fn a_reader_that_has_stopped_is_not_waited_for_and_is_told_how_much_it_missed() {
        let (theirs, ours) = nix::unistd::pipe().unwrap();
        stuck(&ours, File::from(theirs));
        let (theirs, ours) = UnixStream::pair().unwrap();
        stuck(&ours.into(), theirs);
    }

    #[test]
    fn a_closed_pipe_is_no_error_and_a_file_takes_everything() {
        let (theirs, ours) = UnixStream::pair().unwrap();
        drop(theirs);
        let mut state = State::default();
        state.line(ours.as_fd(), b"nobody hears this\n");
        assert_eq!(state.lost, 0);
        let file = tempfile::tempfile().unwrap();
        state.line(file.as_fd(), b"a line\n");
        assert_eq!(file.metadata().unwrap().len(), 7);
    }
}
