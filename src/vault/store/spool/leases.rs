//! Leases, and their marks: recipients who may have a message from now on, and what becomes of them if nobody tells how it went.

use rusqlite::{Connection, Result, Statement, params};
use uuid::Uuid;

use super::{Body, PER_OFFER, Spool, address, id, manner, reverse_path, turns};
use crate::mail::address::ReversePath;
use crate::mail::envelope::{Addressee, Manner};
use crate::mail::id::MessageId;
use crate::policy::OnUnknown;
use crate::policy::reports::Reports;
use crate::vault::audit::row::{damaged, integer, octets, unsigned};
use crate::vault::store::keys::{Keys, Lock};
use crate::vault::store::lasting;

/// A lease that the end of the vault interrupted, when the message may have been delivered.
#[derive(Clone, Debug)]
pub struct Interrupted {
    pub job: u64,
    pub row: i64,
    pub upstream: String,
    pub delivery: Uuid,
    pub on_unknown: OnUnknown,
    /// Its sender waited: it was an intent.
    pub is_live: bool,
}

/// A message on offer.
#[derive(Clone, Debug)]
pub struct Leased {
    pub job: u64,
    pub delivery: Uuid,
    pub lane: String,
    pub row: i64,
    pub message: MessageId,
    pub session: Uuid,
    pub principal: String,
    pub sender: ReversePath,
    pub manner: Manner,
    pub bytes: u64,
    pub sha256: [u8; 32],
    pub expires_us: u64,
    /// What its credential said of unknown outcomes when it was accepted.
    pub on_unknown: OnUnknown,
    /// The same of its reports, and of its webhook.
    pub reports: Reports,
    pub webhook: Option<String>,
    /// A report of the gate's own.
    pub is_report: bool,
    /// Couriers that ended over it.
    pub ended: u32,
    /// The slot of its upstream's day that it was taken in, where the day has a pace.
    pub day_slot: Option<u64>,
    pub body: Body,
    pub lock: Lock,
    /// Number, recipient, attempts so far.
    pub recipients: Vec<(u32, Addressee, u32)>,
    /// The numbers of those to whom an earlier attempt may have delivered it.
    pub doubtful: Vec<u32>,
}

impl Leased {
    pub fn is_doubtful(&self, number: u32) -> bool {
        self.doubtful.contains(&number)
    }

    /// Who takes turns for it.
    pub fn whose(&self) -> String {
        turns::whose(&self.principal, self.session, self.is_report)
    }

    /// It lives shortly from when it came, which its id tells to a millisecond: it goes before others.
    pub fn is_urgent(&self) -> bool {
        let came_us = self.message.time_ms().unwrap_or(0).saturating_add(1).saturating_mul(1000);
        self.expires_us.saturating_sub(came_us) <= turns::SHORT_US
    }
}

pub struct Leases<'c> {
    mark: [Statement<'c>; 2],
    suspects: Statement<'c>,
    interrupted: Statement<'c>,
    turn: Statement<'c>,
    hurry: Statement<'c>,
}

impl<'c> Leases<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| lasting(connection, sql);
        Ok(Self {
            mark: [
                sql("UPDATE OR FAIL spool_lease SET on_unknown = ?2 WHERE job = ?1 AND on_unknown <> ?2")?,
                sql("UPDATE OR FAIL spool_rcpt SET unknown = ?4 WHERE msg = ?2 AND n = ?3 AND job = ?1")?,
            ],
            suspects: sql("SELECT n FROM spool_rcpt WHERE job = ? AND unknown = 1")?,
            interrupted: sql(
                "SELECT job, msg, upstream, delivery_id, lease.on_unknown, live FROM spool_lease AS lease \
                 JOIN spool_msg ON id = msg WHERE live = 1 OR lease.on_unknown > 0 \
                 OR EXISTS(SELECT 1 FROM spool_rcpt WHERE spool_rcpt.job = lease.job AND unknown = 1) ORDER BY lease.job",
            )?,
            turn: sql("UPDATE spool_rcpt SET lane = ?2 WHERE job = ?1")?,
            // One who was not tried may be wanted to wait so long.
            hurry: sql("UPDATE spool_rcpt SET next_us = ?1 WHERE state = 0 AND tried AND next_us > ?1")?,
        })
    }

    /// From now on these, by their numbers, may have the message of that row, or can't any more.
    pub fn mark(&mut self, job: u64, row: i64, on_unknown: OnUnknown, changes: &[(u32, bool)]) -> Result<()> {
        let [lease, recipient] = &mut self.mark;
        lease.execute(params![integer(job), number(on_unknown)])?;
        for (n, is_marked) in changes {
            recipient.execute(params![integer(job), row, n, is_marked])?;
        }
        Ok(())
    }

    /// Who of a lease may have its message.
    pub fn suspects(&mut self, job: u64) -> Result<Vec<u32>> {
        self.suspects.query_map([integer(job)], |row| super::number(row, 0))?.collect()
    }

    /// At start: the leases with somebody who is or was marked, and those of intents.
    pub fn interrupted(&mut self) -> Result<Vec<Interrupted>> {
        let rows = self.interrupted.query_map([], |row| {
            let on_unknown = read(row.get(4)?)?;
            let (job, delivery) = (unsigned(row, 0)?, id(row, 3)?);
            Ok(Interrupted { job, row: row.get(1)?, upstream: row.get(2)?, delivery, on_unknown, is_live: row.get(5)? })
        })?;
        rows.collect()
    }

    /// Who was put off waits for nothing later than that. Gives how many did.
    pub fn hurry(&mut self, latest_us: u64) -> Result<usize> {
        self.hurry.execute([integer(latest_us)])
    }

    /// Those on that lease who have no outcome yet wait in another lane from now on.
    pub fn turn(&mut self, job: u64, lane: &str) -> Result<()> {
        self.turn.execute(params![integer(job), lane]).map(drop)
    }
}

impl Spool<'_> {
    /// Leases a message of a lane, under that job number: of the credential whose turn it is among those that may have one, the
    /// one that has been due the longest.
    pub fn lease(
        &mut self,
        lane: &str,
        upstream: &str,
        job: u64,
        now_us: u64,
        may: &dyn Fn(&str) -> bool,
        keys: &mut Keys<'_>,
    ) -> Result<Option<Leased>> {
        let Some(row) = self.turns.next(lane, now_us, may)? else { return Ok(None) };
        let leased = self.lease_row(row, lane, upstream, job, now_us, keys)?;
        self.turns.charge(lane, &leased.whose(), leased.bytes, leased.recipients.len());
        Ok(Some(leased))
    }

    /// Leases that message, as far as it is due in that lane.
    pub fn lease_row(
        &mut self,
        row: i64,
        lane: &str,
        upstream: &str,
        job: u64,
        now_us: u64,
        keys: &mut Keys<'_>,
    ) -> Result<Leased> {
        let delivery = Uuid::now_v7();
        let due =
            self.due_now.query_map(params![row, lane, integer(now_us), PER_OFFER], |row| super::number(row, 0))?;
        for n in due.collect::<Result<Vec<_>>>()? {
            self.take.execute(params![integer(job), row, n])?;
        }
        self.lease.execute(params![integer(job), row, upstream, delivery.as_bytes(), integer(now_us)])?;
        let mut leased = self.leased(job, row, lane, delivery)?;
        leased.lock = keys.get(row, leased.message)?;
        Ok(leased)
    }

    /// A message with those of its recipients that are on that lease, without its key. One whose body is gone has none.
    pub fn leased(&mut self, job: u64, row: i64, lane: &str, delivery: Uuid) -> Result<Leased> {
        let recipients = self.recipients.query_map(params![row, integer(job)], |row| {
            let addressee = Addressee { address: address(row, 1)?, wish: manner::wish(row, 3, 4)? };
            Ok(((super::number(row, 0)?, addressee, super::number(row, 2)?), row.get::<_, bool>(5)?))
        })?;
        let recipients = recipients.collect::<Result<Vec<_>>>()?;
        let doubtful = recipients.iter().filter(|(_, doubt)| *doubt).map(|((number, ..), _)| *number).collect();
        let recipients: Vec<_> = recipients.into_iter().map(|(recipient, _)| recipient).collect();
        self.message.query_row([row], |columns| {
            let body = match (columns.get(6)?, columns.get(7)?) {
                (Some(content), None) => Body::Inline(content),
                (None, Some(name)) => Body::Segment(name),
                // Nobody needs what isn't there any more; to whoever does, it is a body that was changed.
                (None, None) => Body::Inline(Vec::new()),
                _ => return Err(damaged("a body is neither here nor there")),
            };
            Ok(Leased {
                day_slot: None,
                job,
                delivery,
                lane: lane.to_owned(),
                row,
                message: id(columns, 0)?.into(),
                session: id(columns, 1)?,
                principal: columns.get(2)?,
                sender: reverse_path(columns, 3)?,
                manner: manner::read(columns, 9, 10)?,
                bytes: unsigned(columns, 4)?,
                sha256: octets::<32>(columns, 8)?.ok_or_else(|| damaged("the SHA-256 of a body is missing"))?,
                expires_us: unsigned(columns, 5)?,
                on_unknown: read(columns.get(11)?)?,
                ended: super::number(columns, 12)?,
                reports: reports(columns.get(13)?, columns.get(16)?),
                webhook: columns.get(15)?,
                is_report: columns.get(14)?,
                body,
                lock: Lock::None,
                recipients,
                doubtful,
            })
        })
    }
}

/// By what a sender is told: whether not by mail, and whether by its webhook instead.
pub const fn reports(untold: bool, instead: Option<bool>) -> Reports {
    match (untold, instead) {
        (false, _) => Reports::Mail,
        (true, Some(true)) => Reports::Webhook,
        (true, _) => Reports::None,
    }
}

/// As a column has it.
pub const fn number(on_unknown: OnUnknown) -> i64 {
    match on_unknown {
        OnUnknown::Retry => 0,
        OnUnknown::Hold => 1,
        OnUnknown::Drop => 2,
    }
}

pub fn read(number: i64) -> Result<OnUnknown> {
    let all = [OnUnknown::Retry, OnUnknown::Hold, OnUnknown::Drop];
    let found = all.into_iter().find(|on_unknown| self::number(*on_unknown) == number);
    found.ok_or_else(|| damaged("what becomes of an unknown outcome can't be read"))
}
