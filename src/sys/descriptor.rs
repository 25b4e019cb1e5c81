//! Descriptors that arrive from outside: over a socket, from systemd, or as standard input.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::socket::{
    ControlMessage, MsgFlags, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sendmsg, sockopt,
};
use tokio::io::unix::AsyncFd;

/// Octets that a pipe takes whole: PIPE_BUF of the system (pipe(7) on Linux, limits.h on OpenBSD; POSIX wants 512 at least).
#[cfg(target_os = "linux")]
pub const PIPE_BUF: usize = nix::libc::PIPE_BUF;
#[cfg(not(target_os = "linux"))]
pub const PIPE_BUF: usize = 512;

/// What one receive on a packet socket brought.
#[derive(Debug)]
pub struct Received {
    /// Bytes written to the buffer. Zero means that the other side closed.
    pub length: usize,
    /// Every descriptor that came along; the caller decides how many are right.
    pub descriptors: Vec<OwnedFd>,
    /// The message or its descriptors did not fit; what did arrive is incomplete.
    pub truncated: bool,
}

/// Takes ownership of a descriptor that the parent or the service manager is documented to have left open for us
/// (0 for the control channel, 3 and up for LISTEN_FDS).
///
/// Errors: EBADF when it isn't open.
pub fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl(F_GETFD) on any number is harmless; it only tells whether the descriptor is open.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open (checked above), and the callers, all in a process's first steps, adopt each number once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Sends one message, with at most one descriptor. Never raises SIGPIPE.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let raw: Vec<RawFd> = descriptor.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    let sent = sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::MSG_NOSIGNAL, None)?;
    if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Room for control messages: the one descriptor that is right, and some more, so that too many are counted and closed.
const CONTROL: usize = 256;

/// Control messages begin with lengths, so their buffer must lie where a length may.
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// Receives one message and every descriptor that came with it (close-on-exec from the start), also when not all of them
/// found room: what arrived is owned, and closed by whoever drops the result.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control = Control([0; CONTROL]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all zeroes are a valid msghdr: no address, no parts, no control.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control).cast();
    header.msg_controllen = CONTROL as _;
    // SAFETY: the header points to a part and a control buffer that are as long as it says and outlive the call.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel has filled in the control buffer and its length; the macros walk it and stop at its end.
    let descriptors = unsafe { rights(&header) };
    let truncated = header.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0;
    Ok(Received { length, descriptors, truncated })
}

/// Takes every descriptor out of a received header.
///
/// # Safety
/// The header must be as `recvmsg` left it, and be looked at once: each descriptor gets one owner.
unsafe fn rights(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut descriptors = Vec::new();
    // SAFETY: see above; a null pointer ends the walk.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(found) = message.as_ref() {
            if (found.cmsg_level, found.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
                #[allow(clippy::unnecessary_cast, reason = "its type differs between systems")]
                let octets = (found.cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
                let numbers = libc::CMSG_DATA(message).cast::<RawFd>();
                for at in 0..octets / size_of::<RawFd>() {
                    descriptors.push(OwnedFd::from_raw_fd(numbers.add(at).read_unaligned()));
                }
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    descriptors
}

/// Where a socket listens. None of one that doesn't.
pub fn listens_at(socket: &OwnedFd) -> Option<SocketAddr> {
    let listens = getsockopt(socket, sockopt::AcceptConn).ok()?;
    let at = listens.then(|| getsockname::<SockaddrStorage>(socket.as_raw_fd()).ok())??;
    let ipv4 = at.as_sockaddr_in().map(|at| SocketAddr::V4((*at).into()));
    ipv4.or_else(|| at.as_sockaddr_in6().map(|at| SocketAddr::V6((*at).into())))
}

/// Accepts one connection: close-on-exec, non-blocking.
pub fn accept(listening: BorrowedFd<'_>) -> io::Result<(OwnedFd, SocketAddr)> {
    let mut address = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut length = libc::socklen_t::try_from(size_of::<libc::sockaddr_storage>()).map_err(io::Error::other)?;
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the address buffer is as long as `length` says and outlives the call.
    let number = unsafe { libc::accept4(listening.as_raw_fd(), address.as_mut_ptr().cast(), &raw mut length, flags) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just installed this descriptor for us and nobody else knows its number.
    let connection = unsafe { OwnedFd::from_raw_fd(number) };
    // SAFETY: the buffer was zeroed at first and is large enough for every family; the kernel filled in what it had.
    let storage = unsafe { SockaddrStorage::from_raw(address.as_ptr().cast(), Some(length)) };
    let peer = storage.and_then(|storage| {
        let v4 = storage.as_sockaddr_in().map(|address| SocketAddr::from(std::net::SocketAddrV4::from(*address)));
        v4.or_else(|| storage.as_sockaddr_in6().map(|address| SocketAddr::from(std::net::SocketAddrV6::from(*address))))
    });
    Ok((connection, peer.ok_or_else(|| io::Error::other("a connection without an Internet address"))?))
}

/// Registers a descriptor with the current runtime. It must be non-blocking.
pub fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd keeps its number open and its own for as long as it lives, and AsyncFd never lets go of it while
    // it is registered.
    Ok(unsafe { AsyncFd::register(descriptor) }?)
}

/// Closes every descriptor from a number on: whatever the one who started us left open by accident.
///
/// To be called in a process's first steps only, before anything of ours has such a number.
pub fn close_from(first: RawFd) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    // SAFETY: nothing in this process owns a descriptor from `first` on yet (the callers' duty, see above).
    let status = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_int::MAX, 0) };
    #[cfg(not(target_os = "linux"))]
    // SAFETY: as above.
    let status = unsafe { libc::closefrom(first) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
