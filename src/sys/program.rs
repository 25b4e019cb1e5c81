//! Programs: our own file, to be executed again for each role, and those of the operator.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

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

/// Has a program begin as programs do: what a role of ours leaves to its parent is not left to anybody by it, and it leads a group of
/// its own, so that all of it can be ended.
pub fn as_usual(command: &mut Command) {
    command.process_group(0);
    let begin = || {
        for signal in [libc::SIGINT, libc::SIGHUP, libc::SIGTERM] {
            // SAFETY: the default action runs no code of ours, and signal(2) may be called between fork and exec.
            if unsafe { libc::signal(signal, libc::SIG_DFL) } == libc::SIG_ERR {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec it calls signal(2) alone, which is async-signal-safe, and allocates nothing.
    unsafe { command.pre_exec(begin) };
}
