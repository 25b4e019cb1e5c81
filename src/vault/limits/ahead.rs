//! Room for all messages of a batch, kept before the first of them is asked for: a batch that is to go whole or not at all is not
//! cut in the middle by its own credential's limits.
//!
//! As at MAIL, only what is the credential's own is kept for what may never come; what others share is looked at.

use super::clock::Now;
use super::denial::Denied;
use super::key::{Key, Tier};
use super::origin::Origin;
use super::usage::Held;
use super::{Limits, Reservation};
use crate::ipc::inquiry::Batch;

/// What is kept for messages of a batch that were not asked for yet. It is given back, or held for ever.
#[derive(Debug)]
#[must_use]
pub struct Ahead {
    credential: Key,
    left: Held,
}

impl Limits {
    /// Keeps room for all of a batch, or says how long to wait, and takes nothing.
    pub fn reserve_all(&mut self, origin: &Origin<'_>, batch: &Batch, now: Now) -> Result<Ahead, Denied> {
        self.look_at_suspension(origin, now)?;
        self.check(&mut origin.counts_in_all(batch), Some(batch.octets), now)?;
        let credential = Key::new(Tier::Credential, origin.credential);
        let (messages, recipients) = (u64::from(batch.messages), u64::from(batch.recipients));
        let left = Held { messages, recipients, octets: batch.octets };
        self.own.entry(&credential).held.add(left);
        Ok(Ahead { credential, left })
    }

    /// Gives back what no message has asked for.
    pub fn release_all(&mut self, ahead: &Ahead) {
        if let Some(usage) = self.own.get_mut(&ahead.credential) {
            usage.held.sub(ahead.left);
        }
    }
}

impl Ahead {
    /// MAIL: the place of one message of so many octets, as far as there is one left for it.
    pub fn draw(&mut self, credential: &str, octets: u64) -> Option<Reservation> {
        if *self.credential.name != *credential {
            return None;
        }
        self.left.messages = self.left.messages.checked_sub(1)?;
        let mut reservation = Reservation::of(self.credential.clone());
        self.move_on(&mut reservation, 0, octets);
        Some(reservation)
    }

    /// So many recipients of that message are known now: their room is kept with its place, until it is counted.
    pub fn name(&mut self, reservation: &mut Reservation, recipients: u64) {
        if self.credential == reservation.credential && reservation.taken.is_empty() {
            self.move_on(reservation, recipients, 0);
        }
    }

    /// No more than there is: whoever says less of a batch than it is finds the rest held to the limits as any message.
    fn move_on(&mut self, reservation: &mut Reservation, recipients: u64, octets: u64) {
        let (recipients, octets) = (recipients.min(self.left.recipients), octets.min(self.left.octets));
        let moved = Held { messages: 0, recipients, octets };
        self.left.sub(moved);
        reservation.held.add(moved);
    }
}
