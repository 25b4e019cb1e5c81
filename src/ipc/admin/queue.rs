//! Commands about what waits to be delivered.

pub mod listing;
pub mod transfer;

use serde::{Deserialize, Serialize};

use super::load::Load;
use crate::mail::id::MessageId;
use listing::{By, Entry, Stop, Sum, View};

/// What is done to messages that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deed {
    /// Offer them to nobody until they are released.
    Hold,
    Release,
    /// Give them up: their bodies are destroyed, and nobody gets them any more.
    Drop,
    /// Make them due now. What is held stays so.
    Retry,
    /// Give up those of them who are held, and nobody else.
    DropHeld,
}

impl Deed {
    /// Whether somebody is given up for good.
    pub const fn drops(self) -> bool {
        matches!(self, Self::Drop | Self::DropHeld)
    }
}

/// Which messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Which {
    All,
    /// Those that this credential sent.
    Credential(String),
    Message(MessageId),
    /// Those that this upstream is tried for.
    Upstream(String),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// With the reason the administrator gives, for the log.
    Do { deed: Deed, which: Which, note: Option<String> },
    /// Name messages that wait, behind that row.
    List { after: i64 },
    /// Show some of the messages that wait, behind that row.
    View { view: View, after: i64 },
    /// Show one message, also one that is done, with all its recipients.
    Show { message: MessageId, clear: bool },
    /// Count some of the messages that wait, behind that row.
    Tally { after: i64 },
    /// Another log, newer than the backup that this is restored from, says this of a message's recipients.
    Reconcile { message: MessageId, told: Vec<Told> },
    /// Count what is held.
    Left,
    /// Whether mail is put off for how much there is. Answer: a `Load` of a service that runs, and of one that is stopped none.
    Load,
    /// Take the next master key, whose file is there, and wrap the keys of all bodies with it. It must be the one of this
    /// name.
    Rekey { next: String },
    /// Messages go out, or come in from elsewhere.
    Transfer(transfer::Command),
}

impl Command {
    /// Whether the log is told of it although it changes nothing.
    pub const fn leaves_a_trace(&self) -> bool {
        matches!(self, Self::View { view: View { clear: true, .. }, after: 0 } | Self::Show { clear: true, .. })
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Response {
    /// So far; the last one before `Done` is the sum.
    Counted(Counts),
    /// Where to go on, when that was not all.
    Listed {
        messages: Vec<MessageId>,
        next: Option<i64>,
    },
    Entry(Box<Entry>),
    Stop(Box<Stop>),
    Tallied(By, Sum),
    /// The end of some of them: where to go on, when those were not all.
    Next(Option<i64>),
    Reconciled(Reconciled),
    Load(Box<Load>),
    /// So many keys are wrapped by the master key of this name, and none by another.
    Wrapped {
        keys: u64,
        master: String,
    },
    /// The next master key that the service was handed is another one, or none; it knows nothing of the one that was named.
    NotThatKey {
        handed: Option<String>,
    },
    Transfer(transfer::Response),
}

/// How a recipient ended, as another log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    Delivered,
    /// Given up.
    Failed,
    /// It is in an archive.
    Exported,
}

/// What another log says of recipients of a message that this gate can't know of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// Of the one with this address. `doubt`: an attempt ended without anybody's knowing whether it delivered.
    One { address: String, end: Option<End>, doubt: bool },
    /// Of all whom that log shows alike, where it doesn't say which of them.
    Alike(Alike),
}

/// How many of those whom a log shows alike ended how. All of them in one, however many: a part of them tells less.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alike {
    /// What auditors see of their addresses.
    pub shown: String,
    /// All who have an end there, also one of before the backup, or one whose address is known.
    pub ended: u64,
    /// Those of them who ended since, and whose addresses aren't known.
    pub delivered: u64,
    pub failed: u64,
    pub exported: u64,
    /// An attempt on one of them ended without anybody's knowing whether it delivered.
    pub doubt: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciled {
    /// Those who wait no more.
    pub done: Counts,
    /// Recipients that can't be told from others who have ended.
    pub unclear: u64,
    /// Further ones of whom nobody knows whether they got it.
    pub doubtful: u64,
    /// What is held.
    pub left: Counts,
}

impl Reconciled {
    pub fn add(&mut self, more: Self) {
        self.done.messages += more.done.messages;
        self.done.recipients += more.done.recipients;
        self.unclear += more.unclear;
        self.doubtful += more.doubtful;
    }
}

/// What an order has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub messages: u64,
    pub recipients: u64,
    /// Recipients whom an upstream was being told of at that moment: they may still get the message.
    pub under_way: u64,
}
