//! Intents: messages whose senders wait. Each is on a lease from its beginning, with all its recipients marked, so that one that the end
//! of the vault interrupts is settled at the next start as what nobody knows about. It has no body, but where it is kept if need be.

use rusqlite::{Connection, Result, Statement, params};
use uuid::Uuid;

use super::leases::number;
use super::{Accepted, Live, Spool};
use crate::policy::OnUnknown;
use crate::policy::reports::Reports;
use crate::vault::audit::row::integer;
use crate::vault::store::keys::Keys;
use crate::vault::store::lasting;

/// Whether a message was accepted; or passed on to all whom it was for, while its sender waited.
pub const WAS: &str = "SELECT 1 FROM spool_msg WHERE msg_id = ? AND (live = 0 OR done_us IS NOT NULL \
                       AND NOT EXISTS(SELECT 1 FROM spool_rcpt WHERE msg = id AND state <> 2))";

pub struct Intents<'c> {
    keep: Statement<'c>,
    lease: Statement<'c>,
}

impl<'c> Intents<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| lasting(connection, sql);
        Ok(Self {
            keep: sql("UPDATE spool_msg SET live = 0, untold = ?2 WHERE id = ?1")?,
            lease: sql(
                "INSERT INTO spool_lease(job, msg, upstream, delivery_id, leased_us, on_unknown) VALUES(?, ?, ?, ?, ?, ?)",
            )?,
        })
    }

    /// Takes one in, on that lease. `keys`: those of the bodies, where it has one, and is kept if its credential wants a second
    /// attempt at what may have been delivered. Gives its row.
    pub fn intend(
        &mut self,
        spool: &mut Spool<'_>,
        accepted: &Accepted,
        accept_seq: u64,
        (job, upstream, delivery): (u64, &str, Uuid),
        keys: Option<&mut Keys<'_>>,
    ) -> Result<i64> {
        let on_unknown = if keys.is_some() { otherwise(accepted.on_unknown) } else { OnUnknown::Drop };
        // Its sender is told that it failed, or hears nothing: by a report it never hears.
        let live = Some(Live { job, untold: on_unknown != OnUnknown::Retry });
        let row = match keys {
            Some(keys) => spool.accept(accepted, keys, accept_seq, live)?,
            None => spool.enter(accepted, accept_seq, live)?,
        };
        let (leased_us, on_unknown) = (integer(accepted.accepted_us), number(on_unknown));
        self.lease.execute(params![integer(job), row, upstream, delivery.as_bytes(), leased_us, on_unknown])?;
        Ok(row)
    }

    /// It waits in the spool from now on, as any other.
    pub fn keep(&mut self, row: i64, reports: Reports) -> Result<()> {
        self.keep.execute(params![row, reports != Reports::Mail]).map(drop)
    }
}

/// What becomes of a message whose sender was told that it may have been delivered, and not that it is kept.
pub const fn otherwise(on_unknown: OnUnknown) -> OnUnknown {
    match on_unknown {
        OnUnknown::Retry => OnUnknown::Retry,
        OnUnknown::Hold | OnUnknown::Drop => OnUnknown::Drop,
    }
}
