//! Commands about what operators are told of the gate itself.

use serde::{Deserialize, Serialize};

use crate::mail::id::MessageId;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Answer: an `Entry` for each that was told of and is not over, and `Silence` if something could not be told.
    Status,
    /// Tell everybody who is told of alerts that this is a test. Answer: `Sent`.
    Test,
}

/// What goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The word for what is wrong, and with what.
    pub kind: String,
    pub subject: String,
    pub text: String,
    /// What to do first.
    pub advice: String,
    /// In Unix microseconds: since when, and when it was told last.
    pub since_us: u64,
    pub told_us: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Response {
    Entry(Box<Entry>),
    /// The mail to these, and the webhook that the event waits for.
    Sent {
        mail: Option<(MessageId, Vec<String>)>,
        webhook: Option<String>,
    },
    /// Since when, in Unix microseconds, something is wrong that could not be told, and why not.
    Silence {
        since_us: u64,
        reason: String,
    },
}
