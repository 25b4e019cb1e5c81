//! The system users the roles become.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;

use nix::unistd::{Group, Uid, User, fchdir, geteuid, seteuid};

use crate::config::Plan;
use crate::role::{AUDIT_GROUP, Role, TABLE};
use crate::sandbox::{FALLBACK_ID_BASE, Identity, fallback_identity};

/// A mailer has a user of its own where an upstream names none.
fn is_needed(role: Role, plan: &Plan) -> bool {
    role != Role::Mailer || plan.programs().any(|program| program.user.is_none())
}

/// The names of all users that a service of root becomes.
pub fn needed(plan: &Plan) -> BTreeSet<&str> {
    let of_roles = TABLE.iter().filter(|row| is_needed(row.role, plan)).filter_map(|row| row.user);
    of_roles.chain(plan.programs().filter_map(|program| program.user.as_deref())).collect()
}

/// Who everybody is. Without root nobody changes.
#[derive(Debug)]
pub struct People {
    identities: Vec<(Role, Identity)>,
    /// The users that upstreams name for their programs, by those names.
    named: Vec<(String, Identity)>,
    /// The group that may read the auditors' files.
    pub auditors: Option<u32>,
}

impl People {
    /// Looks the users of the process table up, and those that the plan names. A mailer's own is needed where there is one.
    ///
    /// Errors: we are root and some are missing. Running everything as root instead would be no sandbox at all.
    pub fn find(plan: &Plan, fallback: bool) -> Result<Self, String> {
        if !geteuid().is_root() {
            tracing::info!("not root: all processes stay this user, without a root directory of their own");
            if plan.programs().next().is_some() {
                tracing::warn!(
                    "not root: the program of an upstream of kind sendmail runs as this user, outside the sandbox, and can read all that \
                     the gate keeps; start it as root, or use an upstream of kind smtp"
                );
            }
            return Ok(Self::alone());
        }
        Self::of_root(plan, fallback)
    }

    /// Those of a service that runs as this user, whoever we are.
    pub fn of(user: u32, plan: &Plan, fallback: bool) -> Result<Self, String> {
        if user == 0 { Self::of_root(plan, fallback) } else { Ok(Self::alone()) }
    }

    const fn alone() -> Self {
        Self { identities: Vec::new(), named: Vec::new(), auditors: None }
    }

    fn of_root(plan: &Plan, fallback: bool) -> Result<Self, String> {
        let mut identities = Vec::new();
        let mut missing = Vec::new();
        for row in &TABLE {
            let Some(name) = row.user.filter(|_| is_needed(row.role, plan)) else { continue };
            match User::from_name(name).map_err(|error| format!("looking up the user {name}: {error}"))? {
                Some(user) => {
                    let identity = Identity { user: user.uid.as_raw(), group: user.gid.as_raw(), groups: Vec::new() };
                    identities.push((row.role, identity));
                }
                None if fallback => identities.push((row.role, fallback_identity(row.role))),
                None => missing.push(name),
            }
        }
        missing.dedup();
        if let Some(why) = identities.iter().find_map(|(role, identity)| of_root(*role, identity)) {
            return Err(why);
        }
        let named = named(plan, &identities)?;
        if !missing.is_empty() {
            return Err(format!(
                "the users {} do not exist: create them with `systemd-sysusers /path/to/systemd/gatepost.sysusers` (a whole path) or \
                 `useradd --system --no-create-home --shell /usr/sbin/nologin NAME`, and the group {AUDIT_GROUP} with `groupadd --system`",
                missing.join(", ")
            ));
        }
        let auditors = Group::from_name(AUDIT_GROUP)
            .map_err(|error| format!("looking up the group {AUDIT_GROUP}: {error}"))?
            .map(|group| group.gid.as_raw());
        if auditors.is_none() && !fallback {
            tracing::warn!(
                group = AUDIT_GROUP,
                "this group does not exist: nobody but root and the vault can read the auditors' files. \
                 Make it with `groupadd --system`, then chgrp the audit directory and its files to it"
            );
        }
        if identities.iter().any(|(role, identity)| *identity == fallback_identity(*role)) {
            tracing::warn!(from = FALLBACK_ID_BASE, "system users are missing: made-up user ids stand in for them");
        }
        Ok(Self { identities, named, auditors })
    }

    /// Whether each role has a user of its own.
    pub fn are_separate(&self) -> bool {
        !self.identities.is_empty()
    }

    pub fn identity(&self, role: Role) -> Option<&Identity> {
        self.identities.iter().find(|(of, _)| *of == role).map(|(_, identity)| identity)
    }

    /// Looks into the state directory, where the vault's part is closed to all others. A root that was started without the right
    /// to look past modes (CAP_DAC_READ_SEARCH; our unit doesn't give it) sees there what the vault's user sees.
    ///
    /// Errors: what can't be looked at, by neither.
    pub fn look<T>(&self, home: &Path, look: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
        match (look(home), self.identity(Role::Vault)) {
            (Err(error), Some(vault)) if error.kind() == io::ErrorKind::PermissionDenied => {
                // From inside: on the way there may be directories that are open to root alone.
                let (here, home) = (File::open(".")?, File::open(home)?);
                fchdir(&home)?;
                seteuid(Uid::from_raw(vault.user))?;
                let seen = look(Path::new("."));
                seteuid(Uid::from_raw(0))?;
                fchdir(&here)?;
                seen
            }
            (seen, _) => seen,
        }
    }

    /// Who the mailer of an upstream is, by the user that it names, if it does.
    pub fn mailer(&self, user: Option<&str>) -> Option<&Identity> {
        match user {
            None => self.identity(Role::Mailer),
            Some(user) => self.named.iter().find(|(name, _)| name == user).map(|(_, identity)| identity),
        }
    }

    /// Whether all whom the plan needs are known: the system isn't asked again after the start.
    pub fn suffice(&self, plan: &Plan) -> bool {
        !self.are_separate() || plan.programs().all(|program| self.mailer(program.user.as_deref()).is_some())
    }
}

/// Why no process becomes this user, as each of them would find out for itself.
fn of_root(role: Role, identity: &Identity) -> Option<String> {
    (identity.user == 0 || identity.group == 0).then(|| {
        let name = role.row().user.unwrap_or_default();
        format!(
            "the user {name}, which the {} becomes, is root, or of root's group: give it numbers of its own",
            role.name()
        )
    })
}

/// Errors: one does not exist, or is root, or another role.
fn named(plan: &Plan, roles: &[(Role, Identity)]) -> Result<Vec<(String, Identity)>, String> {
    let names: BTreeSet<&str> = plan.programs().filter_map(|program| program.user.as_deref()).collect();
    let one = |name: &str| {
        let found = User::from_name(name).map_err(|error| format!("looking up the user {name}: {error}"))?;
        let user = found.ok_or_else(|| format!("the user {name}, which an upstream names, does not exist"))?;
        if user.uid.is_root() || user.gid.as_raw() == 0 {
            return Err(format!("the user {name}, which an upstream names, is root, or of root's group: name another"));
        }
        let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
        let others = roles.iter().filter(|(role, _)| *role != Role::Mailer);
        if let Some((role, _)) = others.into_iter().find(|(_, one)| one.user == uid || one.group == gid) {
            return Err(format!(
                "the user {name}, which an upstream names, is that of the {}, or of its group: the program could reach what that holds; \
                 name another",
                role.name()
            ));
        }
        Ok((name.to_owned(), Identity { user: uid, group: gid, groups: Vec::new() }))
    };
    names.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_role_is_root_or_of_roots_group() {
        let of = |user, group| of_root(Role::Dialer, &Identity { user, group, groups: Vec::new() });
        assert_eq!(of(1, 1), None);
        for (user, group) in [(0, 1), (1, 0), (0, 0)] {
            let why = of(user, group).unwrap();
            assert!(why.starts_with("the user _gatepost-dial, which the dialer becomes, is root"), "{why}");
        }
    }
}
