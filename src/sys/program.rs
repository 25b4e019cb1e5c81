//! Our own program file, to be executed again for each role.

use std::io;
use std::path::PathBuf;

/// The path that starts this very program again, also when its file was replaced meanwhile.
#[cfg(target_os = "linux")]
pub fn itself() -> io::Result<PathBuf> {
    Ok(PathBuf::from("/proc/self/exe"))
}

/// OpenBSD keeps no such path: it is what we were started with, which must then be absolute.
#[cfg(not(target_os = "linux"))]
pub fn itself() -> io::Result<PathBuf> {
    let path = PathBuf::from(std::env::args_os().next().unwrap_or_default());
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(io::Error::other(format!("started as {}: start it by its absolute path", path.display())))
    }
}
