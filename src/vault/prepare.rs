//! The vault's directories, before there is a vault: made by the parent, and refused when they are not what they must be.

mod header;

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::path::Path;

use super::audit::month_file::CURRENT;
use super::beginning;
use crate::sandbox::Identity;

/// Mail and hashes: nobody but the vault.
const DB: u32 = 0o700;
/// The auditors' files: their group may read and list; what is made in it belongs to the group.
const AUDIT: u32 = 0o2750;

/// Makes `db/` and `audit/` in the vault's directory unless they are there.
///
/// Errors: one line: what is wrong, why it matters, what to do. Nothing that exists is changed.
pub fn prepare(state_directory: &Path, identity: Option<&Identity>, audit_group: Option<u32>) -> Result<(), String> {
    if !state_directory.is_dir() {
        let path = state_directory.display();
        return Err(format!("{path}: is not a directory: make it, or correct state_directory"));
    }
    let owner = identity.map(|identity| identity.user);
    let db = identity.map(|identity| identity.group);
    directory(&state_directory.join("db"), DB, owner, db)?;
    directory(&state_directory.join("audit"), AUDIT, owner, audit_group.or(db))
}

/// One thing that isn't as it must be, in a line.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    pub text: String,
    /// With it the vault doesn't start; without, too many may look at what is there.
    pub stops: bool,
}

/// Looks at what is there, as the vault of that user needs it, and changes nothing: also at the databases, which a start leaves to
/// the vault, as far as their headers tell.
///
/// Errors: what may not be looked at.
pub fn look(state_directory: &Path, vault: (u32, Option<u32>), audit_group: Option<u32>) -> io::Result<Vec<Fault>> {
    /// What files of the vault alone have, and those of auditors.
    const FILES: [(&str, u32, u32); 2] = [("db", DB, 0o600), ("audit", AUDIT, 0o640)];
    let (user, group) = vault;
    let mut faults = Vec::new();
    for (name, mode, of_files) in FILES {
        let path = state_directory.join(name);
        let group = if mode == AUDIT { audit_group.or(group) } else { group };
        match fs::symlink_metadata(&path) {
            Ok(found) => {
                if let Err(text) = inspect(&path, &found, mode, Some(user), group) {
                    faults.push(Fault { text, stops: true });
                }
                if !found.is_dir() {
                    continue;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        }
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            let file_name = entry.file_name();
            let file_name = file_name.to_string_lossy();
            if file_name.contains(".db") {
                match entry.metadata() {
                    // A copy that somebody put beside them is in no start's way.
                    Ok(found) => {
                        let owner = is_opened(name, &file_name).then_some(user);
                        let fault = match owner.filter(|_| !found.is_file()) {
                            Some(_) => Some(no_file(&entry.path(), &found, is_first(&file_name))),
                            None => file(&entry.path(), &found, of_files, owner),
                        };
                        faults.extend(fault);
                    }
                    // A journal comes and goes.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    let database = state_directory.join("db").join("vault.db");
    // What is in its place is no database, and told already.
    let is_lost = fs::symlink_metadata(&database).map_or(true, |found| found.is_file());
    let lost = is_lost.then(|| beginning::check(state_directory).err()).flatten();
    let lost = lost.map(|why| format!("{}: {why}", database.display()));
    let current = state_directory.join("audit").join(CURRENT);
    let stopping = [lost, header::of_the_vault(&database), header::of_the_auditors(&current)];
    faults.extend(stopping.into_iter().flatten().map(|text| Fault { text, stops: true }));
    Ok(faults)
}

/// Whether a start opens what has that name, or SQLite does beside it; a closed month is in no start's way.
fn is_first(name: &str) -> bool {
    let beside = ["-wal", "-journal", "-shm"].iter().find_map(|end| name.strip_suffix(end));
    ["vault.db", CURRENT].contains(&beside.unwrap_or(name))
}

/// What stands in the place of a file of the vault's. Its mode is the least of it.
fn no_file(path: &Path, found: &fs::Metadata, stops: bool) -> Fault {
    let kind = found.file_type();
    let what = match () {
        () if kind.is_dir() => "a directory",
        () if kind.is_symlink() => "a link",
        () if kind.is_fifo() => "a pipe",
        () => "no regular file",
    };
    let text = format!(
        "{}: is {what}, and must be a file: move it away once you know why, and put the file back that was there",
        path.display()
    );
    Fault { text, stops }
}

/// Whether the vault opens a file of that name in `db/` or `audit/`, or SQLite does beside one of those.
fn is_opened(directory: &str, name: &str) -> bool {
    let beside = ["-wal", "-journal", "-shm"].iter().find_map(|end| name.strip_suffix(end));
    let Some(stem) = beside.unwrap_or(name).strip_suffix(".db") else { return false };
    if directory == "db" { stem == "vault" || stem.starts_with("personal-") } else { stem.starts_with("audit") }
}

/// `owner`: who must be able to open it, if anybody must.
fn file(path: &Path, found: &fs::Metadata, mode: u32, owner: Option<u32>) -> Option<Fault> {
    let (name, uid, excess) = (path.display(), found.uid(), found.mode() & 0o777 & !mode);
    if let Some(owner) = owner.filter(|owner| uid != *owner) {
        let text =
            format!("{name}: belongs to user {uid}, and the vault is user {owner}: chown it to that once you know why");
        return Some(Fault { text, stops: true });
    }
    let own = found.mode() & 0o600;
    if owner.is_some() && own != 0o600 {
        let text = format!("{name}: mode {:o} keeps its owner out: chmod it to {mode:o}", found.mode() & 0o7777);
        return Some(Fault { text, stops: true });
    }
    let text = || {
        let is = found.mode() & 0o7777;
        format!("{name}: mode {is:o} lets others in: chmod it to {mode:o} once you know who has been there")
    };
    (excess != 0).then(|| Fault { text: text(), stops: false })
}

fn directory(path: &Path, mode: u32, owner: Option<u32>, group: Option<u32>) -> Result<(), String> {
    let failed = |what: &str, error: io::Error| format!("{}: {what}: {error}", path.display());
    match fs::symlink_metadata(path) {
        Ok(found) => return inspect(path, &found, mode, owner, group),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("can't be looked at", error)),
    }
    DirBuilder::new().mode(0o700).create(path).map_err(|error| failed("can't be made", error))?;
    if owner.is_some() || group.is_some() {
        lchown(path, owner, group).map_err(|error| failed("can't be given to the vault's user", error))?;
    }
    // After the owner: giving a file away drops its set-group-id bit. And whatever the umask is.
    let set = fs::set_permissions(path, Permissions::from_mode(mode));
    set.map_err(|error| failed("can't be given its mode", error))?;
    // What will be kept in it is synced; so must its own name be.
    let synced = path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all());
    synced.map_err(|error| failed("its name can't be made durable", error))
}

fn inspect(path: &Path, found: &fs::Metadata, mode: u32, owner: Option<u32>, group: Option<u32>) -> Result<(), String> {
    let name = path.display();
    if !found.is_dir() {
        return Err(format!("{name}: is not a directory (a link is none either): move it away"));
    }
    let owner = owner.unwrap_or_else(|| nix::unistd::geteuid().as_raw());
    if found.uid() != owner {
        let uid = found.uid();
        return Err(format!(
            "{name}: belongs to user {uid}, and only the vault may write there: chown it to user {owner} once you know why"
        ));
    }
    if let Some(group) = group.filter(|group| mode & 0o070 != 0 && found.gid() != *group) {
        let gid = found.gid();
        return Err(format!("{name}: belongs to group {gid}, but the auditors are group {group}: chgrp it"));
    }
    let excess = found.mode() & 0o777 & !mode;
    if excess != 0 {
        return Err(format!(
            "{name}: mode {:o} lets others in: chmod it to {mode:o} once you know who has been there",
            found.mode() & 0o7777
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::store::open;

    #[test]
    fn a_copy_beside_the_databases_stops_nothing_and_is_told_when_it_is_open() {
        let home = tempfile::tempdir().unwrap();
        prepare(home.path(), None, None).unwrap();
        let put = |name: &str, mode| {
            let path = home.path().join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        };
        let us = nix::unistd::geteuid().as_raw();
        let faults = || look(home.path(), (us, None), None).unwrap();
        let copies =
            ["db/vault.db.bak", "db/vault.db-wal.old", "db/zz.db", "db/vault.dbx", "audit/x.db", "audit/audit.db~"];
        for copy in copies {
            // Its owner may not read it, and no vault wants to.
            put(copy, 0o200);
            assert_eq!(faults(), [], "{copy}");
            put(copy, 0o604);
            let found = faults();
            assert!(matches!(found.as_slice(), [fault] if !fault.stops && fault.text.contains(copy)), "{found:?}");
            fs::remove_file(home.path().join(copy)).unwrap();
        }
        for opened in [
            "db/vault.db",
            "db/vault.db-wal",
            "db/personal-2026-11.db",
            "audit/audit.db",
            "audit/audit-2026-10.db-journal",
        ] {
            put(opened, 0o200);
            let found = faults();
            assert!(matches!(found.as_slice(), [fault] if fault.stops && fault.text.contains(opened)), "{found:?}");
            fs::remove_file(home.path().join(opened)).unwrap();
        }
    }

    #[test]
    fn a_database_of_a_newer_program_is_told_before_it_is_opened() {
        let home = tempfile::tempdir().unwrap();
        prepare(home.path(), None, None).unwrap();
        let path = home.path().join("db/vault.db");
        drop(open::Database::open(home.path()).unwrap());
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let us = nix::unistd::geteuid().as_raw();
        let faults = || look(home.path(), (us, None), None).unwrap();
        assert_eq!(faults(), []);
        let mut octets = fs::read(&path).unwrap();
        octets[60..64].copy_from_slice(&u32::MAX.to_be_bytes());
        fs::write(&path, &octets).unwrap();
        let told = faults().pop().unwrap();
        assert!(told.stops && told.text.contains("was written by a newer Gatepost"), "{}", told.text);
        assert_eq!(told.text, open::Database::open(home.path()).unwrap_err(), "a start says the same");
        fs::write(&path, &octets[..50]).unwrap();
        let told = faults().pop().unwrap();
        assert!(told.stops && told.text.contains("shorter than a header"), "{}", told.text);
        assert_eq!(told.text, open::Database::open(home.path()).unwrap_err());
    }

    #[test]
    fn directories_are_made_once_and_a_wrong_mode_or_owner_is_refused() {
        let home = tempfile::tempdir().unwrap();
        prepare(home.path(), None, None).unwrap();
        prepare(home.path(), None, None).unwrap();
        let mode = |name: &str| fs::metadata(home.path().join(name)).unwrap().mode() & 0o7777;
        assert_eq!((mode("db"), mode("audit")), (DB, AUDIT));

        let db = home.path().join("db");
        fs::set_permissions(&db, Permissions::from_mode(0o750)).unwrap();
        assert!(prepare(home.path(), None, None).unwrap_err().contains("mode 750"));
        fs::set_permissions(&db, Permissions::from_mode(0o700)).unwrap();
        let other = Identity { user: 12_345, group: 12_345, groups: vec![] };
        assert!(prepare(home.path(), Some(&other), None).unwrap_err().contains("belongs to user"));
        fs::remove_dir(&db).unwrap();
        std::os::unix::fs::symlink("/tmp", &db).unwrap();
        assert!(prepare(home.path(), None, None).unwrap_err().contains("link"));
        assert!(prepare(&home.path().join("none"), None, None).is_err());
    }
}
