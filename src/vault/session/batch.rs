//! Room for all messages of a batch before the first of them, and the place of each out of that.

use super::{Session, once};
use crate::ipc::inquiry::{Batch, Finding};
use crate::ipc::once::Once;
use crate::ipc::session::Answer;
use crate::mail::address::ReversePath;
use crate::mail::envelope::Manner;
use crate::vault::admission;
use crate::vault::audit::event::Event;
use crate::vault::limits::Reservation;
use crate::vault::limits::denial::Denied;
use crate::vault::login::credentials::Known;
use crate::vault::sender::Sender;

impl Session {
    /// Keeps room for a batch, or says why there is none.
    pub(super) async fn room(&mut self, principal: &Known, batch: &Batch) {
        self.leave();
        // One that was begun before goes on, whatever is left: what is done of it asks for nothing.
        let is_begun = |once: &Once| !matches!(self.known(&principal.credential.id, once), once::Verdict::New(_));
        if !batch.first.as_ref().is_some_and(is_begun) {
            let from = self.sender(principal);
            match admission::admit_all(&self.vault, &from, batch) {
                Ok(ahead) => self.ahead = Some(ahead),
                Err(denied) => {
                    let rcpt_count = Some(u64::from(batch.recipients));
                    let event = Event { rcpt_count, ..Event::refusal(denied.refusal) };
                    return self.refuse(from.describe(event, None), denied).await;
                }
            }
        }
        self.say(Answer::Found { slot: self.slot, finding: Finding::Room }).await;
    }

    /// Whether a message may begin. One of a batch has its place.
    pub(super) fn admit(
        &mut self,
        from: &Sender,
        sender: &ReversePath,
        manner: &Manner,
        is_protected: bool,
        size: Option<u64>,
    ) -> Result<Reservation, Denied> {
        admission::may_begin(&self.vault, from, self.way(), sender, manner, is_protected, size)?;
        let own = self.ahead.as_mut().and_then(|all| all.draw(&from.credential.id, size.unwrap_or_default()));
        own.map_or_else(|| admission::place(&self.vault, from), Ok)
    }

    /// Gives back what is left of the room of a batch.
    pub(super) fn leave(&mut self) {
        if let Some(ahead) = self.ahead.take() {
            self.vault.authority.borrow_mut().limits.release_all(&ahead);
        }
    }

    /// Whether a request was done before. What was asked for as a test is not what is asked for under the same name now.
    pub(super) fn known(&self, principal: &str, once: &Once) -> once::Verdict {
        let authority = self.vault.authority.borrow();
        let is_test = authority.credentials.get(principal).is_some_and(|credential| credential.policy.test);
        let fingerprint = if is_test { once.fingerprint.map(|octet| !octet) } else { once.fingerprint };
        self.vault.onces.begin(principal, &Once { fingerprint, ..*once }, authority.clock.passed_us())
    }
}
