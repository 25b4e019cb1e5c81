//! Hard bounces that are too few yet to suppress an address: counted by its hash, for one credential's mail, and bounded.

use rusqlite::{Connection, Result, Statement, params};

use super::suppressions::Share;
use crate::vault::audit::row::integer;
use crate::vault::store::lasting;

/// So many are counted at a time; the oldest goes for a newer one. What is lost by that is one bounce more that is sent for.
pub const MOST_COUNTED: Share = Share { all: 100_000, own: 10_000 };

pub struct Bounces<'c> {
    count: Statement<'c>,
    forget: Statement<'c>,
    forget_all: Statement<'c>,
    oldest: [Statement<'c>; 2],
    sweep: Statement<'c>,
    most: Share,
}

/// One that is counted.
pub struct Counted<'a> {
    pub tag: &'a [u8; 32],
    pub scope: &'a str,
    pub now_us: u64,
    pub expires_us: u64,
}

impl<'c> Bounces<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| lasting(connection, sql);
        Ok(Self {
            // Those before are none in a row any more when their time was over.
            count: sql(
                "INSERT INTO suppression_bounce(tag, scope, bounces, since_us, expires_us) VALUES(?1, ?2, 1, ?3, ?4) \
                 ON CONFLICT DO UPDATE SET bounces = iif(expires_us <= ?3, 1, bounces + 1), \
                 since_us = excluded.since_us, expires_us = excluded.expires_us RETURNING bounces",
            )?,
            forget: sql("DELETE FROM suppression_bounce WHERE tag = ? AND scope = ?")?,
            forget_all: sql("DELETE FROM suppression_bounce WHERE scope = ?")?,
            oldest: [
                sql("DELETE FROM suppression_bounce WHERE (tag, scope) = ( \
                     SELECT tag, scope FROM suppression_bounce WHERE scope = ? ORDER BY since_us LIMIT 1)")?,
                sql("DELETE FROM suppression_bounce WHERE (tag, scope) = ( \
                     SELECT tag, scope FROM suppression_bounce ORDER BY since_us LIMIT 1)")?,
            ],
            sweep: sql("DELETE FROM suppression_bounce WHERE (tag, scope) IN ( \
                 SELECT tag, scope FROM suppression_bounce WHERE expires_us <= ? ORDER BY expires_us LIMIT ?)")?,
            most: MOST_COUNTED,
        })
    }

    /// One more. Gives how many there were in a row. `size` is how many were counted before.
    pub fn count(&mut self, one: &Counted<'_>, size: &Share) -> Result<u32> {
        let columns = params![one.tag, one.scope, integer(one.now_us), integer(one.expires_us)];
        let bounces = self.count.query_row(columns, |row| row.get(0))?;
        let [own, all] = &mut self.oldest;
        if bounces == 1 && size.own >= self.most.own {
            own.execute([one.scope])?;
        } else if bounces == 1 && size.all >= self.most.all {
            all.execute([])?;
        }
        Ok(bounces)
    }

    pub fn forget(&mut self, tag: &[u8; 32], scope: &str) -> Result<()> {
        self.forget.execute(params![tag, scope]).map(drop)
    }

    pub fn forget_all(&mut self, scope: &str) -> Result<()> {
        self.forget_all.execute([scope]).map(drop)
    }

    /// Forgets so many of those whose time was over then.
    pub fn sweep(&mut self, now_us: u64, most: u32) -> Result<()> {
        self.sweep.execute(params![integer(now_us), most]).map(drop)
    }

    #[cfg(test)]
    pub fn bound(&mut self, most: Share) {
        self.most = most;
    }
}
