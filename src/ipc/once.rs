//! By what a request is known again (the Idempotency-Key header of draft-ietf-httpapi-idempotency-key-header), as the edge says it.

use serde::{Deserialize, Serialize};

/// A request that is to be done once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Once {
    /// SHA-256 of its key, and of what the key is for.
    pub key: [u8; 32],
    /// SHA-256 of what it asks for.
    pub fingerprint: [u8; 32],
}
