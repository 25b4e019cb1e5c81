//! The local system log, as programs reach it: a datagram, and never a wait.

use std::io;
use std::path::Path;

/// The way to the system log. It holds no connection, so a log daemon that was restarted is found again.
#[derive(Debug)]
pub struct Local {
    #[cfg(not(target_os = "openbsd"))]
    socket: std::os::unix::net::UnixDatagram,
    #[cfg(not(target_os = "openbsd"))]
    path: std::path::PathBuf,
}

#[cfg(not(target_os = "openbsd"))]
impl Local {
    pub fn new(path: &Path) -> io::Result<Self> {
        let socket = std::os::unix::net::UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, path: path.to_owned() })
    }

    /// Whether somebody takes messages there, without one.
    pub fn look(path: &Path) -> io::Result<()> {
        std::os::unix::net::UnixDatagram::unbound()?.connect(path)
    }

    /// Hands over one message. An error when nobody takes it, or not now.
    pub fn send(&self, message: &[u8]) -> io::Result<()> {
        self.socket.send_to(message, &self.path).map(drop)
    }
}

#[cfg(target_os = "openbsd")]
impl Local {
    /// The path says nothing here: sendsyslog(2) needs none, and pledge(2) allows it to everybody.
    pub fn new(_: &Path) -> io::Result<Self> {
        Ok(Self {})
    }

    /// The kernel takes them in any case.
    pub fn look(_: &Path) -> io::Result<()> {
        Ok(())
    }

    /// Hands over one message. An error when nobody takes it, or not now.
    pub fn send(&self, message: &[u8]) -> io::Result<()> {
        unsafe extern "C" {
            fn sendsyslog(message: *const libc::c_char, length: libc::size_t, flags: libc::c_int) -> libc::c_int;
        }
        // SAFETY: the pointer and the length are those of a live slice, which the kernel only reads.
        let status = unsafe { sendsyslog(message.as_ptr().cast(), message.len(), 0) };
        if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}
