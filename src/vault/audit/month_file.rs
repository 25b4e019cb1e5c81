//! One of the auditors' files, open for writing; and the file beside it that keeps what auditors may not see.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Result, Transaction, params, params_from_iter};

use super::erasure;
use super::event::Field;
use super::ledger::{Batch, Note, insert_personal};
use super::month::Month;
use super::row::{self, PERSONAL, PersonalRow, Row, integer};
use super::schema::{self, STEPS};
use crate::merkle::note::{SIGNATURE, with_line};
use crate::merkle::{Frontier, Hash};
use crate::vault::store::anchors::Anchored;

/// "GTPA": an auditors' file. "GTPP": the personal values of a month.
pub const AUDIT: i64 = 0x4754_5041;
const PERSONAL_FILE: i64 = 0x4754_5050;

/// The file that is being written.
pub const CURRENT: &str = "audit.db";
/// What to do with that one when it is damaged.
const MOVE_AWAY: &str = "with the service stopped, move this one file away, keep it, and start; then declare the events \
    that were in it alone: gatepost audit resume --accept-loss";

const PERSONAL_STEPS: [&str; 1] = [PERSONAL_SCHEMA];
const PERSONAL_SCHEMA: &str = "CREATE TABLE personal(seq INTEGER NOT NULL, field TEXT NOT NULL, n INTEGER NOT NULL, \
    salt BLOB, value TEXT, PRIMARY KEY(seq, field, n)) STRICT, WITHOUT ROWID;";

/// The file of a month.
#[derive(Debug)]
pub struct MonthFile {
    connection: Connection,
    pub month: Month,
    /// The first leaf in it.
    pub first: u64,
    /// The leaves up to this one are here or in an earlier file.
    pub published: u64,
    /// The largest head whose note is here, or needs not be: it ends before the first leaf.
    pub sealed: u64,
}

impl MonthFile {
    /// Opens the file that is being written. None when there is none.
    ///
    /// Errors: it isn't ours, is newer or damaged.
    pub fn open(path: &Path) -> Result<Option<Self>, String> {
        let explain = |error: rusqlite::Error| said(path, &error);
        if fs::metadata(path).is_ok_and(|file| file.len() > 0) {
            let connection = connect(path, AUDIT, 0o640)?;
            return Self::read(connection).map_err(explain);
        }
        Ok(None)
    }

    /// None when it was made and never written to. Which events are in it is what its events say: `info` is under no signature,
    /// and what it says otherwise is put right with the next that are published.
    fn read(connection: Connection) -> Result<Option<Self>> {
        let info = |key: &str| {
            connection
                .query_row("SELECT value FROM info WHERE key = ?", [key], |row| row.get::<_, String>(0))
                .optional()
        };
        let max = |sql: &str| -> Result<Option<u64>> {
            let max: Option<i64> = connection.query_row(sql, [], |row| row.get(0))?;
            Ok(max.and_then(|max| u64::try_from(max).ok()))
        };
        let last = max("SELECT max(seq) FROM event")?;
        let (Some(month), Some(first)) = (info("month")?, info("first_seq")?) else {
            return match last {
                None => Ok(None),
                Some(_) => Err(row::damaged("info lacks what is in the file: put back the file as it was")),
            };
        };
        let month = month.parse().map_err(|()| row::damaged("the month in info can't be read"))?;
        let first = first.parse().map_err(|_| row::damaged("a number in info can't be read"))?;
        let published = last.map_or(first, |last| last + 1);
        let said = info("published_size")?.unwrap_or_default();
        if said != published.to_string() {
            tracing::error!(said, published, "info of the auditors' file was edited: the events in it end elsewhere");
        }
        let sealed = max("SELECT max(size) FROM checkpoint")?.unwrap_or(0).max(before(first));
        Ok(Some(Self { connection, month, first, published, sealed }))
    }

    /// When its last event was.
    pub fn last_us(&self) -> Option<u64> {
        last_us(&self.connection)
    }

    /// Makes the file of a month. `base` is the tree before its first leaf.
    pub fn create(path: &Path, month: Month, base: &Frontier) -> Result<Self, String> {
        let mut connection = connect(path, AUDIT, 0o640)?;
        let explain = |error: rusqlite::Error| format!("{}: {error}", path.display());
        let peaks: Vec<String> = base.peaks.iter().map(|peak| hex(peak)).collect();
        let write = |transaction: Transaction<'_>| {
            set(&transaction, "month", &month.to_string())?;
            set(&transaction, "first_seq", &base.size.to_string())?;
            set(&transaction, "base", &peaks.join(" "))?;
            set(&transaction, "published_size", &base.size.to_string())?;
            transaction.commit()
        };
        connection.transaction().and_then(write).map_err(explain)?;
        Ok(Self { connection, month, first: base.size, published: base.size, sealed: before(base.size) })
    }

    /// Adds events and notes in one transaction. What is here already stays as it is, so that it may be called again after
    /// a crash.
    pub fn publish(&mut self, rows: &[Row], batch: &Batch, notes: &[&Note], vkey: Option<&str>) -> Result<()> {
        let published = rows.last().map_or(self.published, |last| last.seq + 1).max(self.published);
        let transaction = self.connection.transaction()?;
        follows(&transaction, self.published, rows)?;
        {
            let sql = format!("INSERT OR IGNORE INTO event({}) VALUES({})", row::columns(), row::parameters());
            let mut insert = transaction.prepare(&sql)?;
            let sql = format!("INSERT OR IGNORE INTO personal({PERSONAL}) VALUES({})", ["?"; 9].join(", "));
            let mut insert_value = transaction.prepare(&sql)?;
            for row in rows {
                insert.execute(params_from_iter(row.values()))?;
                for value in &row.personal {
                    let open = Field::of(&value.field).is_some_and(Field::is_open);
                    let hidden = PersonalRow { salt: None, value: None, ..value.clone() };
                    insert_personal(&mut insert_value, row.seq, if open { value } else { &hidden })?;
                }
            }
            let mut insert = transaction.prepare(
                "INSERT OR IGNORE INTO erasure(seq, n, first_seq, last_seq, what, ground) VALUES(?, ?, ?, ?, ?, ?)",
            )?;
            for row in rows {
                for (n, line) in (0u32..).zip(erasure::lines(&row.event, row.text("data"))) {
                    let (first, last) = (integer(line.first), integer(line.last));
                    insert.execute(params![integer(row.seq), n, first, last, line.what, line.ground])?;
                }
            }
            let mut insert =
                transaction.prepare("INSERT OR IGNORE INTO tile(level, number, hashes) VALUES(?, ?, ?)")?;
            let filled = |tile: &&crate::merkle::tree::Tile| {
                let last = ((tile.number + 1) << (8 * (u32::from(tile.level) + 1))) - 1;
                rows.first().is_some_and(|first| first.seq <= last) && last < published
            };
            for tile in batch.tiles.iter().filter(filled) {
                insert.execute(params![tile.level, integer(tile.number), tile.bytes()])?;
            }
            let mut insert = transaction
                .prepare("INSERT OR IGNORE INTO checkpoint(size, time_us, root, note) VALUES(?, ?, ?, ?)")?;
            for note in notes {
                insert.execute(params![integer(note.size), integer(note.time_us), note.root, note.note])?;
            }
            let mut insert =
                transaction.prepare("INSERT OR REPLACE INTO anchor(name, size, time_us, proof) VALUES(?, ?, ?, ?)")?;
            let mut signed = transaction.prepare("SELECT note FROM checkpoint WHERE size = ?")?;
            let mut cosign = transaction.prepare("UPDATE checkpoint SET note = ?2 WHERE size = ?1")?;
            for Anchored { name, size, time_us, proof } in batch.anchors.iter().filter(|head| head.size <= published) {
                insert.execute(params![name, integer(*size), integer(*time_us), proof])?;
                if let Some(line) = proof.as_ref().filter(|proof| proof.starts_with(SIGNATURE)) {
                    let note: Option<String> = signed.query_row([integer(*size)], |row| row.get(0)).optional()?;
                    if let Some(note) = note {
                        cosign.execute(params![integer(*size), with_line(&note, line)])?;
                    }
                }
            }
        }
        set(&transaction, "published_size", &published.to_string())?;
        set(&transaction, "published_time", &jiff::Timestamp::now().to_string())?;
        if let Some(vkey) = vkey {
            set(&transaction, "vkey", vkey)?;
            set(&transaction, "origin", vkey.split('+').next().unwrap_or_default())?;
        }
        transaction.commit()?;
        self.published = published;
        self.sealed = notes.iter().map(|note| note.size).fold(self.sealed, u64::max);
        Ok(())
    }
}

/// The largest head that no file beginning there can show: it ends before what the file begins behind.
fn before(first: u64) -> u64 {
    first.saturating_sub(1)
}

/// Whether rows go on where the file ends; those that are in it already must be the same. Never is a second history written
/// over the first, nor past a hole.
fn follows(transaction: &Transaction<'_>, published: u64, rows: &[Row]) -> Result<()> {
    if rows.first().is_some_and(|first| first.seq > published) {
        return Err(row::damaged(
            "events are missing between the end of this file and what comes next: was it restored alone?",
        ));
    }
    let mut stored = transaction.prepare("SELECT leaf_hash FROM event WHERE seq = ?")?;
    for row in rows.iter().take_while(|row| row.seq < published) {
        let hash = stored.query_row([integer(row.seq)], |columns| row::octets::<32>(columns, 0)).optional()?.flatten();
        if hash != Some(row.leaf_hash) {
            return Err(row::damaged(
                "another history is in this file already: was it, or the database, restored alone?",
            ));
        }
    }
    Ok(())
}

/// When the last event of an auditors' file was.
pub fn last_us(connection: &Connection) -> Option<u64> {
    let last = connection.query_row("SELECT max(time_us) FROM event", [], |row| row.get::<_, Option<i64>>(0));
    last.ok().flatten().and_then(|last_us| u64::try_from(last_us).ok())
}

/// Writes the salts and clear values of hidden fields into the personal file of their month.
pub fn keep_personal(path: &Path, rows: &[Row]) -> Result<(), String> {
    let explain = |error: rusqlite::Error| format!("{}: {error}", path.display());
    let mut connection = connect(path, PERSONAL_FILE, 0o600)?;
    let write = |transaction: Transaction<'_>| {
        {
            let sql = "INSERT OR IGNORE INTO personal(seq, field, n, salt, value) VALUES(?, ?, ?, ?, ?)";
            let mut insert = transaction.prepare(sql)?;
            for row in rows {
                for value in row.personal.iter().filter(|value| !Field::of(&value.field).is_some_and(Field::is_open)) {
                    insert.execute(params![integer(row.seq), value.field, value.n, value.salt, value.value])?;
                }
            }
        }
        transaction.commit()
    };
    connection.transaction().and_then(write).map_err(explain)
}

/// Opens a file for writing, or makes it. A transaction that a crash left half done is rolled back by this.
fn connect(path: &Path, application: i64, mode: u32) -> Result<Connection, String> {
    let explain = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    match OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(explain(&error)),
        _ => {}
    }
    let connection = Connection::open(path).map_err(|error| explain(&error))?;
    let set_up = || {
        settle(&connection)?;
        let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
        Ok((pragma("application_id")?, pragma("user_version")?, tables))
    };
    let (found, version, tables) = set_up().map_err(|error: rusqlite::Error| said(path, &error))?;
    let steps: &[&str] = if application == AUDIT { &STEPS } else { &PERSONAL_STEPS };
    if found != application && (tables > 0 || found != 0) {
        return Err(explain(&"is another program's file: move it away"));
    }
    match steps.get(usize::try_from(version).unwrap_or(usize::MAX)..) {
        Some([]) => {}
        Some(lacking) => {
            let (lacking, newest) = (lacking.concat(), steps.len());
            let script =
                format!("BEGIN; {lacking} PRAGMA application_id={application}; PRAGMA user_version={newest}; COMMIT;");
            connection.execute_batch(&script).map_err(|error| explain(&error))?;
        }
        None => return Err(explain(&"was written by a newer Gatepost: install that version")),
    }
    Ok(connection)
}

/// What is wrong with a file, and what to do if it is damaged.
pub fn said(path: &Path, error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => damaged(path),
        _ => format!("{}: {}", path.display(), row::words(error)),
    }
}

/// That a file is damaged, and what to do.
pub fn damaged(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let advice = match &*name {
        CURRENT => &format!("{MOVE_AWAY}. No mail is in it, and none is lost"),
        _ if name.starts_with("audit-") => {
            "keep it, and put a copy of it back from a backup; a month that is over never changes"
        }
        _ => "move it away, keep it, and restore it from a backup",
    };
    format!("{}: is damaged: {advice}", path.display())
}

/// What who reads a damaged file is to do: it may be the service's own, or a copy.
pub fn for_readers(path: &Path) -> String {
    let copy = "take a copy of it from a backup";
    match path.file_name().is_some_and(|name| name == CURRENT) {
        true => format!("keep it. If it is the one that the service writes: {MOVE_AWAY}. Else {copy}"),
        false => format!("keep it, and {copy}"),
    }
}

/// The settings of every file that is written to.
pub fn settle(connection: &Connection) -> Result<()> {
    schema::distrust(connection)?;
    connection.busy_timeout(std::time::Duration::ZERO)?;
    // What leaves the vault's database stands here alone: it must be on the disk before it may leave.
    connection.query_row("PRAGMA journal_mode=TRUNCATE", [], |_| Ok(()))?;
    connection.execute_batch(
        "PRAGMA synchronous=FULL; PRAGMA secure_delete=ON; PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0;",
    )
}

fn set(connection: &Connection, key: &str, value: &str) -> Result<()> {
    connection.execute("INSERT OR REPLACE INTO info(key, value) VALUES(?, ?)", [key, value])?;
    Ok(())
}

/// A hash in hexadecimal.
pub fn unhex(text: &str) -> Option<Hash> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|n| u8::try_from(n).ok())).collect::<Option<_>>()?;
    let octets: Vec<u8> = digits.as_chunks::<2>().0.iter().map(|[high, low]| high * 16 + low).collect();
    octets.try_into().ok().filter(|_| text.len() == 64)
}

pub fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
