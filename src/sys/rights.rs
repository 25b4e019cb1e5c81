//! The rights of another process of this machine: for a look at what it could open and bind, by who has more of them, or others.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::io;

use nix::unistd::{Uid, User, geteuid, getgrouplist};

use super::running::Process;

/// CAP_NET_BIND_SERVICE, of Linux.
pub const NET_BIND_SERVICE: u32 = 10;

/// A user, groups and capabilities.
#[derive(Clone, Debug)]
pub struct Rights {
    pub user: u32,
    groups: Vec<u32>,
    /// None where nobody knows.
    capabilities: Option<u64>,
}

impl Rights {
    /// Those of a process of this user that will have these capabilities. It has the groups that the system's tables give the user, and
    /// those of `like`, a process of that user which runs: whoever started it may have given it more.
    pub fn of(user: u32, capabilities: Option<u64>, like: Option<&Process>) -> Self {
        let mut groups: BTreeSet<u32> = like.iter().flat_map(|process| process.groups.iter().copied()).collect();
        groups.extend(tabled(user));
        Self { user, groups: groups.into_iter().collect(), capabilities }
    }

    /// Whether it may bind ports that are root's. None where nobody knows.
    pub fn binds_low_ports(&self) -> Option<bool> {
        self.capabilities.map(|held| held & 1 << NET_BIND_SERVICE != 0)
    }

    /// Looks with these rights, and with ours again behind that. Where we are that user and not root, they are what we have.
    ///
    /// Errors: we can't have them. Nothing was looked at.
    pub fn lend<T: Send>(&self, look: impl FnOnce() -> T + Send) -> io::Result<T> {
        match geteuid() {
            us if us.is_root() => become_them(self, look),
            us if us.as_raw() == self.user => Ok(look()),
            _ => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }
}

/// The groups of a user whom the system knows.
fn tabled(user: u32) -> Vec<u32> {
    let Ok(Some(known)) = User::from_uid(Uid::from_raw(user)) else { return Vec::new() };
    let Ok(name) = CString::new(known.name) else { return Vec::new() };
    getgrouplist(&name, known.gid).unwrap_or_default().into_iter().map(|group| group.as_raw()).collect()
}

/// In a thread of its own, which ends with that: the kernel keeps all of these for each thread, and the library's calls, which change
/// them for all, are not used.
#[cfg(target_os = "linux")]
fn become_them<T: Send>(rights: &Rights, look: impl FnOnce() -> T + Send) -> io::Result<T> {
    let lent = || {
        let done = |status: libc::c_long| if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
        let keep = libc::gid_t::MAX;
        let group = rights.groups.first().copied().unwrap_or(rights.user);
        // SAFETY: the kernel reads as many numbers as it is told that there are, and they live until it returns.
        done(unsafe { libc::syscall(libc::SYS_setgroups, rights.groups.len(), rights.groups.as_ptr()) })?;
        // SAFETY: these two take numbers and no pointers.
        done(unsafe { libc::syscall(libc::SYS_setresgid, keep, group, keep) })?;
        // SAFETY: as above.
        done(unsafe { libc::syscall(libc::SYS_setresuid, keep, rights.user, keep) })?;
        super::capability::limit(rights.capabilities.unwrap_or_default())?;
        Ok(look())
    };
    std::thread::scope(|scope| scope.spawn(lent).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

/// Root has all rights there, and a process of root as many. All threads have the others' meanwhile.
#[cfg(not(target_os = "linux"))]
fn become_them<T>(rights: &Rights, look: impl FnOnce() -> T) -> io::Result<T> {
    use nix::unistd::{Gid, getegid, getgroups, setegid, seteuid, setgroups};
    if rights.user == 0 {
        return Ok(look());
    }
    let (group, groups) = (getegid(), getgroups()?);
    let theirs: Vec<Gid> = rights.groups.iter().copied().map(Gid::from_raw).collect();
    let became = setgroups(&theirs)
        .and_then(|()| theirs.first().map_or(Ok(()), |group| setegid(*group)))
        .and_then(|()| seteuid(Uid::from_raw(rights.user)));
    let seen = became.map(|()| look());
    seteuid(Uid::from_raw(0)).and_then(|()| setegid(group)).and_then(|()| setgroups(&groups))?;
    Ok(seen?)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, Permissions};
    use std::net::TcpListener;
    use std::os::unix::fs::{PermissionsExt, chown};

    use super::*;

    #[test]
    fn what_is_looked_at_with_the_rights_of_another_opens_for_that_one_alone() {
        let us = geteuid().as_raw();
        let own = Rights::of(us, Some(0), None);
        if us != 0 {
            assert!(own.lend(|| ()).is_ok());
            assert!(Rights::of(us + 1, Some(0), None).lend(|| ()).is_err(), "only root can have the rights of others");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let (user, group) = (47_110, 47_111);
        let theirs = Rights::of(user, Some(0), None);
        let grouped = Process { groups: vec![group], ..Process::default() };
        let with_group = Rights::of(user, Some(0), Some(&grouped));
        let file = |name: &str, owner, group, mode| {
            let path = folder.path().join(name);
            fs::write(&path, "").unwrap();
            chown(&path, Some(owner), Some(group)).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path
        };
        for (path, opens) in [
            (file("root", 0, 0, 0o600), [true, false, false]),
            (file("theirs", user, 0, 0o600), [false, true, true]),
            (file("group", 0, group, 0o640), [true, false, true]),
            (file("none", 0, 0, 0o000), [false, false, false]),
            (file("all", 0, 0, 0o644), [true, true, true]),
        ] {
            let seen = [&own, &theirs, &with_group].map(|rights| rights.lend(|| File::open(&path).is_ok()).unwrap());
            assert_eq!(seen, opens, "{path:?}");
            assert!(File::open(&path).is_ok(), "ours are as before: {path:?}");
        }
    }

    #[test]
    fn a_port_of_roots_is_for_who_has_the_capability() {
        if !geteuid().is_root()
            || fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").is_ok_and(|n| n.trim() != "1024")
        {
            eprintln!("not tried: it needs root, and a system that keeps ports for root");
            return;
        }
        // Whether it is free does not matter.
        let may = |rights: &Rights| {
            let bound = rights.lend(|| TcpListener::bind("127.0.0.1:1").map(drop)).unwrap();
            bound.map_or_else(|error| error.kind() != io::ErrorKind::PermissionDenied, |()| true)
        };
        let low = 1 << NET_BIND_SERVICE;
        for (capabilities, expected) in [(0, false), (low, true)] {
            let rights = Rights::of(47_110, Some(capabilities), None);
            assert_eq!((may(&rights), rights.binds_low_ports()), (expected, Some(expected)));
        }
        assert_eq!(Rights::of(47_110, None, None).binds_low_ports(), None);
    }
}
