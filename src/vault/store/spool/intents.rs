//! Intents: messages without a body, whose senders wait. Each is on a lease from its beginning, with all its recipients marked, so that
//! one that the end of the vault interrupts is settled at the next start as what nobody knows about.

use rusqlite::{Connection, Result, Statement, params};
use uuid::Uuid;

use super::leases::number;
use super::{Accepted, Spool};
use crate::policy::OnUnknown;
use crate::vault::audit::row::integer;

pub struct Intents<'c> {
    mark: Statement<'c>,
    take: Statement<'c>,
    lease: Statement<'c>,
}

impl<'c> Intents<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| connection.prepare(sql);
        Ok(Self {
            mark: sql("UPDATE spool_msg SET live = 1 WHERE id = ?")?,
            take: sql("UPDATE spool_rcpt SET state = 1, job = ?, unknown = 1 WHERE msg = ?")?,
            lease: sql(
                "INSERT INTO spool_lease(job, msg, upstream, delivery_id, leased_us, on_unknown) VALUES(?, ?, ?, ?, ?, ?)",
            )?,
        })
    }

    /// Takes one in, on that lease. Gives its row.
    pub fn intend(
        &mut self,
        spool: &mut Spool<'_>,
        accepted: &Accepted,
        accept_seq: u64,
        (job, upstream, delivery): (u64, &str, Uuid),
    ) -> Result<i64> {
        let row = spool.enter(accepted, accept_seq)?;
        self.mark.execute([row])?;
        self.take.execute(params![integer(job), row])?;
        let (leased_us, on_unknown) = (integer(accepted.accepted_us), number(OnUnknown::Drop));
        self.lease.execute(params![integer(job), row, upstream, delivery.as_bytes(), leased_us, on_unknown])?;
        Ok(row)
    }
}
