//! How many messages upstreams with a pace by the day were given lately: a restart forgets none of it.

use rusqlite::{Connection, Result, Statement, params};

use crate::vault::audit::row::{integer, unsigned};
use crate::vault::delivery::pace::Slot;
use crate::vault::store::lasting;

pub struct Paces<'c> {
    fold: Statement<'c>,
    trim: Statement<'c>,
    all: Statement<'c>,
    add: Statement<'c>,
    give_back: Statement<'c>,
    sweep: Statement<'c>,
}

impl<'c> Paces<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        Ok(Self {
            fold: lasting(connection,
                "INSERT INTO upstream_pace(upstream, slot, messages) SELECT upstream, ?1, sum(messages) FROM upstream_pace
                 WHERE slot > ?1 GROUP BY upstream ON CONFLICT DO UPDATE SET messages = messages + excluded.messages",
            )?,
            trim: lasting(connection, "DELETE FROM upstream_pace WHERE slot > ? OR slot < ?")?,
            all: lasting(connection, "SELECT upstream, slot, messages FROM upstream_pace ORDER BY upstream, slot")?,
            add: lasting(connection,
                "INSERT INTO upstream_pace(upstream, slot, messages) VALUES(?, ?, ?)
                 ON CONFLICT DO UPDATE SET messages = messages + excluded.messages",
            )?,
            give_back: lasting(connection,
                "UPDATE upstream_pace SET messages = messages - 1 WHERE upstream = ? AND slot = ? AND messages > 0",
            )?,
            sweep: lasting(connection, "DELETE FROM upstream_pace WHERE upstream = ? AND slot < ?")?,
        })
    }

    /// Upstream, slot and messages, in the order of time for each. What is in slots after the one of now was written by a clock
    /// that was ahead: it is of now from here on, once. What is in slots before the oldest one counts no more and goes, also of an
    /// upstream that isn't there any more.
    pub fn all(&mut self, now: u64, oldest: u64) -> Result<Vec<(String, u64, u32)>> {
        self.fold.execute([integer(now)])?;
        self.trim.execute([integer(now), integer(oldest)])?;
        let rows = self.all.query_map([], |row| Ok((row.get(0)?, unsigned(row, 1)?, unsigned(row, 2)?)))?;
        let saturated = |messages: u64| u32::try_from(messages).unwrap_or(u32::MAX);
        rows.map(|row| row.map(|(upstream, slot, messages)| (upstream, slot, saturated(messages)))).collect()
    }

    /// So many more in a slot.
    pub fn add(&mut self, slot: &Slot, messages: u32) -> Result<()> {
        self.add.execute(params![slot.upstream, integer(slot.slot), messages])?;
        self.sweep.execute(params![slot.upstream, integer(slot.oldest)]).map(drop)
    }

    /// One of those that were added to a slot was none.
    pub fn give_back(&mut self, upstream: &str, slot: u64) -> Result<()> {
        self.give_back.execute(params![upstream, integer(slot)]).map(drop)
    }
}
