//! How long the time of day is doubted yet: in running time, and over restarts, which whoever sets a clock may cause as well.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Result, Statement, params};

/// Since the clock was set, or since a start after a long silence: long enough to be noticed.
pub const LONGEST: Duration = Duration::from_secs(86_400);
/// The key in `meta`; the value is in seconds.
const KEY: &str = "doubt";
/// For `set`, wherever it is prepared.
pub const SET: &str = "INSERT OR REPLACE INTO meta(key, value) VALUES(?, ?)";

pub struct Doubt<'c> {
    read: Statement<'c>,
    set: Statement<'c>,
}

impl<'c> Doubt<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        Ok(Self { read: connection.prepare("SELECT value FROM meta WHERE key = ?")?, set: connection.prepare(SET)? })
    }

    /// What is left of it. A value that can't be read is all of it.
    pub fn left(&mut self) -> Result<Duration> {
        let text: Option<String> = self.read.query_row([KEY], |row| row.get(0)).optional()?;
        let left = text.map_or(Duration::ZERO, |text| text.parse().map_or(LONGEST, Duration::from_secs));
        Ok(left.min(LONGEST))
    }

    pub fn set(&mut self, left: Duration) -> Result<()> {
        set(&mut self.set, left)
    }
}

pub fn set(statement: &mut Statement<'_>, left: Duration) -> Result<()> {
    statement.execute(params![KEY, left.as_secs().to_string()]).map(drop)
}
