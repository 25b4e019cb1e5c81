//! The part of stage one that every system has: user, root directory, working directory, modes and limits.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, chdir, chroot, geteuid, setgroups, setresgid, setresuid};

use super::policy::{FEWEST_DESCRIPTORS, Files, Row};
use super::{Grounds, Identity};

/// What we make is for its owner and its group. Not stricter: SQLite would have to change the mode of the auditors'
/// files, which its sandbox refuses.
const UMASK: Mode = Mode::from_bits_truncate(0o027);

/// Checks the grounds before anything is changed.
pub fn check(grounds: &Grounds) -> Result<(), String> {
    let root = geteuid().is_root();
    match &grounds.identity {
        None if root => Err("no process may stay root, and none was told which user to become".into()),
        Some(_) if !root => Err("only root can become another user; start as root, or without users".into()),
        Some(Identity { user: 0, .. } | Identity { group: 0, .. }) => {
            Err("this role's user must not be root, nor its group root's".into())
        }
        _ if grounds.root.is_some() && !root => Err("only root can change the root directory".into()),
        _ if grounds.descriptors < FEWEST_DESCRIPTORS => {
            Err(format!("{} descriptors are too few; at least {FEWEST_DESCRIPTORS} are needed", grounds.descriptors))
        }
        _ => Ok(()),
    }
}

/// What a program makes is for its user alone, unless it says otherwise itself.
const UMASK_OF_PROGRAMS: Mode = Mode::from_bits_truncate(0o077);

pub fn set_umask(row: &Row) {
    umask(if row.files == Files::Run { UMASK_OF_PROGRAMS } else { UMASK });
}

/// Locks the process into its root directory, or takes it to its home where it can't be locked in.
pub fn enter(grounds: &Grounds) -> Result<(), String> {
    if let Some(root) = &grounds.root {
        let refused = |error| format!("can't make {} the root directory: {error}", root.display());
        chroot(root).map_err(refused)?;
        return chdir("/").map_err(refused);
    }
    let home = grounds.home.as_deref().unwrap_or(std::path::Path::new("/"));
    chdir(home).map_err(|error| format!("can't enter {}: {error}", home.display()))
}

/// Becomes the role's user for good, and makes sure that there is no way back.
pub fn become_user(identity: &Identity) -> Result<(), String> {
    let refused = |what: &'static str| move |error| format!("can't change the {what}: {error}");
    let (user, group) = (Uid::from_raw(identity.user), Gid::from_raw(identity.group));
    let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups).map_err(refused("groups"))?;
    setresgid(group, group, group).map_err(refused("group"))?;
    setresuid(user, user, user).map_err(refused("user"))?;
    let root = Uid::from_raw(0);
    if setresuid(root, root, root).is_ok() {
        return Err("could become root again after giving it up; this system can't hold a sandbox".into());
    }
    Ok(())
}

/// No core files, no files larger than the role's, no more descriptors than it was given.
pub fn limit(row: &Row, grounds: &Grounds) -> Result<(), String> {
    no_cores()?;
    if let Some(octets) = row.largest_file {
        set(Resource::RLIMIT_FSIZE, octets)?;
    }
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| format!("can't read limits: {error}"))?;
    if most < grounds.descriptors {
        return Err(format!(
            "{} descriptors are needed and {most} are the limit; raise it (LimitNOFILE=, ulimit -n, login.conf) or allow fewer sessions and connections",
            grounds.descriptors
        ));
    }
    set(Resource::RLIMIT_NOFILE, grounds.descriptors)
}

pub fn no_cores() -> Result<(), String> {
    set(Resource::RLIMIT_CORE, 0)
}

fn set(resource: Resource, most: u64) -> Result<(), String> {
    setrlimit(resource, most, most).map_err(|error| format!("can't set {resource:?} to {most}: {error}"))
}
