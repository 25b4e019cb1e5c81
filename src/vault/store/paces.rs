//! How many messages upstreams with a pace by the day were given lately: a restart forgets none of it.

use rusqlite::{Connection, Result, Statement, params};

use crate::vault::audit::row::{integer, unsigned};
use crate::vault::delivery::pace::Slot;

pub struct Paces<'c> {
    all: Statement<'c>,
    set: Statement<'c>,
    sweep: Statement<'c>,
}

impl<'c> Paces<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        Ok(Self {
            all: connection.prepare("SELECT upstream, slot, messages FROM upstream_pace ORDER BY upstream, slot")?,
            set: connection
                .prepare("INSERT OR REPLACE INTO upstream_pace(upstream, slot, messages) VALUES(?, ?, ?)")?,
            sweep: connection.prepare("DELETE FROM upstream_pace WHERE upstream = ? AND slot < ?")?,
        })
    }

    /// Upstream, slot and messages, in the order of time for each.
    pub fn all(&mut self) -> Result<Vec<(String, u64, u32)>> {
        let rows = self.all.query_map([], |row| Ok((row.get(0)?, unsigned(row, 1)?, unsigned(row, 2)?)))?;
        let saturated = |messages: u64| u32::try_from(messages).unwrap_or(u32::MAX);
        rows.map(|row| row.map(|(upstream, slot, messages)| (upstream, slot, saturated(messages)))).collect()
    }

    /// What a slot has had, in place of what was said of it before.
    pub fn set(&mut self, had: &Slot) -> Result<()> {
        self.set.execute(params![had.upstream, integer(had.slot), had.messages])?;
        self.sweep.execute(params![had.upstream, integer(had.oldest)]).map(drop)
    }
}
