//! Room on the disk that a file takes before anything is written to it.

use std::fs::File;
use std::io;

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
