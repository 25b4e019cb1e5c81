//! What a client asks about mail that its credential has sent and about what it may, and what the vault finds: carried by a session's question and
//! answer, one frame each. What it may see is decided by the vault; how an API says it, by the edge.

use serde::{Deserialize, Serialize};

use super::allowance::Allowance;
use super::card::{Card, Which};
use crate::mail::id::MessageId;

/// Recipients that a finding names, and octets that it may have: with the fields of the message itself it fits into one frame.
pub const MOST_RECIPIENTS: usize = 50;
pub const MOST_OCTETS: usize = 12 * 1024;
/// Characters of an upstream's answer that a finding has.
pub const MOST_REPLY: usize = 200;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Inquiry {
    /// What became of that message.
    Submission { message: MessageId },
    /// What is left of its limits.
    Allowance,
    /// What it may.
    Card,
    /// What others may, of somebody who may see that.
    Cards(Which),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finding {
    /// None: the credential has sent no such message, or it is no longer remembered. The two are not told apart.
    Submission(Option<Box<Submission>>),
    Allowance(Box<Allowance>),
    Card(Box<Card>),
    /// In the order of their ids; whether there are more in the direction in which was asked.
    Cards {
        cards: Vec<Card>,
        more: bool,
    },
}

/// A message that was accepted, as whoever sent it may know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    pub message: MessageId,
    pub status: Status,
    /// Octets.
    pub size: u64,
    pub accepted_us: u64,
    /// When it is given up.
    pub expires_us: u64,
    /// When the last of its recipients came to an end.
    pub ended_us: Option<u64>,
    /// When it may first be tried, of one that waits for a later time.
    pub scheduled_us: Option<u64>,
    /// How many recipients it named; none where that isn't told.
    pub count: Option<u64>,
    /// How many of them stand where; none where that isn't told.
    pub counts: Option<Counts>,
    /// Why it failed or expired.
    pub cause: Option<Cause>,
    /// An attempt for somebody may have delivered it, and nobody knows.
    pub doubt: bool,
    /// In the order in which it named them, `MOST_RECIPIENTS` at most: those who don't have it before those who do.
    pub recipients: Vec<Recipient>,
}

/// Recipients by where they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub waiting: u64,
    pub accepted: u64,
    pub failed: u64,
    /// Taken back, or given to another gate.
    pub canceled: u64,
    pub expired: u64,
}

/// Why somebody doesn't have a message that nobody tries any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// He may have it: an attempt ended without an answer.
    Unknown,
    /// An upstream refused it for good.
    Rejected,
    /// None took it in time, or while its sender waited.
    Unavailable,
    /// It was given to no upstream: the gate's own rules, or no way to say it there.
    Withheld,
}

/// One recipient, whose address and last answer stand as they may be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// His place among those that the message named, from 0.
    pub number: u32,
    pub address: String,
    pub status: Status,
    /// SMTP's three digits, and the enhanced code (RFC 3463).
    pub code: Option<u16>,
    pub enhanced: Option<String>,
    pub reply: Option<String>,
    pub attempts: u32,
    pub next_us: Option<u64>,
    /// An attempt may have delivered it, and nobody knows.
    pub doubt: bool,
}

/// Where a message or a recipient stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It waits for its first attempt.
    Received,
    /// It waits for the time that its sender gave.
    Scheduled,
    /// A courier has it.
    Started,
    /// It waits for another attempt.
    Deferred,
    /// It waits for an operator.
    Held,
    /// An upstream has taken it.
    Accepted,
    Failed,
    Canceled,
    /// Another gate has it.
    Moved,
    Expired,
}

impl Status {
    /// Nothing comes after it.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Accepted | Self::Failed | Self::Canceled | Self::Moved | Self::Expired)
    }
}
