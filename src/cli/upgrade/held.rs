//! The listening sockets while nobody serves, and where the process that is started asks for them.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::fcntl::{Flock, FlockArg};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Uid, geteuid, seteuid};

use super::tell;
use crate::ipc::loan::{self, Lender, Stage, UPGRADE};
use crate::sys::peer;

/// How long one who asks may leave unread what it is given: it asks in its first moments and does nothing else meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);

pub struct Held {
    path: PathBuf,
    socket: UnixListener,
    /// Whose service it is.
    owner: u32,
    sockets: Vec<(SocketAddr, OwnedFd)>,
    /// So that there is one such command at a time: what lies there belongs to none then, and is replaced.
    _lock: Flock<File>,
}

impl Held {
    pub fn open(runtime: &Path, owner: u32, sockets: Vec<(SocketAddr, OwnedFd)>) -> Result<Self, String> {
        let path = runtime.join(UPGRADE);
        let fail = |error: io::Error| format!("{}: {error}", path.display());
        let directory = File::open(runtime).map_err(fail)?;
        let lock = Flock::lock(directory, FlockArg::LockExclusiveNonblock)
            .map_err(|_| "another gatepost upgrade is under way here: wait for its end".to_owned())?;
        let socket = as_user(owner, || {
            remove(&path)?;
            loan::open(&path)
        });
        Ok(Self { socket: socket.map_err(fail)?, path, owner, sockets, _lock: lock })
    }

    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.sockets.iter().map(|(at, _)| *at)
    }

    pub fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// For so long, lends the sockets to who asks for them.
    pub fn lend_for(&self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let mut asked = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut asked, PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO)) {
                Ok(1..) => self.lend(),
                // Ctrl-C is to be heard at once.
                Err(_) => return,
                Ok(_) if left.is_zero() => return,
                Ok(_) => {}
            }
        }
    }

    fn lend(&self) {
        let Ok((borrower, _)) = self.socket.accept() else { return };
        match peer::user(borrower.as_fd()) {
            Ok(user) if user == 0 || user == self.owner => {}
            _ => {
                return tell("somebody who is neither root nor the service's user asked for the sockets");
            }
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let lender = Lender {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            since: u64::try_from(since).unwrap_or_default(),
            stage: Stage::Serving,
        };
        let sockets = self.sockets.iter().map(|(_, socket)| socket.as_fd());
        let lent =
            borrower.set_nonblocking(true).and_then(|()| loan::lend(borrower.as_fd(), lender, sockets, PATIENCE));
        if let Err(error) = lent {
            tell(&format!("the service that was started could not be given the sockets: {error}"));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = as_user(self.owner, || remove(&self.path));
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Does something with the rights of the user whose service it is, where we are root: the directory is theirs, and whatever they put
/// there in our way is then nothing that they couldn't touch themselves. Their process can connect to what was made.
fn as_user<T>(user: u32, what: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    if user == 0 || !geteuid().is_root() {
        return what();
    }
    seteuid(Uid::from_raw(user))?;
    let done = what();
    seteuid(Uid::from_raw(0))?;
    done
}
