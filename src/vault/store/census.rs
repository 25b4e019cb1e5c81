//! Who has how much that waits in the spool, counted as it changes and by whatever changes it (`counts.rs`). What one recipient's change
//! costs doesn't depend on how many others its message has.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rusqlite::functions::Context;
use rusqlite::{Connection, Result};

use super::counts::{Counts, Way};
use crate::vault::audit::ledger::now_us;

/// Tells of each recipient that begins to wait again, or to be scheduled, and of each that ceases to. When somebody is due who was tried
/// changes nothing.
pub(super) const TELLING: &str = "
CREATE TEMP TRIGGER waiting_changes AFTER UPDATE OF state, held, lane, next_us, tried ON main.spool_rcpt
WHEN (old.state = 0 OR new.state = 0) AND (old.state <> new.state OR old.held <> new.held OR old.lane <> new.lane
  OR old.tried <> new.tried OR new.tried = 0 AND old.next_us <> new.next_us)
BEGIN
  SELECT waiting_goes(old.msg, old.lane, old.urgent, old.turn, old.next_us, old.tried) WHERE old.state = 0 AND old.held = 0;
  SELECT waiting_comes(new.msg, new.lane, new.urgent, new.turn, new.next_us, new.tried) WHERE new.state = 0 AND new.held = 0;
END;
CREATE TEMP TRIGGER waiting_goes AFTER DELETE ON main.spool_rcpt WHEN old.state = 0 AND old.held = 0
BEGIN
  SELECT waiting_goes(old.msg, old.lane, old.urgent, old.turn, old.next_us, old.tried);
END;
";
/// All that is there at the start.
const THERE: &str =
    "SELECT msg, lane, urgent, turn, next_us, tried FROM spool_rcpt WHERE state = 0 AND held = 0 ORDER BY msg";

/// Where messages of one credential wait.
#[derive(Clone, Debug)]
struct Place {
    lane: Arc<str>,
    /// They live shortly, and go first.
    urgent: bool,
    turn: Arc<str>,
    messages: u64,
}

/// The numbers of the places of a lane, by turn and by urgency.
type OfLane = HashMap<Arc<str>, [Option<usize>; 2]>;

/// A recipient that waits: it is in no courier's hands, and not held.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// Its message.
    row: i64,
    /// The number of its place.
    place: usize,
    /// When it is due, in unix microseconds, where it was never tried: one that was put off after an attempt waits all the while.
    due_us: Option<i64>,
}

/// A message counts once in a place, however many recipients of it wait there. One that is due only after the clock stands aside until
/// somebody counts. What comes has a second's time until it is counted as what waits.
#[derive(Debug, Default)]
pub struct Tables {
    places: Vec<Place>,
    /// Their numbers, by lane.
    numbers: HashMap<Arc<str>, OfLane>,
    clock_us: i64,
    /// Recipients that wait, by message and place.
    waiting: BTreeMap<(i64, usize), u32>,
    /// Those that are scheduled, by when they are due.
    later: BTreeMap<(i64, i64, usize), u32>,
}

impl Tables {
    /// Counts all that is there.
    pub fn fill(&mut self, connection: &Connection) -> Result<()> {
        self.clock_us = i64::try_from(now_us()).unwrap_or(i64::MAX);
        let mut there = connection.prepare(THERE)?;
        let mut rows = there.query([])?;
        while let Some(row) = rows.next()? {
            let place = self.place(row.get_ref(1)?.as_str()?, row.get(2)?, row.get_ref(3)?.as_str()?);
            let recipient = Recipient::new(row.get(0)?, place, row.get(4)?, row.get(5)?);
            self.count(&recipient, Way::Comes);
        }
        Ok(())
    }

    /// One that was never tried.
    pub fn comes(&mut self, row: i64, (lane, urgent, turn): (&str, bool, &str), due_us: i64) -> Recipient {
        Recipient::new(row, self.place(lane, urgent, turn), due_us, false)
    }

    /// The recipient that a trigger tells of.
    pub fn recipient(&mut self, told: &Context<'_>) -> Result<Recipient> {
        let place = self.place(told.get_raw(1).as_str()?, told.get(2)?, told.get_raw(3).as_str()?);
        Ok(Recipient::new(told.get(0)?, place, told.get(4)?, told.get(5)?))
    }

    /// The number of a place. There are as many as credentials and lanes that mail came for.
    fn place(&mut self, lane: &str, urgent: bool, turn: &str) -> usize {
        let known = self.numbers.get(lane).and_then(|turns| turns.get(turn)?[usize::from(urgent)]);
        known.unwrap_or_else(|| self.new_place(lane, urgent, turn))
    }

    fn new_place(&mut self, lane: &str, urgent: bool, turn: &str) -> usize {
        let number = self.places.len();
        let place = Place { lane: lane.into(), urgent, turn: turn.into(), messages: 0 };
        let turns = self.numbers.entry(Arc::clone(&place.lane)).or_default();
        turns.entry(Arc::clone(&place.turn)).or_default()[usize::from(urgent)] = Some(number);
        self.places.push(place);
        number
    }

    /// Counts a recipient that comes or goes. It is where the clock has it: when that goes on, whoever is due goes with it.
    pub fn count(&mut self, recipient: &Recipient, way: Way) {
        let Recipient { row, place, due_us } = *recipient;
        match due_us.filter(|due_us| *due_us > self.clock_us) {
            Some(due_us) => {
                changed(&mut self.later, (due_us, row, place), way, 1);
            }
            None => self.waits((row, place), way, 1),
        }
    }

    fn waits(&mut self, key: (i64, usize), way: Way, recipients: u32) {
        let Some(place) = self.places.get_mut(key.1) else { return };
        match (changed(&mut self.waiting, key, way, recipients), way) {
            (true, Way::Comes) => place.messages += 1,
            (true, Way::Goes) => place.messages = place.messages.saturating_sub(1),
            (false, _) => {}
        }
    }

    /// What is due by then waits from here on.
    fn advance(&mut self, now_us: u64) {
        self.clock_us = self.clock_us.max(i64::try_from(now_us).unwrap_or(i64::MAX));
        while let Some(first) = self.later.first_entry().filter(|first| first.key().0 <= self.clock_us) {
            let ((_, row, place), recipients) = first.remove_entry();
            self.waits((row, place), Way::Comes, recipients);
        }
    }
}

/// One more or less of a key. True when it is the first, or was the last.
fn changed<K: Ord>(all: &mut BTreeMap<K, u32>, key: K, way: Way, by: u32) -> bool {
    use std::collections::btree_map::Entry::{Occupied, Vacant};
    match (all.entry(key), way) {
        (Vacant(none), Way::Comes) => *none.insert(by) == by,
        (Occupied(mut some), Way::Comes) => {
            *some.get_mut() += by;
            false
        }
        (Occupied(mut some), Way::Goes) if *some.get() > by => {
            *some.get_mut() -= by;
            false
        }
        (Occupied(some), Way::Goes) => some.remove() > 0,
        (Vacant(_), Way::Goes) => false,
    }
}

impl Recipient {
    const fn new(row: i64, place: usize, due_us: i64, tried: bool) -> Self {
        Self { row, place, due_us: if tried { None } else { Some(due_us) } }
    }
}

/// Messages of one credential that wait in a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub lane: String,
    /// They live shortly, and go first.
    pub urgent: bool,
    pub principal: String,
    pub messages: u64,
}

pub struct Census(Counts);

impl Census {
    pub const fn new(counts: Counts) -> Self {
        Self(counts)
    }

    /// All who have messages that wait, by lane. What was scheduled until now or before waits from here on.
    pub fn waiting(&self, now_us: u64) -> Vec<Waiting> {
        let census = &mut self.0.all().census;
        census.advance(now_us);
        let some = census.places.iter().filter(|place| place.messages > 0);
        let told = some.map(|Place { lane, urgent, turn, messages }| Waiting {
            lane: lane.to_string(),
            urgent: *urgent,
            principal: turn.to_string(),
            messages: *messages,
        });
        told.collect()
    }

    /// The rows of the first messages that wait by then, in the order in which they came, but for those of one credential.
    pub fn first(&self, but_of: &str, limit: usize, now_us: u64) -> Vec<i64> {
        let census = &mut self.0.all().census;
        census.advance(now_us);
        let is_wanted = |place: usize| census.places.get(place).is_some_and(|place| &*place.turn != but_of);
        let mut rows: Vec<i64> = Vec::new();
        for (row, _) in census.waiting.keys().filter(|(_, place)| is_wanted(*place)) {
            match rows.last() == Some(row) {
                true => {}
                false if rows.len() == limit => break,
                false => rows.push(*row),
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests;
