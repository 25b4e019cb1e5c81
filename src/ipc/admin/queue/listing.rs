//! What an administrator is shown of the queue.

use serde::{Deserialize, Serialize};

use crate::mail::id::MessageId;
use crate::policy::rule::RecipientRule;

/// Where one recipient stands. In the order in which they are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Standing {
    /// Due: it leaves as soon as a courier has room and its route doesn't rest.
    Ready,
    /// A courier has it.
    Leased,
    /// Due later, after an attempt.
    Deferred,
    /// Due later, because its sender wanted it so (FUTURERELEASE, RFC 4865).
    Scheduled,
    /// Offered to nobody until somebody releases it.
    Held,
    /// The same, and the gate did it by itself.
    Quarantined,
    Delivered,
    Failed,
    Expired,
}

impl Standing {
    /// Of those who wait.
    pub const WORDS: [(&str, Self); 6] = [
        ("ready", Self::Ready),
        ("leased", Self::Leased),
        ("deferred", Self::Deferred),
        ("scheduled", Self::Scheduled),
        ("held", Self::Held),
        ("quarantined", Self::Quarantined),
    ];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Leased => "leased",
            Self::Deferred => "deferred",
            Self::Scheduled => "scheduled",
            Self::Held => "held",
            Self::Quarantined => "quarantined",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }

    /// It waits, or a courier has it.
    pub const fn is_open(self) -> bool {
        !matches!(self, Self::Delivered | Self::Failed | Self::Expired)
    }
}

/// What was ordered of a recipient while a courier has him: he may still get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Ordered {
    Hold,
    Drop,
}

impl Ordered {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Drop => "drop",
        }
    }
}

/// Which messages are shown: those of which all holds that is given, for one and the same recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    pub credential: Option<String>,
    pub recipient: Option<RecipientRule>,
    pub standing: Option<Standing>,
    /// Addresses and what upstreams said as they are, and not as auditors see them.
    pub clear: bool,
}

/// A message that somebody waits for, or did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub message: MessageId,
    pub credential: String,
    pub sender: String,
    pub bytes: u64,
    /// In unix microseconds, as all times here.
    pub accepted_us: u64,
    pub expires_us: u64,
    /// How many recipients stand where.
    pub standings: Vec<(Standing, u64)>,
    /// The furthest of what was ordered of those under way.
    pub order: Option<Ordered>,
    /// Some of those who wait.
    pub recipients: Vec<String>,
    /// The upstreams that are tried for them, one list for each route.
    pub routes: Vec<String>,
    /// The most that were made for one recipient.
    pub attempts: u32,
    /// When the first of those who wait is due.
    pub next_us: Option<u64>,
    /// The last answer to one of them.
    pub code: Option<u16>,
    pub enhanced: Option<String>,
}

/// One recipient of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    pub number: u32,
    pub recipient: String,
    pub standing: Standing,
    pub order: Option<Ordered>,
    pub route: String,
    pub attempts: u32,
    pub next_us: Option<u64>,
    pub code: Option<u16>,
    pub enhanced: Option<String>,
    /// What the upstream said, where that may be seen.
    pub said: Option<String>,
    pub host: Option<String>,
    /// An attempt, the last or one before it, may have delivered it.
    pub doubt: bool,
}

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum By {
    All,
    Standing(Standing),
    Credential(String),
    /// The upstreams of a route, in order.
    Route(String),
    /// Of messages: at most so old, in seconds; none for older ones.
    Age(Option<u64>),
}

/// A message counts once wherever one of its recipients belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    pub messages: u64,
    pub recipients: u64,
    pub bytes: u64,
    /// When the oldest was accepted.
    pub oldest_us: Option<u64>,
}

impl Sum {
    pub fn add(&mut self, more: Self) {
        self.messages += more.messages;
        self.recipients += more.recipients;
        self.bytes = self.bytes.saturating_add(more.bytes);
        self.oldest_us = match (self.oldest_us, more.oldest_us) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
}
