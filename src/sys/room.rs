//! Room on a disk: what a file takes before anything is written to it, and a file of which nothing is left.

use std::fs::File;
use std::io;
use std::path::Path;

/// Reserves so many octets for an empty file. False where the system or the file system has no such call: then only writing
/// takes room.
#[cfg(target_os = "linux")]
pub fn reserve(file: &File, octets: u64) -> io::Result<bool> {
    use nix::errno::Errno;
    use nix::fcntl::{FallocateFlags, fallocate};
    let length = i64::try_from(octets).map_err(io::Error::other)?;
    match fallocate(file, FallocateFlags::empty(), 0, length) {
        Ok(()) => Ok(true),
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
pub fn reserve(_: &File, _: u64) -> io::Result<bool> {
    Ok(false)
}

/// A new file in a directory that has no name there, open to be written: nothing is left of it, however that ends. Errors: also where
/// the system or the file system has nothing of the kind.
#[cfg(target_os = "linux")]
pub fn nameless(directory: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().write(true).custom_flags(nix::libc::O_TMPFILE).mode(0o600).open(directory)
}

#[cfg(not(target_os = "linux"))]
pub fn nameless(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}
