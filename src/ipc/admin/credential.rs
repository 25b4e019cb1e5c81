//! Commands about credentials.

use serde::{Deserialize, Serialize};

use crate::policy::Policy;
use crate::secret::Secret;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Make a credential; its secret is generated in the vault and shown once.
    Add { id: String, policy: Policy },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Response {
    Secret { id: String, secret: Secret<String> },
}
