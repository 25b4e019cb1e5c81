//! The events of a file with their values, read by a thread of its own: what SQLite does for an event costs as much as all
//! that is judged of it.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use rusqlite::Rows;

use super::index::{Fingerprint, Seed};
use super::values::Values;
use super::{Fault, file, sql, unreadable};
use crate::vault::audit::query;
use crate::vault::audit::row::{PERSONAL, Row, columns};

/// Events that change hands at once, so that handing them over costs nothing beside them.
const BATCH: usize = 64;
/// Batches that may wait: the reader is as far ahead as that.
const AHEAD: usize = 4;

/// What was read, in order: batches of events, then an empty one.
pub struct Batches {
    read: Receiver<Result<Vec<Row>, Fault>>,
    used: Sender<Vec<Row>>,
}

/// The reader's end of it.
pub struct Reader {
    read: SyncSender<Result<Vec<Row>, Fault>>,
    used: Receiver<Vec<Row>>,
}

/// Both ends.
pub fn pair() -> (Reader, Batches) {
    let ((read, from_reader), (used, back)) = (sync_channel(AHEAD), channel());
    (Reader { read, used: back }, Batches { read: from_reader, used })
}

impl Batches {
    /// The next events; none at the end.
    pub fn next(&self) -> Result<Vec<Row>, Fault> {
        self.read.recv().unwrap_or_else(|_| Err(unreadable("its events could not be read to the end")))
    }

    /// Memory to read into.
    pub fn give_back(&self, batch: Vec<Row>) {
        // The reader is at its end, and needs no more.
        let _ = self.used.send(batch);
    }
}

impl Reader {
    /// Reads a file, whose schema must be the one that was looked at. Gives what the index of its values must have; none when
    /// something is wrong, which whoever listens is told, or when nobody listens any more.
    pub fn read(self, path: &Path, seed: &Seed) -> Option<Fingerprint> {
        self.events(path, seed).unwrap_or_else(|fault| {
            let _ = self.read.send(Err(fault));
            None
        })
    }

    fn events(&self, path: &Path, seed: &Seed) -> Result<Option<Fingerprint>, Fault> {
        let connection = query::open_unchecked(path).map_err(unreadable)?;
        connection.execute_batch("BEGIN").map_err(unreadable)?;
        file::schema(&connection)?;
        let mut events = connection.prepare(&format!("SELECT {} FROM event ORDER BY seq", columns())).map_err(sql)?;
        let mut personal = connection.prepare(&personal()).map_err(sql)?;
        let mut personal = Values::new(personal.query([]).map_err(sql)?)?;
        let mut events = events.query([]).map_err(sql)?;
        let mut fingerprint = Fingerprint::default();
        loop {
            let mut batch = self.used.try_recv().unwrap_or_default();
            let filled = fill(&mut batch, &mut events, &mut personal);
            batch.iter().for_each(|row| row.personal.iter().for_each(|value| fingerprint.add(seed, row.seq, value)));
            let is_last = filled.is_ok() && batch.is_empty();
            if is_last {
                personal.end()?;
            }
            // What was read before something that can't be is judged first; an empty batch would be the end.
            if (is_last || !batch.is_empty()) && self.read.send(Ok(batch)).is_err() {
                return Ok(None);
            }
            filled?;
            if is_last {
                return Ok(Some(fingerprint));
            }
        }
    }
}

/// The values as they stand in their table, which is in this order: an index, or a sorter, would hide that it isn't.
fn personal() -> String {
    format!("SELECT {PERSONAL} FROM personal NOT INDEXED ORDER BY seq, field, n")
}

/// Fills a batch in place of what it held, in the same memory; at the end, and before what can't be read, with less.
fn fill(batch: &mut Vec<Row>, events: &mut Rows<'_>, personal: &mut Values<'_>) -> Result<(), Fault> {
    batch.resize_with(BATCH, Row::default);
    for at in 0..BATCH {
        let read = batch.get_mut(at).map_or(Ok(false), |row| next(row, events, personal));
        if !matches!(read, Ok(true)) {
            batch.truncate(at);
            return read.map(|_| ());
        }
    }
    Ok(())
}

/// Reads the next event and its values. False at the end.
fn next(row: &mut Row, events: &mut Rows<'_>, personal: &mut Values<'_>) -> Result<bool, Fault> {
    let Some(columns) = events.next().map_err(sql)? else { return Ok(false) };
    row.refill(columns).map_err(sql)?;
    personal.of(row).map(|()| true)
}
