//! The sandbox: one table of what each role may do (`policy`), two enforcers (`linux`, `openbsd`), two stages.
//!
//! `confine` comes before any thread exists: user, root directory, capabilities, files. Then the role makes its threads
//! and warms up. `Confined::seal` closes the rest for all threads: no new process, program, socket or file but what the
//! table names. Only `Sealed` lets a process read what a peer or a stranger says.

mod identity;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "openbsd")]
mod openbsd;
pub mod policy;
#[cfg(target_os = "linux")]
pub mod probe;
#[cfg(not(target_os = "linux"))]
pub mod probe {
    //! The attempts are Linux system calls. On OpenBSD nobody has run them yet, and the command says so.

    pub fn main(role: &str, action: &str) -> std::process::ExitCode {
        eprintln!("gatepost: probe {role} {action}: the probe knows Linux only");
        std::process::ExitCode::FAILURE
    }
}
#[cfg(target_os = "linux")]
pub mod syscalls;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::sys::rights::Rights;
use crate::sys::running::Process;

#[cfg(target_os = "linux")]
use linux as enforcer;
#[cfg(target_os = "openbsd")]
use openbsd as enforcer;

use crate::role::{self, Role};

/// Users and groups for `demo` and tests on a machine where ours don't exist: this, plus the role's place in the process
/// table. Numbers that no distribution gives out (systemd's own begin at 61184, people's end at 60000).
pub const FALLBACK_ID_BASE: u32 = 61170;

/// Where a process is put: what the table can't know because the configuration or the machine decides it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Grounds {
    /// The user and groups to become; none when the parent isn't root and nothing can change.
    pub identity: Option<Identity>,
    /// The directory to be locked into; none when the parent isn't root, or for a role that reads system files.
    pub root: Option<PathBuf>,
    /// The directory a role that keeps files works in: `root` itself, or where it would be without root.
    pub home: Option<PathBuf>,
    /// TCP ports the dialer may connect to.
    pub ports: Vec<u16>,
    /// The dialer may give its end an address: some upstream has a `source_address`.
    pub sources: bool,
    /// The program that a mailer runs.
    pub program: Option<PathBuf>,
    /// Most descriptors open at once: what the role needs, and a reserve.
    pub descriptors: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub user: u32,
    pub group: u32,
    /// Supplementary groups: the vault's one, for the auditors' files.
    pub groups: Vec<u32>,
}

/// What the parent keeps for itself and for every child, because all below it inherit its rules.
#[derive(Clone, Debug, Default)]
pub struct ParentGrounds {
    /// Files and directories to read: the configuration, certificates, secrets, authorities.
    pub read: Vec<PathBuf>,
    /// Directories to write below: state and runtime. They must exist.
    pub write: Vec<PathBuf>,
    /// TCP ports to listen on; 0 stands for any that is free.
    pub bind: Vec<u16>,
    /// TCP ports that the dialer connects to.
    pub connect: Vec<u16>,
}

/// Proof that this process is in its final sandbox. Whatever reads a peer's or a stranger's bytes asks for it.
#[derive(Debug)]
pub struct Sealed {
    missing: Vec<String>,
}

impl Sealed {
    /// For unit tests, which are threads of one process and can't be sandboxed. Tests in `tests/` use real processes.
    #[cfg(any(test, fuzzing))]
    pub fn for_tests() -> Self {
        Self { missing: Vec::new() }
    }

    /// What this kernel can't give, in words for the operator.
    pub fn missing(&self) -> &[String] {
        &self.missing
    }
}

/// The process after stage one.
#[derive(Debug)]
pub struct Confined {
    row: &'static policy::Row,
    /// What its grounds add to its row.
    more: &'static [policy::Calls],
    missing: Vec<String>,
}

/// Stage one, before any thread exists: user, root directory, capabilities, limits, files, ports.
///
/// Errors: the grounds don't fit, or the system can't give what no process may run without. Nothing was served yet: say
/// why and exit.
pub fn confine(role: Role, grounds: &Grounds) -> Result<Confined, String> {
    let row = policy::of(role).ok_or_else(|| format!("the {role} is not confined as a child"))?;
    identity::check(grounds)?;
    let more: &[policy::Calls] = if role == Role::Dialer && grounds.sources { &[policy::Calls::Source] } else { &[] };
    Ok(Confined { row, more, missing: enforcer::confine(row, grounds)? })
}

impl Confined {
    /// Stage two, after threads and warm-up, for all threads: only the calls of the role's row are left.
    pub fn seal(self) -> Result<Sealed, String> {
        enforcer::seal(self.row, self.more)?;
        Ok(Sealed { missing: self.missing })
    }

    /// What happens when the filters are forgotten: for the test that shows that it would be noticed.
    #[cfg(all(debug_assertions, target_os = "linux"))]
    pub(crate) fn leave_open(self) -> Sealed {
        Sealed { missing: self.missing }
    }
}

/// Confines the parent, before it spawns its first child and before it has a thread. It keeps what replacing a child needs:
/// new processes, its own program, users, sockets, its configuration. Gives what this kernel lacks.
pub fn confine_parent(grounds: &ParentGrounds) -> Result<Vec<String>, String> {
    enforcer::confine_parent(grounds)
}

/// What a parent of this user may do once it is confined, as one that runs shows it (`like`).
pub fn parents_rights(user: u32, like: Option<&Process>) -> Rights {
    let like = like.filter(|process| process.user == user);
    Rights::of(user, enforcer::parents_capabilities(user, like), like)
}

/// Confines the process that starts mailers, which the parent's rules would hold as well if it were started behind them: it keeps
/// what making a mailer of another user needs, and can gain no more. It reads the parent's words alone.
pub fn confine_launcher() -> Result<(), String> {
    enforcer::confine_launcher()
}

/// Whether a program that is started here can be what its file's owner or group is. Once it can't, nothing below this process can.
pub fn lets_programs_change() -> bool {
    enforcer::lets_programs_change()
}

/// In the parent, keyholder, vault and sealer a panic ends the process: they keep state that half a step would corrupt, and
/// are replaced. The message is printed first. Edges and couriers lose one task instead.
pub fn abort_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::abort();
    }));
}

/// Whether it is a number of those.
pub fn is_made_up(user: u32) -> bool {
    user.checked_sub(FALLBACK_ID_BASE).is_some_and(|place| role::TABLE.get(place as usize).is_some())
}

/// The user and group of a role where the real ones don't exist.
pub fn fallback_identity(role: Role) -> Identity {
    let place = role::TABLE.iter().position(|row| row.role == role).unwrap_or_default();
    // The table has ten rows.
    let id = FALLBACK_ID_BASE + u32::try_from(place).unwrap_or_default();
    Identity { user: id, group: id, groups: Vec::new() }
}
