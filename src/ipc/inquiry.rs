//! What a client asks about mail that its credential has sent and about what it may, and what the vault finds: carried by a
//! session's question and answer, one frame each. What it may see is decided by the vault; how an API says it, by the edge.

use serde::{Deserialize, Serialize};

use super::allowance::Allowance;
use super::card::{Card, Which};
use super::happening::{Happened, Span};
use super::label::Label;
use super::once::Once;
use crate::mail::address::Address;
use crate::mail::id::MessageId;

/// Recipients that a finding names, and octets that it may have: with the fields of the message itself it fits into one frame.
pub const MOST_RECIPIENTS: usize = 50;
pub const MOST_OCTETS: usize = 12 * 1024;
/// Characters of an upstream's answer that a finding has.
pub const MOST_REPLY: usize = 200;
/// Messages of one page, as far as they fit into one frame: then it is shorter. What they may have there, and of each the recipients.
pub const MOST_LISTED: u32 = 100;
pub const MOST_PAGE: usize = 15 * 1024;
pub const MOST_BESIDE: usize = 4 * 1024;
/// Domains that the question for a batch's room names: as many as fit into one frame with the longest names.
pub const MOST_DOMAINS: usize = 40;
/// Nobody waits longer for the end of a message, in milliseconds: a request has its time, and its place at the vault is one of few.
pub const LONGEST_WAIT_MS: u32 = 30_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Inquiry {
    /// What became of that message.
    Submission { message: MessageId },
    /// The same when nothing more becomes of it, when so many milliseconds are over, or when the session says `Abort`.
    Wait { message: MessageId, within_ms: u32 },
    /// What it has sent, a page of it.
    List(Page),
    /// That message is to be sent to nobody, if nobody has it and no courier is at it.
    Cancel { message: MessageId },
    /// That message, which waits for the time that its sender gave, is to leave at this one, in microseconds since 1970.
    Reschedule { message: MessageId, release_us: u64 },
    /// What is left of its limits.
    Allowance,
    /// What it may.
    Card,
    /// What others may, of somebody who may see that.
    Cards(Which),
    /// What happened to what it has sent.
    Events(Span),
    /// Whether all messages of a batch have room in its limits. Then that room is kept for those that the session asks for next,
    /// until the next such question, or `Abort`. Answer: `Room`, or why not; that is written down as of one message.
    Room(Box<Batch>),
}

/// What a batch needs of the limits, asked before the first of its messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    pub messages: u32,
    /// Of all of them.
    pub recipients: u32,
    pub octets: u64,
    /// Where most of them go to, `MOST_DOMAINS` at most.
    pub domains: Vec<OfDomain>,
    /// By what its first message is known, where its client said a key: one that was begun before goes on whatever is left.
    pub first: Option<Once>,
}

/// What of a batch goes to one domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfDomain {
    pub domain: String,
    pub messages: u32,
    pub recipients: u32,
}

/// A part of all that a credential has sent, by the ids: they sort by when they were given. What isn't named has no bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// `MOST_LISTED` at most.
    pub limit: u32,
    pub from: Option<Cursor>,
    /// By the time in the id, in milliseconds: that one and later ones, and those before that.
    pub since_ms: Option<u64>,
    pub until_ms: Option<u64>,
    /// Those that stand so alone; none: all.
    pub status: Vec<Status>,
    /// Those with that tag alone, and those to that address.
    pub tag: Option<String>,
    pub recipient: Option<Address>,
    /// Each with its recipients, of whom the address and the status are told.
    pub with_recipients: bool,
}

/// Where a page begins. It need not be a message of that credential, nor one at all: it is a place among the ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cursor {
    /// Those that are older.
    After(MessageId),
    /// Those that are newer.
    Before(MessageId),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finding {
    /// None: the credential has sent no such message, or it is no longer remembered. The two are not told apart.
    Submission(Option<Box<Submission>>),
    /// The same, and why it isn't waited for any more.
    Waited(Option<Box<Submission>>, Over),
    Listed(Listed),
    /// None: as above.
    Canceled(Option<Canceled>),
    Rescheduled(Option<Rescheduled>),
    Allowance(Box<Allowance>),
    Card(Box<Card>),
    /// In the order of their ids; whether there are more in the direction in which was asked.
    Cards {
        cards: Vec<Card>,
        more: bool,
    },
    Happened(Happened),
    /// There is room for a batch.
    Room,
}

/// Why somebody doesn't wait any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Over {
    /// Nothing more becomes of it.
    Ended,
    /// Its time is over.
    Elapsed,
    /// Too many wait: it was not waited for.
    Crowded,
    /// Whoever waited does so no more.
    Left,
}

/// Messages, the newest first, each without its recipients unless they were asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    pub all: Vec<Submission>,
    /// Where the next page begins, in the direction of this one; none: there is none.
    pub next: Option<MessageId>,
}

/// What came of taking a message back, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Canceled {
    /// Nobody gets it, whether that is so since now or was before.
    Done(Box<Submission>),
    /// It is too late, or an operator's to decide; nothing was changed.
    Not(Box<Submission>),
}

/// What came of giving a message another time, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rescheduled {
    Done(Box<Submission>),
    /// It doesn't wait for a time any more, or it is an operator's to decide; nothing was changed.
    Not(Box<Submission>),
    /// It was given another one as often as it may be; nothing was changed.
    TooOften(Box<Submission>),
}

/// A message that was accepted, as whoever sent it may know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    pub message: MessageId,
    pub status: Status,
    /// The envelope's sender, as it may be seen; none: nobody.
    pub from: Option<String>,
    /// What its client said of it beside it.
    pub label: Option<Box<Label>>,
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
    /// It is sent for a test.
    pub test: bool,
}

impl Submission {
    /// Its recipients as they stood in To, Cc and Bcc; all in To where that isn't known.
    pub fn sorted(&self) -> [Vec<&Recipient>; 3] {
        let (to, cc) = self.label.as_ref().and_then(|label| label.shown).unwrap_or((u32::MAX, 0));
        let mut lists = [Vec::new(), Vec::new(), Vec::new()];
        let [in_to, in_cc, in_bcc] = &mut lists;
        for one in &self.recipients {
            match one.number {
                number if number < to => in_to.push(one),
                number if number < to.saturating_add(cc) => in_cc.push(one),
                _ => in_bcc.push(one),
            }
        }
        lists
    }
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
