//! What no service published before it ended: the events that the vault's database alone has, and the heads they lead to.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::values::Values;
use super::{Fault, Known, KnownHead, Verdict, altered, sql, value};
use crate::merkle::Frontier;
use crate::vault::audit::query::explain;
use crate::vault::audit::row::{PERSONAL, Row, columns, integer};
use crate::vault::audit::schema;
use crate::vault::store::lock;

/// Where a known head stands that the auditors' files end before.
pub enum Found {
    /// All of them are heads of the log as it goes on in the database, each event what its hash was made from.
    Waits(Fault),
    /// Some are not, or the database can't be looked into, as is said here.
    Not(String),
}

/// Goes on from the end of the files with the events of the database in that state directory, up to these heads. Nothing
/// there is changed.
pub fn find(state: &Path, files: &Frontier, heads: &[&KnownHead]) -> Found {
    let path = state.join("db").join("vault.db");
    let waits = |what: String| Found::Waits(Fault { verdict: Verdict::Unsealed, what });
    match lock::holder(&path) {
        Ok(Some(process)) => {
            return waits(format!(
                "the newest events are not in the auditors' files yet: process {process} has the database open, and could \
                 not be asked to put them there. Is it a service with another `runtime_directory`, or has its control \
                 socket gone?"
            ));
        }
        Ok(None) => {}
        Err(error) => return Found::Not(format!("{} can't be looked into: {error}", path.display())),
    }
    match walk(&path, files, heads) {
        Ok(count) => waits(format!(
            "the newest {count} events are not in the auditors' files yet, because the service ended before it could put \
             them there: they are in {}, and are what was signed. Start the service, and it does",
            path.display()
        )),
        Err(fault) => Found::Not(format!("{}: {}", path.display(), fault.what)),
    }
}

/// How many events lead from there to the last of these heads.
fn walk(path: &Path, files: &Frontier, heads: &[&KnownHead]) -> Result<u64, Fault> {
    let (database, _index) = open(path)?;
    let (from, mut log) = (integer(files.size), files.clone());
    let events = format!("SELECT {} FROM audit_event WHERE seq >= ? ORDER BY seq", columns());
    let mut events = database.prepare(&events).map_err(sql)?;
    let personal = format!("SELECT {PERSONAL} FROM audit_personal WHERE seq >= ? ORDER BY seq, field, n");
    let mut personal = database.prepare(&personal).map_err(sql)?;
    let mut personal = Values::new(personal.query([&from]).map_err(sql)?)?;
    let mut events = events.query([&from]).map_err(sql)?;
    let end = heads.iter().map(|head| head.size).max().unwrap_or(0);
    let (mut row, mut leaf) = (Row::default(), Vec::new());
    while log.size < end {
        let Some(columns) = events.next().map_err(sql)? else {
            return Err(altered(format!("it ends at event {}", log.size)));
        };
        row.refill(columns).map_err(sql)?;
        personal.of(&mut row)?;
        if row.seq != log.size || row.hash_in(&mut leaf) != Some(row.leaf_hash) {
            return Err(altered(format!("event {} isn't there, or isn't what its hash was made from", log.size)));
        }
        row.personal.iter().try_for_each(|value| value::check(row.seq, value).map(drop))?;
        log.push(row.leaf_hash);
        if let Some(head) = heads.iter().find(|head| head.size == log.size && head.root != log.root()) {
            return Err(altered(format!("the log up to event {} isn't the one of {}", log.size, head.what)));
        }
    }
    Ok(log.size - files.size)
}

/// The index of a write-ahead log that reading it makes, and that nobody else needs: the vault keeps its own in memory.
struct Index(Option<std::path::PathBuf>);

impl Drop for Index {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Opens the database to read, with what is in its write-ahead log; without one no other file is made.
fn open(path: &Path) -> Result<(Connection, Index), Fault> {
    let has_log = std::fs::metadata(path.with_extension("db-wal")).is_ok_and(|log| log.len() > 0);
    let shared = path.with_extension("db-shm");
    let index = Index(Some(shared).filter(|shared| has_log && !shared.exists()));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let name = uri(path, if has_log { "mode=ro" } else { "immutable=1" });
    let opened = Connection::open_with_flags(name, flags).and_then(|database| {
        schema::distrust(&database)?;
        database.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(database)
    });
    let database = opened.map_err(|error| altered(explain(path, &error)))?;
    Ok((database, index))
}

/// A path as SQLite takes it with parameters (https://www.sqlite.org/uri.html).
fn uri(path: &Path, parameter: &str) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut name = String::from("file:");
    for octet in path.as_os_str().as_bytes() {
        match octet {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => name.push(char::from(*octet)),
            other => name += &format!("%{other:02x}"),
        }
    }
    name + "?" + parameter
}

impl Known {
    /// Why the files end before these heads, when that is no fault; else what was found in the database that is beside them.
    pub(super) fn waits(&self, files: &Frontier, heads: &[&KnownHead]) -> Result<String, Fault> {
        match (&self.state, heads) {
            (Some(state), [_, ..]) => match find(state, files, heads) {
                Found::Waits(fault) => Err(fault),
                Found::Not(why) => Ok(why),
            },
            _ => Ok(String::new()),
        }
    }
}
