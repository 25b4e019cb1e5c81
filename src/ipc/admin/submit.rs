//! Commands that submit a message for a credential: for a test, by an administrator. It is judged as any other of that
//! credential's; only who it is needs no secret.

use serde::{Deserialize, Serialize};

use crate::ipc::bytes::Octets;
use crate::mail::address::Address;
use crate::mail::facts::Facts;
use crate::mail::id::MessageId;

/// Recipients of one such message: they fit into a frame.
pub const MOST: usize = 16;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// One that was begun before and has no end is forgotten.
    Begin {
        credential: String,
        sender: Address,
        recipients: Vec<Address>,
    },
    Content(Octets),
    /// The end of it, with what its header says.
    Commit {
        facts: Facts,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Response {
    /// It may come; the id that it has, and the gate's name.
    Begun { message: MessageId, hostname: String },
    /// The word for why it is not taken, and after how many seconds it might be.
    Refused { word: String, wait: Option<u32> },
    /// It is on the disk.
    Kept,
}
