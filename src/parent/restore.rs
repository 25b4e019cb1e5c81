//! Whose the vault's files are, for the command that puts them back while the service is stopped.

use super::people::People;
use crate::config::Plan;
use crate::role::Role;

/// User and group of the vault's files, and the group of the auditors; none where nobody changes.
#[derive(Clone, Copy, Debug)]
pub struct Owners {
    pub vault: (Option<u32>, Option<u32>),
    pub auditors: Option<u32>,
}

/// Looks them up.
///
/// Errors: we are root and the users are missing.
pub fn owners(plan: &Plan, fallback: bool) -> Result<Owners, String> {
    let people = People::find(plan, fallback)?;
    let vault = people.identity(Role::Vault);
    Ok(Owners {
        vault: (vault.map(|identity| identity.user), vault.map(|identity| identity.group)),
        auditors: people.auditors,
    })
}
