//! Where a message stands as a whole: its recipients, counted.

use rusqlite::{Connection, Result, Row, Statement, params};

use super::{DROPPED, EXPORTED};
use crate::ipc::inquiry::{Cause, Counts, Status};
use crate::vault::audit::row::{damaged, integer};

pub struct Tally<'c>(Statement<'c>);

/// What the recipients come to who are told of.
#[derive(Debug)]
pub struct Standing {
    pub status: Status,
    pub cause: Option<Cause>,
    pub counts: Counts,
    pub count: u64,
    pub doubt: bool,
    pub scheduled_us: Option<u64>,
    /// When the last one came to an end; none as long as somebody waits, or where that wasn't written down.
    pub ended_us: Option<u64>,
    /// None of them is held, and the message isn't set aside.
    pub is_free: bool,
}

impl<'c> Tally<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        connection
            .prepare(&format!(
                "SELECT count(*), count(*) FILTER (WHERE state = 1), \
                 count(*) FILTER (WHERE state = 0 AND held = 0 AND NOT ?4 AND (attempts > 0 OR tried AND next_us > ?3)), \
                 count(*) FILTER (WHERE state = 0 AND held = 0 AND NOT ?4 AND attempts = 0 AND next_us <= ?3), \
                 count(*) FILTER (WHERE state = 0 AND (held > 0 OR ?4)), count(*) FILTER (WHERE state = 0), \
                 count(*) FILTER (WHERE state = 2), count(*) FILTER (WHERE state = 3), \
                 count(*) FILTER (WHERE {DROPPED}), count(*) FILTER (WHERE {EXPORTED}), count(*) FILTER (WHERE state = 4), \
                 count(*) FILTER (WHERE state > 2 AND doubt), count(*) FILTER (WHERE state = 3 AND code >= 500), \
                 count(*) FILTER (WHERE state = 3 AND code < 500), count(*) FILTER (WHERE state <> 2 AND doubt), \
                 min(iif(state = 0, next_us, NULL)), iif(count(*) = count(ended_us), max(ended_us), NULL) \
                 FROM spool_rcpt WHERE msg = ?1 AND n < ifnull(?2, 1000000)"
            ))
            .map(Self)
    }

    /// Of the first so many recipients of a message, or of all. Of one that is `aside` nobody moves.
    pub fn of(&mut self, row: i64, named: Option<i64>, aside: bool, now_us: u64) -> Result<Standing> {
        self.0.query_row(params![row, named, integer(now_us), aside], read)
    }
}

fn read(row: &Row<'_>) -> Result<Standing> {
    let count = |at: usize| u64::try_from(row.get::<_, i64>(at)?).map_err(|_| damaged("a count is negative"));
    let time = |at: usize| row.get::<_, Option<i64>>(at).map(|time| time.and_then(|time| u64::try_from(time).ok()));
    let (started, deferred, received, held, waiting) = (count(1)?, count(2)?, count(3)?, count(4)?, count(5)?);
    let (dropped, exported, expired) = (count(8)?, count(9)?, count(10)?);
    let failed = count(7)?.saturating_sub(dropped).saturating_sub(exported);
    let status = match () {
        () if started > 0 => Status::Started,
        () if deferred > 0 => Status::Deferred,
        () if received > 0 => Status::Received,
        () if waiting > held => Status::Scheduled,
        () if held > 0 => Status::Held,
        () if failed > 0 => Status::Failed,
        () if expired > 0 => Status::Expired,
        () if dropped > 0 => Status::Canceled,
        () if exported > 0 => Status::Moved,
        () => Status::Accepted,
    };
    let cause = match status {
        Status::Failed | Status::Expired if count(11)? > 0 => Some(Cause::Unknown),
        Status::Failed if count(12)? > 0 => Some(Cause::Rejected),
        Status::Failed if count(13)? == 0 && expired == 0 => Some(Cause::Withheld),
        Status::Failed | Status::Expired => Some(Cause::Unavailable),
        _ => None,
    };
    Ok(Standing {
        status,
        cause,
        counts: Counts {
            waiting: waiting.saturating_add(started),
            accepted: count(6)?,
            failed,
            canceled: dropped.saturating_add(exported),
            expired,
        },
        count: count(0)?,
        doubt: count(14)? > 0,
        scheduled_us: time(15)?.filter(|_| status == Status::Scheduled),
        ended_us: time(16)?.filter(|_| status.is_final()),
        is_free: held == 0,
    })
}
