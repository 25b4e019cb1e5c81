//! Linux: the order of steps. Capabilities, landlock and no_new_privs are kept per thread by the kernel, so all of stage
//! one happens while there is one; the filters of stage two reach every thread at once.

mod landlock;
mod seccomp;

#[cfg(debug_assertions)]
pub use seccomp::pretend_without;

use std::fs;

use nix::sys::prctl;

use super::policy::{self, Calls, Files, LAUNCHER_KEEPS, Row};
use super::{Grounds, ParentGrounds, identity};
use crate::sys::capability::{self, Sets};
use crate::sys::running::Process;

/// What a root parent keeps: low ports, and making, locking in and ending children. SETPCAP so that they can give up the rest.
const PARENT_KEEPS: u64 = 1 << capability::NET_BIND_SERVICE
    | 1 << capability::SETUID
    | 1 << capability::SETGID
    | 1 << capability::SYS_CHROOT
    | 1 << capability::KILL
    | 1 << capability::SETPCAP;
const _: () = assert!(
    LAUNCHER_KEEPS
        == 1 << capability::SETUID | 1 << capability::SETGID | 1 << capability::KILL | 1 << capability::SETPCAP
);

/// Stage one. Gives what is missing.
pub fn confine(row: &Row, grounds: &Grounds) -> Result<Vec<String>, String> {
    seccomp::available()?;
    one_thread()?;
    identity::set_umask(row);
    if row.files == Files::Run {
        return confine_mailer(row, grounds);
    }
    // Before the root directory and the user change, which take the paths and the right to look at them away.
    let rules = landlock::Rules::of(row, grounds)?;
    if grounds.identity.is_some() {
        capability::bound(0).map_err(|error| format!("can't give up capabilities: {error}"))?;
    }
    identity::enter(grounds)?;
    if let Some(user) = &grounds.identity {
        identity::become_user(user)?;
    }
    capability::limit(0).map_err(|error| format!("can't give up capabilities: {error}"))?;
    holds_nothing(grounds.identity.is_some())?;
    identity::limit(row, grounds)?;
    lock()?;
    let missing = rules.enforce()?.missing(row, grounds);
    Ok(missing)
}

/// A process that runs a program. The order is that of the others, without what the program would inherit.
fn confine_mailer(row: &Row, grounds: &Grounds) -> Result<Vec<String>, String> {
    if grounds.identity.is_some() {
        // The program inherits it: one that is root's by its file would be a root that may do nothing.
        capability::bound(0).map_err(|error| format!("can't give up capabilities: {error}"))?;
    }
    identity::enter(grounds)?;
    if let Some(user) = &grounds.identity {
        identity::become_user(user)?;
    }
    capability::limit(0).map_err(|error| format!("can't give up capabilities: {error}"))?;
    holds_nothing(grounds.identity.is_some())?;
    identity::limit(row, grounds)?;
    unreadable()?;
    Ok(vec![policy::WEAKEST.to_owned()])
}

/// Stage two: both filters, all threads.
pub fn seal(row: &Row, more: &[Calls]) -> Result<(), String> {
    if row.files == Files::Run { Ok(()) } else { seccomp::close(row, more) }
}

pub fn confine_launcher() -> Result<(), String> {
    one_thread()?;
    let held = capability::read().map_err(|error| format!("can't read capabilities: {error}"))?;
    if held.effective & 1 << capability::SETPCAP != 0 {
        capability::bound(LAUNCHER_KEEPS).map_err(|error| format!("can't give up capabilities: {error}"))?;
    }
    capability::limit(LAUNCHER_KEEPS).map_err(|error| format!("can't give up capabilities: {error}"))?;
    identity::no_cores()?;
    unreadable()
}

pub fn lets_programs_change() -> bool {
    !prctl::get_no_new_privs().unwrap_or(false)
}

pub fn confine_parent(grounds: &ParentGrounds) -> Result<Vec<String>, String> {
    seccomp::available()?;
    one_thread()?;
    let rules = landlock::Rules::of_parent(grounds)?;
    let held = capability::read().map_err(|error| format!("can't read capabilities: {error}"))?;
    if held.effective & 1 << capability::SETPCAP != 0 {
        capability::bound(PARENT_KEEPS).map_err(|error| format!("can't give up capabilities: {error}"))?;
    }
    capability::limit(PARENT_KEEPS).map_err(|error| format!("can't give up capabilities: {error}"))?;
    lock()?;
    let given = rules.enforce()?;
    seccomp::close_parent()?;
    Ok(given.missing_in_parent())
}

/// None where nobody knows: a service manager may let the service of an ordinary user what it lets nobody else.
pub fn parents_capabilities(user: u32, like: Option<&Process>) -> Option<u64> {
    let of_root = (user == 0).then_some(PARENT_KEEPS);
    like.map(|process| process.capabilities & PARENT_KEEPS).or(of_root)
}

/// Landlock and capabilities would leave other threads free.
fn one_thread() -> Result<(), String> {
    let threads = fs::read_dir("/proc/self/task")
        .map_err(|error| format!("can't count threads in /proc/self/task: {error}; /proc must be mounted"))?
        .count();
    if threads == 1 {
        Ok(())
    } else {
        Err(format!("the sandbox must be entered before threads are made; there are {threads}"))
    }
}

/// Nobody may gain rights by running a program, nor read this process's memory. After the change of user, because that
/// makes a process readable again.
fn lock() -> Result<(), String> {
    prctl::set_no_new_privs()
        .map_err(|error| format!("can't set no_new_privs: {error}; this kernel can't hold a sandbox"))?;
    unreadable()?;
    match prctl::get_no_new_privs() {
        Ok(true) => Ok(()),
        _ => Err("no_new_privs did not hold; this kernel can't hold a sandbox".into()),
    }
}

fn unreadable() -> Result<(), String> {
    prctl::set_dumpable(false).map_err(|error| format!("can't make the process unreadable: {error}"))?;
    match prctl::get_dumpable() {
        Ok(false) => Ok(()),
        _ => Err("the dumpable flag did not hold; this kernel can't hold a sandbox".into()),
    }
}

/// All five sets are empty. Without root the bounding set can't be lowered, and no_new_privs makes it mean nothing.
fn holds_nothing(was_root: bool) -> Result<(), String> {
    let sets = capability::read().map_err(|error| format!("can't read capabilities: {error}"))?;
    let bounding = if was_root { sets.bounding } else { 0 };
    if (Sets { bounding, ..sets }) == Sets::default() {
        return Ok(());
    }
    Err(format!("capabilities are left after giving them up: {sets:x?}"))
}
