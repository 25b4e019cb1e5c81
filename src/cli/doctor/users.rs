//! The system users that the processes become.

use std::collections::BTreeMap;

use nix::unistd::{Group, User};

use super::Look;
use super::finding::Sheet;
use super::permissions::user;
use crate::parent;
use crate::role::AUDIT_GROUP;

const MAKE: &str = "systemd-sysusers with systemd/gatepost.sysusers of the source, or useradd --system for each";

pub fn look(look: &Look<'_>, sheet: &mut Sheet) {
    let not_needed = match (user(look), look.doctor.fallback_ids) {
        (Some(0), false) => None,
        (Some(0), true) => Some("made-up user ids stand in for them"),
        (None, _) => Some("whether they are needed goes by the user of the service, which can't be known"),
        (Some(_), _) => {
            Some("without root all processes are one user: the system call filters hold, the users don't part them")
        }
    };
    if let Some(why) = not_needed {
        for id in ["users.exist", "users.separate", "users.auditors"] {
            sheet.skip(id, "the system users", why);
        }
        return;
    }
    let names: Vec<&str> = parent::needed(look.plan).into_iter().collect();
    let found = names.iter().filter_map(|name| Some((*name, User::from_name(name).ok()??.uid.as_raw()))).collect();
    judge(&names, &found, sheet);
    match Group::from_name(AUDIT_GROUP) {
        Ok(Some(_)) => sheet.pass("users.auditors", format!("the group {AUDIT_GROUP} exists")),
        _ => sheet.warn(
            "users.auditors",
            format!("there is no group {AUDIT_GROUP}"),
            "nobody but root and the vault can read the audit log",
            format!("groupadd --system {AUDIT_GROUP}, then give it the audit directory and its files (chgrp -R)"),
        ),
    }
}

fn judge(names: &[&str], found: &BTreeMap<&str, u32>, sheet: &mut Sheet) {
    let missing: Vec<&str> = names.iter().copied().filter(|name| !found.contains_key(name)).collect();
    match missing.is_empty() {
        true => sheet.pass("users.exist", format!("{} users of the processes exist", found.len())),
        false => sheet.fail(
            "users.exist",
            format!("these users don't exist: {}", missing.join(", ")),
            "as root the service does not start without them",
            MAKE,
        ),
    }
    let mut by_number: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    found.iter().for_each(|(name, number)| by_number.entry(*number).or_default().push(name));
    for (number, names) in by_number.iter().filter(|(number, names)| **number == 0 || names.len() > 1) {
        sheet.fail(
            "users.separate",
            format!("{} is user {number}", names.join(" and ")),
            "a process that was taken over has what the other one of its user has",
            "give each a number of its own, which is not 0",
        );
    }
    if !found.is_empty() {
        sheet.pass_unless_told("users.separate", "each has a number of its own, and none is root");
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn users_that_are_missing_shared_or_root_are_told() {
        let levels = |found: &[(&'static str, u32)]| {
            let mut sheet = Sheet::default();
            judge(&["_a", "_b"], &found.iter().copied().collect(), &mut sheet);
            sheet.0.iter().map(|finding| (finding.id, finding.level)).collect::<Vec<_>>()
        };
        let (exist, separate) = ("users.exist", "users.separate");
        assert_eq!(levels(&[("_a", 7), ("_b", 8)]), [(exist, Level::Pass), (separate, Level::Pass)]);
        assert_eq!(levels(&[("_a", 7)]), [(exist, Level::Fail), (separate, Level::Pass)]);
        assert_eq!(levels(&[("_a", 7), ("_b", 7)]), [(exist, Level::Pass), (separate, Level::Fail)]);
        assert_eq!(levels(&[("_a", 0), ("_b", 8)]), [(exist, Level::Pass), (separate, Level::Fail)]);
    }
}
