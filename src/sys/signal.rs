//! Signals as bytes on a pipe, so that one `poll` waits for them together with everything else.

use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use nix::fcntl::OFlag;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::pipe2;

/// The write end of the pipe; -1 until `catch` was called.
static PIPE: AtomicI32 = AtomicI32::new(-1);

extern "C" fn tell(signal: libc::c_int) {
    let number = u8::try_from(signal).unwrap_or(0);
    // SAFETY: write(2) may be called from a signal handler (POSIX.1-2024 XSH 2.4.3), and the byte outlives the call. The
    // pipe is never closed. A full one loses the signal; that takes 65,536 of them unread. errno is put back.
    unsafe {
        let errno = errno_location();
        let before = *errno;
        libc::write(PIPE.load(Ordering::Relaxed), (&raw const number).cast(), 1);
        *errno = before;
    }
}

#[cfg(not(target_os = "openbsd"))]
unsafe fn errno_location() -> *mut libc::c_int {
    // SAFETY: it has no preconditions.
    unsafe { libc::__errno_location() }
}

#[cfg(target_os = "openbsd")]
unsafe fn errno_location() -> *mut libc::c_int {
    // SAFETY: it has no preconditions.
    unsafe { libc::__errno() }
}

/// From now on these signals arrive as their numbers, one byte each, at the end that is returned. Once per process.
pub fn catch(signals: &[Signal]) -> io::Result<OwnedFd> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    PIPE.store(write.into_raw_fd(), Ordering::Relaxed);
    let action = SigAction::new(SigHandler::Handler(tell), SaFlags::SA_RESTART, SigSet::empty());
    for signal in signals {
        // SAFETY: the handler does nothing but what a handler may do (see `tell`).
        unsafe { sigaction(*signal, &action) }?;
    }
    Ok(read)
}

/// A child leaves INT, HUP and TERM to the parent: Ctrl-C in a terminal reaches them all, but the parent alone decides.
pub fn leave_to_parent() -> io::Result<()> {
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGHUP, Signal::SIGTERM] {
        // SAFETY: ignoring a signal runs no code.
        unsafe { sigaction(signal, &ignore) }?;
    }
    Ok(())
}
