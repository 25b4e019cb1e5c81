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

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, chown};

    use super::*;
    use crate::config::Config;
    use crate::sandbox::parents_rights;

    #[test]
    fn a_file_that_opens_for_who_looks_and_not_for_the_service_is_told() {
        if !geteuid().is_root() {
            eprintln!("not tried: who isn't root has no more rights than the service");
            return;
        }
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
        let (seal, key) = (at("seal"), at("key.pem"));
        fs::create_dir(&seal).unwrap();
        fs::set_permissions(&seal, Permissions::from_mode(0o755)).unwrap();
        let files = [at("chain.pem"), key.clone(), seal.join("log.key"), seal.join("head.1")];
        files.iter().for_each(|path| fs::write(path, "").unwrap());
        let text = format!(
            "version = 1\nhostname = \"gate.example.net\"\nstate_directory = {:?}\n[tls]\ncertificate = {:?}\nkey = {key:?}\n\
             [[listener]]\nname = \"local\"\naddress = [\"127.0.0.1:2587\"]\nprotocol = \"smtp\"\ntls = \"starttls\"\n",
            home.path(),
            at("chain.pem")
        );
        let plan = Config::foresee(Path::new("gatepost.toml"), &text).unwrap();
        let (owner, other) = (47_110, 47_112);
        for path in &files {
            let told = |user| {
                let lines = look(&plan, &parents_rights(user, None));
                assert!(lines.iter().all(|line| line.contains(&path.display().to_string())), "{lines:?}");
                !lines.is_empty()
            };
            let give = |to: u32, mode| {
                for each in &files {
                    let (to, mode) = if each == path { (to, mode) } else { (0, 0o666) };
                    chown(each, Some(to), None).unwrap();
                    fs::set_permissions(each, Permissions::from_mode(mode)).unwrap();
                }
            };
            // Slots are opened while a parent that is root has all of root's rights.
            let is_slot = path.ends_with("head.1");
            for (to, mode, expected) in [
                (0, 0o600, [false, true, true]),
                (owner, 0o600, [!is_slot, false, true]),
                (0, 0o000, [!is_slot, true, true]),
                (other, 0o666, [false, false, false]),
            ] {
                give(to, mode);
                assert_eq!([0, owner, other].map(&told), expected, "{path:?} {to} {mode:o}");
            }
        }
    }
}
