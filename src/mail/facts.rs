//! What policy needs to know of a message's header. The edge reads it out; the vault, which parses no message, decides.

use serde::{Deserialize, Serialize};

use super::address::Address;

/// At most this many authors are carried; a message with more is refused by the edge.
pub const MAX_AUTHORS: usize = 32;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Every mailbox of From, one at least, and of Sender where there is one (RFC 6409 section 6.1).
    pub authors: Vec<Address>,
    /// Message-ID, without the angle brackets.
    pub message_id: String,
    /// It has octets above 127 and needs SMTPUTF8 on its whole way (RFC 6532).
    pub utf8: bool,
    /// Subject length in octets; the subject itself stays in the body.
    pub subject_octets: u32,
    /// How many Received fields it bears, ours included (RFC 5321 section 6.3).
    pub received: u32,
    /// It says itself that it is a report of what became of another message (RFC 3464 section 2).
    pub is_report: bool,
    /// What the edge changed by the credential's wish.
    pub changes: Changes,
}

/// What was changed in a message because its credential says so; for the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// The envelope's sender as it was given, when it became another.
    pub sender: Option<Address>,
    /// The first of the header's authors that became another, as it was given.
    pub author: Option<Address>,
    /// Fields that were removed, by the name that the credential has for them, and how many of each.
    pub removed: Vec<(String, u32)>,
}

impl Changes {
    /// Counts a field that was removed.
    pub fn remove(&mut self, name: &str) {
        match self.removed.iter_mut().find(|(known, _)| known == name) {
            Some((_, times)) => *times = times.saturating_add(1),
            None => self.removed.push((name.to_owned(), 1)),
        }
    }
}
