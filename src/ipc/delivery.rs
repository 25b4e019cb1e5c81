//! Vault and courier: messages out, outcomes back. The vault leases a message before it offers it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bytes::Octets;
use super::shown::Shown;
use crate::mail::address::ReversePath;
use crate::mail::envelope::{Addressee, Manner};
use crate::mail::id::MessageId;
use crate::mail::outcome::{Outcome, Said};
use crate::secret::Secret;

/// One attempt at one message, numbered by the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Job(pub u64);

/// The most jobs a courier may take at once: as many connections as an upstream can be given. With 64 of them, three in
/// four of which are for senders who wait, 312 messages a second passed to an upstream 50 ms away.
pub const MAX_SLOTS: u16 = 256;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Offer {
    /// A message for this upstream. Its recipients and content follow.
    Message { job: Job, message: MessageId, sender: ReversePath, manner: Manner, size: u64, recipients: u32 },
    /// A message whose sender waits: recipients, content and its end follow as the sender says them. `size` is what it said of that.
    /// `key`: the provider's key that it goes with instead of ours.
    Live {
        job: Job,
        message: MessageId,
        sender: ReversePath,
        manner: Manner,
        size: Option<u64>,
        key: Option<Secret<String>>,
    },
    /// The next recipients, numbered as the vault numbers them. Of a live message each is answered at once, by `Accepted` or
    /// `Recipient`, in this order.
    Recipients { job: Job, batch: Vec<(u32, Addressee)> },
    /// The next octets: canonical lines that end in CRLF, dots not stuffed. Only as many as the courier asked for.
    Content { job: Job, octets: Octets },
    /// Answers `Ending`: all content was sent, and it is written down who may have the message from now on. Of a live message it
    /// is asked for by nobody, and the turn is 0: whoever was accepted gets it.
    End { job: Job, turn: u32 },
    /// The content can't be read: give the job up, whatever was sent of it, without the final dot. Answered by a last word.
    Withdraw { job: Job },
    /// No message: go through all that comes before one from each of these, with each host, and say what is said. Answered by
    /// `Rehearsal`s.
    Rehearse { job: Job, senders: Vec<ReversePath> },
    /// No message: find out whether the provider takes this key, which is not ours. Answered by `Verified`.
    Verify { job: Job, key: Secret<String> },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Progress {
    /// How many jobs this courier takes at once, up to `MAX_SLOTS`. Said once and first; zero, when it drains.
    Slots(u16),
    /// Send up to this many octets more of the content.
    Want { job: Job, octets: u32 },
    /// The last octets for these are about to be sent, and will be when `End` answers with the same number, one more each time.
    /// Nobody else who has no outcome can have the message from then on; nobody at all, when none is named.
    Ending { job: Job, turn: u32, numbers: Vec<u32> },
    /// Mail for a recipient of a live message is taken. Its outcome follows. `is_answer`: the upstream said so, and not the courier,
    /// whose upstream can't be asked before the whole message.
    Accepted { job: Job, number: u32, is_answer: bool },
    /// What became of one recipient. Each recipient gets exactly one, and as soon as it is known.
    Recipient { job: Job, number: u32, outcome: Outcome },
    /// The job's last word, unless one of those below is: every recipient has its outcome.
    Settled { job: Job },
    /// The upstream could not be reached or would not let us in: charged to the route, and not to those who have no outcome yet.
    /// `rest`: it asked to be left alone for so long.
    RouteFailed { job: Job, reason: String, rest: Option<Duration> },
    /// The same, because each host that was reached refused our login.
    LoginRefused { job: Job, reason: String },
    /// The same: its task fell in the courier, over this message and no other. Nobody knows how far it came.
    Fell { job: Job },
    /// The job's last word as well: the session ended at MAIL or behind it. Who has no outcome yet is put off by this.
    BrokenOff { job: Job, said: Said },
    /// The same: the vault took it back, or said nothing for too long. Nobody who has no outcome has it, and that is no upstream's fault.
    GivenUp { job: Job },
    /// Of a rehearsal, which ends with `Heard::End`.
    Rehearsal { job: Job, heard: Heard },
    /// What a provider says of a key.
    Verified { job: Job, verified: Verified },
}

/// What is known of a key that was shown to its provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verified {
    /// It is in force.
    Taken,
    /// The provider knows no such key.
    Refused,
    /// Nobody can say now, and why; in our words and a stranger's.
    Unknown(String),
}

/// What is to be told of a rehearsal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Heard {
    /// Of `MAX_LINES` at most.
    Line(Line),
    /// The last word: whether every host would have taken a message.
    End(bool),
}

/// Lines of one rehearsal: more than all that honest hosts say.
pub const MAX_LINES: usize = 1024;
/// Characters of one line; an upstream may say longer ones.
pub const MAX_LINE: usize = 512;

/// One line of a transcript. What is secret is not in it; an upstream's words are a stranger's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub who: Who,
    pub text: String,
    /// Where it is of a handshake: what was shown in it.
    pub shown: Option<Box<Shown>>,
}

impl Line {
    /// What happened, cut to what a line may have.
    pub fn note(text: &str) -> Self {
        Self { who: Who::Note, text: text.chars().take(MAX_LINE).collect(), shown: None }
    }

    /// Whether it is no longer than a line may be.
    pub fn fits(&self) -> bool {
        self.text.chars().nth(MAX_LINE).is_none() && self.shown.iter().all(|shown| shown.fits())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Who {
    /// Said by us.
    Gate,
    /// Said by the upstream.
    Upstream,
    /// What happened, in our words.
    Note,
}
