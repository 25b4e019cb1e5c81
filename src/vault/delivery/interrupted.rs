//! Deliveries of which nobody can tell how they went: at a start, those that the vault's own end interrupted behind the end of
//! their content.
//!
//! All others that were on offer then are offered again, as messages that can't have been delivered.

use std::time::Duration;

use rusqlite::Result;

use super::outcome::{self, PutOff};
use super::settlement::{owes, tell};
use crate::mail::outcome::{Outcome as Delivery, Said, UNANSWERED};
use crate::policy::OnUnknown;
use crate::vault::acceptance;
use crate::vault::audit::event::Name;
use crate::vault::audit::ledger::now_us;
use crate::vault::feedback::happened::{self, Happened, Subject};
use crate::vault::limits::clock::queue_us;
use crate::vault::store::Store;
use crate::vault::store::spool::{Settled, State, Verdict};

/// What is said of a recipient whom a message may have reached, by the gate itself.
pub fn interrupted(why: &str) -> Said {
    Said { enhanced: Some("4.4.2".into()), text: format!("{UNANSWERED}: {why}"), ..Said::default() }
}

/// No wait for another attempt is longer: the longest in `retry`, and what may be added to it.
const LONGEST_WAIT: u64 = 86_400_000_000 * 6 / 5;

/// What waits for a time that only a clock that was ahead can have given waits no longer than it could by this one. Gives how many did.
pub fn hurry(store: &mut Store<'_>) -> Result<usize> {
    store.leases.hurry(queue_us().saturating_add(LONGEST_WAIT))
}

/// At start nothing is on offer, whatever was: what is marked is settled by its mark. `retry`: the waits of who is tried again.
/// Segments are swept after it.
pub fn end_leases(store: &mut Store<'_>, retry: &[Duration]) -> Result<()> {
    hurry(store)?;
    for lease in store.leases.interrupted()? {
        let suspects = store.leases.suspects(lease.job)?;
        if suspects.is_empty() {
            // All have an outcome, and then there may be no body any more, or can't have the message.
            continue;
        }
        let mut leased = store.spool.leased(lease.job, lease.row, "", lease.delivery)?;
        leased.recipients.retain(|(number, ..)| suspects.contains(number));
        if lease.is_live && lease.on_unknown == OnUnknown::Retry {
            // An intent that waits from now on, and so is kept: the edge that asks for it hears that.
            store.record(acceptance::interrupted(&leased))?;
        }
        let (said, put_off) = (interrupted("the gate ended"), PutOff::now());
        let (mut events, subject) = (Vec::new(), Subject::of(&leased));
        for (number, addressee, attempts) in &leased.recipients {
            let delivery = Delivery::Unknown(said.clone());
            let (state, name) = outcome::decide(&leased, *attempts, &delivery, retry, put_off, lease.on_unknown);
            // Whose time is over meanwhile is given up as all whose time is over, behind the start.
            let state = if state == State::Expired { State::Waiting(queue_us()) } else { state };
            let (recipient, attempt) = (&addressee.address, attempts.saturating_add(1));
            events.push(outcome::event(name, &leased, &lease.upstream, recipient, attempt, &said));
            events.extend(outcome::by_itself(name, state, &leased, recipient));
            let (owed, unknown) = (owes(&leased, *number, state, &said), name == Name::DeliverUnknown);
            let settled = Settled { state, said: said.clone(), owed, tried: true, unknown, verdict: Verdict::Other };
            tell(&leased, &lease.upstream, &settled, name);
            store.settle(lease.job, lease.row, *number, &settled)?;
            if let (Some(subject), Some(happened)) =
                (&subject, Happened::of(&leased, *number, &settled, &lease.upstream, "unknown"))
            {
                happened::put(store, subject, &happened)?;
            }
            if matches!(state, State::Held(_)) {
                store.hold.quarantine(leased.row)?;
            }
        }
        store.record(events)?;
        store.finish(leased.row, now_us())?;
    }
    store.spool.release_all()
}
