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

/// The process at the other end, where the system tells: of a socket that listens, the one that made it so.
#[cfg(target_os = "linux")]
pub fn process(socket: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
    // 0 is one that can't be seen from here, in another space of process numbers.
    Ok(Some(getsockopt(&socket, PeerCredentials)?.pid()).filter(|pid| *pid > 0))
}

/// The process at the other end: of a socket that listens, the one that made it so.
#[cfg(target_os = "openbsd")]
pub fn process(socket: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    use std::os::fd::AsRawFd;
    let mut peer = libc::sockpeercred { uid: 0, gid: 0, pid: 0 };
    let mut length = libc::socklen_t::try_from(size_of::<libc::sockpeercred>()).map_err(io::Error::other)?;
    // SAFETY: the record is as long as `length` says, and both live longer than the call.
    let status = unsafe {
        let record = (&raw mut peer).cast();
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, record, &raw mut length)
    };
    if status == 0 { Ok(Some(peer.pid).filter(|pid| *pid > 0)) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(any(target_os = "linux", target_os = "openbsd")))]
pub fn process(_: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    Ok(None)
}
