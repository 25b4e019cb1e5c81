//! The service manager: readiness and watchdog (sd_notify), sockets it bound for us (LISTEN_FDS), and those it keeps for our
//! successor (FDSTORE).
//!
//! The protocol is a datagram with text lines. The socket is kept connected from the start, because later the sandbox
//! would not let us make one. Source: sd_notify(3), sd_listen_fds(3).

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;

use super::descriptor;

/// The first descriptor the service manager passes.
const FIRST: i32 = 3;

/// What the sockets are called that the service manager keeps for our successor, so that none of its own is taken for one.
pub const KEPT: &str = "gatepost-kept";

/// Milliseconds until a service manager counts as one that knows no barrier (systemd before 246).
const BARRIER: u16 = 5000;

/// How long the parent waits for a service manager that doesn't read: nobody else may wait for it.
const LONGEST_WORD: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
    /// It keeps sockets for us: $FDSTORE says how many, since systemd 254 or because the unit does.
    keeps: bool,
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
                socket.set_write_timeout(Some(LONGEST_WORD))?;
                Some(socket)
            }
        };
        let ours = std::env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
        let micros = std::env::var("WATCHDOG_USEC").ok().filter(|_| ours).and_then(|text| text.parse::<u64>().ok());
        let keeps = std::env::var("FDSTORE").is_ok_and(|most| most.parse::<u32>().is_ok_and(|most| most > 0));
        Ok(Self { socket, keeps, watchdog: micros.map(|micros| Duration::from_micros(micros / 2)) })
    }

    /// Tells the service manager, for example `READY=1`. That it may not listen is no reason to stop.
    pub fn tell(&self, state: &str) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(state.as_bytes());
        }
    }

    /// Has the service manager close what it keeps for us, and waits until it has: where it listened somebody else can then.
    pub fn forget(&self) -> io::Result<()> {
        let Some(manager) = &self.socket else { return Ok(()) };
        self.tell(&format!("FDSTOREREMOVE=1\nFDNAME={KEPT}"));
        // It closes our end when it has read all that came before.
        let (until, given) = pipe2(OFlag::O_CLOEXEC)?;
        descriptor::send(manager.as_fd(), b"BARRIER=1", Some(given.as_fd()))?;
        drop(given);
        poll(&mut [PollFd::new(until.as_fd(), PollFlags::empty())], PollTimeout::from(BARRIER))?;
        Ok(())
    }

    /// Has the service manager keep these listening sockets, instead of those that it kept before, while we are restarted: who
    /// connects meanwhile waits, and is not refused. It forgets them when the service is stopped. One that doesn't say that it keeps
    /// any is not asked.
    pub fn keep<'a>(&self, sockets: impl Iterator<Item = BorrowedFd<'a>>) {
        let Some(manager) = self.socket.as_ref().filter(|_| self.keeps) else { return };
        self.tell(&format!("FDSTOREREMOVE=1\nFDNAME={KEPT}"));
        let word = format!("FDSTORE=1\nFDNAME={KEPT}");
        for socket in sockets {
            // Where one finds no room the others find none either.
            if descriptor::send(manager.as_fd(), word.as_bytes(), Some(socket)).is_err() {
                break;
            }
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
            fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
            // Unless the unit says `NonBlocking=yes` they are not, and whoever accepts until nobody waits would wait there, deaf to
            // the parent and to all other sockets.
            let flags = OFlag::from_bits_truncate(fcntl(&socket, FcntlArg::F_GETFL)?);
            fcntl(&socket, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
            Ok((names.next().unwrap_or_default().to_owned(), socket))
        })
        .collect()
}
