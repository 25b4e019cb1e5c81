//! Messages on their way from the queue of one gate into that of another: all that is kept of each, and its content.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Counts;
use super::listing::Standing;
use crate::ipc::bytes::Octets;
use crate::mail::address::ReversePath;
use crate::mail::envelope::{Addressee, Manner};
use crate::mail::id::MessageId;
use crate::policy::reports::Reports;
use crate::policy::{OnUnknown, principal};

/// Attempts of one recipient, or couriers that ended over a message, at most: no queue has come so far, and a count that is
/// counted on from here has room.
pub const MOST_TRIES: u32 = 100_000;
/// Octets of an answer, or of any other word of a file that the queue has: more than each of them is cut to when it comes.
pub const MOST_WORDS: usize = 2048;

/// What is known of a message beside its recipients and its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    pub message: MessageId,
    /// The session that it came in.
    pub session: Uuid,
    pub credential: String,
    pub sender: ReversePath,
    pub manner: Manner,
    pub bytes: u64,
    pub sha256: [u8; 32],
    pub accepted_us: u64,
    pub expires_us: u64,
    pub on_unknown: OnUnknown,
    pub reports: Reports,
    /// It is a report of a gate's own, and nothing is reported of it.
    pub is_report: bool,
    /// Couriers that ended over it.
    pub ended: u32,
}

/// One of its recipients, in their order, which never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    pub addressee: Addressee,
    pub standing: Standing,
    pub attempts: u32,
    pub next_us: u64,
    /// Since when it waits, as long as its sender is to be told when that takes long.
    pub since_us: Option<u64>,
    /// The last answer.
    pub code: Option<u16>,
    pub enhanced: Option<String>,
    pub said: Option<String>,
    pub host: Option<String>,
    /// It was given up, and nobody knows whether it was delivered.
    pub unknown: bool,
}

impl Envelope {
    /// Whether its words and counts are such as a queue has.
    pub fn is_sound(&self) -> bool {
        principal::is_id(&self.credential) && self.ended <= MOST_TRIES
    }
}

impl Recipient {
    /// Whether its words and counts are such as a queue has.
    pub fn is_sound(&self) -> bool {
        let words = [&self.enhanced, &self.said, &self.host];
        self.attempts <= MOST_TRIES && words.into_iter().flatten().all(|words| words.len() <= MOST_WORDS)
    }

    /// Whether it may have the message although it waits: it isn't offered to it again unless somebody means that very message.
    pub const fn is_doubtful(&self) -> bool {
        matches!(self.standing, Standing::Quarantined | Standing::Leased)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Give a message out, when it is of that credential if one is named. With `hold` it is offered to nobody until this
    /// connection ends, or it is written.
    Give {
        message: MessageId,
        credential: Option<String>,
        hold: bool,
    },
    /// These, which were given out by this connection, are kept elsewhere: whole, and on the disk.
    Written {
        messages: Vec<MessageId>,
        note: Option<String>,
    },
    /// These were written: they are given up here, as far as they are still held.
    Drop {
        messages: Vec<MessageId>,
        note: Option<String>,
    },
    /// A message comes in, for that credential: its envelope, then its recipients, its content, and the end. One that was
    /// begun before and has no end is forgotten.
    Begin {
        envelope: Box<Envelope>,
        credential: Option<String>,
    },
    Recipient(Box<Recipient>),
    Content(Octets),
    /// Keep it. It is held, unless it is released, nobody of it was held before or may have it, and its credential is in force.
    /// What the rules of its credential forbid is left out, unless it is kept `regardless`.
    End {
        release: bool,
        regardless: bool,
        note: Option<String>,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Response {
    Envelope(Box<Envelope>),
    Recipient(Box<Recipient>),
    Content(Octets),
    /// Nobody waits for that message any more, or it is of another credential.
    Passed,
    /// Nothing is done with that message (any more), for this reason; others are another matter.
    Left(String),
    Dropped(Counts),
    /// It is on the disk.
    Kept {
        released: bool,
    },
}
