//! OpenBSD: unveil in stage one, pledge in stage two. chroot, limits and the change of user come first, because no promise
//! allows them. A pledge that is broken ends the process, as a filter does on Linux; there is no landlock for what pledge
//! can't say: which ports the dialer connects to is up to pf and the dialer's own user.

use std::path::Path;

use super::policy::{self, Calls, Files, Network, Row};
use super::{Grounds, ParentGrounds, identity};
use crate::sys::running::Process;

/// Where a mailer makes the files without names that programs read messages from.
const LETTERS: &str = "/tmp";

/// Stage one. Gives what is missing.
pub fn confine(row: &Row, grounds: &Grounds) -> Result<Vec<String>, String> {
    identity::set_umask(row);
    identity::enter(grounds)?;
    if let Some(user) = &grounds.identity {
        identity::become_user(user)?;
    }
    identity::limit(row, grounds)?;
    match row.files {
        Files::Nothing => see(Path::new("/"), "")?,
        Files::Keep(directories) => {
            // Inside its root directory, home is "/".
            let home = if grounds.root.is_some() { Some(Path::new("/")) } else { grounds.home.as_deref() };
            let home = home.ok_or_else(|| format!("the {} was given no home", row.role))?;
            for directory in directories {
                see(&home.join(directory), "rwc")?;
            }
        }
        Files::Read(paths) => {
            for path in paths {
                see(Path::new(path), "r")?;
            }
        }
        // The program starts unveiled and without a promise: a view and promises end with exec.
        Files::Run => {
            let program = grounds.program.as_deref().ok_or_else(|| format!("the {} was given no program", row.role))?;
            see(program, "rx")?;
            see(Path::new("/dev/null"), "rw")?;
            see(Path::new(LETTERS), "rwc")?;
        }
    }
    close_view()?;
    Ok(missing(row, grounds))
}

/// Stage two: all threads at once.
///
/// The dialer's promise `inet` holds what a source address adds.
pub fn seal(row: &Row, _more: &[Calls]) -> Result<(), String> {
    promise(row.promises)
}

/// Root may do all, and others nothing of what is root's.
pub fn parents_capabilities(user: u32, _: Option<&Process>) -> Option<u64> {
    Some(if user == 0 { u64::MAX } else { 0 })
}

pub fn confine_parent(grounds: &ParentGrounds) -> Result<Vec<String>, String> {
    let program = std::env::current_exe().map_err(|error| format!("can't find the program's own path: {error}"))?;
    see(&program, "rx")?;
    // The kernel loads the loader in our name; the libraries are opened by the new program, which starts unveiled.
    see(Path::new("/usr/libexec/ld.so"), "r")?;
    see(Path::new("/dev/null"), "rw")?;
    for path in &grounds.read {
        see(path, "r")?;
    }
    for path in &grounds.write {
        see(path, "rwc")?;
    }
    close_view()?;
    promise(policy::PARENT_PROMISES)?;
    Ok(Vec::new())
}

/// It is of the same program, and makes processes of it that confine themselves. What the kernel has no promise for, it can do.
pub fn confine_launcher() -> Result<(), String> {
    identity::no_cores()?;
    let program = std::env::current_exe().map_err(|error| format!("can't find the program's own path: {error}"))?;
    see(&program, "rx")?;
    see(Path::new("/usr/libexec/ld.so"), "r")?;
    see(Path::new("/dev/null"), "rw")?;
    close_view()?;
    promise(policy::LAUNCHER_PROMISES)
}

/// Promises and views end with exec, so that nothing holds a program back.
pub fn lets_programs_change() -> bool {
    true
}

fn see(path: &Path, permissions: &str) -> Result<(), String> {
    use std::os::unix::ffi::OsStrExt;
    unveil::unveil(path.as_os_str().as_bytes(), permissions)
        .map_err(|error| format!("can't unveil {} for {permissions:?}: {error}", path.display()))
}

/// No path can be added any more.
fn close_view() -> Result<(), String> {
    unveil::unveil("", "").map_err(|error| format!("can't close the view of files: {error}"))
}

fn promise(promises: &str) -> Result<(), String> {
    pledge::pledge(promises, None).map_err(|error| format!("can't pledge {promises:?}: {error}"))
}

fn missing(row: &Row, grounds: &Grounds) -> Vec<String> {
    if row.files == Files::Run {
        return vec![policy::WEAKEST.to_owned()];
    }
    let (Network::Connect, Some(user)) = (row.network, row.role.row().user.filter(|_| grounds.identity.is_some()))
    else {
        return Vec::new();
    };
    let ports: Vec<String> = grounds.ports.iter().chain([&policy::DNS]).map(u16::to_string).collect();
    vec![format!(
        "pledge knows no ports: hold the {} to its own with: block return out quick proto tcp user {user}, after: pass out quick proto tcp to port {{ {} }} user {user}",
        row.role,
        ports.join(" "),
    )]
}
