//! What is refused, for the log and to the edge.

use serde_json::json;

use super::super::audit::event::Event;
use super::super::figures::tally;
use super::super::limits::denial::{By, Denied};
use super::super::telling;
use super::Session;
use crate::config::slice::Protocol;
use crate::ipc::figures::metric::Metric;
use crate::ipc::session::Answer;
use crate::mail::address::{Address, ReversePath};
use crate::mail::flaw::Flaw;
use crate::policy::refusal::Refusal;

impl Session {
    /// A refusal of the edge's own, for the log, and what was wrong with the message.
    pub(super) async fn turned(
        &self,
        sender: &ReversePath,
        recipient: Option<Address>,
        further: u32,
        (refusal, flaw): (Refusal, Option<Flaw>),
    ) {
        let (spoken, tally) = (tally::spoken(self.listener.protocol), self.vault.writer.tally());
        match &recipient {
            // One by one; by HTTP, a message is taken for all or for none.
            Some(_) if self.listener.protocol == Protocol::Smtp => {
                tally.add(Metric::RecipientsRejected, [spoken, refusal.word()], u64::from(further) + 1);
            }
            _ => tally.rejected(spoken, refusal.word()),
        }
        let upstream = recipient.as_ref().and_then(|to| self.backed_up(refusal, sender, to));
        let event = self.about(Event { upstream, ..Event::refusal(refusal) }).sender(sender).recipients(&recipient);
        let rcpt_count = (further > 0).then(|| u64::from(further) + 1).or(event.rcpt_count);
        let data = flaw.map(|flaw| json!({ "fault": flaw.to_string() }).to_string());
        let told = telling::tell(&self.vault, Event { rcpt_count, data, ..event }, Some(self.by(refusal))).await;
        if told && refusal == Refusal::UnknownNetwork {
            // Its address is nobody's secret here, and whoever looks for a device has nothing else.
            let (listener, address) = (&self.listener.name, self.introduction.peer.ip());
            tracing::warn!(listener, %address, "no credential is identified by this address: its mail was refused");
        }
    }

    /// The upstream that too much waits for, when it is that.
    fn backed_up(&self, refusal: Refusal, sender: &ReversePath, to: &Address) -> Option<String> {
        let (Refusal::BackedUp(_), Some(known)) = (refusal, &self.principal) else { return None };
        let authority = self.vault.authority.borrow();
        let to = known.credential.policy.redirect.as_ref().unwrap_or(to);
        let lane = authority.lane(&known.credential.id, sender, to);
        lane.split(',').next().filter(|name| !name.is_empty()).map(str::to_owned)
    }

    /// An event with whose session it is of.
    fn about(&self, event: Event) -> Event {
        if let Some(principal) = &self.principal {
            return self.sender(principal).describe(event, None);
        }
        let (listener, session) = (Some(self.listener.name.clone()), Some(self.introduction.session));
        Event { session, listener, ..event }.client(self.introduction.peer.ip())
    }

    /// What refusals are counted under, so that neither a client that repeats itself nor an edge that was taken over writes
    /// the log full.
    fn by(&self, refusal: Refusal) -> By {
        telling::refused(self.principal.as_ref().map(|known| known.credential.id.as_str()), refusal)
    }

    /// Refuses a message and writes that down; what a limit refused, once in its window.
    pub(super) async fn refuse(&self, event: Event, denied: Denied) {
        self.vault.writer.tally().denied(tally::spoken(self.listener.protocol), &denied);
        let violated = denied.by.as_ref().and_then(By::violated);
        // While the disk is short of room every octet is for what was accepted; the service's own log has it.
        if denied.by.is_some() || denied.refusal != Refusal::StoreFull {
            let by = denied.by.unwrap_or_else(|| self.by(denied.refusal));
            telling::tell(&self.vault, event, Some(by)).await;
        }
        self.say_beside(Answer::Refused { slot: self.slot, refusal: denied.refusal }, violated).await;
    }
}
