//! Command line and vault, over the control socket: fixed commands, no SQL.

use serde::{Deserialize, Serialize};

use crate::policy::Policy;
use crate::secret::Secret;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Make a credential; its secret is generated in the vault and shown once.
    CredentialAdd { id: String, policy: Policy },
    /// Move all events to the auditors' file now, and seal them.
    Publish,
    /// Load the configuration anew (the parent does).
    Reload,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Response {
    Secret {
        id: String,
        secret: Secret<String>,
    },
    /// What is in the auditors' files now.
    Published {
        /// Everything up to this number of events is.
        size: u64,
        /// As many events there were when the command came: the rest waits, as long as a reader holds the file.
        events: u64,
    },
    Done,
    /// What was wrong and what to do about it.
    Refused {
        reason: String,
    },
}
