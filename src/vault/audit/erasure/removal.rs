//! Takes values out of the files: the auditors' and the personal ones. All of it may be done again.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use rusqlite::{Connection, ErrorCode, Result as Sql, params};

use super::places::{self, Place};
use super::scrub::scrub;
use super::{Part, parse_key};
use crate::vault::audit::row::integer;

/// Events in one transaction: a reader is kept out for some tens of milliseconds at a time.
const SLICE: u64 = 10_000;

/// What auditors are shown goes; commitments stay.
const EMPTY: &str = "UPDATE personal SET salt = NULL, value = NULL, shown = NULL, shown_salt = NULL \
    WHERE seq BETWEEN ?1 AND ?2 AND field = ?3 AND (?4 IS NULL OR n = ?4) AND (value IS NOT NULL OR shown IS NOT NULL)";
const DELETE: &str = "DELETE FROM personal WHERE seq BETWEEN ?1 AND ?2 AND field = ?3 AND (?4 IS NULL OR n = ?4)";

/// Removes what the parts name. False when a reader is in the way: then it is to be tried again.
pub fn remove(home: &Path, parts: &[Part]) -> Result<bool, String> {
    let places = places::audit(home)?;
    for path in places::personal(home)? {
        let connection = places::open(&path)?;
        let range = range_of(&connection).map_err(|error| places::explain(&path, &error))?;
        let touched =
            range.is_none_or(|range| parts.iter().flat_map(|part| &part.events).any(|events| meets(range, *events)));
        if !touched {
            continue;
        }
        if !erase(&path, &connection, DELETE, parts)? {
            return Ok(false);
        }
        let left = range_of(&connection).map_err(|error| places::explain(&path, &error))?;
        drop(connection);
        if left.is_none() && !is_current(&path, &places) {
            unlink(&path)?;
        } else {
            scrub(&path).map_err(|error| places::explain(&path, &error))?;
        }
    }
    for place in &places {
        if !parts.iter().flat_map(|part| &part.events).any(|events| place.has(*events)) {
            continue;
        }
        let connection = places::open(&place.path)?;
        if !erase(&place.path, &connection, EMPTY, parts)? {
            return Ok(false);
        }
        drop(connection);
        scrub(&place.path).map_err(|error| places::explain(&place.path, &error))?;
    }
    Ok(true)
}

/// Removes a file, and is sure of it.
pub fn unlink(path: &Path) -> Result<(), String> {
    let gone = match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all()),
    };
    gone.map_err(|error| places::explain(path, &error))
}

/// Whether new values may still come into a personal file.
fn is_current(path: &Path, places: &[Place]) -> bool {
    let current = places.iter().find(|place| place.is_current);
    current.is_none_or(|place| path.ends_with(format!("personal-{}.db", place.month)))
}

/// The first and the last event that a file of personal values has any of.
pub fn range_of(connection: &Connection) -> Sql<Option<(u64, u64)>> {
    connection.query_row("SELECT min(seq), max(seq) FROM personal", [], |row| {
        let (first, last): (Option<i64>, Option<i64>) = (row.get(0)?, row.get(1)?);
        Ok(first.and_then(|first| u64::try_from(first).ok()).zip(last.and_then(|last| u64::try_from(last).ok())))
    })
}

const fn meets((first, last): (u64, u64), (from, to): (u64, u64)) -> bool {
    from <= last && to >= first
}

/// Does it in slices. False when somebody reads the file.
fn erase(path: &Path, connection: &Connection, sql: &str, parts: &[Part]) -> Result<bool, String> {
    match slices(connection, sql, parts) {
        Ok(()) => Ok(true),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(false),
        Err(error) => Err(places::explain(path, &error)),
    }
}

fn slices(connection: &Connection, sql: &str, parts: &[Part]) -> Sql<()> {
    let mut statement = connection.prepare(sql)?;
    let mut transaction = connection.unchecked_transaction()?;
    let mut room = SLICE;
    for part in parts {
        let fields: BTreeSet<_> =
            part.fields.iter().filter_map(|key| parse_key(key)).map(|(f, n)| (f.word(), n)).collect();
        for (first, last) in &part.events {
            let mut from = *first;
            while from <= *last {
                let to = from.saturating_add(room - 1).min(*last);
                for (field, n) in &fields {
                    statement.execute(params![integer(from), integer(to), field, n])?;
                }
                room -= (to - from).saturating_add(1).min(room);
                let Some(next) = to.checked_add(1) else { break };
                from = next;
                if room == 0 {
                    transaction.commit()?;
                    transaction = connection.unchecked_transaction()?;
                    room = SLICE;
                }
            }
        }
    }
    transaction.commit()
}
