//! Whose the state is, for commands that look at it or put it back while the service is stopped.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::geteuid;

use super::people::People;
use crate::config::Plan;
use crate::role::Role;

/// User and group of the vault's files, and the group of the auditors; none where nobody changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owners {
    pub vault: (Option<u32>, Option<u32>),
    pub auditors: Option<u32>,
}

/// Looks them up. Where root puts back what another user's service keeps, all of it is that one's.
///
/// Errors: we are root, the service is root's, and the users are missing.
pub fn owners(plan: &Plan, fallback: bool) -> Result<Owners, String> {
    let state = &plan.state_directory;
    if let Some(user) = owner(state).filter(|user| geteuid().is_root() && *user != 0) {
        let group = fs::metadata(state).ok().map(|found| found.gid());
        return Ok(Owners { vault: (Some(user), group), auditors: None });
    }
    let people = People::find(plan, fallback)?;
    let vault = people.identity(Role::Vault);
    Ok(Owners {
        vault: (vault.map(|identity| identity.user), vault.map(|identity| identity.group)),
        auditors: people.auditors,
    })
}

/// Whose the state is: of root's service the vault's part is another's, of anybody else's all is one user's. A state directory that
/// alone is somebody's is no sign of that: it was given away.
pub fn owner(state: &Path) -> Option<u32> {
    let owner = fs::metadata(state).ok()?.uid();
    match fs::metadata(state.join("db")) {
        Ok(db) if owner != 0 && db.uid() != owner => None,
        _ => Some(owner),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::chown;

    use super::*;
    use crate::config::{Config, least};

    #[test]
    fn what_root_puts_back_for_another_users_service_is_that_users() {
        if !geteuid().is_root() {
            eprintln!("not tried: only root can give a file away");
            return;
        }
        let state = tempfile::tempdir().unwrap();
        let plan = Config::foresee(Path::new("gatepost.toml"), &least(state.path(), "")).unwrap();
        let of_root = owners(&plan, true).unwrap();
        assert_ne!(of_root.vault.0, Some(0), "root's vault is another user");
        chown(state.path(), Some(4711), Some(4712)).unwrap();
        let of_another = Owners { vault: (Some(4711), Some(4712)), auditors: None };
        assert_eq!(owners(&plan, true).unwrap(), of_another);
        fs::create_dir(state.path().join("db")).unwrap();
        assert_eq!(owners(&plan, true).unwrap(), of_root, "the state directory alone was given away");
    }
}
