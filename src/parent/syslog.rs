//! The sealer's lines on their way to syslog: unread, as many as may be in a second, and never waited for.
//!
//! It is for the parent to send them: whoever owns the vault can't keep them back, and the sealer has no way out but its log.

use std::path::Path;
use std::time::{Duration, Instant};

use super::Parent;
use crate::ipc::control::Order;
use crate::role::{Instance, Role};
use crate::sys::syslog::Local;

/// daemon.notice, whatever the line says: it isn't read here (RFC 5424 section 6.2.1).
const PRIORITY: u8 = 3 * 8 + 5;
/// Lines in a second: a sealer says one when it anchors and one when it refuses. More comes from one that was taken over.
const LINES: u32 = 50;
const SECOND: Duration = Duration::from_secs(1);

/// The system log, and whether it takes what it is given.
#[derive(Debug)]
pub struct Syslog {
    local: Local,
    works: Option<bool>,
    since: Instant,
    sent: u32,
    /// To whom it was said, and what.
    told: Option<(Instance, bool)>,
}

impl Syslog {
    pub fn new(socket: &Path) -> Result<Self, String> {
        let local = Local::new(socket).map_err(|error| format!("making a socket for syslog: {error}"))?;
        Ok(Self { local, works: None, since: Instant::now(), sent: 0, told: None })
    }

    /// Sends one line of that process.
    pub fn send(&mut self, post: &str, pid: u32, line: &str) {
        if self.since.elapsed() >= SECOND {
            (self.since, self.sent) = (Instant::now(), 0);
        }
        self.sent = self.sent.saturating_add(1);
        if self.sent > LINES {
            return;
        }
        let sent = self.local.send(format!("<{PRIORITY}>gatepost[{pid}]: {post}: {line}").as_bytes());
        if let Err(error) = &sent
            && self.works != Some(false)
        {
            tracing::error!(%error, "syslog does not take the sealer's lines");
        }
        self.works = Some(sent.is_ok());
    }
}

impl Parent {
    /// Tells the vault whether syslog takes the lines, when that has changed, or the vault.
    pub fn tell_of_syslog(&self) {
        let Some(syslog) = &self.kept.syslog else { return };
        let mut syslog = syslog.borrow_mut();
        let Some((vault, works)) = self.household.the(Role::Vault).zip(syslog.works) else { return };
        if syslog.told != Some((vault.instance, works)) && vault.tell(&Order::Syslog { works }, None).is_ok() {
            syslog.told = Some((vault.instance, works));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn lines_arrive_one_by_one_up_to_a_bound_and_a_daemon_that_comes_back_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut syslog = Syslog::new(&path).unwrap();
        syslog.send("sealer", 7, "nobody listens");
        assert_eq!(syslog.works, Some(false));
        for _ in 0..2 {
            let daemon = UnixDatagram::bind(&path).unwrap();
            daemon.set_nonblocking(true).unwrap();
            syslog.send("sealer", 7, "INFO a head");
            assert_eq!(syslog.works, Some(true));
            let mut octets = [0; 100];
            let length = daemon.recv(&mut octets).unwrap();
            assert_eq!(&octets[..length], b"<29>gatepost[7]: sealer: INFO a head");
            std::fs::remove_file(&path).unwrap();
        }
        // Nobody reads: what there is no room for is lost, and nothing waits.
        let _silent = UnixDatagram::bind(&path).unwrap();
        let begun = Instant::now();
        for _ in 0..10_000 {
            syslog.since = Instant::now();
            syslog.sent = 0;
            syslog.send("sealer", 7, "flood");
        }
        assert_eq!(syslog.works, Some(false));
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}
