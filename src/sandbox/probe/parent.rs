//! The parent's sandbox, tried from inside: it must still do its work, children included, and nothing of the deny-list.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::targets::Targets;
use crate::role::{self, Role};
use crate::sandbox::{ParentGrounds, confine_parent};

/// State and runtime directory in one: where the probe keeps its things.
pub fn grounds(targets: &Targets) -> ParentGrounds {
    ParentGrounds { read: Vec::new(), write: vec![std::env::temp_dir()], bind: vec![0], connect: vec![targets.allowed] }
}

/// Enters and tries; the inner result is the attempt's.
pub fn enter(targets: &Targets, attempt: impl FnOnce(&Targets) -> io::Result<()>) -> Result<io::Result<()>, String> {
    let missing = confine_parent(&grounds(targets))?;
    missing.iter().for_each(|missing| eprintln!("missing: {missing}"));
    Ok(attempt(targets))
}

/// A day of the parent: a listening socket, the control socket, and each role's process in its own sandbox below this one.
pub fn work(_: &Targets) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    eprintln!("bound {}", listener.local_addr()?);
    let socket = std::env::temp_dir().join(format!("control-{}.sock", std::process::id()));
    drop(UnixListener::bind(&socket)?);
    fs::remove_file(&socket)?;
    for role in role::TABLE.iter().map(|row| row.role).filter(|role| *role != Role::Parent) {
        let child = Command::new("/proc/self/exe")
            .arg0(format!("gatepost: {role}"))
            .args(["probe", role.name(), "inventory"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .output()?;
        if !child.status.success() {
            let said = String::from_utf8_lossy(&child.stderr);
            return Err(io::Error::other(format!(
                "the {role} did not live below the parent: {}: {said}",
                child.status
            )));
        }
    }
    std::thread::Builder::new().spawn(|| ())?.join().map_err(|_| io::Error::other("a thread panicked"))
}
