//! Commands about credentials.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::queue::Counts;
use crate::policy::Policy;
use crate::policy::scope::Scope;
use crate::secret::Secret;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Make a credential; its secret is generated in the vault and shown once.
    Add {
        id: String,
        policy: Box<Policy>,
        /// Derive keys from it, for SCRAM. So in all that follow.
        scram: bool,
    },
    /// Make a credential with a secret that was made elsewhere.
    Import {
        id: String,
        policy: Box<Policy>,
        key: Option<String>,
        material: Material,
        scram: bool,
    },
    /// Answer: an `Entry` for each, of the configuration and of the vault.
    List,
    Show {
        id: String,
    },
    /// Change what it may: a JSON Merge Patch (RFC 7396) of its policy.
    Set {
        id: String,
        patch: String,
    },
    Disable {
        id: String,
        queue: Queue,
    },
    Enable {
        id: String,
    },
    Remove {
        id: String,
        queue: Queue,
    },
    /// Make a second secret; with an overlap, the ones there are end after it.
    Rotate {
        id: String,
        overlap: Option<Duration>,
        scram: bool,
    },
    /// End all secrets but the newest, or that one.
    Retire {
        id: String,
        key: Option<String>,
        queue: Queue,
    },
    /// Would this secret log in? Leaves no trace.
    Test(Trial),
}

impl Command {
    /// The credential that gets a new secret.
    pub fn of(&self) -> Option<&str> {
        match self {
            Self::Add { id, .. } | Self::Import { id, .. } | Self::Rotate { id, .. } => Some(id),
            _ => None,
        }
    }
}

/// What somebody has of a secret that was made elsewhere.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Material {
    /// Its argon2id hash as a PHC string.
    Hash(Secret<String>),
    Secret(Secret<String>),
}

/// What becomes of the mail that a credential has in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Queue {
    /// It waits until somebody releases or drops it.
    Hold,
    Drop,
    Deliver,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trial {
    /// Whom it should be; none to find out by the key.
    pub id: Option<String>,
    pub secret: Secret<String>,
    /// Where the client would come from, and what it would do.
    pub address: Option<IpAddr>,
    pub scope: Scope,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Response {
    Secret {
        id: String,
        key: String,
        secret: Secret<String>,
        /// When the secrets there were before end by themselves, in microseconds.
        overlap_us: Option<u64>,
    },
    Entry(Box<Entry>),
    Changed {
        id: String,
        /// Secrets that came or went.
        keys: Vec<String>,
        /// What was done with so many messages in the queue.
        queue: Option<(Queue, Counts)>,
    },
    Tested(Verdict),
}

/// A credential as an administrator may see it: all but hashes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    pub id: String,
    pub policy: Policy,
    /// It stands in the configuration file and not in the vault.
    pub declared: bool,
    pub enabled: bool,
    /// Whether its end has come.
    pub expired: bool,
    /// Of the vault's; in microseconds.
    pub created_us: Option<u64>,
    pub keys: Vec<KeyEntry>,
    /// Certificates of clients, one of which it must show; as they are configured.
    pub certificates: Vec<String>,
    /// The last day (days since 1970, UTC) on which a message of its was accepted, as long as that is remembered.
    pub last_day: Option<i64>,
    /// Until when a rule keeps it from sending; in microseconds.
    pub suspended_us: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyEntry {
    pub id: String,
    pub created_us: Option<u64>,
    pub expires_us: Option<u64>,
    pub expired: bool,
    /// Generated here, and not imported.
    pub generated: bool,
    /// There are keys derived from it.
    pub scram: bool,
}

/// What would come of a login.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// Whose secret it is, and which one.
    pub id: Option<String>,
    pub key: Option<String>,
    /// The words for what is in the way, as the audit log has them; empty when it would log in.
    pub obstacles: Vec<String>,
}
