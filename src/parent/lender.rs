//! Lends the listening sockets to whoever upgrades the service: `gatepost upgrade`, run by root or as the user we run as. It says
//! nothing that would have to be read.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Parent, Phase};
use crate::ipc::loan::{self, LENDER, Lender, Stage};
use crate::sys::peer;

/// How long the parent waits for one that doesn't read: nobody else may wait for it.
const LONGEST: Duration = Duration::from_secs(1);

/// Where sockets are lent.
#[derive(Debug)]
pub struct Door {
    socket: UnixListener,
    since: u64,
    /// Who was lent something last, where the system tells: it asks again and again how far we have come.
    last: Option<i32>,
}

impl Door {
    /// In a directory that is ours alone, and that no other parent uses. What is left over there is replaced.
    pub fn open(runtime: &Path) -> Result<Self, String> {
        let path = runtime.join(LENDER);
        let fail = |error: io::Error| format!("the socket for upgrades, {}: {error}", path.display());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
            _ => {}
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let since = u64::try_from(since).unwrap_or_default();
        Ok(Self { socket: loan::open(&path).map_err(fail)?, since, last: None })
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Lends what we listen on to who has come, when it is root or the user we run as.
pub fn lend(parent: &mut Parent) {
    let Ok((borrower, _)) = parent.door.socket.accept() else { return };
    let user = peer::user(borrower.as_fd());
    let us = nix::unistd::geteuid().as_raw();
    if !user.as_ref().is_ok_and(|user| *user == 0 || *user == us) {
        return tracing::warn!(?user, "the listening sockets were lent to nobody: not root");
    }
    let stage = match parent.phase {
        Phase::Opening => Stage::Starting,
        Phase::Serving => Stage::Serving,
        Phase::Closing { .. } | Phase::Closed => Stage::Stopping,
    };
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let lender = Lender { version, pid: std::process::id(), since: parent.door.since, stage };
    let lent = borrower
        .set_nonblocking(true)
        .and_then(|()| loan::lend(borrower.as_fd(), lender, parent.sockets.own(), LONGEST));
    let by = peer::process(borrower.as_fd()).ok().flatten();
    match lent {
        // It wanted to know no more than who we are.
        Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {}
        Err(error) => tracing::warn!(%error, "the listening sockets can't be lent"),
        Ok(()) if by.is_some() && by == parent.door.last => {}
        Ok(()) => {
            tracing::info!(pid = by, "copies of the listening sockets are lent, for an upgrade");
            parent.door.last = by;
        }
    }
}
