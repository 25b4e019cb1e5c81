//! The service manager: readiness and watchdog (sd_notify), and sockets it bound for us (LISTEN_FDS).
//!
//! The protocol is a datagram with text lines. The socket is kept connected from the start, because later the sandbox
//! would not let us make one. Source: sd_notify(3), sd_listen_fds(3).

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use super::descriptor;

/// The first descriptor the service manager passes.
const FIRST: i32 = 3;

#[derive(Debug)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
    /// How often a sign of life is due: half of what the service manager waits for.
    pub watchdog: Option<Duration>,
}

impl Notifier {
    /// Connects to $NOTIFY_SOCKET; without it every call does nothing.
    pub fn from_environment() -> io::Result<Self> {
        let socket = match std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) {
            None => None,
            Some(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect_addr(&address(&path)?)?;
                Some(socket)
            }
        };
        let ours = std::env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
        let micros = std::env::var("WATCHDOG_USEC").ok().filter(|_| ours).and_then(|text| text.parse::<u64>().ok());
        Ok(Self { socket, watchdog: micros.map(|micros| Duration::from_micros(micros / 2)) })
    }

    /// Tells the service manager, for example `READY=1`. That it may not listen is no reason to stop.
    pub fn tell(&self, state: &str) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(state.as_bytes());
        }
    }
}

#[cfg(target_os = "linux")]
fn address(path: &OsString) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(path),
    }
}

#[cfg(not(target_os = "linux"))]
fn address(path: &OsString) -> io::Result<SocketAddr> {
    SocketAddr::from_pathname(path)
}

/// The sockets the service manager passed, with their names (`FileDescriptorName=` of the socket unit). Every other
/// descriptor beyond the standard three is closed: to be called before anything of ours is open.
pub fn sockets() -> io::Result<Vec<(String, OwnedFd)>> {
    let ours = std::env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
    let count =
        std::env::var("LISTEN_FDS").ok().filter(|_| ours).and_then(|text| text.parse::<i32>().ok()).unwrap_or(0);
    descriptor::close_from(FIRST.saturating_add(count))?;
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    (FIRST..FIRST.saturating_add(count))
        .map(|number| {
            let socket = descriptor::adopt(number)?;
            nix::fcntl::fcntl(&socket, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
            Ok((names.next().unwrap_or_default().to_owned(), socket))
        })
        .collect()
}
