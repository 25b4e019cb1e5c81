//! The process table: which roles there are, under which user each runs, how long it lives, and who talks to whom.
//!
//! This is data. The parent spawns from it, the sandbox is applied by it, and `tests/architecture.rs` holds the modules to it.

pub mod beginning;
pub mod leaving;
pub mod link;
pub mod start;

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a process is. One binary holds them all; the parent re-executes it once per role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    Parent,
    Listener,
    EdgeSmtp,
    EdgeHttp,
    Keyholder,
    Vault,
    Sealer,
    Dialer,
    Courier,
    Mailer,
}

/// How long a process of a role lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// From start to stop; a reload hands it new peers.
    Service,
    /// One generation: a reload starts a new one beside it and lets this one drain.
    Generation,
}

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    pub role: Role,
    /// The word for it in process titles, logs, the configuration and the audit log.
    pub name: &'static str,
    /// The system user it becomes when the parent is root. The parent stays root (or the user who started it).
    pub user: Option<&'static str>,
    pub life: Life,
    /// One sentence for `ps`-readers and documents.
    pub does: &'static str,
}

/// In the order in which they start: each role's answering peers come before it.
pub const TABLE: [Row; 10] = [
    Row {
        role: Role::Parent,
        name: "parent",
        user: None,
        life: Life::Service,
        does: "binds, spawns, replaces, reloads",
    },
    Row {
        role: Role::Sealer,
        name: "sealer",
        user: Some("_gatepost-seal"),
        life: Life::Service,
        does: "signs the heads of the audit tree",
    },
    Row {
        role: Role::Vault,
        name: "vault",
        user: Some("_gatepost-vault"),
        life: Life::Service,
        does: "decides and remembers",
    },
    Row {
        role: Role::Keyholder,
        name: "keyholder",
        user: Some("_gatepost-key"),
        life: Life::Generation,
        does: "signs TLS handshakes",
    },
    Row {
        role: Role::Dialer,
        name: "dialer",
        user: Some("_gatepost-dial"),
        life: Life::Generation,
        does: "connects to upstreams by number",
    },
    Row {
        role: Role::Courier,
        name: "courier",
        user: Some("_gatepost-courier"),
        life: Life::Generation,
        does: "delivers to one upstream",
    },
    Row {
        role: Role::EdgeSmtp,
        name: "edge-smtp",
        user: Some("_gatepost"),
        life: Life::Generation,
        does: "speaks SMTP with strangers",
    },
    Row {
        role: Role::EdgeHttp,
        name: "edge-http",
        user: Some("_gatepost"),
        life: Life::Generation,
        does: "speaks HTTP with strangers",
    },
    Row {
        role: Role::Listener,
        name: "listener",
        user: Some("_gatepost-listen"),
        life: Life::Service,
        does: "accepts connections and hands them over",
    },
    // Behind all others, whose made-up user ids go by their places here.
    Row {
        role: Role::Mailer,
        name: "mailer",
        user: Some("_gatepost-mail"),
        life: Life::Generation,
        does: "runs the program of one upstream",
    },
];

/// The group whose members may read the auditors' files.
pub const AUDIT_GROUP: &str = "_gatepost-audit";

impl Role {
    pub fn row(self) -> &'static Row {
        // Every role has its row: `every_role_has_one_row` below.
        TABLE.iter().find(|row| row.role == self).unwrap_or(&TABLE[0])
    }

    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The role of that name, for the hidden `role` command.
    pub fn named(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.name == name).map(|row| row.role)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The number of one process in the life of the parent. It is never used again, so a late word about a dead process
/// can't be mistaken for one about its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Instance(pub u32);

/// The number of a configuration in the life of the parent; each reload makes the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Generation(pub u32);

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Role; 10] = [
        Role::Parent,
        Role::Listener,
        Role::EdgeSmtp,
        Role::EdgeHttp,
        Role::Keyholder,
        Role::Vault,
        Role::Sealer,
        Role::Dialer,
        Role::Courier,
        Role::Mailer,
    ];

    #[test]
    fn every_role_has_one_row() {
        for role in ALL {
            assert_eq!(TABLE.iter().filter(|row| row.role == role).count(), 1, "{role:?}");
            assert_eq!(Role::named(role.name()), Some(role));
        }
    }
}
