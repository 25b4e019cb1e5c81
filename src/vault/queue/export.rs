//! Messages that go to another gate: each is shown whole, and given up here once it is kept there.

use rusqlite::{Error, Result as Sql};

use super::{Order, Slice, add, give_up};
use crate::ipc::admin::queue::listing::Standing;
use crate::ipc::admin::queue::{Counts, Deed, Which};
use crate::mail::id::MessageId;
use crate::vault::audit::event::{Event, Field, Name, Outcome};
use crate::vault::audit::ledger::now_us;
use crate::vault::store::Store;
use crate::vault::store::transfer::Whole;

const UNDER_WAY: &str =
    "an upstream is being told of it now: give the command again when that has ended (gatepost queue show)";

const DAMAGED: &str =
    "what the database has of it is damaged, and stays there: PRAGMA integrity_check tells whether there is more of it";

/// Whether a row holds what can't be in it. All else is a failure of the store.
const fn is_damage(error: &Error) -> bool {
    matches!(
        error,
        Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..)
            | Error::Utf8Error(..)
    )
}

/// Who takes which message, and whether it is offered to nobody from then on.
#[derive(Clone, Debug)]
pub struct Taking {
    pub message: MessageId,
    /// Only when it is of this credential.
    pub credential: Option<String>,
    pub hold: bool,
    pub note: Option<String>,
    pub actor: String,
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

/// Reads a message. That it is given out is written down in the same transaction.
pub fn give(store: &mut Store<'_>, taking: &Taking) -> Sql<Given> {
    let whole = match store.transfer.find(taking.message, now_us(), &mut store.keys) {
        Ok(Some(whole)) => whole,
        Ok(None) => return Ok(Given::Passed),
        // One damaged row keeps nobody from the others.
        Err(error) if is_damage(&error) => return Ok(Given::Left(DAMAGED)),
        Err(error) => return Err(error),
    };
    let waiting = whole.recipients.iter().filter(|one| one.standing.is_open()).count();
    let is_meant = taking.credential.as_ref().is_none_or(|id| *id == whole.envelope.credential);
    if !is_meant || waiting == 0 {
        return Ok(Given::Passed);
    }
    let mut said = serde_json::Map::new();
    if taking.hold {
        if whole.recipients.iter().any(|one| one.standing == Standing::Leased) {
            return Ok(Given::Left(UNDER_WAY));
        }
        store.hold.hold(whole.row)?;
        said.insert("held".into(), true.into());
    }
    if let Some(note) = &taking.note {
        said.insert("note".into(), super::noted(note).into());
    }
    let event = Event {
        message: Some(taking.message),
        bytes: Some(whole.envelope.bytes),
        rcpt_count: u64::try_from(waiting).ok(),
        actor: Some(taking.actor.clone()),
        severity: 5,
        data: (!said.is_empty()).then(|| serde_json::Value::Object(said).to_string()),
        ..Event::new(Name::QueueExport, Outcome::Info)
    };
    store.record(vec![event.with(Field::Account, whole.envelope.credential.clone())])?;
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
        let order = Order { deed: Deed::Drop, which: Which::Message(*message), actor, reason: "exported", note };
        let (dropped, segment) = give_up(store, &open, &order)?;
        slice.segments.extend(segment);
        let recipients = u64::try_from(dropped).unwrap_or(u64::MAX);
        add(&mut slice.counts, Counts { messages: u64::from(dropped > 0), recipients, under_way: 0 });
    }
    Ok(slice)
}
