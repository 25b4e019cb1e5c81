//! The keys of bodies, wrapped by a master key: the row that is destroyed with the body, in copies of it too.

use rusqlite::{Connection, OptionalExtension, Result, Statement, params};
use uuid::Uuid;

use super::hold::Open;
use crate::mail::id::MessageId;
use crate::vault::audit::row::{damaged, octets};
use crate::vault::cipher::BodyKey;
use crate::vault::master::{ID, Id, Master, WRAPPED};
use crate::vault::store::lasting;

/// How a body that is read is locked.
#[derive(Clone, Debug)]
pub enum Lock {
    /// It has no key. So it was written before bodies were sealed, or its key was taken away: then what is there of it is
    /// another body than the row of its message says.
    None,
    Key(BodyKey),
    /// None of the master keys that are here opens its key, or its key is none.
    Lost,
}

pub struct Keys<'c> {
    insert: Statement<'c>,
    get: Statement<'c>,
    others: Statement<'c>,
    rewrap: Statement<'c>,
    destroy: Statement<'c>,
    foreign: Statement<'c>,
    /// The first one wraps; the others, at most one, only unwrap.
    masters: Vec<Master>,
}

impl<'c> Keys<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| lasting(connection, sql);
        Ok(Self {
            insert: sql("INSERT INTO spool_key(msg, master, wrapped) VALUES(?, ?, ?)")?,
            get: sql("SELECT wrapped, master FROM spool_key WHERE msg = ?")?,
            others: sql(
                "SELECT id, msg_id, wrapped, spool_key.master FROM spool_key CROSS JOIN spool_msg ON id = msg \
                         WHERE msg > ? AND spool_key.master <> ? ORDER BY msg LIMIT ?",
            )?,
            rewrap: sql("UPDATE spool_key SET master = ?2, wrapped = ?3 WHERE msg = ?1")?,
            destroy: sql("DELETE FROM spool_key WHERE msg = ?")?,
            foreign: sql(
                "SELECT id, msg_id, principal, hold = 2, ended > 1, report AND session_id = zeroblob(16), accept_seq \
                          FROM spool_key CROSS JOIN spool_msg ON id = msg WHERE spool_key.master NOT IN (?, ?)",
            )?,
            masters: Vec::new(),
        })
    }

    /// Takes these master keys instead of those of before; the first one wraps from here on.
    pub fn adopt(&mut self, masters: Vec<Master>) {
        self.masters = masters;
    }

    pub fn masters(&self) -> &[Master] {
        &self.masters
    }

    /// Keeps the key of a message's body.
    pub fn keep(&mut self, row: i64, message: MessageId, key: &BodyKey) -> Result<()> {
        let master = self.masters.first().ok_or_else(|| damaged("there is no master key to wrap a key with"))?;
        let wrapped = master.wrap(key, message).map_err(|_| damaged("a key can't be wrapped"))?;
        self.insert.execute(params![row, master.id, wrapped])?;
        Ok(())
    }

    /// The key of a message's body.
    pub fn get(&mut self, row: i64, message: MessageId) -> Result<Lock> {
        let found = self.get.query_row([row], |row| Ok((octets::<WRAPPED>(row, 0)?, octets::<ID>(row, 1)?)));
        Ok(match found.optional()? {
            None => Lock::None,
            Some((Some(wrapped), Some(id))) => self.unwrap(&wrapped, &id, message).map_or(Lock::Lost, Lock::Key),
            Some(_) => Lock::Lost,
        })
    }

    fn unwrap(&self, wrapped: &[u8; WRAPPED], id: &Id, message: MessageId) -> Option<BodyKey> {
        let master = self.masters.iter().find(|master| master.id == *id)?;
        master.unwrap(wrapped, message).ok()
    }

    /// Wraps some keys anew that another master key wraps, behind that row. Gives the last row looked at and how many; none
    /// when there is nothing left. What no key here opens stays as it is.
    pub fn rewrap(&mut self, after: i64, limit: u32) -> Result<Option<(i64, u64)>> {
        let Some(current) = self.masters.first().cloned() else { return Ok(None) };
        let rows = self.others.query_map(params![after, current.id, limit], |row| {
            Ok((row.get::<_, i64>(0)?, octets::<16>(row, 1)?, octets::<WRAPPED>(row, 2)?, octets::<ID>(row, 3)?))
        })?;
        let rows = rows.collect::<Result<Vec<_>>>()?;
        let Some((last, ..)) = rows.last() else { return Ok(None) };
        let (last, mut count) = (*last, 0);
        for (row, message, wrapped, id) in rows {
            let (Some(message), Some(wrapped), Some(id)) = (message, wrapped, id) else { continue };
            let message = MessageId::from(Uuid::from_bytes(message));
            let Some(key) = self.unwrap(&wrapped, &id, message) else { continue };
            let wrapped = current.wrap(&key, message).map_err(|_| damaged("a key can't be wrapped"))?;
            self.rewrap.execute(params![row, current.id, wrapped])?;
            count += 1;
        }
        Ok(Some((last, count)))
    }

    /// Destroys the key of a body, and so the body.
    pub fn destroy(&mut self, row: i64) -> Result<()> {
        self.destroy.execute([row]).map(drop)
    }

    /// The messages whose key none of the master keys wraps.
    pub fn foreign(&mut self) -> Result<Vec<Open>> {
        let id = |at: usize| self.masters.get(at).or(self.masters.first()).map(|master| master.id);
        let known = params![id(0).unwrap_or_default(), id(1).unwrap_or_default()];
        self.foreign.query_map(known, super::hold::read)?.collect()
    }
}
