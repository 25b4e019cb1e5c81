//! Who is at the other end of a local socket, by the kernel's word.

use std::io;
use std::os::fd::BorrowedFd;

/// The effective user id of the process that connected.
#[cfg(target_os = "linux")]
pub fn user(socket: BorrowedFd<'_>) -> io::Result<u32> {
    use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
    Ok(getsockopt(&socket, PeerCredentials)?.uid())
}

/// The effective user id of the process that connected.
#[cfg(not(target_os = "linux"))]
pub fn user(socket: BorrowedFd<'_>) -> io::Result<u32> {
    use std::os::fd::AsRawFd;
    let (mut user, mut group) = (0, 0);
    // SAFETY: both pointers are to live variables of the right type.
    let status = unsafe { libc::getpeereid(socket.as_raw_fd(), &raw mut user, &raw mut group) };
    if status == 0 { Ok(user) } else { Err(io::Error::last_os_error()) }
}
