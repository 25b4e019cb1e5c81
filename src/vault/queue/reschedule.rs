//! A message that its own sender wants to leave at another time than it said, as long as it waits for that one.

use std::collections::BTreeSet;

use rusqlite::Result as Sql;

use crate::mail::id::MessageId;
use crate::vault::audit::event::{Event, Name, Outcome};
use crate::vault::once;
use crate::vault::store::Store;
use crate::vault::store::once::Row;
use crate::vault::store::submissions::{Owner, Scheduled};

/// Each time is an event, and room in the spool for so much longer: a message may be given another one so often.
pub const MOST: u32 = 20;

/// What is asked for.
#[derive(Debug)]
pub struct Wish {
    pub message: MessageId,
    pub release_us: u64,
    /// What is known of its request, where that is done once.
    pub once: Option<Row>,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Moved {
    /// Somebody waits in these lanes, for another time; and what is known of its request now.
    Done(BTreeSet<String>, Option<Row>),
    /// It has that time already: nothing was done.
    Same,
    TooLate,
    TooOften,
}

/// The event of it, before it is said who it is.
pub fn event() -> Event {
    Event { severity: 5, ..Event::new(Name::QueueReschedule, Outcome::Info) }
}

/// Gives a message of that credential another time; one that is over is now. None where it has sent no such message, or not in the time
/// that is remembered. Leases are made by the same thread: one that comes first finds nobody begun, and after one nothing is moved.
pub fn reschedule(
    store: &mut Store<'_>,
    owner: Owner<'_>,
    wish: &Wish,
    event: &Event,
    now_us: u64,
) -> Sql<Option<Moved>> {
    let Some(Scheduled { row, due_us: before_us, moves }) = store.submissions.scheduled(owner, wish.message, now_us)?
    else {
        return Ok(None);
    };
    let Some(before_us) = before_us else { return Ok(Some(Moved::TooLate)) };
    let due_us = wish.release_us.max(now_us);
    if due_us == before_us {
        return Ok(Some(Moved::Same));
    }
    if moves >= MOST {
        return Ok(Some(Moved::TooOften));
    }
    let recipients = store.hold.reschedule(row, before_us, due_us)?;
    // A client that sends the request again while its message waits gets no second one, and none for as long behind that as any other.
    let once = wish.once.clone().map(|row| Row { expires_us: due_us.saturating_add(once::KEPT_US), ..row });
    once.iter().try_for_each(|row| store.once.extend(row))?;
    let event = Event { message: Some(wish.message), rcpt_count: u64::try_from(recipients).ok(), ..event.clone() };
    store.record(vec![Event { data: Some(data(&event, before_us, due_us)), ..event }])?;
    Ok(Some(Moved::Done(store.hold.lanes(row)?.into_iter().collect(), once)))
}

/// Both times, as `msg.accept` has the first one, behind what the event says of its session.
fn data(event: &Event, before_us: u64, due_us: u64) -> String {
    let said = event.data.as_deref().and_then(|data| serde_json::from_str(data).ok());
    let mut data: serde_json::Map<String, serde_json::Value> = said.unwrap_or_default();
    data.extend([("held_until_us".into(), due_us.into()), ("before_us".into(), before_us.into())]);
    serde_json::Value::Object(data).to_string()
}
