//! Vault and courier of a webhook: events about mail out, and what became of each.
//!
//! Several may be under way. What the receiver says beside its status is not passed on: nothing is decided by it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How the label of a courier begins that tells a webhook; its name follows. No upstream has such a name.
const POST: &str = "webhook/";
/// Octets of one event: an address or two, an upstream's words and some ids.
pub const MAX_BODY: usize = 14 * 1024;
/// Characters of why nothing was heard.
pub const MAX_REASON: usize = 200;
/// Events under way at once.
pub const MAX_POSTS: usize = 8;

/// The ticket of no event. What comes with it says that the courier takes no more: what it has not answered when it closes, it
/// has not looked at.
const NO_TICKET: u64 = 0;

/// The label of the courier that tells this webhook.
pub fn post(webhook: &str) -> String {
    format!("{POST}{webhook}")
}

/// The webhook that the courier of this label is for.
pub fn webhook(label: &str) -> Option<&str> {
    label.strip_prefix(POST)
}

pub fn is_post(label: &str) -> bool {
    webhook(label).is_some()
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Ask {
    /// Sign and post that body, under that id. `ticket` comes back with the answer.
    Post { ticket: u64, id: String, body: String },
}

/// What became of one, by its ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub ticket: u64,
    pub answer: Answer,
}

impl Reply {
    pub fn leaving() -> Self {
        Self { ticket: NO_TICKET, answer: Answer::Failed { sent: false, reason: String::new() } }
    }

    pub fn is_leaving(&self) -> bool {
        self.ticket == NO_TICKET
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// A status, and how long it wants to be left alone.
    Status { code: u16, wait: Option<Duration> },
    /// It could not be reached, or gave no answer. `sent`: it may have got it.
    Failed { sent: bool, reason: String },
}
