//! The vault's directories, before there is a vault: made by the parent, and refused when they are not what they must be.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown};
use std::path::Path;

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
