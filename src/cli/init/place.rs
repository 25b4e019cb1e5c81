//! The files that `gatepost init` writes: never over one that is there, and readable by those who need them alone.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::unistd::{Group, geteuid};

use crate::role::AUDIT_GROUP;
use crate::secret::Secret;

/// The configuration that comes with Gatepost, which sends nothing.
const SHIPPED: &str = include_str!("../../../etc/gatepost.toml");

/// Insists that nothing is there.
///
/// Errors: what is, and how to go on.
pub fn demand_free(path: &Path) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("{}: {error}", path.display())),
        Ok(_) => {
            let is_shipped = fs::read_to_string(path).is_ok_and(|text| text == SHIPPED);
            let way = match is_shipped {
                true => "it is the one that comes with Gatepost, unchanged: move it away, or edit it",
                false => "edit it, or name another file by --config",
            };
            Err(format!("{} is there already, and nothing is written over: {way}", path.display()))
        }
    }
}

/// Writes the configuration, and beside it the secret that was typed. Gives what was written.
///
/// Errors: what can't be; then nothing of it stays.
pub fn write(path: &Path, text: &str, typed: Option<(&Path, &Secret<String>)>) -> Result<Vec<PathBuf>, String> {
    if let Some(folder) = path.parent() {
        make(folder).map_err(|error| format!("{}: it can't be made: {error}", folder.display()))?;
    }
    let mut written: Vec<PathBuf> = Vec::new();
    let mut all = || -> Result<(), String> {
        if let Some((secret, content)) = typed {
            let line = Secret::new(format!("{}\n", content.expose()));
            create(secret, line.expose(), None).map_err(|error| format!("{}: {error}", secret.display()))?;
            written.push(secret.to_owned());
        }
        // It names files of secrets and holds none. Auditors read it to find the log.
        let auditors = if geteuid().is_root() { Group::from_name(AUDIT_GROUP).ok().flatten() } else { None };
        let group = auditors.map(|group| group.gid.as_raw());
        create(path, text, group).map_err(|error| format!("{}: {error}", path.display()))?;
        written.push(path.to_owned());
        Ok(())
    };
    let done = all();
    done.map(|()| written.clone()).inspect_err(|_| written.iter().for_each(|path| drop(fs::remove_file(path))))
}

/// A directory that others can pass through whatever the umask: auditors read the configuration to find the log, and what is
/// secret in it is shut by itself. One that is there stays as it is.
fn make(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        make(above)?;
    }
    fs::create_dir(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o755))
}

/// A new file with this content, for its owner alone, or also for a group to read.
fn create(path: &Path, content: &str, group: Option<u32>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let done = fill(&mut file, content, group);
    if done.is_err() {
        let _ = fs::remove_file(path);
    }
    done?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn fill(file: &mut File, content: &str, group: Option<u32>) -> io::Result<()> {
    file.write_all(content.as_bytes())?;
    if let Some(group) = group {
        fchown(&*file, None, Some(group))?;
        file.set_permissions(Permissions::from_mode(0o640))?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_over_and_what_was_begun_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let (path, secret) = (folder.path().join("deep/gatepost.toml"), folder.path().join("deep/secret"));
        let typed = Secret::new("swordfish".to_owned());
        assert!(demand_free(&path).is_ok());
        assert_eq!(write(&path, "text", Some((&secret, &typed))).unwrap(), [secret.clone(), path.clone()]);
        assert_eq!(fs::read_to_string(&secret).unwrap(), "swordfish\n");
        assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
        assert!([0o600, 0o640].contains(&(fs::metadata(&path).unwrap().permissions().mode() & 0o777)));
        assert!(demand_free(&path).unwrap_err().contains("is there already"));
        // The configuration is there, so the secret that was written for it goes.
        let other = folder.path().join("deep/other");
        assert!(write(&path, "more", Some((&other, &typed))).is_err() && !other.exists());
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
        fs::write(&other, SHIPPED).unwrap();
        assert!(demand_free(&other).unwrap_err().contains("move it away"));
        // A link that leads nowhere is there, too.
        std::os::unix::fs::symlink("/nowhere", folder.path().join("link")).unwrap();
        assert!(demand_free(&folder.path().join("link")).is_err());
    }
}
