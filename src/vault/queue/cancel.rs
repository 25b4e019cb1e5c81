//! A message that its own sender takes back: given up as by an order, while nobody has it and no courier is at it.

use rusqlite::Result as Sql;

use super::give_up_as;
use crate::mail::id::MessageId;
use crate::vault::audit::event::{Event, Name, Outcome};
use crate::vault::store::Store;
use crate::vault::store::hold::Whom;
use crate::vault::store::submissions::{Owner, Stop};

/// The word for why.
const CANCELED: &str = "canceled";

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nobody gets it; and the segment that must be removed.
    Back(Option<String>),
    /// It was so before.
    Before,
    TooLate,
}

/// The event of it, before it is said who it is.
pub fn event() -> Event {
    Event { reason: Some(CANCELED.to_owned()), severity: 5, ..Event::new(Name::QueueDrop, Outcome::Failure) }
}

/// Takes a message of that credential back. None where it has sent no such message, or not in the time that is remembered. Leases
/// are made by the same thread: whichever of the two comes first finds all of the message, and the other one nothing.
pub fn cancel(
    store: &mut Store<'_>,
    owner: Owner<'_>,
    message: MessageId,
    event: &Event,
    now_us: u64,
) -> Sql<Option<Taken>> {
    Ok(match store.submissions.stoppable(owner, message, now_us)? {
        None => None,
        Some((_, Stop::Before)) => Some(Taken::Before),
        Some((_, Stop::TooLate)) => Some(Taken::TooLate),
        Some((row, Stop::Now)) => {
            // What can't be read is found before anything is changed.
            store.hold.recipients(row)?;
            Some(Taken::Back(give_up_as(store, (row, message), event, Whom::All, false)?.1))
        }
    })
}
