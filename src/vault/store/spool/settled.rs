//! What became of a recipient, for the spool, and in the words that are told of it.

use super::State;
use crate::ipc::happening::Kind;
use crate::mail::outcome::{Outcome, Said};

/// What became of one recipient in an attempt.
#[derive(Clone, Debug)]
pub struct Settled {
    pub state: State,
    pub said: Said,
    /// The sender is to be told.
    pub owed: bool,
    /// It was offered to somebody.
    pub tried: bool,
    /// Nobody knows whether it was delivered.
    pub unknown: bool,
    pub verdict: Verdict,
}

/// What an upstream has decided of him, which the state alone doesn't say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It refused him for good, whatever its answer was like.
    Refused,
    /// It put him off. Where nobody here tries him again, his client does.
    PutOff,
    /// Nothing of these: it took him, it wasn't asked, or nobody knows.
    Other,
}

impl Verdict {
    pub const fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Failed(_) => Self::Refused,
            Outcome::Deferred(_) => Self::PutOff,
            Outcome::Delivered(_) | Outcome::Unsendable(_) | Outcome::Unknown(_) => Self::Other,
        }
    }
}

impl Settled {
    /// What is told of it, by a webhook and to whoever asks.
    pub const fn kind(&self) -> Kind {
        match (self.state, self.verdict) {
            (State::Delivered, _) => Kind::Sent,
            (State::Waiting(_) | State::Held(_), _) | (State::Failed, Verdict::PutOff) => Kind::Deferred,
            (State::Failed, Verdict::Refused) => Kind::Bounced,
            (State::Failed, Verdict::Other) | (State::Expired, _) => Kind::Failed,
        }
    }
}
