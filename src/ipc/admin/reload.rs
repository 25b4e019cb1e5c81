//! What a command is told of the reload that it asked for; a refusal is told as any other.

use serde::{Deserialize, Serialize};

use crate::ipc::reload::Change;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Response {
    Changed(Change),
    /// It serves.
    Done {
        generation: u64,
        more: u64,
    },
}
