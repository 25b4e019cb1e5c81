//! Commands about what waits to be delivered.

use serde::{Deserialize, Serialize};

use crate::mail::id::MessageId;

/// What is done to messages that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deed {
    /// Offer them to nobody until they are released.
    Hold,
    Release,
    /// Give them up: their bodies are destroyed, and nobody gets them any more.
    Drop,
}

/// Which messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Which {
    All,
    /// Those that this credential sent.
    Credential(String),
    Message(MessageId),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// With the reason the administrator gives, for the log.
    Do { deed: Deed, which: Which, note: Option<String> },
    /// Take the next master key, whose file is there, and wrap the keys of all bodies with it.
    Rekey,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Response {
    /// So far; the last one before `Done` is the sum.
    Counted(Counts),
    /// So many keys are wrapped by the next master key, and none by another.
    Wrapped { keys: u64 },
}

/// What an order has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub messages: u64,
    pub recipients: u64,
    /// Recipients whom an upstream was being told of at that moment: they may still get the message.
    pub under_way: u64,
}
