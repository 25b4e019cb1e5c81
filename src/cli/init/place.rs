//! The files that `gatepost init` writes: never over one that is there, and readable by those who need them alone.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::unistd::{Group, geteuid};

use crate::role::AUDIT_GROUP;
use crate::secret::Secret;
use crate::sys::plain;

/// The configuration that comes with Gatepost, which sends nothing.
const SHIPPED: &str = include_str!("../../../etc/gatepost.toml");

/// What is in the place of the new configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum There {
    Nothing,
    /// The one that comes with Gatepost, as it came: nobody has put anything into it that could be lost.
    Shipped,
}

/// What was made, and what had to give way to it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub files: Vec<PathBuf>,
    /// The name that the configuration that came with Gatepost has now.
    pub aside: Option<PathBuf>,
}

/// Looks at what is there.
///
/// Errors: it is in the way, and how to go on.
pub fn look(path: &Path) -> Result<There, String> {
    let name = path.display();
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(There::Nothing),
        Err(error) => Err(format!("{name}: {error}")),
        // A link is somebody's doing.
        Ok(found) if found.is_file() && fs::read_to_string(path).is_ok_and(|text| is_shipped(&text)) => {
            let aside = aside(path);
            match fs::symlink_metadata(&aside) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(There::Shipped),
                _ => Err(format!(
                    "{name} is the one that comes with Gatepost, and there is no place to keep it: {} is there already, move it away",
                    aside.display()
                )),
            }
        }
        Ok(_) => Err(format!(
            "{name} is there already, and nothing is written over: edit it, or name another file by --config"
        )),
    }
}

/// The OpenBSD port writes the directories that are usual there into it.
fn is_shipped(text: &str) -> bool {
    let ported =
        || SHIPPED.replace("\"/var/lib/gatepost", "\"/var/gatepost").replace("\"/run/gatepost", "\"/var/run/gatepost");
    text == SHIPPED || text == ported()
}

/// Where the one is kept that comes with Gatepost.
fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".before-init");
    name.into()
}

/// Writes the configuration, and beside it the secret that was typed. Gives what was written.
///
/// Errors: what can't be; then nothing of it stays.
pub fn write(
    path: &Path,
    text: &str,
    typed: Option<(&Path, &Secret<String>)>,
    there: There,
) -> Result<Written, String> {
    if let Some(folder) = path.parent() {
        make(folder).map_err(|error| format!("{}: it can't be made: {error}", folder.display()))?;
    }
    let mut written = Written::default();
    let mut all = || -> Result<(), String> {
        if let Some((secret, content)) = typed {
            let line = Secret::new(format!("{}\n", content.expose()));
            create(secret, line.expose(), None).map_err(|error| format!("{}: {error}", secret.display()))?;
            written.files.push(secret.to_owned());
        }
        // It names files of secrets and holds none. Auditors read it to find the log.
        let auditors = if geteuid().is_root() { Group::from_name(AUDIT_GROUP).ok().flatten() } else { None };
        let group = auditors.map(|group| group.gid.as_raw());
        if there == There::Shipped {
            let aside = aside(path);
            // Minutes of questions lie between: somebody may have changed it.
            if look(path)? != There::Shipped {
                return Err(format!("{}: it was changed meanwhile, and is left as it is", path.display()));
            }
            rename_to_free(path, &aside).map_err(|error| format!("{}: {error}", aside.display()))?;
            written.aside = Some(aside);
        }
        create(path, text, group).map_err(|error| format!("{}: {error}", path.display()))?;
        written.files.push(path.to_owned());
        Ok(())
    };
    let done = all();
    if done.is_err() {
        written.files.iter().for_each(|path| drop(fs::remove_file(path)));
        // Nothing better can be done about one that can't come back.
        written.aside.iter().for_each(|aside| drop(rename_to_free(aside, path)));
    }
    done.map(|()| written)
}

/// As a link first: that takes the place of nothing, whoever was faster.
fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    fs::remove_file(from)
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
    plain::make_folder(folder, 0o755)
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
        assert_eq!(look(&path), Ok(There::Nothing));
        let written = write(&path, "text", Some((&secret, &typed)), There::Nothing).unwrap();
        assert_eq!(written, Written { files: vec![secret.clone(), path.clone()], aside: None });
        assert_eq!(fs::read_to_string(&secret).unwrap(), "swordfish\n");
        assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
        assert!([0o600, 0o640].contains(&(fs::metadata(&path).unwrap().permissions().mode() & 0o777)));
        assert!(look(&path).unwrap_err().contains("is there already"));
        // The configuration is there, so the secret that was written for it goes.
        let other = folder.path().join("deep/other");
        assert!(write(&path, "more", Some((&other, &typed)), There::Nothing).is_err() && !other.exists());
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
        // A link that leads nowhere is there, too.
        std::os::unix::fs::symlink("/nowhere", folder.path().join("link")).unwrap();
        assert!(look(&folder.path().join("link")).is_err());
    }

    #[test]
    fn the_file_that_comes_with_gatepost_gives_way_is_kept_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("gatepost.toml"), folder.path().join("link"));
        let typed = Secret::new("swordfish".to_owned());
        let kept = folder.path().join("gatepost.toml.before-init");
        for text in [
            SHIPPED.to_owned(),
            SHIPPED.replace("\"/var/lib/gatepost", "\"/var/gatepost").replace("\"/run/", "\"/var/run/"),
        ] {
            fs::write(&path, &text).unwrap();
            assert_eq!(look(&path), Ok(There::Shipped));
            // The secret has no place: all is as it was.
            let nowhere = Path::new("/nowhere/secret");
            assert!(write(&path, "new", Some((nowhere, &typed)), There::Shipped).is_err());
            assert!(fs::read_to_string(&path).unwrap() == text && !kept.exists());
            let written = write(&path, "new", None, There::Shipped).unwrap();
            assert_eq!((written.aside.as_ref(), fs::read_to_string(&kept).unwrap()), (Some(&kept), text));
            assert_eq!(fs::read_to_string(&path).unwrap(), "new");
            // Another one has no place.
            fs::write(&path, SHIPPED).unwrap();
            assert!(look(&path).unwrap_err().contains("before-init"));
            fs::remove_file(&kept).unwrap();
        }
        fs::write(&path, format!("{SHIPPED}#\n")).unwrap();
        assert!(look(&path).unwrap_err().contains("is there already"), "somebody has edited it");
        fs::write(&path, SHIPPED).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(look(&link).is_err(), "a link is somebody's doing");
    }
}
