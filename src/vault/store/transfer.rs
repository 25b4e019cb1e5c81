//! Messages as they go out to another gate, and what is written of one that comes from there beside what is written of all.

use rusqlite::{Connection, OptionalExtension, Result, Row, Statement, params};

use super::hold::QUARANTINED;
use super::keys::{Keys, Lock};
use super::listing::standing;
use super::spool::{Body, address, id, leases, manner, number, reverse_path};
use crate::ipc::admin::queue::listing::Standing;
use crate::ipc::admin::queue::transfer::{Envelope, Recipient};
use crate::mail::envelope::Addressee;
use crate::mail::id::MessageId;
use crate::vault::audit::row::{damaged, integer, octets, unsigned};
use crate::vault::store::lasting;

/// A message that somebody waits for, with all there is of it.
#[derive(Debug)]
pub struct Whole {
    pub row: i64,
    pub envelope: Envelope,
    pub recipients: Vec<Recipient>,
    pub body: Body,
    pub lock: Lock,
}

/// What a recipient of a message that is done came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Was {
    Delivered,
    Failed,
    /// Given up by order. `doubt`: an attempt may have delivered it before that.
    Dropped {
        doubt: bool,
    },
    /// Given up because it is in an archive.
    Exported {
        doubt: bool,
    },
}

pub struct Transfer<'c> {
    find: Statement<'c>,
    recipients: Statement<'c>,
    moves: Statement<'c>,
    take: [Statement<'c>; 3],
    keep: Statement<'c>,
    give_back: [Statement<'c>; 2],
    leaving: Statement<'c>,
    is_leaving: Statement<'c>,
    was: Statement<'c>,
    forget: Statement<'c>,
    suspect: Statement<'c>,
    place: Statement<'c>,
}

impl<'c> Transfer<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| lasting(connection, sql);
        Ok(Self {
            find: sql(
                "SELECT id, msg_id, session_id, principal, mail_from, flags, envid, bytes, sha256, accepted_us, \
                       expires_us, on_unknown, ended, hold, content, segment, untold, report, instead \
                       FROM spool_msg JOIN spool_body AS body ON body.msg = id \
                       LEFT JOIN spool_webhook AS told ON told.msg = id WHERE msg_id = ?",
            )?,
            recipients: sql(
                "SELECT rcpt, notify, orcpt, state, held, attempts, next_us, code, enhanced, said, host, unknown, since_us, doubt, tried \
                 FROM spool_rcpt WHERE msg = ? ORDER BY n",
            )?,
            moves: sql(
                "SELECT EXISTS(SELECT 1 FROM spool_rcpt WHERE msg = ? AND (state = 1 OR state = 0 AND held <> 1))",
            )?,
            take: [
                sql("INSERT OR IGNORE INTO spool_leaving(msg, n) \
                     SELECT msg, n FROM spool_rcpt WHERE msg = ? AND state = 0 AND held = 0")?,
                sql("UPDATE spool_rcpt SET held = 1 WHERE msg = ? AND state = 0 AND held = 0")?,
                sql("UPDATE spool_msg SET hold = 1 WHERE id = ? AND hold = 0")?,
            ],
            keep: sql("DELETE FROM spool_leaving WHERE msg = ?")?,
            // They begin to wait anew, as after an order.
            give_back: [
                sql(
                    "UPDATE spool_rcpt SET held = 0, since_us = max(since_us, ?2) WHERE msg = ?1 AND state = 0 AND held = 1 \
                     AND n IN (SELECT n FROM spool_leaving WHERE msg = ?1)",
                )?,
                sql("UPDATE spool_msg SET hold = 0 WHERE id = ?1 AND hold = 1 AND NOT EXISTS( \
                     SELECT 1 FROM spool_rcpt WHERE msg = ?1 AND state < 2 AND held = 1)")?,
            ],
            leaving: sql("SELECT DISTINCT msg FROM spool_leaving")?,
            is_leaving: sql("SELECT EXISTS(SELECT 1 FROM spool_leaving WHERE msg = ?)")?,
            // An upstream that says such a word is known by its answer.
            was: sql(
                "SELECT rcpt, state, iif(code IS NULL AND enhanced IS NULL AND host IS NULL, said, NULL), unknown OR doubt \
                 FROM spool_msg JOIN spool_rcpt ON msg = id WHERE msg_id = ? AND done_us IS NOT NULL ORDER BY n",
            )?,
            forget: sql("DELETE FROM spool_msg WHERE msg_id = ? AND done_us IS NOT NULL")?,
            suspect: sql("UPDATE spool_msg SET ended = ? WHERE id = ?")?,
            place: sql(
                "UPDATE spool_rcpt SET state = ?3, held = ?4, attempts = ?5, next_us = ?6, code = ?7, enhanced = ?8, \
                        said = ?9, host = ?10, unknown = ?11, doubt = ?11, since_us = ?12, \
                        tried = ?5 > 0 OR ?7 IS NOT NULL OR ?9 IS NOT NULL WHERE msg = ?1 AND n = ?2",
            )?,
        })
    }

    /// That message, as long as it has a body. What is due at `now_us` is ready.
    pub fn find(&mut self, message: MessageId, now_us: u64, keys: &mut Keys<'_>) -> Result<Option<Whole>> {
        let found = self.find.query_row([message.uuid().as_bytes()], |row| {
            let body = match (row.get(14)?, row.get(15)?) {
                (Some(content), None) => Body::Inline(content),
                (None, Some(name)) => Body::Segment(name),
                _ => return Err(damaged("a body is neither here nor there")),
            };
            let (recipients, lock) = (Vec::new(), Lock::None);
            let is_quarantined = row.get::<_, i64>(13)? == QUARANTINED;
            Ok((Whole { row: row.get(0)?, envelope: envelope(row)?, recipients, body, lock }, is_quarantined))
        });
        let Some((mut whole, is_quarantined)) = found.optional()? else { return Ok(None) };
        let is_aside = whole.envelope.ended > 1;
        let is_quarantined = |unknown: bool| is_quarantined && (is_aside || unknown);
        let rows = self.recipients.query_map([whole.row], |row| recipient(row, is_quarantined, now_us))?;
        whole.recipients = rows.collect::<Result<_>>()?;
        whole.lock = keys.get(whole.row, message)?;
        Ok(Some(whole))
    }

    /// Whether a courier has somebody of it, or may get somebody.
    pub fn moves(&mut self, row: i64) -> Result<bool> {
        self.moves.query_row([row], |row| row.get(0))
    }

    /// Holds who waits for it and is not held, until it is known whether it has left.
    pub fn take(&mut self, row: i64) -> Result<()> {
        self.take.iter_mut().try_for_each(|statement| statement.execute([row]).map(drop))
    }

    /// Whether somebody of it is held for that.
    pub fn is_leaving(&mut self, row: i64) -> Result<bool> {
        self.is_leaving.query_row([row], |row| row.get(0))
    }

    /// It has left: who is held for that stays so.
    pub fn keep(&mut self, row: i64) -> Result<()> {
        self.keep.execute([row]).map(drop)
    }

    /// It has not: releases whom that alone held. Gives how many.
    pub fn give_back(&mut self, row: i64, now_us: u64) -> Result<usize> {
        let [release, unmark] = &mut self.give_back;
        let released = release.execute(params![row, integer(now_us)])?;
        self.keep.execute([row])?;
        unmark.execute([row])?;
        Ok(released)
    }

    /// The messages of which somebody is held for that.
    pub fn leaving(&mut self) -> Result<Vec<i64>> {
        self.leaving.query_map([], |row| row.get(0))?.collect()
    }

    /// The recipients of a message that is done here, and what each came to. Nobody, when it isn't known.
    pub fn was(&mut self, message: MessageId) -> Result<Vec<(String, Was)>> {
        let was = |row: &Row<'_>| -> Result<(String, Was)> {
            let (said, doubt) = (row.get::<_, Option<String>>(2)?, row.get(3)?);
            let was = match (row.get::<_, i64>(1)?, said.as_deref()) {
                (2, _) => Was::Delivered,
                (3, Some("exported")) => Was::Exported { doubt },
                (3, Some("dropped")) => Was::Dropped { doubt },
                _ => Was::Failed,
            };
            Ok((row.get(0)?, was))
        };
        self.was.query_map([message.uuid().as_bytes()], was)?.collect()
    }

    /// Forgets a message that is done.
    pub fn forget(&mut self, message: MessageId) -> Result<()> {
        self.forget.execute([message.uuid().as_bytes()]).map(drop)
    }

    /// Couriers ended over it elsewhere.
    pub fn suspect(&mut self, row: i64, ended: u32) -> Result<()> {
        self.suspect.execute(params![ended, row]).map(drop)
    }

    /// Puts a recipient where it stood. Who waited is held.
    pub fn place(&mut self, row: i64, number: u32, recipient: &Recipient) -> Result<()> {
        let Recipient { standing, attempts, next_us, code, enhanced, said, host, unknown, since_us, .. } = recipient;
        let state = match standing {
            Standing::Delivered => 2,
            Standing::Failed => 3,
            Standing::Expired => 4,
            _ => 0,
        };
        let (held, next) = (i64::from(state == 0), integer(*next_us));
        let (unknown, since) = (*unknown || recipient.is_doubtful(), since_us.map(integer));
        let columns = params![row, number, state, held, attempts, next, code, enhanced, said, host, unknown, since];
        self.place.execute(columns).map(drop)
    }
}

fn envelope(row: &Row<'_>) -> Result<Envelope> {
    Ok(Envelope {
        message: id(row, 1)?.into(),
        session: id(row, 2)?,
        credential: row.get(3)?,
        sender: reverse_path(row, 4)?,
        manner: manner::read(row, 5, 6)?,
        bytes: unsigned(row, 7)?,
        sha256: octets::<32>(row, 8)?.ok_or_else(|| damaged("the SHA-256 of a body is missing"))?,
        accepted_us: unsigned(row, 9)?,
        expires_us: unsigned(row, 10)?,
        on_unknown: leases::read(row.get(11)?)?,
        ended: number(row, 12)?,
        reports: leases::reports(row.get(16)?, row.get(18)?),
        is_report: row.get(17)?,
    })
}

fn recipient(row: &Row<'_>, is_quarantined: impl Fn(bool) -> bool, now_us: u64) -> Result<Recipient> {
    let (attempts, next_us) = (number(row, 5)?, unsigned(row, 6)?);
    Ok(Recipient {
        addressee: Addressee { address: address(row, 0)?, wish: manner::wish(row, 1, 2)? },
        standing: standing((row.get(3)?, row.get(4)?), is_quarantined(row.get(11)?), row.get(14)?, next_us > now_us),
        attempts,
        next_us,
        code: row.get(7)?,
        enhanced: row.get(8)?,
        said: row.get(9)?,
        host: row.get(10)?,
        unknown: row.get(11)? || row.get(13)?,
        since_us: row.get::<_, Option<i64>>(12)?.and_then(|since| u64::try_from(since).ok()),
    })
}
