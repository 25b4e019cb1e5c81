//! What can be known before the service is stopped: what the next start would refuse of the state, the addresses and the directories.

use std::net::SocketAddr;

use super::Before;
use crate::cli::control;
use crate::config::plan::Plan;
use crate::parent::{self, foreseen};
use crate::sandbox;
use crate::sys::running::Process;

/// The parent that runs, and its children.
type Family = (Process, Vec<Process>);

/// Errors: all that the next start would refuse, a line each. Nothing was done.
pub fn demand(plan: &Plan, before: &Before) -> Result<(), String> {
    let pid = before.lender.as_ref().and_then(|lender| i32::try_from(lender.pid).ok());
    let family = pid.and_then(parent::family);
    state_is_its_own(plan, family.as_ref())?;
    // Of a service of which that can't be told, made-up users pass: those that are there are taken as they are.
    let mut faults = foreseen::look(plan, before.user, true).refused;
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
