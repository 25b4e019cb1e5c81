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
use crate::sys::descriptor::PIPE_BUF;

/// What a pipe takes whole when it says that it takes anything.
const PIECE: usize = PIPE_BUF;
/// How long a reader may be behind, once: a busy journal catches up in less.
const GRACE: Duration = Duration::from_millis(100);

static STATE: Mutex<State> = Mutex::new(State { lost: 0, torn: false, stuck: false, no_socket: false });

/// What became of the lines before.
#[derive(Default)]
struct State {
    /// Lines that were not taken since the last that was.
    lost: u64,
    /// The last line was taken in part.
    torn: bool,
    /// The reader was waited for in vain, and has read nothing since.
    stuck: bool,
    /// It is a pipe or a file.
    no_socket: bool,
}

/// Copies whole lines, each with its end, or counts them as lost.
pub fn copy(lines: &[impl AsRef<[u8]>]) {
    // Whoever panicked over it left some numbers that are as good as any.
    STATE.lock().unwrap_or_else(PoisonError::into_inner).lines(io::stderr().as_fd(), lines);
}

impl State {
    /// As many in one piece as a pipe takes whole: each costs a look whether it takes any.
    fn lines(&mut self, to: BorrowedFd<'_>, lines: &[impl AsRef<[u8]>]) {
        let (mut together, mut count) = (Vec::new(), 0);
        for line in lines.iter().map(AsRef::as_ref) {
            if count > 0 && together.len() + line.len() > PIECE {
                self.text(to, &together, count);
                (together, count) = (Vec::new(), 0);
            }
            together.extend_from_slice(line);
            count += 1;
        }
        if count > 0 {
            self.text(to, &together, count);
        }
    }

    /// So many lines, which are one if they are longer than a piece.
    fn text(&mut self, to: BorrowedFd<'_>, text: &[u8], lines: u64) {
        if self.lost > 0 {
            let end = if self.torn { "\n" } else { "" };
            let lost = format!("log lines were lost: {}, nobody read them", self.lost);
            let count = match JSON.load(Ordering::Relaxed) {
                true => format!("{end}{}\n", json::own("WARN", "log.lost", &lost)),
                false => format!("{end}{} WARN {lost}\n", now()),
            };
            if !self.put(to, count.as_bytes()) {
                self.lost += lines;
                return;
            }
            (self.lost, self.torn) = (0, false);
        }
        if !self.put(to, text) {
            self.lost += lines;
        }
    }

    /// Whether all of it was taken. What can't be told to anybody is not lost to a reader who is slow: a closed pipe takes it.
    fn put(&mut self, to: BorrowedFd<'_>, text: &[u8]) -> bool {
        for (at, piece) in text.chunks(PIECE).enumerate() {
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
        if !self.no_socket {
            match send(to.as_raw_fd(), piece, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
                Err(Errno::ENOTSOCK) => self.no_socket = true,
                done => return self.is_taken(done, piece),
            }
        }
        self.is_taken(nix::unistd::write(to, piece), piece)
    }

    fn is_taken(&mut self, done: nix::Result<usize>, piece: &[u8]) -> bool {
        match done {
            Ok(octets) if octets < piece.len() => {
                self.torn = true;
                false
            }
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
            state.lines(ours.as_fd(), &[&long]);
            taken += 1;
            assert!(taken < 100_000, "it is never full");
        }
        state.lines(ours.as_fd(), &["another\n", "and another\n"]);
        assert_eq!(state.lost, 3);
        let mut read = vec![0; 3_000_000];
        let n = theirs.read(&mut read).unwrap();
        state.lines(ours.as_fd(), &["the last\n"]);
        assert_eq!(state.lost, 0);
        let m = theirs.read(&mut read[n..]).unwrap();
        let text = String::from_utf8_lossy(&read[..n + m]);
        let end: Vec<_> = text.lines().rev().take(2).collect();
        assert!(end[0] == "the last" && end[1].ends_with("WARN log lines were lost: 3, nobody read them"), "{end:?}");
    }

    #[test]
    fn a_reader_that_has_stopped_is_not_waited_for_and_is_told_how_much_it_missed() {
        let (theirs, ours) = nix::unistd::pipe().unwrap();
        stuck(&ours, File::from(theirs));
        let (theirs, ours) = UnixStream::pair().unwrap();
        stuck(&ours.into(), theirs);
    }

    #[test]
    fn lines_come_together_whole_and_in_their_order() {
        let (theirs, ours) = nix::unistd::pipe().unwrap();
        let lines: Vec<String> = (0..100).map(|n| format!("{n} {}\n", "x".repeat(n * 7))).collect();
        let long = format!("{}\n", "y".repeat(2 * PIECE));
        let mut state = State::default();
        state.lines(ours.as_fd(), &lines);
        state.lines(ours.as_fd(), &[&long, &lines[1]]);
        assert_eq!((state.lost, state.no_socket), (0, true));
        drop(ours);
        let mut read = String::new();
        File::from(theirs).read_to_string(&mut read).unwrap();
        assert_eq!(read, lines.concat() + &long + &lines[1]);
    }

    #[test]
    fn a_closed_pipe_is_no_error_and_a_file_takes_everything() {
        let (theirs, ours) = UnixStream::pair().unwrap();
        drop(theirs);
        let mut state = State::default();
        state.lines(ours.as_fd(), &["nobody hears this\n"]);
        assert_eq!(state.lost, 0);
        let file = tempfile::tempfile().unwrap();
        state.lines(file.as_fd(), &["a line\n"]);
        assert_eq!(file.metadata().unwrap().len(), 7);
    }
}
