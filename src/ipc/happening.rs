//! What happened to messages that a credential has sent, in the order in which it did: how a client asks for it, and what the vault
//! tells.

use serde::{Deserialize, Serialize};

use super::label::Label;
use crate::mail::id::MessageId;

/// What happened to a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// An upstream has taken the message for him.
    Sent,
    /// It was put off.
    Deferred,
    /// An upstream refused him for good, or said so later.
    Bounced,
    /// The gate has given him up.
    Failed,
    /// It was taken back, or dropped by an operator.
    Canceled,
    /// It was given to another gate.
    Moved,
    /// A provider told later that he has it, and that he complained of it.
    Delivered,
    Complained,
}

impl Kind {
    /// Each with its number on the disk, which never changes.
    pub const ALL: [(Self, u8); 8] = [
        (Self::Sent, 1),
        (Self::Deferred, 2),
        (Self::Bounced, 3),
        (Self::Failed, 4),
        (Self::Canceled, 5),
        (Self::Moved, 6),
        (Self::Delivered, 7),
        (Self::Complained, 8),
    ];

    /// As webhooks name those that they are told of.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sent => "email.sent",
            Self::Deferred => "email.delivery_delayed",
            Self::Bounced => "email.bounced",
            Self::Failed => "email.failed",
            Self::Canceled => "email.canceled",
            Self::Moved => "email.moved",
            Self::Delivered => "email.delivered",
            Self::Complained => "email.complained",
        }
    }
}

/// A part of what happened, the oldest first. What isn't named has no bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// `MOST_LISTED` at most.
    pub limit: u32,
    /// By their numbers, which are times in microseconds: those behind that one, and those before that.
    pub after: u64,
    pub until: Option<u64>,
    pub kind: Option<Kind>,
    /// Of that message alone.
    pub message: Option<MessageId>,
}

/// One event of one recipient, who stands as he may be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// By which it is known, and when it happened: no two have the same.
    pub number: u64,
    pub kind: Kind,
    pub message: MessageId,
    /// His place among those that the message named, from 0.
    pub recipient: u32,
    pub address: String,
    pub from: Option<String>,
    /// This one included.
    pub attempts: u32,
    pub next_us: Option<u64>,
    pub code: Option<u16>,
    pub enhanced: Option<String>,
    pub reply: Option<String>,
    /// An attempt may have delivered it, and nobody knows.
    pub doubt: bool,
    pub label: Option<Box<Label>>,
    /// It is of a test.
    pub test: bool,
}

/// What happened, and where the next page begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    pub all: Vec<Happening>,
    /// The last one that was looked at; none: none was.
    pub last: Option<u64>,
    /// There may be more behind it by now.
    pub more: bool,
}
