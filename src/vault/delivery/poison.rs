//! Poison: what ends its courier is found and set aside, and its neighbours are delivered.
//!
//! All that a courier had when it ended are suspects, and each is offered alone the next time. Who comes to an end that way is
//! none any more; over whom a courier ends a second time, nobody else was there, and it waits until somebody has looked.

use rusqlite::Result;

use crate::vault::audit::event::{Event, Field, Name, Outcome};
use crate::vault::store::Store;
use crate::vault::store::spool::Leased;

/// How a job ended, as far as it tells something of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The courier lives.
    Harmless,
    /// It never came to the message, or somebody else ended it.
    None,
    /// The courier ended while it had it, or its task did.
    Fell,
}

/// Writes down what a job's end tells, before its lease ends; or behind it, where that ended with its only outcome.
pub fn note(store: &mut Store<'_>, leased: &Leased, upstream: &str, proof: Proof) -> Result<()> {
    match proof {
        Proof::Harmless if leased.ended > 0 => store.suspects.clear(leased.row),
        Proof::Harmless | Proof::None => Ok(()),
        Proof::Fell => {
            store.suspects.count(leased.row)?;
            if leased.ended == 0 { Ok(()) } else { set_aside(store, leased, upstream) }
        }
    }
}

fn set_aside(store: &mut Store<'_>, leased: &Leased, upstream: &str) -> Result<()> {
    let recipients = store.hold.hold(leased.row)?;
    if recipients == 0 {
        return Ok(());
    }
    store.hold.quarantine(leased.row)?;
    let message = leased.message;
    tracing::error!(%message, upstream, "a message that ended its courier twice is set aside until somebody releases it");
    let event = Event {
        message: Some(message),
        delivery: Some(leased.delivery),
        upstream: Some(upstream.to_owned()),
        rcpt_count: u64::try_from(recipients).ok(),
        reason: Some("courier-ended".to_owned()),
        severity: 3,
        ..Event::new(Name::QueueHold, Outcome::Failure)
    };
    store.record(vec![event.with(Field::Account, leased.principal.clone())])
}
