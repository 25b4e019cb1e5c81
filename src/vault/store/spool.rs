//! Messages that were accepted: their recipients' states, their leases, and their bodies until nobody needs them.

mod body;
pub mod intents;
pub mod leases;
pub mod manner;
mod returns;
mod settled;
mod state;
pub mod suspects;
pub mod turns;

use rusqlite::{Connection, OptionalExtension, Result, Row, Statement, params};
use uuid::Uuid;

use crate::ipc::label::Label;
use crate::mail::address::{Address, ReversePath};
use crate::mail::envelope::{Addressee, Manner};
use crate::mail::id::MessageId;
use crate::policy::OnUnknown;
use crate::policy::reports::{Delays, Reports};
use crate::vault::audit::ledger::now_us;
use crate::vault::audit::row::{damaged, integer, octets, unsigned};
use crate::vault::cipher::BodyKey;
use crate::vault::store::counts::Counts;
use crate::vault::store::keys::Keys;
use crate::vault::store::lasting;
pub use body::Body;
pub use leases::Leased;
use returns::Returns;
pub use settled::{Settled, Verdict};
pub use state::State;
use turns::Turns;

/// Recipients of one offer: what any SMTP server must take in one transaction (RFC 5321 section 4.5.3.1.8).
pub const PER_OFFER: u32 = 100;

/// The lanes that somebody waits in, and none at the end: from each to the next by the index, past all that wait in it.
pub const LANES: &str = "WITH RECURSIVE lanes(lane) AS (\
     SELECT min(lane) FROM spool_rcpt WHERE state = 0 AND held = 0 UNION ALL \
     SELECT (SELECT min(lane) FROM spool_rcpt WHERE state = 0 AND held = 0 AND lane > lanes.lane) \
     FROM lanes WHERE lanes.lane IS NOT NULL)";

/// A message as it is accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub message: MessageId,
    pub session: Uuid,
    pub principal: String,
    pub sender: ReversePath,
    pub manner: Manner,
    /// Each with the lane of its route.
    pub recipients: Vec<(Addressee, String)>,
    pub body: Body,
    pub key: BodyKey,
    /// Octets and SHA-256 of the body itself, not of what it is sealed into.
    pub bytes: u64,
    pub sha256: [u8; 32],
    pub accepted_us: u64,
    /// When it may first be tried.
    pub due_us: u64,
    pub expires_us: u64,
    pub on_unknown: OnUnknown,
    /// What its sender hears of it, and when of those who wait.
    pub reports: Reports,
    /// The webhook that is told what becomes of it.
    pub webhook: Option<String>,
    pub delays: Delays,
    /// A report of the gate's own, of which nothing is reported.
    pub is_report: bool,
    /// The first so many recipients are those that the message named, of whom its client may be told; none where it is told of none.
    pub named: Option<u32>,
    /// Which credential of that name has sent it: when that was made (`Credential`); none where nobody knows.
    pub owner: Option<u64>,
    /// What its client says of it beside it.
    pub label: Option<Box<Label>>,
}

impl Accepted {
    /// It lives shortly, and goes before what doesn't.
    pub fn is_urgent(&self) -> bool {
        self.expires_us.saturating_sub(self.due_us.max(self.accepted_us)) <= turns::SHORT_US
    }
}

/// The lease that a message is on from its beginning, as its sender waits; `untold`: nobody reports of it.
#[derive(Clone, Copy, Debug)]
pub struct Live {
    pub job: u64,
    pub untold: bool,
}

/// A waiting recipient, as a new configuration must look at it.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub row: i64,
    pub number: u32,
    pub recipient: Address,
    pub lane: String,
    pub principal: String,
    /// It is a report.
    pub is_report: bool,
    pub sender: ReversePath,
}

/// A message of a lane, by its place in the order of what is due.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    /// When it is due, and its row.
    pub place: (u64, i64),
    pub expires_us: u64,
}

pub struct Spool<'c> {
    counts: Counts,
    insert: Statement<'c>,
    insert_body: Statement<'c>,
    insert_recipient: Statement<'c>,
    turns: Turns<'c>,
    was: Statement<'c>,
    next: Statement<'c>,
    due: Statement<'c>,
    message: Statement<'c>,
    recipients: Statement<'c>,
    due_now: Statement<'c>,
    take: Statement<'c>,
    lease: Statement<'c>,
    settle: Statement<'c>,
    open: Statement<'c>,
    segment: Statement<'c>,
    drop_body: Statement<'c>,
    done: Statement<'c>,
    returns: Returns<'c>,
    lanes: Statement<'c>,
    waiting: Statement<'c>,
    move_to: Statement<'c>,
    segments: Statement<'c>,
    sweep: Statement<'c>,
}

impl<'c> Spool<'c> {
    pub fn prepare(connection: &'c Connection, counts: Counts) -> Result<Self> {
        let sql = |sql: &str| lasting(connection, sql);
        Ok(Self {
            counts,
            insert: sql("INSERT INTO spool_msg(msg_id, accept_seq, session_id, principal, mail_from, bytes, sha256, \
                         accepted_us, expires_us, flags, envid, on_unknown, untold, report, named, owner, label, live) \
                         VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?,
            insert_body: sql("INSERT INTO spool_body(msg, content, segment) VALUES(?, ?, ?)")?,
            insert_recipient: sql(
                "INSERT INTO spool_rcpt(msg, n, rcpt, lane, next_us, notify, orcpt, turn, urgent, since_us, job, state, unknown, tried) \
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11 IS NOT NULL, ?11 IS NOT NULL, ?11 IS NOT NULL)",
            )?,
            turns: Turns::prepare(connection)?,
            was: sql(intents::WAS)?,
            next: sql("SELECT next_us FROM spool_rcpt WHERE state = 0 AND held = 0 AND lane = ? AND NOT EXISTS( \
                       SELECT 1 FROM spool_msg WHERE id = msg AND ended > 0) ORDER BY next_us LIMIT 1")?,
            due: sql("SELECT DISTINCT next_us, msg, expires_us FROM spool_rcpt CROSS JOIN spool_msg ON id = msg \
                      WHERE state = 0 AND held = 0 AND lane = ? AND (next_us, msg) > (?, ?) AND next_us <= ? \
                      ORDER BY next_us, msg LIMIT ?")?,
            message: sql(
                "SELECT msg_id, session_id, principal, mail_from, bytes, expires_us, content, segment, sha256, \
                 flags, envid, on_unknown, ended, untold, report, webhook, instead FROM spool_msg \
                 LEFT JOIN spool_body AS body ON body.msg = id LEFT JOIN spool_webhook AS told ON told.msg = id WHERE id = ?",
            )?,
            // Of the message's own rows: the plus keeps the planner from an index of all who wait in the lane.
            due_now: sql(
                "SELECT n FROM spool_rcpt WHERE msg = ? AND state = 0 AND +held = 0 AND lane = ? AND next_us <= ? \
                       ORDER BY n LIMIT ?",
            )?,
            recipients: sql(
                "SELECT n, rcpt, attempts, notify, orcpt, doubt FROM spool_rcpt WHERE msg = ? AND job = ? ORDER BY n",
            )?,
            // A failure undoes the whole transaction. FAIL says so: else SQLite copies each page before it is changed.
            take: sql(
                "UPDATE OR FAIL spool_rcpt SET state = 1, job = ?, unknown = 0, tried = 1 WHERE msg = ? AND n = ?",
            )?,
            lease: sql("INSERT INTO spool_lease(job, msg, upstream, delivery_id, leased_us) VALUES(?, ?, ?, ?, ?)")?,
            // By the recipient's own key: one that is found by the index of its lease, which this takes it out of, is noted in a table
            // of its own before.
            settle: sql(
                "UPDATE OR FAIL spool_rcpt SET state = ?1, next_us = coalesce(?2, next_us), attempts = min(attempts + ?11, 1000000), \
                         job = NULL, owed = ?7, unknown = ?12, doubt = max(doubt, ?12), held = iif(?10, max(held, 1), held), \
                         ended_us = iif(?1 > 1, ?13, ended_us), \
                         code = iif(?3 IS NULL AND ?5 = '', code, ?3), enhanced = iif(?3 IS NULL AND ?5 = '', enhanced, ?4), \
                         host = iif(?3 IS NULL AND ?5 = '', host, ?6), said = iif(?3 IS NULL AND ?5 = '', said, ?5) \
                 WHERE msg = ?14 AND n = ?9 AND +job = ?8",
            )?,
            open: sql("SELECT EXISTS(SELECT 1 FROM spool_rcpt WHERE msg = ? AND (state < 2 OR owed = 1))")?,
            segment: sql("SELECT segment FROM spool_body WHERE msg = ?")?,
            drop_body: sql("DELETE FROM spool_body WHERE msg = ?")?,
            done: sql("UPDATE spool_msg SET done_us = ? WHERE id = ?")?,
            returns: Returns::prepare(connection)?,
            lanes: sql(&format!("{LANES} SELECT lane FROM lanes WHERE lane IS NOT NULL"))?,
            waiting: sql(
                "SELECT msg, n, rcpt, lane, principal, mail_from, report FROM spool_rcpt JOIN spool_msg ON id = msg \
                          WHERE state = 0 AND (msg, n) > (?, ?) ORDER BY msg, n LIMIT ?",
            )?,
            move_to: sql("UPDATE spool_rcpt SET lane = ? WHERE msg = ? AND n = ?")?,
            segments: sql("SELECT segment FROM spool_body INDEXED BY sb_segment WHERE segment IS NOT NULL")?,
            sweep: sql("DELETE FROM spool_msg WHERE id IN (SELECT id FROM spool_msg WHERE done_us < ? LIMIT ?)")?,
        })
    }

    /// Takes a message in, its key beside it. It is ours when the transaction is committed. `live`: it is on that lease from its
    /// beginning. Gives its row.
    pub fn accept(
        &mut self,
        accepted: &Accepted,
        keys: &mut Keys<'_>,
        accept_seq: u64,
        live: Option<Live>,
    ) -> Result<i64> {
        let row = self.enter(accepted, accept_seq, live)?;
        let (content, segment) = accepted.body.columns();
        self.insert_body.execute(params![row, content, segment])?;
        let last = accepted.recipients.len().saturating_sub(1);
        self.counts.held(&accepted.principal, accepted.bytes, u32::try_from(last).unwrap_or(u32::MAX));
        keys.keep(row, accepted.message, &accepted.key).map(|()| row)
    }

    /// A message and its recipients. Gives its row.
    fn enter(&mut self, accepted: &Accepted, accept_seq: u64, live: Option<Live>) -> Result<i64> {
        let row = self.insert.insert(params![
            accepted.message.uuid().as_bytes(),
            integer(accept_seq),
            accepted.session.as_bytes(),
            accepted.principal,
            accepted.sender.as_ref().map(Address::to_string),
            integer(accepted.bytes),
            accepted.sha256,
            integer(accepted.accepted_us),
            integer(accepted.expires_us),
            manner::flags(&accepted.manner),
            accepted.manner.report.envid.as_ref().map(ToString::to_string),
            leases::number(accepted.on_unknown),
            accepted.reports != Reports::Mail || live.is_some_and(|live| live.untold),
            accepted.is_report,
            accepted.named,
            accepted.owner.map(integer),
            accepted.label.as_deref().and_then(|label| serde_json::to_string(label).ok()),
            live.is_some(),
        ])?;
        let (urgent, due, who) = (accepted.is_urgent(), integer(accepted.due_us), accepted.whose());
        let job = live.map(|live| integer(live.job));
        for (n, (recipient, lane)) in (0u32..).zip(&accepted.recipients) {
            // Who is to be held for a while is late only after that.
            let is_told = accepted.sender.is_some() && accepted.delays.are_told(recipient.wish.notify);
            let since = is_told.then(|| integer(accepted.due_us.max(accepted.accepted_us)));
            let (notify, orcpt) = manner::columns(&recipient.wish);
            let to = recipient.address.to_string();
            self.insert_recipient.execute(params![row, n, to, lane, due, notify, orcpt, who, urgent, since, job])?;
            if live.is_none() {
                self.counts.waits(row, (lane, urgent, &who), accepted.due_us);
            }
        }
        Ok(row)
    }

    /// Whether that message was accepted, or passed on to all whom it was for, so that nobody is to send it again.
    pub fn was(&mut self, message: MessageId) -> Result<bool> {
        self.was.exists([message.uuid().as_bytes()])
    }

    /// When the next recipient of a lane is due, whose message is no suspect.
    pub fn next_due(&mut self, lane: &str) -> Result<Option<u64>> {
        let next = self.next.query_row([lane], |row| row.get::<_, i64>(0)).optional()?;
        Ok(next.and_then(|next| u64::try_from(next).ok()))
    }

    /// The next messages of a lane that are due, behind that place, suspects too.
    pub fn due(&mut self, lane: &str, after: (u64, i64), now_us: u64, limit: u32) -> Result<Vec<Due>> {
        let columns = params![lane, integer(after.0), after.1, integer(now_us), limit];
        let rows = self.due.query_map(columns, |row| {
            Ok(Due { place: (unsigned(row, 0)?, row.get(1)?), expires_us: unsigned(row, 2)? })
        })?;
        rows.collect()
    }

    /// Writes down what became of one leased recipient; the last answer stays when there is none now. False when that recipient wasn't on this lease.
    pub fn settle(&mut self, job: u64, row: i64, n: u32, settled: &Settled) -> Result<bool> {
        let Settled { state, said, owed, tried, unknown, verdict: _ } = settled;
        let next = match state {
            State::Waiting(next) | State::Held(next) => Some(integer(*next)),
            State::Delivered | State::Failed | State::Expired => None,
        };
        let held = matches!(state, State::Held(_));
        let (code, enhanced, text, host) = (said.code, &said.enhanced, &said.text, &said.host);
        let state = state.number();
        let job = integer(job);
        let columns = params![
            state,
            next,
            code,
            enhanced,
            text,
            host,
            owed,
            job,
            n,
            held,
            tried,
            unknown,
            integer(now_us()),
            row
        ];
        let changed = self.settle.execute(columns)?;
        Ok(changed == 1)
    }

    /// When nobody waits for it any more and no report of it is owed, destroys the body of a message and its key in this transaction,
    /// and returns the segment that must be removed after it.
    pub fn finish(&mut self, row: i64, now_us: u64, keys: &mut Keys<'_>) -> Result<Option<String>> {
        if self.open.query_row([row], |row| row.get::<_, bool>(0))? {
            return Ok(None);
        }
        let segment = self.segment.query_row([row], |row| row.get::<_, Option<String>>(0)).optional()?.flatten();
        self.drop_body.execute([row])?;
        keys.destroy(row)?;
        self.done.execute(params![integer(now_us), row])?;
        Ok(segment)
    }

    /// Ends a lease; recipients without an outcome wait until then. Gives the row of its message.
    pub fn release(&mut self, job: u64, next_us: u64) -> Result<Option<i64>> {
        self.returns.end(job, next_us)
    }

    /// At start nothing is on offer, whatever was: what is left of a message whose sender waited is tried again as any other.
    pub fn release_all(&mut self) -> Result<()> {
        self.returns.end_all()
    }

    /// The lanes somebody waits in.
    pub fn lanes(&mut self) -> Result<Vec<String>> {
        self.lanes.query_map([], |row| row.get(0))?.collect()
    }

    /// The next waiting recipients behind that one, in the order of the table.
    pub fn waiting(&mut self, after: (i64, u32), limit: u32) -> Result<Vec<Waiting>> {
        let rows = self.waiting.query_map(params![after.0, after.1, limit], |row| {
            Ok(Waiting {
                row: row.get(0)?,
                number: number(row, 1)?,
                recipient: address(row, 2)?,
                lane: row.get(3)?,
                principal: row.get(4)?,
                sender: reverse_path(row, 5)?,
                is_report: row.get(6)?,
            })
        })?;
        rows.collect()
    }

    pub fn move_to(&mut self, row: i64, number: u32, lane: &str) -> Result<()> {
        self.move_to.execute(params![lane, row, number])?;
        Ok(())
    }

    /// Every segment that a message needs.
    pub fn segments(&mut self) -> Result<Vec<String>> {
        self.segments.query_map([], |row| row.get(0))?.collect()
    }

    /// Forgets some messages that were done before that time.
    pub fn sweep(&mut self, before_us: u64, limit: u32) -> Result<usize> {
        self.sweep.execute(params![integer(before_us), limit])
    }
}

pub(super) fn number(row: &Row<'_>, at: usize) -> Result<u32> {
    u32::try_from(row.get::<_, i64>(at)?).map_err(|_| damaged("a number is out of range"))
}

pub(super) fn id(row: &Row<'_>, at: usize) -> Result<Uuid> {
    octets::<16>(row, at)?.map(Uuid::from_bytes).ok_or_else(|| damaged("an id is missing"))
}

pub(super) fn address(row: &Row<'_>, at: usize) -> Result<Address> {
    Address::parse_international(&row.get::<_, String>(at)?).map_err(|_| damaged("an address can't be read"))
}

pub(super) fn reverse_path(row: &Row<'_>, at: usize) -> Result<ReversePath> {
    let text: Option<String> = row.get(at)?;
    text.map(|text| Address::parse_international(&text).map_err(|_| damaged("a sender can't be read"))).transpose()
}
