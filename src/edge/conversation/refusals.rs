//! What was refused here, told to the vault for its log.

use super::{State, Visit};
use crate::ipc::session::Ask;
use crate::mail::address::{Address, ReversePath};
use crate::policy::refusal::Refusal;

impl Visit {
    /// Tells of a refusal that was decided here. Best effort: the vault decides again whatever matters.
    pub fn turned(&self, sender: &ReversePath, recipient: Option<Address>, refusal: Refusal) {
        self.turned_with(sender, recipient, 0, refusal);
    }

    /// The same, of a recipient and of so many further ones at once.
    pub fn turned_with(&self, sender: &ReversePath, recipient: Option<Address>, further: u32, refusal: Refusal) {
        if let State::Inside(seat) = &self.state {
            seat.mention(Ask::Turned { slot: seat.slot(), sender: sender.clone(), recipient, further, refusal });
        }
    }
}
