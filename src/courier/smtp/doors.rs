//! Who is let in at MAIL, by sender, and at RCPT, by recipient.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::transaction::Known;
use crate::courier::admission::Admission;
use crate::courier::parcel::Parcel;
use crate::mail::address::{Address, ReversePath};
use crate::mail::outcome::Outcome;

/// Where a message was refused by what may be meant for all.
#[derive(Clone, Copy, Debug)]
pub enum Door {
    Mail,
    Rcpt,
}

#[derive(Default)]
struct Answers {
    mail: Admission<ReversePath>,
    rcpt: Admission<Option<Address>>,
}

/// How an upstream has answered of late.
#[derive(Default)]
pub struct Doors(Mutex<Answers>);

/// Who comes with a message: its sender, and its first recipient, who stands for all where nobody is taken.
pub struct Caller {
    sender: ReversePath,
    recipient: Option<Address>,
}

impl Caller {
    pub fn of(parcel: &Parcel) -> Self {
        let recipient = parcel.recipients.first().map(|(_, to)| to.address.clone());
        Self { sender: parcel.sender.clone(), recipient }
    }
}

impl Doors {
    /// The lock is never held while something is awaited or can panic.
    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a refusal there would be the caller's affair, and not the route's.
    pub fn are_of(&self, caller: &Caller, door: Door) -> bool {
        let answers = self.lock();
        match door {
            Door::Mail => answers.mail.is_of(&caller.sender),
            Door::Rcpt => answers.rcpt.is_of(&caller.recipient),
        }
    }

    /// What another refusal of the same is known to be.
    pub fn known(&self, caller: &Caller) -> Known {
        let answers = self.lock();
        Known {
            of_sender: answers.mail.is_known(&caller.sender),
            of_recipient: answers.rcpt.is_known(&caller.recipient),
        }
    }

    pub fn refused(&self, caller: &Caller, door: Door) {
        let mut answers = self.lock();
        match door {
            Door::Mail => answers.mail.refused(&caller.sender),
            Door::Rcpt => answers.rcpt.refused(&caller.recipient),
        }
    }

    /// Some of a message were delivered to.
    pub fn passed(&self, parcel: &Parcel, outcomes: &[(u32, Outcome)]) {
        let has = |number: u32| {
            outcomes.iter().any(|(own, outcome)| *own == number && matches!(outcome, Outcome::Delivered(_)))
        };
        let Some((_, taken)) = parcel.recipients.iter().find(|(number, _)| has(*number)) else { return };
        let mut answers = self.lock();
        answers.mail.passed(&parcel.sender);
        answers.rcpt.passed(&Some(taken.address.clone()));
    }

    /// No host was of use.
    pub fn failed(&self) {
        let mut answers = self.lock();
        answers.mail.failed();
        answers.rcpt.failed();
    }
}
