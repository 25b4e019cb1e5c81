//! Commands about the audit log.

use serde::{Deserialize, Serialize};

use crate::mail::id::MessageId;
use crate::secret::Secret;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Move all events to the auditors' file now, and seal them.
    Publish,
    /// Record that somebody takes these events away: from one place, before another.
    Export { form: Form, from: u64, to: u64 },
    /// Seal, and keep the head at all anchors, or at the one of that name, now.
    Anchor { name: Option<String> },
    /// Erase personal values. Without fields: the usual ones, or of an address those in which it stands.
    Redact { target: Target, fields: Vec<String>, ground: String },
    /// Show one personal value with its salt.
    Disclose { event: u64, field: String, ground: Option<String> },
    /// Remove months: those before this one, or those past their retention. Dry: only look.
    Prune { before: Option<String>, dry: bool },
    /// Declare a gap and go on: what the sealer signed last and what is there don't belong together, and that is known.
    Resume {
        reason: String,
        /// The last head of before as it was kept elsewhere: its size and root.
        head: Option<(u64, [u8; 32])>,
    },
}

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    Jsonl,
    Csv,
    Tiles,
    Sqlite,
}

impl Form {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Tiles => "tiles",
            Self::Sqlite => "sqlite",
        }
    }
}

/// What became of a head at one anchor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchoring {
    pub name: String,
    pub kind: String,
    pub made: Made,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Made {
    /// The head of so many events is kept there.
    Kept {
        size: u64,
    },
    /// It is under way and nothing is known yet.
    Pending,
    Failed {
        reason: String,
    },
    /// A witness holds a head that this log does not extend.
    Contradicted {
        holds: u64,
        reason: String,
    },
}

/// Which events.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Target {
    /// First and last, both included.
    Events(u64, u64),
    Message(MessageId),
    Address(String),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Response {
    /// By anchor.
    Anchors(Vec<Anchoring>),
    /// What is in the auditors' files now.
    Published {
        /// Everything up to this number of events is.
        size: u64,
        /// As many events there were when the command came: the rest waits, as long as a reader holds the file.
        events: u64,
        /// The first one whose leaf hash is in the vault, where that can be asked.
        hashes: Option<u64>,
        /// The events that order an erasure which is not carried out yet, where that can be asked.
        erasing: Option<Vec<u64>>,
        /// Why the others can't be put there; `size` is then what had been before.
        problem: Option<String>,
    },
    Redacted {
        /// The place of the last event that says so.
        event: u64,
        /// How many events were named.
        events: u64,
        /// The values are gone. They will be, in any case: false when a reader holds a file.
        gone: bool,
    },
    Disclosed {
        event: u64,
        /// The field as it stands in the leaf.
        key: String,
        salt: [u8; 16],
        value: Secret<String>,
        commitment: [u8; 32],
        /// The place of the event that says that it was shown.
        logged: u64,
    },
    Pruned(Vec<LookedAt>),
    /// The log had so many events, keeps so many of them for certain, and goes on with the event `resumed`.
    Resumed {
        old: u64,
        kept: u64,
        resumed: u64,
        /// Events that are in no file any more: from the first, before the end.
        missing: Vec<(u64, u64)>,
    },
}

/// A month that was to go.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LookedAt {
    pub month: String,
    /// Its events: from the first, before the end.
    pub first: u64,
    pub end: u64,
    pub octets: u64,
    /// Why it stays.
    pub obstacle: Option<String>,
}
