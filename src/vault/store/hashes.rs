//! Leaf hashes that are not kept any more: from which event on they are, and the removed months that they are of.
//!
//! What goes is tiles of level 0 below full ones of level 1. Those stay, and all above them: the tree itself, every head over what
//! is kept and each 256th one before it can still be made and proven.

use rusqlite::{Connection, OptionalExtension, Result, Statement, params};

use crate::merkle::tree::WIDTH;
use crate::vault::audit::month::Month;
use crate::vault::audit::row::integer;
use crate::vault::store::lasting;

/// Events whose hashes go together: those of a tile of level 1.
pub const GRAIN: u64 = (WIDTH * WIDTH) as u64;
/// Tiles that go in one transaction: 2 MiB.
const SLICE: i64 = 256;
/// The key in `meta`; the value is the first event whose hash is kept.
const FROM: &str = "hashes";
/// Before the month, in `meta`; the value is the first event behind it.
const MONTH: &str = "pruned ";

pub struct Hashes<'c> {
    read: Statement<'c>,
    set: Statement<'c>,
    months: Statement<'c>,
    forget: Statement<'c>,
    lowest: Statement<'c>,
    remove: Statement<'c>,
}

impl<'c> Hashes<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| lasting(connection, sql);
        Ok(Self {
            read: sql("SELECT value FROM meta WHERE key = ?")?,
            set: sql("INSERT OR REPLACE INTO meta(key, value) VALUES(?, ?)")?,
            months: sql("SELECT key, value FROM meta WHERE key >= 'pruned ' AND key < 'pruned!' ORDER BY key")?,
            forget: sql("DELETE FROM meta WHERE key = ?")?,
            lowest: sql("SELECT min(number) FROM audit_tile WHERE level = 0")?,
            remove: sql("DELETE FROM audit_tile WHERE level = 0 AND number < ?1 \
                         AND number < (SELECT min(number) FROM audit_tile WHERE level = 0) + ?2")?,
        })
    }

    /// The first event whose hash is kept: those of the ones before it were ordered to go.
    pub fn kept_from(&mut self) -> Result<u64> {
        let text: Option<String> = self.read.query_row([FROM], |row| row.get(0)).optional()?;
        // What can't be read is found by verification: then more is missing than the log says.
        Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    /// The first event whose hash is there, of a log of `size`: also when nobody ordered those before it to go.
    pub fn first(&mut self, size: u64) -> Result<u64> {
        let lowest: Option<i64> = self.lowest.query_row([], |row| row.get(0))?;
        let lowest = lowest.and_then(|number| u64::try_from(number).ok());
        Ok(lowest.unwrap_or(size / WIDTH as u64) * WIDTH as u64)
    }

    /// A month is removed, with all events before `end` that were left.
    pub fn month_went(&mut self, month: Month, end: u64) -> Result<()> {
        self.set.execute(params![format!("{MONTH}{month}"), end.to_string()]).map(drop)
    }

    /// The months that were removed and whose hashes are kept, each with the first event behind it.
    pub fn months(&mut self) -> Result<Vec<(Month, u64)>> {
        let rows = self.months.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        let read = |(key, end): (String, String)| Some((key.strip_prefix(MONTH)?.parse().ok()?, end.parse().ok()?));
        Ok(rows.collect::<Result<Vec<_>>>()?.into_iter().filter_map(read).collect())
    }

    /// From now on hashes are kept from that event on.
    pub fn keep_from(&mut self, from: u64) -> Result<()> {
        for (month, end) in self.months()? {
            if end <= from {
                self.forget.execute([format!("{MONTH}{month}")])?;
            }
        }
        self.set.execute(params![FROM, from.to_string()]).map(drop)
    }

    /// Removes some of those before that event. False when there are none.
    pub fn remove(&mut self, from: u64) -> Result<bool> {
        Ok(self.remove.execute(params![integer(from / WIDTH as u64), SLICE])? > 0)
    }
}
