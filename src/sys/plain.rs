//! Files of the service in folders where another user may write: no link is followed, no pipe waited for, and no more read than such a
//! file has.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
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
}
