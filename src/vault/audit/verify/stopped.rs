//! The vault's database while no service answers, or one whose events wait: what the log has there is taken into memory, without
//! a lock on it or a write to it. Of its events nothing is believed that no signed head bears out; of its orders of erasures none
//! that no event says.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Row, params};

use super::aside::{Aside, plain};
use super::{Fault, Verdict, altered, sql, taken, unreadable};
use crate::mail::id::MessageId;
use crate::vault::audit::event::Name;
use crate::vault::audit::row::{integer, unsigned};
use crate::vault::store::erasures::Order;

pub struct Stopped {
    /// In memory: the events that were not published, and the orders that were not carried out.
    pub database: Connection,
    /// Events that the log has.
    pub size: u64,
    state: PathBuf,
    stamp: Stamp,
}

/// Length and time of the database and of its write-ahead log: a service that runs, and can't be asked, changes them.
type Stamp = [Option<(u64, i64, i64)>; 2];

/// Times that it is read anew because the files changed meanwhile.
const TRIES: u32 = 5;

const CHANGES: &str = "the vault's database changes while it is read: a service runs that can't be asked, or a backup is made; \
                       verify again";

/// Where it is.
pub fn path(state: &Path) -> PathBuf {
    state.join("db").join("vault.db")
}

impl Stopped {
    /// Reads it, with what its write-ahead log has.
    ///
    /// Errors, in words: `Altered` when it isn't there, or isn't a database of the vault; `Unsealed` when it may not be read by
    /// whoever asks; `Unreadable` when it can't be.
    pub fn open(state: &Path) -> Result<Self, Fault> {
        let folder = fs::canonicalize(state.join("db")).map_err(|error| unfit(&error))?;
        let path = folder.join("vault.db");
        for _ in 0..TRIES {
            let stamp = stamp(&path);
            let taken = take(state, &path);
            // What looks wrong because it was being written proves nothing.
            if self::stamp(&path) == stamp {
                let (database, size) = taken?;
                return Ok(Self { database, size, state: state.to_owned(), stamp });
            }
        }
        Err(unreadable(CHANGES))
    }

    /// Insists that nobody has written to the database since it was opened.
    pub fn is_still(&self) -> Result<(), Fault> {
        if stamp(&path(&self.state)) == self.stamp { Ok(()) } else { Err(unreadable(CHANGES)) }
    }

    /// The orders of erasures that were not carried out yet.
    pub fn erasing(&self) -> Result<Vec<Order>, Fault> {
        let orders = "SELECT seq, event, data FROM audit_erasure ORDER BY seq LIMIT 1000";
        let mut orders = self.database.prepare(orders).map_err(sql)?;
        let read = |row: &Row<'_>| Ok(Order { seq: unsigned(row, 0)?, event: row.get(1)?, data: row.get(2)? });
        orders.query_map([], read).map_err(sql)?.collect::<Result<_, _>>().map_err(sql)
    }

    /// The messages whose acceptance, or intent, was not published yet.
    pub fn accepted(&self) -> Result<HashSet<MessageId>, Fault> {
        let accepted = "SELECT msg_id FROM audit_event WHERE event IN (?, ?) AND msg_id IS NOT NULL";
        let mut accepted = self.database.prepare(accepted).map_err(sql)?;
        let ids = accepted
            .query_map([Name::MsgAccept.word(), Name::MsgIntent.word()], |row| row.get::<_, String>(0))
            .map_err(sql)?;
        ids.filter_map(|id| id.map(|id| id.parse().ok()).transpose()).collect::<Result<_, _>>().map_err(sql)
    }

    /// How many events it has from that one on.
    pub fn events(&self, from: u64) -> Result<u64, Fault> {
        let count = "SELECT count(*) FROM audit_event WHERE seq >= ?";
        self.database.query_row(count, [integer(from)], |row| unsigned(row, 0)).map_err(sql)
    }

    /// Whether the event of that order was not published yet.
    pub fn waits(&self, order: &Order) -> Result<bool, Fault> {
        let event = "SELECT EXISTS(SELECT 1 FROM audit_event WHERE seq = ? AND event = ? AND data = ?)";
        let of = params![integer(order.seq), order.event, order.data];
        self.database.query_row(event, of, |row| row.get(0)).map_err(sql)
    }
}

fn unfit(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let what = format!("it may not be read ({error}): root may");
            Fault { verdict: Verdict::Unsealed, what }
        }
        _ => altered(format!("it can't be read: {error}")),
    }
}

fn stamp(path: &Path) -> Stamp {
    [path.to_owned(), path.with_extension("db-wal")].map(|path| {
        let about = fs::symlink_metadata(path).ok()?;
        Some((about.len(), about.mtime(), about.mtime_nsec()))
    })
}

/// Where there is a write-ahead log, both get other names to be opened by: so nothing is made beside the vault's own.
fn take(state: &Path, path: &Path) -> Result<(Connection, u64), Fault> {
    plain(path).map_err(|error| unfit(&error))?;
    let has_log = match plain(&path.with_extension("db-wal")).and_then(|log| log.metadata()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        log => log.map_err(|error| unfit(&error))?.len() > 0,
    };
    if !has_log {
        return taken::take(path, "immutable=1", None);
    }
    let aside = Aside::make(state, path).map_err(unreadable)?;
    // Without locks, and with the index of the log in memory.
    taken::take(&aside.database(), "vfs=unix-none", Some(aside))
}
