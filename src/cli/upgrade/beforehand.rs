//! What can be known before the service is stopped: what the next start would refuse of the state, the addresses and the directories.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;

use super::Before;
use crate::cli::control;
use crate::config::plan::Plan;
use crate::parent::{self, Family, foreseen};
use crate::sandbox;

/// Errors: all that the next start would refuse, a line each. Nothing was done.
pub fn demand(plan: &Plan, before: &Before) -> Result<(), String> {
    let pid = before.lender.as_ref().and_then(|lender| i32::try_from(lender.pid).ok());
    let family = pid.and_then(parent::family);
    state_is_its_own(plan, family.as_ref())?;
    let mut faults = foreseen::look(plan, before.user, has_made_up_users(plan, family.as_ref())).refused;
    let rights = sandbox::parents_rights(before.user, family.as_ref().map(|(parent, _)| parent));
    faults.extend(foreseen::files(plan, &rights));
    if before.lender.is_some() {
        let held: Vec<SocketAddr> = before.sockets.iter().map(|(at, _)| *at).collect();
        faults.extend(parent::foresee_addresses(plan, &held, &before.others, &rights));
    }
    match faults.is_empty() {
        true => Ok(()),
        false => Err(format!("{}\nthe next start would be refused so: nothing was done", faults.join("\n"))),
    }
}

/// Whether made-up users stand in for those that are missing: the children of the one that runs show it, and whose the vault's part of
/// the state is. It is started in the same way again.
fn has_made_up_users(plan: &Plan, family: Option<&Family>) -> bool {
    let vaults = fs::metadata(plan.state_directory.join("db")).ok().map(|found| found.uid());
    let children = family.iter().flat_map(|(_, children)| children).map(|child| child.user);
    children.chain(vaults).any(sandbox::is_made_up)
}

/// Another state directory would be an empty gate, or that of another service.
fn state_is_its_own(plan: &Plan, family: Option<&Family>) -> Result<(), String> {
    let holder = control::holder(&plan.state_directory)?;
    let is_strange =
        |holder: i32| family.is_some_and(|(_, children)| !children.iter().any(|child| child.pid == holder));
    let state = plan.state_directory.display();
    match holder {
        Some(holder) if is_strange(holder) => Err(format!(
            "process {holder} of another service has the database in {state}: put state_directory back. Nothing was done"
        )),
        Some(_) => Ok(()),
        None => Err(format!(
            "the running service does not have its database in {state}: state_directory was changed, and nothing that it keeps would be \
             there. Put it back, upgrade, and move the state with the service stopped; or its vault has just fallen: see gatepost status. \
             Nothing was done"
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, least};
    use crate::role::TABLE;
    use crate::sandbox::FALLBACK_ID_BASE;
    use crate::sys::running::Process;

    #[test]
    fn made_up_users_are_known_by_the_children_that_have_them() {
        let home = tempfile::tempdir().unwrap();
        let plan = Config::foresee(Path::new("gatepost.toml"), &least(home.path(), "")).unwrap();
        let child = |user| Process { user, ..Process::default() };
        let told = |users: &[u32]| {
            has_made_up_users(&plan, Some(&(child(0), users.iter().copied().map(child).collect::<Vec<_>>())))
        };
        let end = FALLBACK_ID_BASE + u32::try_from(TABLE.len()).unwrap();
        assert!(!told(&[0, 991, 992, FALLBACK_ID_BASE - 1, end]) && !has_made_up_users(&plan, None));
        assert!(told(&[991, FALLBACK_ID_BASE]) && told(&[991, end - 1]));
    }
}
