//! Files and folders of the service in folders where another user may write: no link is followed, no pipe waited for, and no more read
//! than such a file has.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Opens it for reading.
///
/// Errors: it can't be opened, or is no file.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no file")) }
}

/// What stands in it, of `most` octets at most.
///
/// Errors: as `open`; it is longer, or no text.
pub fn text(path: &Path, most: u64) -> io::Result<String> {
    let mut text = String::new();
    open(path)?.take(most.saturating_add(1)).read_to_string(&mut text)?;
    match u64::try_from(text.len()).is_ok_and(|length| length <= most) {
        true => Ok(text),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is longer than {most} octets"))),
    }
}

/// Makes a folder that has this mode whatever the umask: what somebody puts in its place meanwhile gets no mode by it.
///
/// Errors: it is there, or can't be made.
pub fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().mode(mode).create(path)?;
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_DIRECTORY;
    let folder = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    folder.set_permissions(Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_no_short_file_of_its_own_name_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("whole"), "seven..").unwrap();
        assert_eq!((text(&at("whole"), 7).unwrap().as_str(), text(&at("whole"), 6).is_err()), ("seven..", true));
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        symlink(at("whole"), at("link")).unwrap();
        symlink("/dev/zero", at("device")).unwrap();
        for name in ["pipe", "link", "device", "none"] {
            assert!(open(&at(name)).is_err() && text(&at(name), 7).is_err(), "{name}");
        }
        assert!(text(Path::new("/dev/zero"), 7).is_err() && open(folder.path()).is_err());
    }

    #[test]
    fn a_folder_is_made_with_its_mode_and_none_that_is_there_gets_another() {
        use std::os::unix::fs::MetadataExt;

        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("new");
        make_folder(&new, 0o777).unwrap();
        let mode = || std::fs::metadata(&new).unwrap().mode() & 0o7777;
        assert_eq!(mode(), 0o777);
        assert_eq!(make_folder(&new, 0o755).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        symlink(&new, folder.path().join("link")).unwrap();
        assert!(make_folder(&folder.path().join("link"), 0o755).is_err());
        assert_eq!(mode(), 0o777);
    }
}
