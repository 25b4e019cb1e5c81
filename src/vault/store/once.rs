//! Requests that were accepted with a key by which they are known again, on disk: each in its message's own transaction.

use rusqlite::{Connection, Result, Statement, params};

use uuid::Uuid;

use crate::mail::id::MessageId;
use crate::vault::audit::row::{integer, unsigned};
use crate::vault::store::lasting;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The credential and the client's key, under a key that isn't here.
    pub tag: [u8; 32],
    pub principal: String,
    /// What was sent, under the same.
    pub fingerprint: [u8; 32],
    pub message: MessageId,
    pub expires_us: u64,
}

pub struct Once<'c> {
    keep: Statement<'c>,
    extend: Statement<'c>,
    forget: Statement<'c>,
    forget_of: Statement<'c>,
    erase: Statement<'c>,
    all: Statement<'c>,
    sweep: Statement<'c>,
}

impl<'c> Once<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| lasting(connection, sql);
        Ok(Self {
            keep: sql(
                "INSERT OR REPLACE INTO once (tag, principal, fingerprint, message, expires_us) VALUES (?, ?, ?, ?, ?)",
            )?,
            extend: sql("UPDATE once SET expires_us = ?3 WHERE tag = ?1 AND message = ?2")?,
            forget: sql("DELETE FROM once WHERE tag = ? AND message = ?")?,
            forget_of: sql("DELETE FROM once WHERE principal = ?")?,
            erase: sql("DELETE FROM once WHERE message = ?")?,
            all: sql(
                "SELECT tag, principal, fingerprint, message, expires_us FROM once ORDER BY expires_us DESC LIMIT ?",
            )?,
            sweep: sql("DELETE FROM once WHERE tag IN (SELECT tag FROM once WHERE expires_us <= ? LIMIT ?)")?,
        })
    }

    pub fn keep(&mut self, row: &Row) -> Result<()> {
        let message = row.message.uuid();
        let columns = params![row.tag, row.principal, row.fingerprint, message.as_bytes(), integer(row.expires_us)];
        self.keep.execute(columns).map(drop)
    }

    /// This one is known until then, unless another took its place.
    pub fn extend(&mut self, row: &Row) -> Result<()> {
        self.extend.execute(params![row.tag, row.message.uuid().as_bytes(), integer(row.expires_us)]).map(drop)
    }

    /// Forgets this one, unless another took its place.
    pub fn forget(&mut self, row: &Row) -> Result<()> {
        self.forget.execute(params![row.tag, row.message.uuid().as_bytes()]).map(drop)
    }

    /// Forgets all of a credential: another may have its name.
    pub fn forget_of(&mut self, principal: &str) -> Result<()> {
        self.forget_of.execute([principal]).map(drop)
    }

    /// Forgets what is known of a message.
    pub fn erase(&mut self, message: MessageId) -> Result<()> {
        self.erase.execute([message.uuid().as_bytes()]).map(drop)
    }

    /// The first to be over first, and no more than the last so many.
    pub fn all(&mut self, most: u32) -> Result<Vec<Row>> {
        let rows = self.all.query_map([most], |row| {
            Ok(Row {
                tag: row.get(0)?,
                principal: row.get(1)?,
                fingerprint: row.get(2)?,
                message: MessageId::from(Uuid::from_bytes(row.get(3)?)),
                expires_us: unsigned(row, 4)?,
            })
        })?;
        let mut rows = rows.collect::<Result<Vec<Row>>>()?;
        rows.reverse();
        Ok(rows)
    }

    /// Forgets some that are over.
    pub fn sweep(&mut self, now_us: u64, most: u32) -> Result<()> {
        self.sweep.execute(params![integer(now_us), most]).map(drop)
    }
}
