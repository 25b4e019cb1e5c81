//! Upstreams that an administrator has paused: they stay so over a restart.

use rusqlite::{Connection, Result, Statement, params};

use crate::vault::audit::row::{integer, unsigned};
use crate::vault::store::lasting;

/// Since when, and by whose order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    pub since_us: u64,
    pub actor: String,
}

pub struct Pauses<'c> {
    all: Statement<'c>,
    set: Statement<'c>,
    end: Statement<'c>,
}

impl<'c> Pauses<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        Ok(Self {
            all: lasting(connection, "SELECT upstream, since_us, actor FROM route_pause")?,
            set: lasting(connection, "INSERT OR REPLACE INTO route_pause(upstream, since_us, actor) VALUES(?, ?, ?)")?,
            end: lasting(connection, "DELETE FROM route_pause WHERE upstream = ?")?,
        })
    }

    /// Each with its upstream.
    pub fn all(&mut self) -> Result<Vec<(String, Pause)>> {
        let rows = self
            .all
            .query_map([], |row| Ok((row.get(0)?, Pause { since_us: unsigned(row, 1)?, actor: row.get(2)? })))?;
        rows.collect()
    }

    pub fn set(&mut self, upstream: &str, pause: &Pause) -> Result<()> {
        self.set.execute(params![upstream, integer(pause.since_us), pause.actor]).map(drop)
    }

    pub fn end(&mut self, upstream: &str) -> Result<()> {
        self.end.execute([upstream]).map(drop)
    }
}
