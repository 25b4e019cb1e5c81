//! What is held back in the spool, and what is dropped from it.

use rusqlite::{Connection, OptionalExtension, Result, Row, Statement, params};
use uuid::Uuid;

use super::spool::leases;
use crate::ipc::admin::queue::End;
use crate::mail::address::Address;
use crate::mail::id::MessageId;
use crate::policy::OnUnknown;
use crate::vault::audit::ledger::now_us;
use crate::vault::audit::row::{damaged, integer, octets};
use crate::vault::store::lasting;
use crate::vault::store::spool::manner::MOVE;

/// How a message is marked of which the gate itself holds a recipient, since nobody knows whether it was delivered. One that
/// somebody holds is marked by 1, and 0 says nothing. An order to hold it too doesn't take the mark away.
pub const QUARANTINED: i64 = 2;

/// A message somebody still waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    pub row: i64,
    pub message: MessageId,
    pub principal: String,
    /// The gate itself holds somebody of it: who may have it, or all.
    pub is_quarantined: bool,
    /// All, because couriers ended over it.
    pub is_aside: bool,
    /// A report of the gate's own.
    pub is_ours: bool,
    /// The number of the event that it was taken with.
    pub accepted: u64,
}

/// A recipient of such a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    pub number: u32,
    pub recipient: Address,
    /// Has no final state, and no courier has it.
    pub waits: bool,
    /// He waits, and is held.
    pub held: bool,
}

/// Who of a message is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    All,
    Held,
    /// Who was given up while a courier had him, and came back.
    Doomed,
}

pub struct Hold<'c> {
    open: Statement<'c>,
    find: Statement<'c>,
    mark: Statement<'c>,
    quarantine: Statement<'c>,
    meant: Statement<'c>,
    hold: Statement<'c>,
    release: Statement<'c>,
    release_others: Statement<'c>,
    retry: Statement<'c>,
    extend: Statement<'c>,
    reschedule: [Statement<'c>; 2],
    under_way: Statement<'c>,
    held_under_way: Statement<'c>,
    lanes: Statement<'c>,
    waiting: Statement<'c>,
    fail: Statement<'c>,
    doom: Statement<'c>,
    doomed: Statement<'c>,
    all_doomed: Statement<'c>,
    recipients: Statement<'c>,
    end: Statement<'c>,
    doubt: Statement<'c>,
    on_unknown: Statement<'c>,
    overtake: [Statement<'c>; 3],
    held: Statement<'c>,
}

impl<'c> Hold<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| lasting(connection, sql);
        Ok(Self {
            // A body is there as long as somebody waits for it, and until its sender was told who does no more.
            open: sql(
                "SELECT id, msg_id, principal, hold = 2, ended > 1, report AND session_id = zeroblob(16), accept_seq \
                       FROM spool_body CROSS JOIN spool_msg ON id = msg WHERE msg > ? ORDER BY msg LIMIT ?",
            )?,
            find: sql(
                "SELECT id, msg_id, principal, hold = 2, ended > 1, report AND session_id = zeroblob(16), accept_seq FROM spool_msg \
                 WHERE msg_id = ? AND done_us IS NULL",
            )?,
            mark: sql("UPDATE spool_msg SET hold = ?2 WHERE id = ?1 AND (hold < 2 OR ?2 = 0)")?,
            quarantine: sql("UPDATE spool_msg SET hold = ?2 WHERE id = ?1")?,
            meant: sql("DELETE FROM spool_leaving WHERE msg = ?")?,
            hold: sql("UPDATE spool_rcpt SET held = 1 WHERE msg = ? AND state < 2 AND held = 0")?,
            // It begins to wait: while it was held somebody wanted that.
            release: sql(
                "UPDATE spool_rcpt SET held = 0, since_us = max(since_us, ?2) WHERE msg = ?1 AND state < 2 AND held = 1",
            )?,
            // Of one who is under way the mark says what may come, and he isn't quarantined.
            release_others: sql("UPDATE spool_rcpt SET held = 0, since_us = max(since_us, ?2) \
                                 WHERE msg = ?1 AND state < 2 AND held = 1 AND (state = 1 OR unknown = 0)")?,
            retry: sql(
                "UPDATE spool_rcpt SET next_us = ?2 WHERE msg = ?1 AND state = 0 AND held = 0 AND next_us > ?2 \
                        AND (tried OR ?4) \
                        AND (?3 IS NULL OR instr(',' || lane || ',', ',' || ?3 || ',') > 0)",
            )?,
            extend: sql("UPDATE spool_msg SET expires_us = max(expires_us, ?2) WHERE id = ?1")?,
            // Since when somebody is late counts from then on, as when it was accepted.
            reschedule: [
                sql(
                    "UPDATE spool_rcpt SET next_us = ?2, since_us = iif(since_us IS NULL, NULL, ?2) WHERE msg = ?1 AND state = 0",
                )?,
                sql("UPDATE spool_msg SET expires_us = expires_us + ?3 - ?2, flags = flags + ?4 WHERE id = ?1")?,
            ],
            under_way: sql("SELECT count(*) FROM spool_rcpt WHERE msg = ? AND state = 1")?,
            held_under_way: sql("SELECT count(*) FROM spool_rcpt WHERE msg = ? AND state = 1 AND held = 1")?,
            lanes: sql("SELECT DISTINCT lane FROM spool_rcpt WHERE msg = ? AND state = 0")?,
            // Of those who are held for no order, an export has them: they are its to give back.
            waiting: sql(
                "SELECT rcpt FROM spool_rcpt AS r WHERE msg = ?1 AND state = 0 AND held >= ?2 AND (?2 <> 1 OR NOT EXISTS( \
                          SELECT 1 FROM spool_leaving AS l WHERE l.msg = r.msg AND l.n = r.n)) ORDER BY n",
            )?,
            // An answer has a code or a host beside it, or the class of its failure: an order has none of them.
            fail: sql(
                "UPDATE spool_rcpt SET state = 3, held = 0, said = ?2, code = NULL, enhanced = NULL, host = NULL, ended_us = ?3 \
                       WHERE msg = ?1 AND state = 0 AND held >= ?4 AND (?4 <> 1 OR NOT EXISTS( \
                       SELECT 1 FROM spool_leaving AS l WHERE l.msg = spool_rcpt.msg AND l.n = spool_rcpt.n)) RETURNING n",
            )?,
            doom: sql("UPDATE spool_rcpt SET held = 2 WHERE msg = ? AND state = 1 AND held >= ?")?,
            doomed: sql("SELECT EXISTS(SELECT 1 FROM spool_rcpt WHERE msg = ? AND state = 0 AND held = 2)")?,
            all_doomed: sql("SELECT DISTINCT msg FROM spool_rcpt WHERE held = 2")?,
            recipients: sql(
                "SELECT n, rcpt, state = 0, state = 0 AND held = 1 FROM spool_rcpt WHERE msg = ? ORDER BY n",
            )?,
            // Who is in an archive is known by that word alone (`transfer::was`).
            end: sql(
                "UPDATE spool_rcpt SET state = ?3, held = 0, said = ?4, ended_us = ?5, code = iif(?6, NULL, code), \
                        enhanced = iif(?6, NULL, enhanced), host = iif(?6, NULL, host) WHERE msg = ?1 AND n = ?2",
            )?,
            doubt: sql(
                "UPDATE spool_rcpt SET doubt = 1, unknown = max(unknown, ?3) WHERE msg = ?1 AND n = ?2 AND state = 0",
            )?,
            on_unknown: sql("SELECT on_unknown FROM spool_msg WHERE id = ?")?,
            overtake: [
                // An intent that nobody keeps has nothing to hold.
                sql("UPDATE spool_msg SET hold = 2 WHERE id = ? AND EXISTS(SELECT 1 FROM spool_body WHERE msg = id)")?,
                // Who is marked is settled by that, and stays held; the end of the other leases would take this mark away.
                sql("UPDATE spool_rcpt SET state = 0, job = NULL WHERE msg = ? AND state = 1 AND unknown = 0")?,
                sql("UPDATE spool_rcpt SET held = max(held, 1), unknown = 1, doubt = iif(state = 0, 1, doubt) \
                     WHERE msg = ? AND state < 2 AND (held = 0 OR unknown = 0)")?,
            ],
            held: sql("SELECT count(DISTINCT msg), count(*) FROM spool_rcpt WHERE state < 2 AND held = 1")?,
        })
    }

    /// The next messages behind that row that somebody waits for.
    pub fn open(&mut self, after: i64, limit: u32) -> Result<Vec<Open>> {
        self.open.query_map(params![after, limit], read)?.collect()
    }

    /// That message, when somebody waits for it.
    pub fn find(&mut self, message: MessageId) -> Result<Option<Open>> {
        self.find.query_row([message.uuid().as_bytes()], read).optional()
    }

    /// Offers a message no more. Gives how many recipients that concerns which it did not before: also those whom an export
    /// held for itself, who stay held now whatever becomes of that.
    pub fn hold(&mut self, row: i64) -> Result<usize> {
        self.mark.execute(params![row, 1])?;
        Ok(self.meant.execute([row])? + self.hold.execute([row])?)
    }

    /// Marks a message of which the gate itself holds somebody from now on.
    pub fn quarantine(&mut self, row: i64) -> Result<()> {
        self.quarantine.execute(params![row, QUARANTINED]).map(drop)
    }

    /// The reverse of holding it, and of its quarantine.
    pub fn release(&mut self, row: i64, now_us: u64) -> Result<usize> {
        self.mark.execute(params![row, 0])?;
        self.meant.execute([row])?;
        self.release.execute(params![row, integer(now_us)])
    }

    /// The same for those whom the gate doesn't hold itself, because they may have it.
    pub fn release_others(&mut self, row: i64, now_us: u64) -> Result<usize> {
        self.meant.execute([row])?;
        self.release_others.execute(params![row, integer(now_us)])
    }

    /// Makes due who waits for a later time and is not held: all, or those that an upstream is tried for. Who was never tried
    /// waits for a time that the sender gave, which passes only when it is meant to be `early`. Gives how many.
    pub fn retry(&mut self, row: i64, now_us: u64, upstream: Option<&str>, early: bool) -> Result<usize> {
        self.retry.execute(params![row, integer(now_us), upstream, early])
    }

    /// Its time is not over before then.
    pub fn extend(&mut self, row: i64, expires_us: u64) -> Result<()> {
        self.extend.execute(params![row, integer(expires_us)]).map(drop)
    }

    /// Makes all of a message due then that was due at another time; how long it is tried from then on stays as it was, and that it
    /// was moved is counted. Gives how many.
    pub fn reschedule(&mut self, row: i64, before_us: u64, due_us: u64) -> Result<usize> {
        let [recipients, message] = &mut self.reschedule;
        message.execute(params![row, integer(before_us), integer(due_us), MOVE])?;
        recipients.execute(params![row, integer(due_us)])
    }

    /// Recipients that a courier has at this moment.
    pub fn under_way(&mut self, row: i64) -> Result<u64> {
        let count: i64 = self.under_way.query_row([row], |row| row.get(0))?;
        u64::try_from(count).map_err(|_| damaged("a count is negative"))
    }

    /// Those of them who are held when they come back.
    pub fn held_under_way(&mut self, row: i64) -> Result<u64> {
        let count: i64 = self.held_under_way.query_row([row], |row| row.get(0))?;
        u64::try_from(count).map_err(|_| damaged("a count is negative"))
    }

    /// The lanes its recipients wait in.
    pub fn lanes(&mut self, row: i64) -> Result<Vec<String>> {
        self.lanes.query_map([row], |row| row.get(0))?.collect()
    }

    /// Gives up those who wait, and gives their addresses and their numbers. Those that a courier has follow when they come back.
    /// `elsewhere`: another gate has them.
    pub fn drop(&mut self, row: i64, whom: Whom, elsewhere: bool) -> Result<(Vec<Address>, Vec<u32>)> {
        // 1: held; 2: given up already while a courier had him.
        let least = match whom {
            Whom::All => 0,
            Whom::Held => 1,
            Whom::Doomed => 2,
        };
        let waiting =
            self.waiting.query_map(params![row, least], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>>>()?;
        let said = if elsewhere { "exported" } else { "dropped" };
        let columns = params![row, said, integer(now_us()), least];
        let numbers = self.fail.query_map(columns, |row| super::spool::number(row, 0))?.collect::<Result<Vec<_>>>()?;
        self.doom.execute(params![row, least])?;
        let read = |text: String| Address::parse_international(&text).map_err(|_| damaged("an address can't be read"));
        Ok((waiting.into_iter().map(read).collect::<Result<_>>()?, numbers))
    }

    /// All its recipients.
    pub fn recipients(&mut self, row: i64) -> Result<Vec<Recipient>> {
        let rows = self.recipients.query_map([row], |row| {
            let number = u32::try_from(row.get::<_, i64>(0)?).map_err(|_| damaged("a number is out of range"))?;
            let recipient = Address::parse_international(&row.get::<_, String>(1)?)
                .map_err(|_| damaged("an address can't be read"))?;
            Ok(Recipient { number, recipient, waits: row.get(2)?, held: row.get(3)? })
        })?;
        rows.collect()
    }

    /// Makes the state of one who waits final, as another log has it.
    pub fn end(&mut self, row: i64, number: u32, end: End) -> Result<()> {
        let (state, said) = match end {
            End::Delivered => (2, "reconciled"),
            End::Failed => (3, "reconciled"),
            End::Exported => (3, "exported"),
        };
        let columns = params![row, number, state, said, integer(now_us()), end == End::Exported];
        self.end.execute(columns).map(drop)
    }

    /// An attempt may have delivered to one who waits. `quarantined`: the gate holds him itself from now on, of a message that is
    /// marked so.
    pub fn doubt(&mut self, row: i64, number: u32, quarantined: bool) -> Result<()> {
        self.doubt.execute(params![row, number, quarantined]).map(drop)
    }

    /// What its credential said of unknown outcomes when it was accepted.
    pub fn on_unknown(&mut self, row: i64) -> Result<OnUnknown> {
        leases::read(self.on_unknown.query_row([row], |row| row.get(0))?)
    }

    /// At a start, before leases are ended: quarantines a message, since an event that is newer than this database says that
    /// somebody of it ended. Gives how many were not quarantined.
    pub fn overtake(&mut self, message: MessageId) -> Result<usize> {
        let Some(open) = self.find(message)? else { return Ok(0) };
        let [mark, stop, hold] = &mut self.overtake;
        if mark.execute([open.row])? == 0 {
            return Ok(0);
        }
        stop.execute([open.row])?;
        hold.execute([open.row])
    }

    /// Messages and recipients that are held.
    pub fn held(&mut self) -> Result<(u64, u64)> {
        let count = |n: i64| u64::try_from(n).map_err(|_| damaged("a count is negative"));
        self.held.query_row([], |row| Ok((count(row.get(0)?)?, count(row.get(1)?)?)))
    }

    /// Whether somebody of this message came back who was dropped meanwhile.
    pub fn doomed(&mut self, row: i64) -> Result<bool> {
        self.doomed.query_row([row], |row| row.get(0))
    }

    /// The messages of all who were dropped while a courier had them.
    pub fn all_doomed(&mut self) -> Result<Vec<i64>> {
        self.all_doomed.query_map([], |row| row.get(0))?.collect()
    }
}

pub fn read(row: &Row<'_>) -> Result<Open> {
    let message = octets::<16>(row, 1)?.map(Uuid::from_bytes).ok_or_else(|| damaged("an id is missing"))?;
    Ok(Open {
        row: row.get(0)?,
        message: message.into(),
        principal: row.get(2)?,
        is_quarantined: row.get(3)?,
        is_aside: row.get(4)?,
        is_ours: row.get(5)?,
        accepted: u64::try_from(row.get::<_, i64>(6)?).map_err(|_| damaged("an event's number is negative"))?,
    })
}
