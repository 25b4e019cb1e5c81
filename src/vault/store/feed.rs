//! What happened to recipients, in the order in which it did, for those who sent them mail and ask: written in the transaction of what
//! happened, and gone with its message.

use rusqlite::{Connection, Result, Row, Statement, params};
use uuid::Uuid;

use super::lasting;
use super::spool::manner::TEST;
use super::spool::{Settled, State};
use super::submissions::{Owner, REMEMBERED_US, reply, seen};
use crate::ipc::frame;
use crate::ipc::happening::{Happened, Happening, Kind, Span};
use crate::ipc::inquiry::{MOST_LISTED, MOST_PAGE};
use crate::ipc::label::Label;
use crate::mail::id::MessageId;
use crate::mail::outcome::Said;
use crate::policy::mask::Mask;
use crate::vault::audit::ledger::now_us;
use crate::vault::audit::row::{damaged, integer, octets, unsigned};

/// Events that one question looks at where not all are wanted: then the page ends, and the next one goes on behind it. Commits wait
/// for a look.
const MOST_LOOKED: u32 = 500;

pub struct Feed<'c> {
    put: Statement<'c>,
    mine: Statement<'c>,
    of_message: Statement<'c>,
    /// The number of the last event: numbers rise whatever the clock does. None: it wasn't looked for since the start.
    last: Option<u64>,
    newest: Statement<'c>,
}

/// What is written of a recipient.
#[derive(Clone, Debug, Default)]
pub struct Entry<'a> {
    pub next_us: Option<u64>,
    pub said: Option<&'a Said>,
}

const COLUMNS: &str = "feed.id, kind, msg_id, feed.n, rcpt, mail_from, feed.attempts, feed.next_us, feed.code, feed.enhanced, \
                       feed.said, feed.doubt, label, done_us, flags";

/// Of one credential in the order of the index. What is forgotten is passed over by whoever reads it, who counts it, too.
fn mine() -> String {
    format!(
        "SELECT {COLUMNS} FROM feed JOIN spool_msg ON spool_msg.id = feed.msg \
         JOIN spool_rcpt ON spool_rcpt.msg = feed.msg AND spool_rcpt.n = feed.n \
         WHERE feed.principal = ? AND feed.owner = ? AND feed.id > ? AND feed.id < ? \
         ORDER BY feed.id LIMIT ?"
    )
}

impl<'c> Feed<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| lasting(connection, sql);
        Ok(Self {
            // Of whom its client is told, and of no report: attempts and doubt as they stand now; who has it, or so it is said, is in none.
            put: sql(
                "INSERT INTO feed(id, msg, n, principal, owner, kind, attempts, next_us, code, enhanced, said, doubt) \
                 SELECT ?1, msg, n, principal, owner, ?4, attempts, ?5, ?6, ?7, ?8, ?9 AND doubt FROM spool_rcpt \
                 JOIN spool_msg ON id = msg WHERE msg = ?2 AND n = ?3 AND n < named AND report = 0 AND owner IS NOT NULL",
            )?,
            mine: sql(&mine())?,
            of_message: sql(&format!(
                "SELECT {COLUMNS} FROM spool_msg JOIN feed ON feed.msg = spool_msg.id \
                 JOIN spool_rcpt ON spool_rcpt.msg = feed.msg AND spool_rcpt.n = feed.n \
                 WHERE msg_id = ? AND feed.principal = ? AND feed.owner = ? AND feed.id > ? AND feed.id < ? \
                 ORDER BY feed.id LIMIT ?"
            ))?,
            last: None,
            newest: sql("SELECT max(id) FROM feed")?,
        })
    }

    /// Writes what happened to that recipient, where anybody may be told of it.
    pub fn put(&mut self, row: i64, number: u32, kind: Kind, entry: &Entry<'_>) -> Result<()> {
        let id = self.next()?;
        let (number_of_kind, next) = (of(kind), entry.next_us.map(integer));
        let said = entry.said.filter(|said| said.code.is_some() || !said.text.is_empty());
        let (code, enhanced) = (said.and_then(|said| said.code), said.and_then(|said| said.enhanced.as_ref()));
        let text = said.map(|said| &said.text);
        let may_doubt = !matches!(kind, Kind::Sent | Kind::Delivered | Kind::Complained);
        let columns = params![integer(id), row, number, number_of_kind, next, code, enhanced, text, may_doubt];
        if self.put.execute(columns)? > 0 {
            self.last = Some(id);
        }
        Ok(())
    }

    /// What an outcome is.
    pub fn settled(&mut self, row: i64, number: u32, settled: &Settled) -> Result<()> {
        let next_us = match settled.state {
            State::Waiting(next_us) => Some(next_us),
            _ => None,
        };
        self.put(row, number, settled.kind(), &Entry { next_us, said: Some(&settled.said) })
    }

    /// The next number: the time, or the one behind the last. A transaction that was undone leaves a hole.
    fn next(&mut self) -> Result<u64> {
        let last = match self.last {
            Some(last) => last,
            None => {
                let newest: Option<i64> = self.newest.query_row([], |row| row.get(0))?;
                newest.and_then(|newest| u64::try_from(newest).ok()).unwrap_or_default()
            }
        };
        Ok(now_us().max(last.saturating_add(1)))
    }

    /// A page of what happened to mail of this credential. Addresses stand as `masks` has them for each message.
    pub fn of(
        &mut self,
        owner: Owner<'_>,
        span: &Span,
        masks: impl Fn(MessageId) -> Mask,
        now_us: u64,
    ) -> Result<Happened> {
        let limit = span.limit.clamp(1, MOST_LISTED);
        let (from, to) = (integer(span.after), integer(span.until.unwrap_or(u64::MAX)));
        let (since, oldest) = (integer(owner.since_us), now_us.saturating_sub(REMEMBERED_US));
        let mut rows = match span.message {
            None => self.mine.query(params![owner.principal, since, from, to, MOST_LOOKED])?,
            Some(message) => {
                let id = message.uuid();
                let columns = params![id.as_bytes(), owner.principal, since, from, to, MOST_LOOKED];
                self.of_message.query(columns)?
            }
        };
        let (mut all, mut last, mut room, mut looked) = (Vec::new(), None, MOST_PAGE, 0u32);
        while let Some(row) = rows.next()? {
            looked += 1;
            let number = unsigned(row, 0)?;
            let done: Option<i64> = row.get(13)?;
            let is_forgotten = done.is_some_and(|done| u64::try_from(done).unwrap_or_default() < oldest);
            let kind = kind(row).filter(|kind| !is_forgotten && span.kind.is_none_or(|wanted| wanted == *kind));
            if let Some(kind) = kind {
                let happening = read(row, kind, &masks)?;
                let octets = frame::encode(&happening).map_or(MOST_PAGE, |octets| octets.len());
                let is_full = all.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
                // One fits always.
                if is_full || octets > room && !all.is_empty() {
                    return Ok(Happened { all, last, more: true });
                }
                room = room.saturating_sub(octets);
                all.push(happening);
            }
            last = Some(number);
        }
        Ok(Happened { all, last, more: looked >= MOST_LOOKED })
    }
}

fn of(kind: Kind) -> u8 {
    Kind::ALL.iter().find(|(known, _)| *known == kind).map_or(0, |(_, number)| *number)
}

/// What happened; none: it can't be read, which is no reason to tell nothing of what is behind it.
fn kind(row: &Row<'_>) -> Option<Kind> {
    let number: i64 = row.get(1).ok()?;
    Kind::ALL.into_iter().find(|(_, own)| i64::from(*own) == number).map(|(kind, _)| kind)
}

fn read(row: &Row<'_>, kind: Kind, masks: &impl Fn(MessageId) -> Mask) -> Result<Happening> {
    let count = |at: usize| u32::try_from(row.get::<_, i64>(at)?).map_err(|_| damaged("a number is out of range"));
    let message: MessageId =
        octets::<16>(row, 2)?.map(Uuid::from_bytes).ok_or_else(|| damaged("an id is missing"))?.into();
    let mask = masks(message);
    let (label, said): (Option<String>, Option<String>) = (row.get(12)?, row.get(10)?);
    let mut label: Option<Box<Label>> = label.and_then(|label| serde_json::from_str(&label).ok());
    if let Some(label) = label.as_mut().filter(|_| mask != Mask::None) {
        label.subject = None;
    }
    Ok(Happening {
        number: unsigned(row, 0)?,
        kind,
        message,
        recipient: count(3)?,
        address: seen(row.get(4)?, mask),
        from: row.get::<_, Option<String>>(5)?.map(|from| seen(from, mask)),
        attempts: count(6)?,
        next_us: row.get::<_, Option<i64>>(7)?.and_then(|next| u64::try_from(next).ok()),
        code: row.get(8)?,
        enhanced: row.get(9)?,
        reply: said.and_then(|said| reply(&said, mask)),
        doubt: row.get(11)?,
        label,
        test: row.get::<_, i64>(14)? & TEST != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::store::open::Database;

    #[test]
    fn a_page_is_found_by_the_index_and_nothing_is_sorted() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("db")).unwrap();
        let database = Database::open(home.path()).unwrap();
        let mut plan = database.connection.prepare(&format!("EXPLAIN QUERY PLAN {}", mine())).unwrap();
        let steps = plan.query_map(params!["shop", 7, 0, 9, 9], |row| row.get::<_, String>(3)).unwrap();
        let steps: Vec<String> = steps.collect::<Result<_>>().unwrap();
        assert_eq!(steps.len(), 3, "{steps:?}");
        assert_eq!(steps[0], "SEARCH feed USING INDEX feed_mine (principal=? AND owner=? AND rowid>? AND rowid<?)");
        assert!(steps.iter().all(|step| !step.contains("SCAN") && !step.contains("TEMP")), "{steps:?}");
    }
}
