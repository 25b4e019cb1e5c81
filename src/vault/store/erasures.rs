//! Orders to erase: each beside its event, until it is done.

use rusqlite::{Connection, OptionalExtension, Result, Statement, params};

use crate::mail::id::MessageId;
use crate::vault::audit::row::{integer, unsigned};
use crate::vault::store::lasting;

/// An order whose event is in the auditors' files, so that what it names may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The place of the event.
    pub seq: u64,
    /// Its name and its data: what is to go.
    pub event: String,
    pub data: String,
}

pub struct Erasures<'c> {
    add: Statement<'c>,
    due: Statement<'c>,
    open: Statement<'c>,
    unpublished: Statement<'c>,
    is_open: Statement<'c>,
    finish: [Statement<'c>; 2],
    has: Statement<'c>,
    forget_message: Statement<'c>,
}

impl<'c> Erasures<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| lasting(connection, sql);
        Ok(Self {
            add: sql("INSERT INTO audit_erasure(seq, event, data, rule) VALUES(?, ?, ?, ?)")?,
            due: sql("SELECT seq, event, data FROM audit_erasure WHERE done = 0 \
                      AND seq < coalesce((SELECT min(seq) FROM audit_event), seq + 1) ORDER BY seq LIMIT 1")?,
            open: sql("SELECT seq FROM audit_erasure WHERE done = 0 ORDER BY seq LIMIT 1000")?,
            unpublished: sql("SELECT min(seq) FROM audit_event")?,
            is_open: sql("SELECT EXISTS(SELECT 1 FROM audit_erasure WHERE seq = ? AND done = 0)")?,
            finish: [
                sql("DELETE FROM audit_erasure WHERE seq = ? AND (rule IS NULL OR event = 'audit.prune')")?,
                sql("UPDATE audit_erasure SET done = 1 WHERE seq = ?")?,
            ],
            has: sql("SELECT EXISTS(SELECT 1 FROM audit_erasure WHERE rule = ?)")?,
            forget_message: sql("DELETE FROM spool_msg WHERE msg_id = ? AND done_us IS NOT NULL")?,
        })
    }

    pub fn add(&mut self, seq: u64, event: &str, data: &str, rule: Option<&str>) -> Result<()> {
        self.add.execute(params![integer(seq), event, data, rule]).map(drop)
    }

    /// The oldest order that is not done and whose event has left for the auditors' files: then everything that it names has,
    /// too, because it comes before it.
    pub fn due(&mut self) -> Result<Option<Order>> {
        let read =
            |row: &rusqlite::Row<'_>| Ok(Order { seq: unsigned(row, 0)?, event: row.get(1)?, data: row.get(2)? });
        self.due.query_row([], read).optional()
    }

    /// The events that order what is not done yet, the oldest first, as far as an answer has room for them.
    pub fn open(&mut self) -> Result<Vec<u64>> {
        self.open.query_map([], |row| unsigned(row, 0))?.collect()
    }

    /// The first event that is not in the auditors' files, whose values can't be erased yet.
    pub fn unpublished(&mut self) -> Result<Option<u64>> {
        let first = self.unpublished.query_row([], |row| row.get::<_, Option<i64>>(0))?;
        Ok(first.and_then(|first| u64::try_from(first).ok()))
    }

    /// Whether what the event of that place names is still to go.
    pub fn is_open(&mut self, seq: u64) -> Result<bool> {
        self.is_open.query_row([integer(seq)], |row| row.get(0))
    }

    /// What the order of that event names is gone. The turn of a rule is remembered, so that it comes once; but not that a
    /// month was removed: it may be put back.
    pub fn finish(&mut self, seq: u64) -> Result<()> {
        self.finish.iter_mut().try_for_each(|statement| statement.execute([integer(seq)]).map(drop))
    }

    /// Whether that turn of a rule has been ordered.
    pub fn has(&mut self, rule: &str) -> Result<bool> {
        self.has.query_row([rule], |row| row.get(0))
    }

    /// Lets go of a message that is done.
    pub fn forget_message(&mut self, message: MessageId) -> Result<()> {
        self.forget_message.execute([message.uuid().as_bytes().as_slice()]).map(drop)
    }
}
