//! What the parent opens for its children, looked at with the rights that it has then: at the beginning those of its user, and once it is
//! confined root is held to owners and modes as everybody is, and can't look past them as whoever calls a command may.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::config::plan::{Place, Plan, Program};
use crate::parent::state;
use crate::sys::rights::Rights;

/// Looks as a parent with these rights would. Who can't have them sees nothing.
///
/// What we can't open ourselves is left out: whoever reads these files says so.
pub fn look(plan: &Plan, rights: &Rights) -> Vec<String> {
    let paths: BTreeSet<PathBuf> = plan.sources().filter_map(|source| source.path().ok()?).collect();
    let paths: Vec<PathBuf> = paths.into_iter().filter(|path| open(path).is_ok()).collect();
    let programs: Vec<&Program> = plan.programs().filter(|program| program.look().is_ok()).collect();
    let remedy = match rights.user {
        0 => "once it serves, the service is held to owners and modes, though it is root: chown it to root, or chmod it, and see that root \
              may pass through its folders"
            .to_owned(),
        user => format!("the service is user {user}: let that one read it, and pass through its folders"),
    };
    let closed = |path: &PathBuf| {
        let error = open(path).err()?;
        Some(format!("{}: can't be opened by the service: {error}: {remedy}", path.display()))
    };
    let seen = rights.lend(|| {
        let mut faults: Vec<String> = paths.iter().filter_map(closed).collect();
        faults.extend(programs.iter().filter_map(|program| program.look().err()));
        faults.extend(keys(plan).into_iter().map(|reason| format!("{reason}: {remedy}")));
        faults
    });
    let first = || at_the_beginning(plan, rights.user);
    let begun = if rights.user == geteuid().as_raw() { Ok(first()) } else { rights.lend(first) };
    [begun, seen].into_iter().flatten().flatten().collect()
}

/// What is opened before the parent is confined.
fn at_the_beginning(plan: &Plan, user: u32) -> Vec<String> {
    let anchors = plan.near_anchors().filter_map(|(_, anchor)| match &anchor.place {
        Place::File { path } => state::inspect_anchor(path, user).err(),
        _ => None,
    });
    anchors.chain(state::inspect_slots(&plan.state_directory).err()).collect()
}

/// Nothing that somebody else could keep waiting.
fn open(path: &Path) -> io::Result<fs::File> {
    OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)
}

/// Of keys that are there: the log's, and those of bodies.
fn keys(plan: &Plan) -> Vec<String> {
    let (state, master) = (&plan.state_directory, &plan.master_directory);
    let is_there = |path: PathBuf| path.symlink_metadata().is_ok();
    let mut wrong = Vec::new();
    if is_there(state.join(state::SEAL).join("log.key")) {
        wrong.extend(state::log_key(state).err());
    }
    if is_there(master.join(crate::vault::master::CURRENT)) {
        wrong.extend(state::master_key(master).err());
    }
    wrong.extend(state::next_master_key(master).err());
    wrong
}
