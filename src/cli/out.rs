//! Standard output of commands, whose reader may have left.

use std::fmt;
use std::io::{self, Write};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Prints a line. A reader who has left (`| head`) doesn't change what was done, nor the exit code that tells of it; a line
/// that can't be written for another reason ends the command, with that reason.
pub fn line(text: fmt::Arguments<'_>) {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("gatepost: writing: {error}");
            std::process::exit(1);
        }
        _ => {}
    }
}

/// Whether somebody still holds the other end of a pipe: `| head` is gone long before the next event.
pub fn is_read() -> bool {
    let stdout = io::stdout();
    let mut watched = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    poll(&mut watched, PollTimeout::ZERO).is_err()
        || watched[0].revents().is_none_or(|events| !events.intersects(PollFlags::POLLERR | PollFlags::POLLHUP))
}

/// As `println!`, for `line`.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::out::line(format_args!($($text)*)) };
}
pub(crate) use say;
