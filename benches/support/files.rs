//! Open files: crowds of connections begin in the process of a benchmark, and each has one on either side.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::quick;

/// As many as this process may have, and the services that it starts. Gives the number.
pub fn raise() -> u64 {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    most
}

/// Whether so many may be open at a time, which a quick run doesn't need; else it is said that a part isn't run.
pub fn may_open(files: u64, part: &str) -> bool {
    let most = raise();
    let is_enough = most >= files || quick();
    if !is_enough {
        println!("NOT RUN: {part}: it needs {files} open files, and this process may have {most} (ulimit -n)");
    }
    is_enough
}
