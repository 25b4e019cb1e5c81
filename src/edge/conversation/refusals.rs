//! What was refused here, told to the vault for its log.

use super::{State, Visit};
use crate::ipc::session::Ask;
use crate::mail::address::{Address, ReversePath};
use crate::mail::flaw::Flaw;
use crate::policy::refusal::Refusal;

impl Visit {
    /// Tells of a refusal that was decided here. Best effort: the vault decides again whatever matters.
    pub fn turned(&self, sender: &ReversePath, recipient: Option<Address>, refusal: Refusal) {
        self.turned_with(sender, recipient, 0, refusal);
    }

    /// The same, of a message, with what was wrong with its form.
    pub fn unfit(&self, sender: &ReversePath, refusal: Refusal, flaw: Option<Flaw>) {
        self.tell_of(sender, None, 0, (refusal, flaw));
    }

    /// The same, of a recipient and of so many further ones at once.
    pub fn turned_with(&self, sender: &ReversePath, recipient: Option<Address>, further: u32, refusal: Refusal) {
        self.tell_of(sender, recipient, further, (refusal, None));
    }

    fn tell_of(
        &self,
        sender: &ReversePath,
        recipient: Option<Address>,
        further: u32,
        (refusal, flaw): (Refusal, Option<Flaw>),
    ) {
        if let State::Inside(seat) = &self.state {
            let (slot, sender) = (seat.slot(), sender.clone());
            seat.mention(Ask::Turned { slot, sender, recipient, further, refusal, flaw });
        }
    }
}
