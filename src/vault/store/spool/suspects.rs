//! Suspects: messages that a courier ended over. Each is offered alone from then on, so that it is known whose fault it is when
//! a courier ends over it again, and nobody is suspected for good who was only under way beside another.

use rusqlite::{Connection, OptionalExtension, Result, Statement, params};

use crate::vault::audit::row::integer;
use crate::vault::store::lasting;

pub struct Suspects<'c> {
    next: Statement<'c>,
    due: Statement<'c>,
    count: Statement<'c>,
    clear: Statement<'c>,
}

impl<'c> Suspects<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let of = "FROM spool_msg CROSS JOIN spool_rcpt ON msg = id WHERE ended > 0 AND done_us IS NULL AND state = 0 \
                  AND held = 0 AND lane = ?";
        Ok(Self {
            next: lasting(connection, &format!("SELECT msg {of} AND next_us <= ? ORDER BY next_us, msg LIMIT 1"))?,
            due: lasting(connection, &format!("SELECT min(next_us) {of}"))?,
            count: lasting(connection, "UPDATE spool_msg SET ended = min(ended + 1, 1000) WHERE id = ?")?,
            clear: lasting(connection, "UPDATE spool_msg SET ended = 0 WHERE id = ?")?,
        })
    }

    /// The row of the suspect of a lane that has been due the longest.
    pub fn next(&mut self, lane: &str, now_us: u64) -> Result<Option<i64>> {
        self.next.query_row(params![lane, integer(now_us)], |row| row.get(0)).optional()
    }

    /// When the next suspect of a lane is due.
    pub fn next_due(&mut self, lane: &str) -> Result<Option<u64>> {
        let due = self.due.query_row([lane], |row| row.get::<_, Option<i64>>(0))?;
        Ok(due.and_then(|due| u64::try_from(due).ok()))
    }

    /// A courier ended over it.
    pub fn count(&mut self, row: i64) -> Result<()> {
        self.count.execute([row]).map(drop)
    }

    /// A courier came to an end with it, and lives.
    pub fn clear(&mut self, row: i64) -> Result<()> {
        self.clear.execute([row]).map(drop)
    }
}
