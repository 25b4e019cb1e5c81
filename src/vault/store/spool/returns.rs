//! Leases that end: whoever has no outcome waits again.

use rusqlite::{Connection, OptionalExtension, Result, Statement, params};

use super::{integer, number};
use crate::vault::store::lasting;

pub struct Returns<'c> {
    lease_of: Statement<'c>,
    end: Statement<'c>,
    left: Statement<'c>,
    back: Statement<'c>,
    all: [Statement<'c>; 3],
}

impl<'c> Returns<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| lasting(connection, sql);
        Ok(Self {
            lease_of: sql("SELECT msg FROM spool_lease WHERE job = ?")?,
            end: sql("DELETE FROM spool_lease WHERE job = ?")?,
            left: sql("SELECT msg, n FROM spool_rcpt WHERE job = ?")?,
            // By their own keys, as they are settled.
            back: sql(
                "UPDATE OR FAIL spool_rcpt SET state = 0, job = NULL, unknown = 0, next_us = ? WHERE msg = ? AND n = ?",
            )?,
            all: [
                sql(
                    "UPDATE spool_msg SET live = 0 WHERE live = 1 AND done_us IS NULL AND id IN (SELECT msg FROM spool_lease)",
                )?,
                sql("UPDATE spool_rcpt SET state = 0, job = NULL, unknown = 0 WHERE job IS NOT NULL")?,
                sql("DELETE FROM spool_lease")?,
            ],
        })
    }

    /// One ends; recipients without an outcome wait until then. Gives the row of its message.
    pub fn end(&mut self, job: u64, next_us: u64) -> Result<Option<i64>> {
        let job = integer(job);
        let left = self.left.query_map([&job], |row| Ok((row.get(0)?, number(row, 1)?)))?;
        for (row, n) in left.collect::<Result<Vec<(i64, u32)>>>()? {
            self.back.execute(params![integer(next_us), row, n])?;
        }
        let row = self.lease_of.query_row([&job], |row| row.get(0)).optional()?;
        self.end.execute([job])?;
        Ok(row)
    }

    /// All of them.
    pub fn end_all(&mut self) -> Result<()> {
        self.all.iter_mut().try_for_each(|statement| statement.execute([]).map(drop))
    }
}
