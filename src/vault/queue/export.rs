//! Messages that go to another gate: each is shown whole, and given up here once it is kept there.

use rusqlite::Result as Sql;

use super::{EXPORTED, Order, Slice, add, give_up};
use crate::ipc::admin::queue::listing::Standing;
use crate::ipc::admin::queue::{Counts, Deed, Which};
use crate::mail::id::MessageId;
use crate::vault::audit::event::Event;
use crate::vault::audit::ledger::now_us;
use crate::vault::audit::row::is_damage;
use crate::vault::store::Store;
use crate::vault::store::hold::Whom;
use crate::vault::store::transfer::Whole;

const UNDER_WAY: &str =
    "an upstream is being told of it now: give the command again when that has ended (gatepost queue show)";

const TAKEN: &str = "another export has it, and has not ended yet";

const DAMAGED: &str =
    "what the database has of it is damaged, and stays there: PRAGMA integrity_check tells whether there is more of it";

/// Who takes which message, and whether it is offered to nobody from then on.
#[derive(Clone, Debug)]
pub struct Taking {
    pub message: MessageId,
    /// Only when it is of this credential.
    pub credential: Option<String>,
    pub hold: bool,
}

/// What is given out.
#[derive(Debug)]
pub enum Given {
    /// The message as it stood before it was held.
    Whole(Box<Whole>),
    /// Nobody waits for it any more, or it is not meant.
    Passed,
    /// It can't be given out now.
    Left(&'static str),
}

/// Reads a message. With `hold` it is offered to nobody until it is known whether it has left.
///
/// `begin` is written with what is given out.
pub fn give(store: &mut Store<'_>, taking: &Taking, begin: Option<Event>) -> Sql<Given> {
    let whole = match store.transfer.find(taking.message, now_us(), &mut store.keys) {
        Ok(Some(whole)) => whole,
        Ok(None) => return Ok(Given::Passed),
        // One damaged row keeps nobody from the others.
        Err(error) if is_damage(&error) => return Ok(Given::Left(DAMAGED)),
        Err(error) => return Err(error),
    };
    let is_meant = taking.credential.as_ref().is_none_or(|id| *id == whole.envelope.credential);
    if !is_meant || !whole.recipients.iter().any(|one| one.standing.is_open()) {
        return Ok(Given::Passed);
    }
    if taking.hold {
        if whole.recipients.iter().any(|one| one.standing == Standing::Leased) {
            return Ok(Given::Left(UNDER_WAY));
        }
        // What one of them gives back the other would have in its archive.
        if store.transfer.is_leaving(whole.row)? {
            return Ok(Given::Left(TAKEN));
        }
        store.transfer.take(whole.row)?;
    }
    store.record(begin.into_iter().collect())?;
    Ok(Given::Whole(Box::new(whole)))
}

/// Gives up what is kept elsewhere now, as far as it was held all the time: what was released meanwhile is not what was kept.
pub fn part_with(store: &mut Store<'_>, messages: &[MessageId], actor: &str, note: Option<&String>) -> Sql<Slice> {
    let mut slice = Slice::default();
    for message in messages {
        let Some(open) = store.hold.find(*message)? else { continue };
        if store.transfer.moves(open.row)? {
            continue;
        }
        let (actor, note) = (Some(actor.to_owned()), note.cloned());
        let order = Order { deed: Deed::Drop, which: Which::Message(*message), actor, reason: EXPORTED, note };
        let (dropped, segment) = give_up(store, &open, &order, Whom::All)?;
        slice.segments.extend(segment);
        let recipients = u64::try_from(dropped).unwrap_or(u64::MAX);
        add(&mut slice.counts, Counts { messages: u64::from(dropped > 0), recipients, under_way: 0 });
    }
    Ok(slice)
}
