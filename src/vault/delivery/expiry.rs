//! Messages whose time is over before they are offered: they are not sent as if nothing were, but given up.
//!
//! What makes a time pass is told in `limits::clock`: a clock that is set forward makes none, and what was over when the vault
//! began is offered once more.

use rusqlite::Result;

use super::outcome;
use super::settlement::{owes, tell};
use crate::mail::outcome::Said;
use crate::vault::audit::event::Name;
use crate::vault::audit::ledger::now_us;
use crate::vault::feedback::happened::{self, Happened, Subject};
use crate::vault::store::Store;
use crate::vault::store::spool::{Leased, Settled, State, Verdict};

/// Gives up the recipients on a lease that is not offered, and ends the lease. Gives the segment that must be removed.
pub fn give_up(store: &mut Store<'_>, leased: &Leased, upstream: &str) -> Result<Option<String>> {
    let (said, state, name) = (Said::default(), State::Expired, Name::DeliverExpire);
    let (mut events, subject) = (Vec::new(), Subject::of(leased));
    for (number, addressee, attempts) in &leased.recipients {
        let event = outcome::event(name, leased, upstream, &addressee.address, *attempts, &said);
        events.push(outcome::doubted(event, leased.is_doubtful(*number)));
        let owed = owes(leased, *number, state, &said);
        let settled =
            Settled { state, said: said.clone(), owed, tried: false, unknown: false, verdict: Verdict::Other };
        tell(leased, upstream, &settled, name);
        store.settle(leased.job, leased.row, *number, &settled)?;
        if let (Some(subject), Some(happened)) =
            (&subject, Happened::of(leased, *number, &settled, upstream, "lifetime"))
        {
            happened::put(store, subject, &happened)?;
        }
    }
    store.record(events)?;
    store.spool.release(leased.job, now_us())?;
    store.finish(leased.row, now_us())
}
