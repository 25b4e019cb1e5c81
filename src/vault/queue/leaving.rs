//! What one connection was given to take elsewhere, until it says that it is kept there: only then the log has it as exported,
//! and only that is given up here. What is held for it meanwhile is released when the connection ends without a word, and at
//! the next start when this process ends before.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Result as Sql;

use super::AGAIN_US;
use crate::mail::id::MessageId;
use crate::vault::audit::event::{Event, Field, Name, Outcome};
use crate::vault::audit::ledger::now_us;
use crate::vault::store::Store;
use crate::vault::store::transfer::Whole;

/// Messages of one transaction, where all that a connection was given comes back.
pub const BATCH: usize = 100;

/// What is told of a message that was given out.
#[derive(Clone, Debug)]
pub struct Portion {
    pub message: MessageId,
    row: i64,
    credential: String,
    bytes: u64,
    waiting: u64,
    held: bool,
}

impl Portion {
    pub fn of(whole: &Whole, held: bool) -> Self {
        let waiting = whole.recipients.iter().filter(|one| one.standing.is_open()).count();
        Self {
            message: whole.envelope.message,
            row: whole.row,
            credential: whole.envelope.credential.clone(),
            bytes: whole.envelope.bytes,
            waiting: u64::try_from(waiting).unwrap_or(u64::MAX),
            held,
        }
    }

    fn event(&self, outcome: Outcome, actor: &str) -> Event {
        let event = Event {
            message: Some(self.message),
            bytes: Some(self.bytes),
            rcpt_count: Some(self.waiting),
            actor: Some(actor.to_owned()),
            severity: 5,
            ..Event::new(Name::QueueExport, outcome)
        };
        event.with(Field::Account, self.credential.clone())
    }
}

/// By connection.
#[derive(Debug, Default)]
pub struct Leaving {
    given: BTreeMap<MessageId, Portion>,
    written: BTreeSet<MessageId>,
    /// The log has it that somebody is given messages.
    begun: bool,
}

impl Leaving {
    /// The event that stands before the first message that is given out, with it: whoever reads mail and is gone before there is an
    /// archive was seen. None when the log has it.
    pub fn begin(&self, actor: &str) -> Option<Event> {
        let begun = Event {
            reason: Some("begun".to_owned()),
            actor: Some(actor.to_owned()),
            severity: 5,
            ..Event::new(Name::QueueExport, Outcome::Info)
        };
        (!self.begun).then_some(begun)
    }

    pub fn add(&mut self, portion: Portion) {
        self.begun = true;
        self.given.insert(portion.message, portion);
    }

    /// Those of these messages that were given out and are not written yet.
    pub fn of(&self, messages: &[MessageId]) -> Vec<Portion> {
        messages.iter().filter_map(|message| self.given.get(message).cloned()).collect()
    }

    /// That is in the log now.
    pub fn note(&mut self, portions: &[MessageId]) {
        for message in portions {
            if self.given.remove(message).is_some() {
                self.written.insert(*message);
            }
        }
    }

    /// Those of these messages that may be given up.
    pub fn written(&self, messages: Vec<MessageId>) -> Vec<MessageId> {
        messages.into_iter().filter(|message| self.written.contains(message)).collect()
    }

    /// All that has come to nothing, a batch at a time.
    pub fn lost(&mut self) -> Vec<Vec<Portion>> {
        let lost: Vec<Portion> = std::mem::take(&mut self.given).into_values().collect();
        lost.chunks(BATCH).map(<[Portion]>::to_vec).collect()
    }
}

/// Writes down that these were exported. Who is held for that stays so: what is kept twice must not be sent by both.
pub fn write(store: &mut Store<'_>, portions: &[Portion], actor: &str, note: Option<&String>) -> Sql<()> {
    for portion in portions {
        let mut said = serde_json::Map::new();
        if portion.held {
            store.transfer.keep(portion.row)?;
            said.insert("held".into(), true.into());
        }
        if let Some(note) = note {
            said.insert("note".into(), super::noted(note).into());
        }
        let data = (!said.is_empty()).then(|| serde_json::Value::Object(said).to_string());
        store.record(vec![Event { data, ..portion.event(Outcome::Success, actor) }])?;
    }
    Ok(())
}

/// These were given out, and are kept nowhere that is known of. Gives the lanes that somebody waits in again.
pub fn give_back(store: &mut Store<'_>, portions: &[Portion], actor: &str) -> Sql<BTreeSet<String>> {
    let mut lanes = BTreeSet::new();
    for portion in portions {
        let released = if portion.held { release(store, portion.row, &mut lanes)? } else { 0 };
        let reason = Some("not-written".to_owned());
        let data = portion.held.then(|| serde_json::json!({ "released": released }).to_string());
        store.record(vec![Event { reason, data, ..portion.event(Outcome::Failure, actor) }])?;
    }
    Ok(lanes)
}

/// At a start nobody takes anything any more.
pub fn give_back_all(store: &mut Store<'_>) -> Sql<()> {
    for row in store.transfer.leaving()? {
        let open = store.hold.open(row - 1, 1)?.into_iter().find(|open| open.row == row);
        let released = release(store, row, &mut BTreeSet::new())?;
        let Some(open) = open else { continue };
        let event = Event {
            message: Some(open.message),
            rcpt_count: u64::try_from(released).ok(),
            reason: Some("not-written".to_owned()),
            data: Some(serde_json::json!({ "released": released }).to_string()),
            severity: 5,
            ..Event::new(Name::QueueExport, Outcome::Failure)
        };
        store.record(vec![event.with(Field::Account, open.principal)])?;
    }
    Ok(())
}

fn release(store: &mut Store<'_>, row: i64, lanes: &mut BTreeSet<String>) -> Sql<usize> {
    let now = now_us();
    let released = store.transfer.give_back(row, now)?;
    if released > 0 {
        store.hold.extend(row, now.saturating_add(AGAIN_US))?;
        lanes.extend(store.hold.lanes(row)?);
    }
    Ok(released)
}
