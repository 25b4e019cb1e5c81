//! What a start would refuse of the state that is there, for who is about to restart the service, or looks at it. The rules are those of
//! a start; nothing is made and nothing changed.

mod files;

use std::fs;
use std::io;
use std::path::Path;

use nix::unistd::geteuid;

use super::beginning;
use super::people::People;
use super::state::{self, SEAL};
use crate::config::plan::Plan;
use crate::role::Role;
use crate::vault::prepare::Fault;
use crate::{sealer, vault};

pub use files::look as files;

/// All in lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Foreseen {
    /// No start goes past these.
    pub refused: Vec<String>,
    /// These let too many look at what is there.
    pub open: Vec<String>,
    /// What we may not look at.
    pub unseen: Vec<String>,
}

/// Looks as a parent that is this user would, whoever we are.
pub fn look(plan: &Plan, user: u32, fallback: bool) -> Foreseen {
    let mut seen = Foreseen::default();
    let home = &plan.state_directory;
    let directories = state::directories(plan);
    for (path, what, mode) in &directories {
        let is_made = |above: &Path| directories.iter().any(|(other, ..)| other == above);
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(above) = path.parent().filter(|above| !is_made(above) && !above.is_dir()) {
                    let (path, above) = (path.display(), above.display());
                    seen.refused
                        .push(format!("{what} {path}: can't be made, for there is no folder {above}: make that"));
                }
            }
            Ok(found) => seen.refused.extend(state::inspect((path, &found), what, *mode, user).err()),
            Err(error) => seen.add(path, "", &error),
        }
    }
    seen.refused.extend(vault::restored::check(home).err());
    let seal = home.join(SEAL);
    if let Err(error) = sealer::key::inspect(&seal, &plan.sealer_slice().origin) {
        seen.add(&seal, "the log key: ", &error);
    }
    if let Err(error) = vault::master::inspect(&plan.master_directory) {
        seen.add(&plan.master_directory, "the master key: ", &error);
    }
    match People::of(user, plan, fallback) {
        Ok(people) => seen.vaults(plan, user, &people),
        Err(why) => seen.refused.push(why),
    }
    seen
}

impl Foreseen {
    /// What is the vault's, whose user is known.
    fn vaults(&mut self, plan: &Plan, user: u32, people: &People) {
        // It looks as the vault's user does where root alone may not.
        if [0, user].contains(&geteuid().as_raw()) {
            self.refused.extend(beginning::check(plan, people).err());
        }
        let vault = people.identity(Role::Vault);
        let owner = (vault.map_or(user, |vault| vault.user), vault.map(|vault| vault.group));
        match vault::prepare::look(&plan.state_directory, owner, people.auditors) {
            Ok(faults) => {
                for Fault { text, stops } in faults {
                    if stops { &mut self.refused } else { &mut self.open }.push(text);
                }
            }
            Err(error) => self.add(&plan.state_directory, "", &error),
        }
    }

    /// What isn't there is made at a start, and what must be there is asked for elsewhere.
    fn add(&mut self, path: &Path, what: &str, error: &io::Error) {
        let line = format!("{}: {what}{error}", path.display());
        match (error.kind(), error.raw_os_error()) {
            (io::ErrorKind::NotFound, Some(_)) => {}
            (io::ErrorKind::PermissionDenied, Some(_)) => self.unseen.push(line),
            _ => self.refused.push(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::unistd::User;

    use super::*;
    use crate::config::{Config, least};
    use crate::role::TABLE;

    fn plan(home: &Path, more: &str) -> Plan {
        Config::foresee(Path::new("gatepost.toml"), &least(home, more)).unwrap()
    }

    #[test]
    fn a_directory_is_made_where_there_is_a_folder_for_it() {
        let home = tempfile::tempdir().unwrap();
        let own = nix::unistd::geteuid().as_raw();
        let refused = |home: &Path| look(&plan(home, ""), own, true).refused;
        let of_state = |line: &String| line.starts_with("state_directory ");
        assert!(!refused(&home.path().join("state")).iter().any(of_state));
        let told = refused(&home.path().join("none/state"));
        assert!(told.iter().any(|line| of_state(line) && line.ends_with("/none: make that")), "{told:?}");
    }

    #[test]
    fn users_that_a_start_wants_and_nobody_made_are_refused_unless_made_up_ones_stand_in() {
        let home = tempfile::tempdir().unwrap();
        let is_user = |line: &String| line.contains("the user");
        let refused =
            |plan: &Plan, user, fallback| look(plan, user, fallback).refused.into_iter().any(|line| is_user(&line));
        let program = |user: &str| {
            let user = if user.is_empty() { String::new() } else { format!("user = \"{user}\"\n") };
            plan(
                home.path(),
                &format!(
                    "[[upstream]]\nname = \"local\"\nkind = \"sendmail\"\ncommand = \"/usr/sbin/sendmail\"\n{user}[[route]]\nto = \"*\"\nvia = [\"local\"]\n"
                ),
            )
        };
        let nobodys = program("_gatepost-nosuch");
        assert!(refused(&nobodys, 0, true) && refused(&nobodys, 0, false), "nothing stands in for one that is named");
        assert!(!refused(&nobodys, 1, false), "without root nobody changes");
        let is_there = |name: &&str| User::from_name(name).unwrap().is_some();
        let mut all = TABLE.iter().filter_map(|row| row.user);
        let own = program("");
        assert!(!refused(&own, 0, true));
        assert_eq!(refused(&own, 0, false), !all.all(|name| is_there(&name)));
    }
}
