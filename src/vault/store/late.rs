//! Recipients who wait for long and whose sender is to be told of it, once.

use rusqlite::{Connection, OptionalExtension, Result, Statement, params};

use super::owed::{self, MAX_FATES, Told};
use crate::mail::notification::Action;
use crate::vault::audit::row::integer;
use crate::vault::store::lasting;

/// Who is late: in the words of the index, by which it is found.
const LATE: &str = "since_us IS NOT NULL AND state < 2 AND held = 0";

pub struct Late<'c> {
    oldest: Statement<'c>,
    next: Statement<'c>,
    fates: Statement<'c>,
    is_late: Statement<'c>,
    told: Statement<'c>,
}

impl<'c> Late<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| lasting(connection, sql);
        Ok(Self {
            oldest: sql(&format!("SELECT since_us FROM spool_rcpt WHERE {LATE} ORDER BY since_us LIMIT 1"))?,
            next: sql(&format!(
                "SELECT msg FROM spool_rcpt WHERE {LATE} AND since_us <= ? ORDER BY since_us, msg LIMIT 1"
            ))?,
            fates: sql(&format!(
                "SELECT {} FROM spool_rcpt WHERE msg = ? AND {LATE} AND since_us <= ? ORDER BY n LIMIT ?",
                owed::FATE
            ))?,
            is_late: sql(&format!("SELECT 1 FROM spool_rcpt WHERE msg = ? AND n = ? AND {LATE}"))?,
            told: sql("UPDATE spool_rcpt SET since_us = NULL WHERE msg = ? AND n = ?")?,
        })
    }

    /// Since when the one waits who has waited the longest, in Unix microseconds.
    pub fn oldest(&mut self) -> Result<Option<u64>> {
        let oldest = self.oldest.query_row([], |row| row.get::<_, i64>(0)).optional()?;
        Ok(oldest.and_then(|since| u64::try_from(since).ok()))
    }

    /// The row of a message that somebody has waited for since before then, and who that is.
    pub fn next(&mut self, before_us: u64) -> Result<Option<Told>> {
        let before = integer(before_us);
        let Some(row) = self.next.query_row([&before], |row| row.get(0)).optional()? else { return Ok(None) };
        let waits = |columns: &rusqlite::Row<'_>| owed::fate(columns, |_| Some(Action::Delayed));
        let fates = self.fates.query_map(params![row, before, MAX_FATES], waits)?.collect::<Result<_>>()?;
        Ok(Some((row, fates)))
    }

    /// Notes that the sender was told of these. False, and nothing noted, when one of them is late no more.
    pub fn told(&mut self, row: i64, numbers: &[u32]) -> Result<bool> {
        for number in numbers {
            if !self.is_late.exists(params![row, number])? {
                return Ok(false);
            }
        }
        for number in numbers {
            self.told.execute(params![row, number])?;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::store::open::Database;

    #[test]
    fn rule_q14_who_is_late_is_found_by_the_index_however_many_wait() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("db")).unwrap();
        let database = Database::open(home.path()).unwrap();
        let order = "ORDER BY since_us, msg LIMIT 1";
        let plan = format!("EXPLAIN QUERY PLAN SELECT msg FROM spool_rcpt WHERE {LATE} AND since_us <= 7 {order}");
        let plan: String = database.connection.query_row(&plan, [], |row| row.get(3)).unwrap();
        assert!(plan.contains("USING INDEX sr_since (since_us>? AND since_us<?)"), "{plan}");
    }
}
