//! When the auditors' files are ahead of the vault's database: a lying disk took its last second, or it alone was restored.
//! The log is taken up where the files end. To go on from an older place would write a second history over the first.
//!
//! The files are believed when all that both have is the same (one root over it), and every further event is what its hash
//! was made from. The sealer has the last word: what it signed must be in there, or it refuses what comes next.
//!
//! A message of which they say that somebody ended is quarantined: it would be delivered again. All else goes on: a lost second is no
//! reason to hold what waits.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension};

use super::event::{Event, Name, Outcome};
use super::ledger::Note;
use super::month_file::MonthFile;
use super::query;
use super::row::{COLUMNS, PERSONAL, PersonalRow, Row, columns, octets, unsigned};
use crate::mail::id::MessageId;
use crate::merkle::{Frontier, Hash};
use crate::vault::store::Store;
use crate::vault::store::writer::Writer;

/// Leaves taken over in one transaction.
const SLICE: usize = 10_000;

/// The events after which a recipient has the message, may have it, or gets it no more.
const ENDS: [Name; 5] =
    [Name::DeliverSuccess, Name::DeliverBounce, Name::DeliverExpire, Name::DeliverUnknown, Name::QueueDrop];

/// A leaf as the vault's database keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Leaf {
    pub seq: u64,
    pub time_us: u64,
    pub hash: Hash,
}

/// What was taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    pub leaves: u64,
    /// Messages that are held for it.
    pub held: u64,
}

/// A leaf, and the message of which it says that somebody ended.
type Taken = (Leaf, Option<MessageId>);

/// Why nothing was taken over, in words.
#[derive(Debug, PartialEq, Eq)]
pub enum Untaken {
    /// The file that is being written can't be opened: nothing is known of what it tells.
    Unopened(String),
    /// The files tell another history, or not all of theirs; or the store failed.
    Refused(String),
}

impl From<String> for Untaken {
    fn from(reason: String) -> Self {
        Self::Refused(reason)
    }
}

/// Whether the database lacks events that the files have.
pub fn is_behind(home: &Path, writer: &Writer) -> Result<bool, String> {
    let published = MonthFile::open(&home.join("audit").join("audit.db"))?.map_or(0, |file| file.published);
    let size = writer.run_blocking(|store| Ok(store.ledger.size()));
    Ok(published > size.map_err(|error| format!("the vault's database: {error:?}"))?)
}

/// Takes over what the files have and the database hasn't.
///
/// Errors: the files tell another history, or can't be read. Nothing was taken over then.
pub fn adopt(home: &Path, writer: &Writer) -> Result<Adopted, Untaken> {
    let audit = home.join("audit");
    // Opened for writing first: a transaction that a crash left half done is rolled back by this.
    let current = MonthFile::open(&audit.join("audit.db")).map_err(Untaken::Unopened)?;
    let Some(published) = current.map(|file| file.published) else { return Ok(Adopted::default()) };
    let store = |error| format!("the vault's database: {error:?}");
    let size = writer.run_blocking(|store| Ok(store.ledger.size())).map_err(store)?;
    if published <= size {
        return Ok(Adopted::default());
    }
    let known = writer.run_blocking(|store| store.ledger.frontier()).map_err(store)?;
    // All of it is proven before any of it is taken.
    let (note, end) = read(&audit, &known, |_| Ok(()))?;
    let (mut slice, mut held) = (Vec::with_capacity(SLICE), 0);
    read(&audit, &known, |taken| {
        slice.push(taken);
        if slice.len() < SLICE {
            return Ok(());
        }
        let slice = std::mem::take(&mut slice);
        held += writer.run_blocking(move |store| take(store, slice)).map_err(store)?;
        Ok(())
    })?;
    let last = writer.run_blocking(move |store| {
        let held = held + take(store, slice)?;
        if let Some(note) = note.filter(|note| note.size > size) {
            store.ledger.keep_note(&note)?;
        }
        store.ledger.append(recovered(size, end))?;
        if held > 0 {
            store.ledger.append(overtaken(held))?;
        }
        Ok(held)
    });
    Ok(Adopted { leaves: end - size, held: last.map_err(store)? })
}

/// Takes them over, and holds the messages in the same transaction: nobody does when the leaves are there already. Gives how many
/// messages that were.
fn take(store: &mut Store<'_>, slice: Vec<Taken>) -> rusqlite::Result<u64> {
    let mut held = 0;
    for (leaf, message) in slice {
        store.ledger.adopt(&leaf)?;
        if let Some(message) = message
            && store.hold.overtake(message)? > 0
        {
            held += 1;
        }
    }
    Ok(held)
}

/// The message of which an event says that somebody ended.
fn ended(row: &Row) -> Option<MessageId> {
    let at = COLUMNS.iter().position(|column| *column == "msg_id")?;
    match row.clear.get(at)? {
        Value::Text(id) if ENDS.iter().any(|name| name.word() == row.event) => id.parse().ok(),
        _ => None,
    }
}

/// The event of what is held.
fn overtaken(messages: u64) -> Event {
    let data = serde_json::json!({ "messages": messages }).to_string();
    let event = Event::new(Name::QueueHold, Outcome::Info);
    Event { severity: 3, reason: Some("from-files".to_owned()), data: Some(data), ..event }
}

fn recovered(from: u64, to: u64) -> Event {
    let data = serde_json::json!({ "from": from, "to": to, "last_event": to - 1 });
    let event = Event::new(Name::StoreRecovered, Outcome::Info);
    Event { severity: 3, reason: Some("from-files".to_owned()), data: Some(data.to_string()), ..event }
}

/// Reads the files from the month on in which the database ends: everything up to there must be the same, and everything
/// after it sound. Gives the last signed head, and where they end.
fn read(
    audit: &Path,
    known: &Frontier,
    mut leaf: impl FnMut(Taken) -> Result<(), String>,
) -> Result<(Option<Note>, u64), String> {
    let files = query::files(audit)?;
    let mut opened = Vec::new();
    for file in files.iter().rev() {
        let connection = query::open(file)?;
        let base = base(&connection).map_err(|error| format!("{}: {error}", file.display()))?;
        let is_first = base.size <= known.size;
        opened.push((file, connection, base));
        if is_first {
            break;
        }
    }
    let mut log: Option<Frontier> = None;
    let mut note = None;
    for (file, connection, base) in opened.iter().rev() {
        let name = file.display();
        let log = log.get_or_insert_with(|| base.clone());
        if log != base {
            return Err(format!("{name}: doesn't go on where the file before it ends"));
        }
        follow(connection, log, known, &mut leaf).map_err(|error| format!("{name}: {error}"))?;
        note = last_note(connection).map_err(|error| format!("{name}: {error}"))?.or(note);
    }
    match log {
        Some(log) if log.size >= known.size => Ok((note, log.size)),
        _ => Err("the auditors' files don't reach back to where the vault's database ends".to_owned()),
    }
}

/// One file's leaves.
fn follow(
    connection: &Connection,
    log: &mut Frontier,
    known: &Frontier,
    leaf: &mut impl FnMut(Taken) -> Result<(), String>,
) -> Result<(), String> {
    let sql = |error: rusqlite::Error| error.to_string();
    let other = || format!("another history up to event {}: it is not this vault's", known.size);
    if log.size == known.size && log != known {
        return Err(other());
    }
    let mut events = connection.prepare(&format!("SELECT {} FROM event ORDER BY seq", columns())).map_err(sql)?;
    let mut personal =
        connection.prepare(&format!("SELECT {PERSONAL} FROM personal WHERE seq = ? ORDER BY field, n")).map_err(sql)?;
    for row in events.query_map([], Row::read).map_err(sql)? {
        let mut row = row.map_err(sql)?;
        if row.seq != log.size {
            return Err(format!("event {} is missing", log.size));
        }
        if row.seq >= known.size {
            let seq = i64::try_from(row.seq).unwrap_or(i64::MAX);
            let values = personal.query_map([seq], PersonalRow::read).map_err(sql)?;
            row.personal =
                values.map(|value| value.map(|(_, value)| value)).collect::<rusqlite::Result<_>>().map_err(sql)?;
            if row.hash() != Some(row.leaf_hash) {
                return Err(format!("event {} isn't what its hash was made from", row.seq));
            }
            leaf((Leaf { seq: row.seq, time_us: row.time_us, hash: row.leaf_hash }, ended(&row)))?;
        }
        log.push(row.leaf_hash);
        if log.size == known.size && log != known {
            return Err(other());
        }
    }
    Ok(())
}

fn base(connection: &Connection) -> Result<Frontier, String> {
    let info = |key: &str| {
        let value = connection.query_row("SELECT value FROM info WHERE key = ?", [key], |row| row.get::<_, String>(0));
        value.map_err(|error| error.to_string())
    };
    let peaks = info("base")?;
    let peaks = peaks.split_whitespace().map(super::month_file::unhex).collect::<Option<Vec<Hash>>>();
    let size = info("first_seq")?.parse().ok();
    let base = size.zip(peaks).map(|(size, peaks)| Frontier { size, peaks }).filter(Frontier::is_sound);
    base.ok_or_else(|| "`info` doesn't say which leaves this file begins with".to_owned())
}

fn last_note(connection: &Connection) -> Result<Option<Note>, String> {
    let sql = "SELECT size, time_us, root, note FROM checkpoint ORDER BY size DESC LIMIT 1";
    let note = connection.query_row(sql, [], |row| {
        let root = octets(row, 2)?.unwrap_or_default();
        Ok(Note { size: unsigned(row, 0)?, time_us: unsigned(row, 1)?, root, note: row.get(3)? })
    });
    note.optional().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
