//! `gatepost probe ROLE ACTION`: enters the real sandbox of a role, both stages, and tries something. Hidden: it shows
//! developers and tests what a process that an intruder has could do.
//!
//! Exit codes: 0, the action succeeded; 10, the system refused it (the errno is printed); 20, there was nothing to try it
//! in. Death by SIGSYS: the filter killed it. A debug build takes `ACTION:without-seccomp` and the like, which show that
//! the test could fail and what an older kernel is told of.

mod attempts;
mod harmless;
mod parent;
mod targets;

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::unistd::geteuid;

use super::policy::{self, Files, Network};
use super::{Confined, Grounds, Sealed, confine, fallback_identity};
use crate::role::Role;
pub use attempts::names as actions;
use targets::Targets;

pub const SUCCEEDED: u8 = 0;
pub const REFUSED: u8 = 10;
pub const NOT_SET_UP: u8 = 20;

/// What an edge of the probe may hold: enough for any action.
const DESCRIPTORS: u64 = 256;

/// Tries one action in the sandbox of one role and says how it went on standard error.
pub fn main(role: &str, action: &str) -> ExitCode {
    match set_up(role, action) {
        Ok(outcome) => report(role, action, outcome),
        Err(reason) => {
            eprintln!("probe {role} {action}: not set up: {reason}");
            ExitCode::from(NOT_SET_UP)
        }
    }
}

fn report(role: &str, action: &str, outcome: io::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => {
            eprintln!("probe {role} {action}: succeeded");
            ExitCode::from(SUCCEEDED)
        }
        Err(error) => {
            eprintln!("probe {role} {action}: refused: {error}");
            ExitCode::from(REFUSED)
        }
    }
}

/// Everything up to the attempt; the inner result is the attempt's.
fn set_up(role: &str, action: &str) -> Result<io::Result<()>, String> {
    crate::sys::probe::close_inherited().map_err(|error| format!("can't close inherited descriptors: {error}"))?;
    let role = Role::named(role).ok_or("no such role")?;
    let (action, mode) = action.split_once(':').unwrap_or((action, ""));
    if action == "inventory" {
        return Ok(inventory(&enter(role, &grounds(role, &[])?, mode)?));
    }
    if action == "panic" {
        let _sealed = enter(role, &grounds(role, &[])?, mode)?;
        super::abort_on_panic();
        panic!("asked for");
    }
    let targets = Targets::prepare().map_err(|error| format!("can't prepare targets: {error}"))?;
    if role == Role::Parent {
        before(mode)?;
        let attempt =
            if action == "harmless" { parent::work } else { attempts::named(action).ok_or("no such action")? };
        return parent::enter(&targets, attempt);
    }
    let grounds = grounds(role, &[targets.allowed])?;
    if action == "harmless" {
        return harmless::run(role, targets, || confine(role, &grounds));
    }
    let attempt = attempts::named(action).ok_or("no such action")?;
    let sealed = enter(role, &grounds, mode)?;
    sealed.missing().iter().for_each(|missing| eprintln!("missing: {missing}"));
    Ok(attempt(&targets))
}

fn enter(role: Role, grounds: &Grounds, mode: &str) -> Result<Sealed, String> {
    before(mode)?;
    let confined = confine(role, grounds)?;
    seal(confined, mode)
}

/// Older kernels, played by a filter that refuses what they lack.
#[cfg(debug_assertions)]
fn before(mode: &str) -> Result<(), String> {
    match mode {
        "" | "without-seccomp" => Ok(()),
        "on-kernel-without-landlock" => super::linux::pretend_without(&[libc::SYS_landlock_create_ruleset]),
        "on-kernel-without-seccomp" => super::linux::pretend_without(&[libc::SYS_seccomp]),
        _ => Err(format!("no such mode: {mode}")),
    }
}

#[cfg(not(debug_assertions))]
fn before(mode: &str) -> Result<(), String> {
    if mode.is_empty() { Ok(()) } else { Err("modes are for debug builds".into()) }
}

#[cfg(debug_assertions)]
fn seal(confined: Confined, mode: &str) -> Result<Sealed, String> {
    if mode == "without-seccomp" { Ok(confined.leave_open()) } else { confined.seal() }
}

#[cfg(not(debug_assertions))]
fn seal(confined: Confined, _: &str) -> Result<Sealed, String> {
    confined.seal()
}

/// What the parent would give: users that may not exist, an empty root directory, for the vault its home. The directory is
/// made below TMPDIR and left there, because who is locked in can't remove it.
fn grounds(role: Role, ports: &[u16]) -> Result<Grounds, String> {
    let row = policy::of(role).ok_or("the parent has no such sandbox")?;
    let root = geteuid().is_root();
    let mut grounds = Grounds { descriptors: DESCRIPTORS, ..Grounds::default() };
    if row.network == Network::Connect {
        grounds.ports = ports.to_vec();
    }
    grounds.identity = root.then(|| fallback_identity(role));
    let owner = grounds.identity.as_ref().map(|identity| identity.user);
    let place = match row.files {
        Files::Read(_) | Files::Run => return Ok(grounds),
        Files::Nothing => make(0o555),
        // A confined parent can't give directories away, so a test has made the home before.
        Files::Keep(_) if targets::told("HOME").is_some() => {
            grounds.home = targets::told("HOME").map(PathBuf::from);
            Ok(grounds.home.clone().unwrap_or_default())
        }
        Files::Keep(directories) => make(0o755).and_then(|home| {
            for directory in directories {
                let directory = home.join(directory);
                fs::DirBuilder::new().mode(0o750).create(&directory)?;
                chown(&directory, owner, owner)?;
            }
            grounds.home = Some(home.clone());
            Ok(home)
        }),
    };
    let place = place.map_err(|error| format!("can't make a directory: {error}"))?;
    grounds.root = root.then_some(place);
    Ok(grounds)
}

fn make(mode: u32) -> io::Result<PathBuf> {
    let path = std::env::temp_dir().join(format!("gatepost-probe-{}", std::process::id()));
    fs::create_dir(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    Ok(path)
}

/// Says what it holds, then waits until standard input closes, so that it can be looked at from outside.
fn inventory(_: &Sealed) -> io::Result<()> {
    let below = i32::try_from(DESCRIPTORS).unwrap_or(i32::MAX);
    println!("descriptors {:?}", crate::sys::probe::open_descriptors(below));
    println!("environment {:?}", std::env::vars_os().map(|(name, _)| name).collect::<Vec<_>>());
    println!("directory {:?}", std::env::current_dir().unwrap_or_else(|_| Path::new("?").into()));
    io::copy(&mut io::stdin().lock(), &mut io::sink()).map(drop)
}
