//! Commands while the service is stopped: the process becomes what the vault would be, and can do no more.

use super::outfit::grounds;
use super::people::People;
use super::post::Post;
use super::state;
use crate::config::Plan;
use crate::role::Role;
use crate::sandbox::{self, Sealed};

/// Becomes the vault's user in the vault's directory and sandbox. The state directory is made if it is missing, so that
/// credentials can be added before the first start.
///
/// Errors: the users are missing, or the directories aren't ours; with what to do about it.
pub fn become_vault(plan: &Plan, fallback: bool) -> Result<Sealed, String> {
    let people = People::find(plan, fallback)?;
    state::prepare(plan, &people)?;
    let grounds = grounds(plan, &Post::new(Role::Vault, ""), &people)?;
    sandbox::confine(Role::Vault, &grounds)?.seal()
}
