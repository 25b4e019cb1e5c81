//! The directories and files that the service keeps, made at the first start and checked at each.
//!
//! ```text
//! state_directory/      root, 0755: the vault's root directory
//!   db/                 the vault's own, 0700
//!   audit/              the auditors' files, 02750, group _gatepost-audit
//!   seal/               root, 0700: the log key and the sealer's two slots
//!   master/             root, 0700: the master key of bodies, unless it is kept elsewhere
//! runtime_directory/    root, 0700
//!   empty/              root, 0555: the root directory of everybody who needs no files
//!   control.sock        commands, handed to the vault unread
//!   lend.sock           copies of the listening sockets, for who upgrades the service
//!   upgrade.sock        the same, from who upgrades it to who is started then
//! ```

use std::fs::{self, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat, geteuid};

use super::beginning;
use super::people::People;
use crate::config::plan::Plan;
use crate::role::Role;
use crate::sys::plain;
use crate::{sealer, vault};

/// The name of the control socket in the runtime directory.
pub const CONTROL_SOCKET: &str = "control.sock";
/// Octets of a local socket's path: OpenBSD and Linux have room for 104 and 108, with a NUL at the end.
const LONGEST_SOCKET: usize = 103;
pub const SEAL: &str = "seal";
const EMPTY: &str = "empty";

/// Makes what is missing and refuses what isn't ours to use.
pub fn prepare(plan: &Plan, people: &People) -> Result<(), String> {
    let [state, runtime, empty, seal, master] = directories(plan);
    let make = |(path, what, mode): &Own| own_directory(path, what, *mode);
    make(&state)?;
    vault::restored::check(&plan.state_directory)?;
    make(&runtime)?;
    make(&empty)?;
    beginning::check(plan, people)?;
    make(&seal)?;
    sealer::key::create(&seal.0, &plan.sealer_slice().origin)
        .map_err(|error| format!("making the log key in {}: {error}", seal.0.display()))?;
    make(&master)?;
    vault::master::create(&plan.master_directory)
        .map_err(|error| format!("the master key in {}: {error}", plan.master_directory.display()))?;
    vault::prepare::prepare(&plan.state_directory, people.identity(Role::Vault), people.auditors)
}

/// A directory that is ours: where it is, in words, and its mode.
pub type Own = (PathBuf, &'static str, u32);

/// In the order in which they are made.
pub fn directories(plan: &Plan) -> [Own; 5] {
    let (state, runtime) = (&plan.state_directory, &plan.runtime_directory);
    [
        // Everybody may pass through the state directory; what is in it is closed to all but its owner.
        (state.clone(), "state_directory", 0o755),
        (runtime.clone(), "runtime_directory", 0o700),
        (empty_directory(runtime), "the empty directory", 0o555),
        (state.join(SEAL), "the sealer's directory", 0o700),
        (plan.master_directory.clone(), "the directory of the master key", 0o700),
    ]
}

pub fn empty_directory(runtime: &Path) -> PathBuf {
    runtime.join(EMPTY)
}

/// Makes a directory, or checks the one that is there: ours, and writable by nobody else.
fn own_directory(path: &Path, what: &str, mode: u32) -> Result<(), String> {
    let fail = |doing: &str, error: io::Error| format!("{what} {}: {doing}: {error}", path.display());
    match plain::make_folder(path, mode) {
        Ok(()) => sync_parent(path).map_err(|error| fail("making its name durable", error))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(fail("it can't be made", error)),
    }
    let found = fs::symlink_metadata(path).map_err(|error| fail("looking at it", error))?;
    inspect((path, &found), what, mode, geteuid().as_raw())
}

/// Whether a directory that is there can be used by a parent that is this user (`us`).
pub fn inspect((path, found): (&Path, &Metadata), what: &str, mode: u32, us: u32) -> Result<(), String> {
    let owner = found.uid();
    if !found.is_dir() {
        return Err(format!("{what} {}: not a directory: move it away", path.display()));
    }
    if owner != us {
        return Err(format!(
            "{what} {}: owned by user {owner}, must be {us}: chown it, or run this as {owner} where the service is that user's",
            path.display()
        ));
    }
    let permissions = found.mode() & 0o7777;
    // What is for its owner alone must not even be looked at by others.
    let excess = if mode & 0o077 == 0 { 0o077 } else { 0o022 };
    if permissions & excess != 0 || permissions & mode != mode {
        return Err(format!("{what} {}: mode {permissions:04o}, must be {mode:04o}: chmod it", path.display()));
    }
    Ok(())
}

/// Makes the name of a path as durable as what will be kept behind it: POSIX promises no less than this for it.
fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| fs::File::open(parent)?.sync_all())
}

/// The log key, to be read once.
pub fn log_key(state: &Path) -> Result<OwnedFd, String> {
    open(&state.join(SEAL).join("log.key"), OpenOptions::new().read(true))
}

/// The master key, to be read once.
pub fn master_key(directory: &Path) -> Result<OwnedFd, String> {
    open(&directory.join(vault::master::CURRENT), OpenOptions::new().read(true))
}

/// The one that is to take its place, while a change of keys goes on.
pub fn next_master_key(directory: &Path) -> Result<Option<OwnedFd>, String> {
    let path = directory.join(vault::master::NEXT);
    match path.try_exists() {
        Ok(false) => Ok(None),
        _ => open(&path, OpenOptions::new().read(true)).map(Some),
    }
}

/// The sealer's two state slots, made empty at the first start.
pub fn slots(state: &Path) -> Result<[OwnedFd; 2], String> {
    let slot = |name| slot(state, name, true);
    let [first, second] = sealer::state::SLOTS;
    let slots = [slot(first)?, slot(second)?];
    // A slot whose name is lost with the power would be a sealer that has forgotten what it signed.
    let seal = state.join(SEAL);
    let synced = fs::File::open(&seal).and_then(|directory| directory.sync_all());
    synced.map_err(|error| format!("making the names in {} durable: {error}", seal.display()))?;
    Ok(slots)
}

/// Looks whether those that are there could be opened.
pub fn inspect_slots(state: &Path) -> Result<(), String> {
    let there = |name: &&str| state.join(SEAL).join(name).symlink_metadata().is_ok();
    sealer::state::SLOTS.into_iter().filter(there).try_for_each(|name| slot(state, name, false).map(drop))
}

fn slot(state: &Path, name: &str, make: bool) -> Result<OwnedFd, String> {
    open(&state.join(SEAL).join(name), OpenOptions::new().read(true).write(true).create(make))
}

/// A file that heads of the log are appended to, made when it is missing. It is opened once, at the start: whoever puts it
/// away empties it (`copytruncate`), or restarts the service.
///
/// Errors: it is not ours alone to write, or no file.
pub fn anchor(path: &Path, auditors: Option<u32>) -> Result<OwnedFd, String> {
    let opened = match appending(path, true) {
        Ok(file) => fchown(&file, None, auditors).map(|()| file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => anchor_there(path, geteuid().as_raw()),
        Err(error) => Err(error),
    };
    opened.map(OwnedFd::from).map_err(|error| anchor_failed(path, &error))
}

/// Looks whether a parent that is this user could open it or make it, and does neither.
pub fn inspect_anchor(path: &Path, us: u32) -> Result<(), String> {
    let seen = match anchor_there(path, us) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => can_be_made(path),
        seen => seen.map(drop),
    };
    seen.map_err(|error| anchor_failed(path, &error))
}

fn anchor_failed(path: &Path, error: &io::Error) -> String {
    format!("the file of an anchor, {}: {error}", path.display())
}

fn appending(path: &Path, new: bool) -> io::Result<fs::File> {
    // Read as well: whether it ends with a whole line. Without waiting, should it be a pipe.
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    OpenOptions::new().read(true).append(true).create_new(new).mode(0o640).custom_flags(flags).open(path)
}

/// The file of an anchor that is there, of a parent that is this user.
fn anchor_there(path: &Path, us: u32) -> io::Result<fs::File> {
    let file = appending(path, false).map_err(|error| match error.raw_os_error() {
        // It is the number for that with O_NOFOLLOW.
        Some(nix::libc::ELOOP) => io::Error::other("it is a link: name the file itself"),
        _ => error,
    })?;
    let found = file.metadata()?;
    let wrong = match found {
        _ if !found.is_file() => "it is no file".to_owned(),
        _ if found.uid() != us => format!("owned by user {}, must be {us}: chown it", found.uid()),
        _ if found.mode() & 0o022 != 0 => format!("mode {:04o} lets others write: chmod go-w", found.mode() & 0o7777),
        _ => return Ok(file),
    };
    Err(io::Error::other(wrong))
}

/// Whether there is a folder for it, in which we may make files.
fn can_be_made(path: &Path) -> io::Result<()> {
    // From within: it must be a folder.
    let folder = path.parent().unwrap_or(Path::new("/")).join(".");
    let may = faccessat(AT_FDCWD, &folder, AccessFlags::W_OK | AccessFlags::X_OK, AtFlags::AT_EACCESS);
    may.map_err(|errno| io::Error::other(format!("it can't be made: {}", io::Error::from(errno))))
}

fn open(path: &Path, options: &mut OpenOptions) -> Result<OwnedFd, String> {
    let failed = |error: io::Error| format!("opening {}: {error}", path.display());
    // Without waiting, should it be a pipe.
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file = options.mode(0o600).custom_flags(flags).open(path).map_err(failed)?;
    let is_file = file.metadata().map_err(failed)?.is_file();
    if is_file { Ok(file.into()) } else { Err(failed(io::Error::other("it is no file"))) }
}

/// Whether a socket's path has room for this directory.
pub fn has_room(runtime: &Path) -> Result<(), String> {
    let path = runtime.join(CONTROL_SOCKET);
    if path.as_os_str().len() <= LONGEST_SOCKET {
        return Ok(());
    }
    Err(format!(
        "the control socket {} has a longer path than a socket may have ({LONGEST_SOCKET} octets): choose a shorter runtime_directory",
        path.display()
    ))
}

/// Listens for commands. A socket that nobody answers on is left over from an unclean stop and is replaced.
pub fn control_socket(runtime: &Path) -> Result<UnixListener, String> {
    let path = runtime.join(CONTROL_SOCKET);
    let fail = |error: io::Error| format!("the control socket {}: {error}", path.display());
    has_room(runtime)?;
    if UnixStream::connect(&path).is_ok() {
        return Err(format!(
            "the control socket {} is answered: another gatepost uses this runtime_directory",
            path.display()
        ));
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
        _ => {}
    }
    let socket = UnixListener::bind(&path).map_err(fail)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(fail)?;
    socket.set_nonblocking(true).map_err(fail)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_looked_at_as_they_are_opened_and_none_is_made() {
        let state = tempfile::tempdir().unwrap();
        let seal = state.path().join(SEAL);
        fs::create_dir(&seal).unwrap();
        inspect_slots(state.path()).unwrap();
        assert_eq!(fs::read_dir(&seal).unwrap().count(), 0);
        slots(state.path()).unwrap();
        inspect_slots(state.path()).unwrap();
        for name in sealer::state::SLOTS {
            fs::remove_file(seal.join(name)).unwrap();
            fs::create_dir(seal.join(name)).unwrap();
            let (seen, refused) = (inspect_slots(state.path()).unwrap_err(), slots(state.path()).unwrap_err());
            assert!(seen == refused && seen.contains(name), "{seen}\n{refused}");
            fs::remove_dir(seal.join(name)).unwrap();
            slots(state.path()).unwrap();
        }
    }

    #[test]
    fn the_file_of_an_anchor_is_made_once_and_never_shared_with_others() {
        let folder = tempfile::tempdir().unwrap();
        let (at, us) = (|name: &str| folder.path().join(name), geteuid().as_raw());
        let refused = |name: &str, why: &str| {
            // A look says the same, and makes nothing.
            let (seen, error) = (inspect_anchor(&at(name), us).unwrap_err(), anchor(&at(name), None).unwrap_err());
            assert!(error.contains(why) && seen.contains(why), "{error}\n{seen}");
        };
        inspect_anchor(&at("heads"), us).unwrap();
        assert!(!at("heads").exists());
        anchor(&at("heads"), None).unwrap();
        inspect_anchor(&at("heads"), us).unwrap();
        assert!(inspect_anchor(&at("heads"), us + 1).unwrap_err().contains("chown"));
        let mode = fs::metadata(at("heads")).unwrap().mode() & 0o7777;
        assert_eq!(mode & !0o640, 0, "{mode:o}");
        fs::write(at("heads"), "kept\n").unwrap();
        anchor(&at("heads"), None).unwrap();
        assert_eq!(fs::read_to_string(at("heads")).unwrap(), "kept\n");
        std::os::unix::fs::symlink(at("heads"), at("link")).unwrap();
        refused("link", "link");
        fs::set_permissions(at("heads"), Permissions::from_mode(0o660)).unwrap();
        refused("heads", "chmod");
        fs::create_dir(at("folder")).unwrap();
        refused("folder", "");
        refused("none/heads", "No such file");
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        refused("pipe", "no file");
    }
}
