//! One file: its events are the log's, and it is a database in which auditors and their queries find all of them.

use std::io;
use std::path::Path;
use std::thread::{Builder, ScopedJoinHandle, scope};

use rusqlite::Connection;

use super::hole::Hole;
use super::index::{Fingerprint, Seed};
use super::log::Log;
use super::{Fault, NOT_WHOLE, altered, in_file, index, not_whole, reader, sql, unreadable};
use crate::vault::audit::month_file;
use crate::vault::audit::query::{FOREIGN, open_unchecked};
use crate::vault::audit::schema;

/// Pages that are kept in memory meanwhile, in KiB: an index is looked up for every row.
const CACHE: i64 = 64 * 1024;

/// The tables that SQLite checks with their indices. `personal`, which has most of the rows, is read row by row anyway: that
/// its rows are in order, and its index the same, costs less to see on the way.
const TABLES: &str = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'personal'";

/// Goes on with the log through that file.
pub fn verify(path: &Path, first: bool, log: &mut Log<'_>, progress: &mut impl FnMut(u64)) -> Result<(), Fault> {
    let connection = open_unchecked(path).map_err(unreadable)?;
    // One transaction: the vault may be writing to it, and waits from here on.
    connection.execute_batch("BEGIN").map_err(unreadable)?;
    schema(&connection)?;
    let seed = &Seed::new();
    let (reader, events) = reader::pair();
    // What checks the database, and what reads the events, cost as much each as what judges them.
    scope(|scope| {
        let checking = Builder::new().spawn_scoped(scope, || check(path, seed));
        let reading = Builder::new().spawn_scoped(scope, || reader.read(path, seed));
        let walked = log.begin(&connection, first).and_then(|hole| {
            log.holes.0.extend(hole.map(|hole| Hole { fault: in_file(path, hole.fault), ..hole }));
            log.walk(&connection, &events, progress)
        });
        drop(events);
        // Of a file that is no database nobody knows what else was read.
        let index = joined(checking)??;
        let table = joined(reading)?;
        walked?;
        index::same(table, index)
    })
    .map_err(|fault| advised(path, fault))
}

/// Says what to do about a file that is no whole database.
fn advised(path: &Path, fault: Fault) -> Fault {
    match fault.what.starts_with(NOT_WHOLE) {
        true => Fault { what: format!("{}: {}", fault.what, month_file::for_readers(path)), ..fault },
        false => fault,
    }
}

fn joined<T>(thread: io::Result<ScopedJoinHandle<'_, T>>) -> Result<T, Fault> {
    thread.map_err(unreadable)?.join().map_err(|_| unreadable("a thread that read it came to a bad end"))
}

/// That each index has every row, and each row its place. Gives what the index of personal values has. It reads by itself, so
/// that it needs a thread and nothing else.
fn check(path: &Path, seed: &Seed) -> Result<Fingerprint, Fault> {
    let connection = open_unchecked(path).map_err(unreadable)?;
    connection.pragma_update(None, "cache_size", -CACHE).map_err(sql)?;
    let mut tables = connection.prepare(TABLES).map_err(sql)?;
    let tables = tables.query_map([], |row| row.get::<_, String>(0)).map_err(sql)?;
    for table in tables {
        let check = "SELECT integrity_check FROM pragma_integrity_check(?)";
        let said: String = connection.query_row(check, [table.map_err(sql)?], |row| row.get(0)).map_err(sql)?;
        if said != "ok" {
            return Err(not_whole(said));
        }
    }
    index::read(&connection, seed)
}

/// A view that leaves out events would hide them from everybody who doesn't read the tables.
pub fn schema(connection: &Connection) -> Result<(), Fault> {
    if schema::is_whole(connection).map_err(sql)? { Ok(()) } else { Err(altered(FOREIGN)) }
}
