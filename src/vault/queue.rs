//! Orders over the queue: what is held is offered to nobody, what is released is offered again, what is dropped is gone.
//!
//! An order goes through the queue in slices, each a transaction with the event of what it did, so that the service goes on
//! between them and a crash leaves nothing done that isn't written down.

pub mod before;
pub mod cancel;
pub mod ended;
pub mod export;
pub mod import;
pub mod leaving;
pub mod listing;
pub mod pending;
pub mod reconcile;
pub mod reschedule;

use std::collections::BTreeSet;

use rusqlite::Result as Sql;

use super::Vault;
use super::audit::event::{Event, Field, MAX_RECIPIENTS, Name, Outcome};
use super::audit::ledger::now_us;
use super::store::feed::Entry;
use super::store::hold::{Open, Whom};
use super::store::{Failure, Store};
use crate::ipc::admin::queue::{Counts, Deed, Which};
use crate::ipc::happening::Kind;
use crate::mail::id::MessageId;

/// Why mail is held or dropped whose credential may send no more.
pub const REVOKED: &str = "revoked";
/// Why a message was dropped that another gate has.
const EXPORTED: &str = "exported";

/// Messages looked at in one transaction; fewer when their bodies, of up to 64 KiB each, are overwritten in it.
const SLICE: u32 = 1000;
const SLICE_OF_BODIES: u32 = 100;
/// Characters of an administrator's reason that are kept.
const NOTE: usize = 200;

/// What is released or tried by order lives at least so long from then on: whoever says so wants it tried.
const AGAIN_US: u64 = 3_600_000_000;

/// What is to be done, by whom, and why.
#[derive(Clone, Debug)]
pub struct Order {
    pub deed: Deed,
    pub which: Which,
    /// Who says so, as the log names it; none when the gate does it by itself.
    pub actor: Option<String>,
    /// The word for why: `ordered`, `revoked`, `restored`.
    pub reason: &'static str,
    /// The administrator's own words.
    pub note: Option<String>,
}

/// What one transaction did, and what must follow when it is committed.
#[derive(Debug, Default)]
pub struct Slice {
    pub counts: Counts,
    /// Somebody waits in these lanes again.
    pub lanes: BTreeSet<String>,
    /// Segments nobody needs any more.
    pub segments: Vec<String>,
    /// Where to go on; none at the end of the queue.
    pub next: Option<i64>,
}

/// Carries an order out beside everything else that goes on. `tell` hears the counts so far.
pub async fn carry_out(vault: &Vault, order: Order, mut tell: impl AsyncFnMut(Counts)) -> Result<Counts, String> {
    let (mut counts, mut next) = (Counts::default(), Some(0));
    while let Some(after) = next {
        let own = order.clone();
        let done = vault.writer.run(move |store| slice(store, &own, after)).await;
        let done = done.map_err(|error| format!("{error}; {} messages were done before", counts.messages))?;
        for segment in done.segments {
            vault.segments.remove(segment).await;
        }
        if !done.lanes.is_empty() {
            vault.schedule.borrow_mut().arrived(done.lanes);
            vault.poke.notify_one();
        }
        add(&mut counts, done.counts);
        next = done.next;
        tell(counts).await;
    }
    Ok(counts)
}

/// The same, also for what was decided before and is not on the disk yet.
pub async fn carry_out_with_late(vault: &Vault, order: Order) -> Result<Counts, String> {
    let mut counts = carry_out(vault, order.clone(), async |_| ()).await?;
    if vault.pending.settled().await {
        add(&mut counts, carry_out(vault, order, async |_| ()).await?);
    }
    Ok(counts)
}

/// The same while the service is stopped, in a store that this process has opened.
pub fn carry_out_here(store: &mut Store<'_>, order: &Order) -> Result<Counts, Failure> {
    let (mut counts, mut next) = (Counts::default(), Some(0));
    while let Some(after) = next {
        let done = store.transaction(|store| {
            store.tell_unclean_stop()?;
            slice(store, order, after)
        })?;
        add(&mut counts, done.counts);
        next = done.next;
        // Segments that nobody needs are removed at the next start.
    }
    Ok(counts)
}

/// The part of an order that begins behind that row of the queue.
pub fn slice(store: &mut Store<'_>, order: &Order, after: i64) -> Sql<Slice> {
    let limit = if order.deed.drops() { SLICE_OF_BODIES } else { SLICE };
    let (open, next) = match &order.which {
        Which::Message(message) => (store.hold.find(*message)?.into_iter().collect(), None),
        Which::All | Which::Credential(_) | Which::Upstream(_) => {
            let open = store.hold.open(after, limit)?;
            let is_full = u32::try_from(open.len()).is_ok_and(|length| length == limit);
            let next = open.last().map(|last| last.row).filter(|_| is_full);
            (open, next)
        }
    };
    let mut slice = Slice { next, ..Slice::default() };
    for open in open {
        if let Which::Credential(id) = &order.which
            && *id != open.principal
        {
            continue;
        }
        // Who may send no more has not said what the gate says of his mail, and somebody waits for that.
        if open.is_ours && order.deed == Deed::Hold && order.reason == REVOKED {
            continue;
        }
        concern(store, order, &open, &mut slice)?;
    }
    if !order.deed.drops() && slice.counts.messages > 0 {
        store.record(vec![summary(order, slice.counts)])?;
    }
    Ok(slice)
}

/// Does it to one message.
fn concern(store: &mut Store<'_>, order: &Order, open: &Open, slice: &mut Slice) -> Sql<()> {
    let under_way = match order.deed {
        Deed::DropHeld => store.hold.held_under_way(open.row)?,
        _ => store.hold.under_way(open.row)?,
    };
    let changed = match order.deed {
        Deed::Hold => store.hold.hold(open.row)?,
        Deed::Release => {
            let now = now_us();
            // Who may have it already gets it again only when somebody means that very message.
            let changed = match order.which {
                Which::Message(_) => store.hold.release(open.row, now)?,
                _ if open.is_aside && open.is_quarantined => 0,
                _ if open.is_quarantined => store.hold.release_others(open.row, now)?,
                _ => store.hold.release(open.row, now)?,
            };
            if changed > 0 {
                store.hold.extend(open.row, now_us().saturating_add(AGAIN_US))?;
                slice.lanes.extend(store.hold.lanes(open.row)?);
            }
            changed
        }
        Deed::Drop | Deed::DropHeld => {
            let whom = if order.deed == Deed::DropHeld { Whom::Held } else { Whom::All };
            let (dropped, segment) = give_up(store, open, order, whom)?;
            slice.segments.extend(segment);
            // Those that a courier has count when they come back.
            dropped
        }
        Deed::Retry => {
            let upstream = if let Which::Upstream(name) = &order.which { Some(name.as_str()) } else { None };
            let early = matches!(order.which, Which::Message(_));
            let changed = store.hold.retry(open.row, now_us(), upstream, early)?;
            if changed > 0 {
                store.hold.extend(open.row, now_us().saturating_add(AGAIN_US))?;
                slice.lanes.extend(store.hold.lanes(open.row)?);
            }
            changed
        }
    };
    if changed > 0 || (order.deed.drops() && under_way > 0) {
        let recipients = u64::try_from(changed).unwrap_or(u64::MAX);
        add(&mut slice.counts, Counts { messages: 1, recipients, under_way });
    }
    Ok(())
}

/// Drops who waits for a message, writes it down, and destroys the body when nobody else is left.
fn give_up(store: &mut Store<'_>, open: &Open, order: &Order, whom: Whom) -> Sql<(usize, Option<String>)> {
    let event = Event { data: data(order, None), ..event(Name::QueueDrop, Outcome::Failure, order) };
    let event = event.with(Field::Account, open.principal.clone());
    give_up_as(store, (open.row, open.message), &event, whom, order.reason == EXPORTED)
}

/// The same, with what each event of it is to say. `elsewhere`: another gate has it.
fn give_up_as(
    store: &mut Store<'_>,
    (row, message): (i64, MessageId),
    event: &Event,
    whom: Whom,
    elsewhere: bool,
) -> Sql<(usize, Option<String>)> {
    let (dropped, numbers) = store.hold.drop(row, whom, elsewhere)?;
    let kind = if elsewhere { Kind::Moved } else { Kind::Canceled };
    numbers.into_iter().try_for_each(|number| store.feed.put(row, number, kind, &Entry::default()))?;
    for batch in dropped.chunks(MAX_RECIPIENTS) {
        let rcpt_count = u64::try_from(batch.len()).ok();
        let event = Event { message: Some(message), rcpt_count, ..event.clone() };
        store.record(vec![event.recipients(batch)])?;
    }
    Ok((dropped.len(), store.finish(row, now_us())?))
}

/// After a lease: whoever of that message was dropped meanwhile and came back without an outcome is final now. Gives the
/// segment that must be removed.
pub fn bury(store: &mut Store<'_>, row: i64) -> Sql<Option<String>> {
    if !store.hold.doomed(row)? {
        return Ok(None);
    }
    let order = Order { deed: Deed::Drop, which: Which::All, actor: None, reason: "dropped-under-way", note: None };
    let open = store.hold.open(row - 1, 1)?.into_iter().find(|open| open.row == row);
    let Some(open) = open else { return Ok(None) };
    Ok(give_up(store, &open, &order, Whom::Doomed)?.1)
}

/// At start, when nothing is on offer and nobody takes anything elsewhere. Segments are swept after it.
pub fn tidy(store: &mut Store<'_>) -> Sql<()> {
    bury_all(store)?;
    leaving::give_back_all(store)
}

fn bury_all(store: &mut Store<'_>) -> Sql<()> {
    for row in store.hold.all_doomed()? {
        bury(store, row)?;
    }
    Ok(())
}

fn event(name: Name, outcome: Outcome, order: &Order) -> Event {
    Event {
        actor: order.actor.clone(),
        reason: Some(order.reason.to_owned()),
        severity: 5,
        ..Event::new(name, outcome)
    }
}

/// The one event of a slice that held, released or made due.
fn summary(order: &Order, counts: Counts) -> Event {
    let name = match order.deed {
        Deed::Hold => Name::QueueHold,
        Deed::Release => Name::QueueRelease,
        Deed::Drop | Deed::DropHeld => Name::QueueDrop,
        Deed::Retry => Name::QueueRetry,
    };
    let event = Event {
        rcpt_count: Some(counts.recipients),
        data: data(order, Some(counts.messages)),
        ..event(name, Outcome::Info, order)
    };
    match &order.which {
        Which::All => event,
        Which::Credential(id) => event.with(Field::Account, id.clone()),
        Which::Message(message) => Event { message: Some(*message), ..event },
        Which::Upstream(name) => Event { upstream: Some(name.clone()), ..event },
    }
}

fn data(order: &Order, messages: Option<u64>) -> Option<String> {
    let mut data = serde_json::Map::new();
    if let Some(messages) = messages {
        data.insert("messages".into(), messages.into());
    }
    if let Some(note) = &order.note {
        data.insert("note".into(), noted(note).into());
    }
    (!data.is_empty()).then(|| serde_json::Value::Object(data).to_string())
}

/// An administrator's words, as they are kept.
pub fn noted(note: &str) -> String {
    note.chars().filter(|c| !c.is_control()).take(NOTE).collect()
}

fn add(sum: &mut Counts, more: Counts) {
    sum.messages += more.messages;
    sum.recipients += more.recipients;
    sum.under_way += more.under_way;
}

#[cfg(test)]
mod tests;
