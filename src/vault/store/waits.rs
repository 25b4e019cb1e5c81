//! Waits of a day at most, in running time: no restart ends one, which whoever sets a clock may cause as well, and no clock.

use std::time::Duration;

use crate::vault::store::lasting;
use rusqlite::{Connection, OptionalExtension, Result, Statement, params};

/// Long enough to be noticed.
pub const LONGEST: Duration = Duration::from_secs(86_400);
/// For `set`, wherever it is prepared.
pub const SET: &str = "INSERT OR REPLACE INTO meta(key, value) VALUES(?, ?)";

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The time of day is believed again: since it was set, or since a start after a long silence.
    Doubt,
    /// A month may go again for want of room: since one did.
    Room,
}

impl Wait {
    /// The key in `meta`; the value is what is left, in seconds.
    const fn key(self) -> &'static str {
        match self {
            Self::Doubt => "doubt",
            Self::Room => "room",
        }
    }
}

pub struct Waits<'c> {
    read: Statement<'c>,
    set: Statement<'c>,
}

impl<'c> Waits<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        Ok(Self { read: lasting(connection, "SELECT value FROM meta WHERE key = ?")?, set: lasting(connection, SET)? })
    }

    /// What is left of it. A value that can't be read is all of it.
    pub fn left(&mut self, wait: Wait) -> Result<Duration> {
        let text: Option<String> = self.read.query_row([wait.key()], |row| row.get(0)).optional()?;
        let left = text.map_or(Duration::ZERO, |text| text.parse().map_or(LONGEST, Duration::from_secs));
        Ok(left.min(LONGEST))
    }

    pub fn set(&mut self, wait: Wait, left: Duration) -> Result<()> {
        set(&mut self.set, wait, left)
    }
}

pub fn set(statement: &mut Statement<'_>, wait: Wait, left: Duration) -> Result<()> {
    statement.execute(params![wait.key(), left.as_secs().to_string()]).map(drop)
}
