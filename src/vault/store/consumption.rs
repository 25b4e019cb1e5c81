//! What was used of the limits, on disk: written in the transaction of the message that used it.

use rusqlite::{Connection, Result, Statement, params};

use crate::vault::audit::row::{integer, unsigned};

/// What a row is about. Numbers are never used again for something else.
const CREDENTIAL: i64 = 0;

/// One message's use of its credential's limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    pub credential: String,
    /// How far one message moves the bucket; none without a rate.
    pub step_us: Option<u64>,
    pub now_us: u64,
    pub day: i64,
    pub recipients: u64,
    pub bytes: u64,
}

pub struct Consumption<'c> {
    bucket: Statement<'c>,
    quota: Statement<'c>,
    buckets: Statement<'c>,
    quotas: Statement<'c>,
    sweep: [Statement<'c>; 2],
}

/// Days that quotas are kept, for reports.
const QUOTA_DAYS: i64 = 35;

impl<'c> Consumption<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| connection.prepare(sql);
        Ok(Self {
            bucket: sql("INSERT INTO rl_bucket(scope, key, tat_us) VALUES(?1, ?2, ?3 + ?4) \
                         ON CONFLICT DO UPDATE SET tat_us = max(tat_us, ?3) + ?4")?,
            quota: sql("INSERT INTO rl_quota(scope, key, day, msgs, rcpts, bytes) VALUES(?, ?, ?, 1, ?, ?) \
                        ON CONFLICT DO UPDATE SET msgs = msgs + 1, rcpts = rcpts + excluded.rcpts, \
                        bytes = bytes + excluded.bytes")?,
            buckets: sql("SELECT key, tat_us FROM rl_bucket WHERE scope = ? AND tat_us > ?")?,
            quotas: sql("SELECT key, msgs FROM rl_quota WHERE scope = ? AND day = ?")?,
            sweep: [sql("DELETE FROM rl_bucket WHERE tat_us < ?")?, sql("DELETE FROM rl_quota WHERE day < ?")?],
        })
    }

    pub fn consume(&mut self, used: &Use) -> Result<()> {
        if let Some(step) = used.step_us {
            self.bucket.execute(params![CREDENTIAL, used.credential, integer(used.now_us), integer(step)])?;
        }
        let (recipients, bytes) = (integer(used.recipients), integer(used.bytes));
        self.quota.execute(params![CREDENTIAL, used.credential, used.day, recipients, bytes])?;
        Ok(())
    }

    /// The theoretical arrival time of every bucket that isn't empty.
    pub fn buckets(&mut self, now_us: u64) -> Result<Vec<(String, u64)>> {
        let rows =
            self.buckets.query_map(params![CREDENTIAL, integer(now_us)], |row| Ok((row.get(0)?, unsigned(row, 1)?)))?;
        rows.collect()
    }

    /// Messages of a day by credential.
    pub fn quotas(&mut self, day: i64) -> Result<Vec<(String, u64)>> {
        let rows = self.quotas.query_map(params![CREDENTIAL, day], |row| Ok((row.get(0)?, unsigned(row, 1)?)))?;
        rows.collect()
    }

    /// Forgets empty buckets and old quotas.
    pub fn sweep(&mut self, now_us: u64, day: i64) -> Result<()> {
        let [buckets, quotas] = &mut self.sweep;
        buckets.execute([integer(now_us)])?;
        quotas.execute([day - QUOTA_DAYS])?;
        Ok(())
    }
}
