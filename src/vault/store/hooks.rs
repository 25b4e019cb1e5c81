//! What providers tell: by which names they know what they took, the events that were taken, and those that came too early.

use rusqlite::{Connection, OptionalExtension, Result, Row, Statement, params};

use super::spool::{LANES, address, manner, number};
use crate::mail::envelope::Addressee;
use crate::mail::outcome::Said;
use crate::vault::audit::row::{integer, unsigned};
use crate::vault::store::lasting;

/// Events of one upstream that are kept until what they are about is written down: its courier may have as many requests under way
/// as it has connections, each with fifty recipients and some events of each. Some hundred octets each.
pub const MOST_EARLY: u64 = if cfg!(test) { 4 } else { 10_000 };
/// How long, where nothing is under way to that upstream any more: a courier's request, a slow disk and a restart take minutes.
pub const EARLY_US: u64 = 3_600_000_000;
/// How much longer, where something may still come: no message is tried longer than this (`lifetime`), and a later attempt may be told
/// the name that an earlier one was not.
pub const LATEST_US: u64 = 30 * 24 * 3_600_000_000;
/// Events that are remembered: of the last day, and so many. A provider posts one again within minutes; what was told of a recipient
/// is known for as long as the message is.
pub const CALL_US: u64 = 24 * 3_600_000_000;
pub const MOST_CALLS: i64 = 500_000;

/// The early events about what went out of one message, and of one name.
pub const RIPE_OF: &str = "SELECT DISTINCT id, hook, hook_early.upstream, event \
     FROM provider_ref AS own CROSS JOIN hook_early \
     ON hook_early.upstream = own.upstream AND hook_early.reference = own.reference \
     WHERE own.msg = ?3 AND id > ?1 \
     AND NOT EXISTS(SELECT 1 FROM provider_ref AS one CROSS JOIN spool_lease ON spool_lease.msg = one.msg \
     WHERE one.upstream = hook_early.upstream AND one.reference = hook_early.reference) \
     ORDER BY id LIMIT ?2";
pub const RIPE_NAMED: &str = "SELECT id, hook, upstream, event FROM hook_early \
     WHERE upstream = ?3 AND reference = ?4 AND id > ?1 \
     AND EXISTS(SELECT 1 FROM provider_ref AS one WHERE one.upstream = ?3 AND one.reference = ?4) \
     AND NOT EXISTS(SELECT 1 FROM provider_ref AS one CROSS JOIN spool_lease ON spool_lease.msg = one.msg \
     WHERE one.upstream = ?3 AND one.reference = ?4) \
     ORDER BY id LIMIT ?2";

/// A recipient that went out under some name.
#[derive(Clone, Debug)]
pub struct Sent {
    pub row: i64,
    pub number: u32,
    /// The bits of what was told of it.
    pub told: u32,
    pub addressee: Addressee,
    pub attempts: u32,
    pub doubt: bool,
    /// The message named it, so that what becomes of it says something of the list of whoever sent that.
    pub is_named: bool,
}

/// Which of those that came early are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All: at a start, and once a minute.
    All,
    /// Those about what went out of this message, by its row.
    Message(i64),
    /// Those about what this upstream calls so.
    Named { upstream: String, reference: String },
}

/// What became of one that came early.
#[derive(Debug)]
pub enum Kept {
    Kept,
    /// In the place of an older one, of which nothing is known.
    Instead(Early),
    Full,
}

/// An event that came early.
#[derive(Clone, Debug)]
pub struct Early {
    pub id: i64,
    pub hook: String,
    pub upstream: String,
    pub event: String,
}

pub struct Hooks<'c> {
    refer: Statement<'c>,
    sent: Statement<'c>,
    is_leased: Statement<'c>,
    may_come: Statement<'c>,
    tell: Statement<'c>,
    fail: Statement<'c>,
    note: Statement<'c>,
    knows: Statement<'c>,
    learn: Statement<'c>,
    push_out: Statement<'c>,
    keep: Statement<'c>,
    count: Statement<'c>,
    stranger: Statement<'c>,
    ripe: Statement<'c>,
    ripe_of: Statement<'c>,
    ripe_named: Statement<'c>,
    upstreams: Statement<'c>,
    drop: Statement<'c>,
    any: Statement<'c>,
    over: Statement<'c>,
    forget: Statement<'c>,
}

impl<'c> Hooks<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| lasting(connection, sql);
        Ok(Self {
            refer: sql("INSERT OR IGNORE INTO provider_ref(upstream, reference, msg, num) \
                        SELECT upstream, ?1, msg, ?2 FROM spool_lease WHERE job = ?3")?,
            sent: sql("SELECT spool_rcpt.msg, n, told, rcpt, notify, orcpt, attempts, doubt, ifnull(n < named, 0) \
                       FROM provider_ref CROSS JOIN spool_rcpt ON spool_rcpt.msg = provider_ref.msg AND n = num \
                       CROSS JOIN spool_msg ON id = spool_rcpt.msg WHERE upstream = ? AND reference = ? ORDER BY 1, 2")?,
            is_leased: sql("SELECT 1 FROM spool_lease WHERE msg = ?")?,
            may_come: sql(&format!(
                "{LANES} SELECT EXISTS(SELECT 1 FROM spool_lease WHERE upstream = ?1) \
                 OR EXISTS(SELECT 1 FROM lanes WHERE instr(',' || lane || ',', ',' || ?1 || ',') > 0)"
            ))?,
            tell: sql(
                "UPDATE provider_ref SET told = told | ?5 WHERE upstream = ?1 AND reference = ?2 AND msg = ?3 AND num = ?4",
            )?,
            fail: sql("UPDATE spool_rcpt SET state = 3, code = ?3, enhanced = ?4, said = ?5, owed = ?6, \
                       doubt = max(doubt, ?7), ended_us = ?8 WHERE msg = ?1 AND n = ?2 AND state = 2")?,
            note: sql(
                "UPDATE spool_rcpt SET code = ?3, enhanced = ?4, said = ?5 WHERE msg = ?1 AND n = ?2 AND state = 2",
            )?,
            knows: sql("SELECT 1 FROM hook_call WHERE hook = ? AND call = ?")?,
            learn: sql("INSERT OR IGNORE INTO hook_call(hook, call, seen_us) VALUES(?, ?, ?)")?,
            push_out: sql("DELETE FROM hook_call WHERE id <= (SELECT max(id) FROM hook_call) - ?")?,
            keep: sql("INSERT INTO hook_early(hook, upstream, reference, event, expires_us) VALUES(?, ?, ?, ?, ?)")?,
            count: sql("SELECT count(*) FROM hook_early WHERE upstream = ?")?,
            // The first row by its number is the oldest: a few that are known are in front of it at most.
            stranger: sql("SELECT id, hook, upstream, event FROM hook_early NOT INDEXED WHERE upstream = ? \
                           AND NOT EXISTS(SELECT 1 FROM provider_ref AS one WHERE one.upstream = hook_early.upstream \
                                          AND one.reference = hook_early.reference) \
                           ORDER BY id LIMIT 1")?,
            ripe_of: sql(RIPE_OF)?,
            ripe_named: sql(RIPE_NAMED)?,
            upstreams: sql("SELECT DISTINCT upstream FROM hook_early")?,
            ripe: sql("SELECT id, hook, upstream, event FROM hook_early WHERE id > ?1 \
                       AND EXISTS(SELECT 1 FROM provider_ref AS one WHERE one.upstream = hook_early.upstream \
                                  AND one.reference = hook_early.reference) \
                       AND NOT EXISTS(SELECT 1 FROM provider_ref AS one CROSS JOIN spool_lease ON spool_lease.msg = one.msg \
                                      WHERE one.upstream = hook_early.upstream AND one.reference = hook_early.reference) \
                       ORDER BY id LIMIT ?2")?,
            drop: sql("DELETE FROM hook_early WHERE id = ?")?,
            any: sql("SELECT EXISTS(SELECT 1 FROM hook_early)")?,
            over: sql(
                "DELETE FROM hook_early WHERE id IN (SELECT id FROM hook_early WHERE upstream = ? AND expires_us <= ? LIMIT ?) \
                       RETURNING id, hook, upstream, event",
            )?,
            forget: sql("DELETE FROM hook_call WHERE id IN (SELECT id FROM hook_call WHERE seen_us < ? LIMIT ?)")?,
        })
    }

    /// The upstream of that lease knows by this name what it took for a recipient.
    pub fn refer(&mut self, job: u64, number: u32, reference: &str) -> Result<()> {
        self.refer.execute(params![reference, number, integer(job)]).map(drop)
    }

    /// Whom an upstream took under that name, in order.
    pub fn sent(&mut self, upstream: &str, reference: &str) -> Result<Vec<Sent>> {
        let rows = self.sent.query_map(params![upstream, reference], |row| {
            Ok(Sent {
                row: row.get(0)?,
                number: number(row, 1)?,
                told: number(row, 2)?,
                addressee: Addressee { address: address(row, 3)?, wish: manner::wish(row, 4, 5)? },
                attempts: number(row, 6)?,
                doubt: row.get(7)?,
                is_named: row.get(8)?,
            })
        })?;
        rows.collect()
    }

    /// Whether a courier has that message, whose outcomes come one by one.
    pub fn is_leased(&mut self, row: i64) -> Result<bool> {
        self.is_leased.exists([row])
    }

    /// Whether an upstream may take something now, or have taken it, that isn't written down yet.
    pub fn may_come(&mut self, upstream: &str) -> Result<bool> {
        self.may_come.query_row([upstream], |row| row.get(0))
    }

    /// That was told of a recipient.
    pub fn tell(&mut self, (upstream, reference): (&str, &str), sent: &Sent, bit: u32) -> Result<()> {
        self.tell.execute(params![upstream, reference, sent.row, sent.number, bit]).map(drop)
    }

    /// A recipient whom the upstream had taken doesn't have it after all. False where another end was written meanwhile.
    pub fn fail(&mut self, sent: &Sent, said: &Said, owed: bool, doubt: bool, now_us: u64) -> Result<bool> {
        let Said { code, enhanced, text, .. } = said;
        let columns = params![sent.row, sent.number, code, enhanced, text, owed, doubt, integer(now_us)];
        self.fail.execute(columns).map(|changed| changed > 0)
    }

    /// What was said of one that the upstream has taken.
    pub fn note(&mut self, sent: &Sent, said: &Said) -> Result<()> {
        self.note.execute(params![sent.row, sent.number, said.code, said.enhanced, said.text]).map(drop)
    }

    /// Whether that event was taken.
    pub fn knows(&mut self, hook: &str, call: &str) -> Result<bool> {
        self.knows.exists([hook, call])
    }

    /// It is now.
    pub fn learn(&mut self, hook: &str, call: &str, now_us: u64) -> Result<()> {
        self.learn.execute(params![hook, call, integer(now_us)])?;
        self.push_out.execute([MOST_CALLS]).map(drop)
    }

    /// Keeps an event that came early. Where there is no room the oldest goes of which nothing is known: of all that wait it is the
    /// likeliest to be about mail that others send by the same account. Those that are known wait for an end that is near, and stay.
    pub fn keep(&mut self, (hook, upstream): (&str, &str), reference: &str, event: &str, now_us: u64) -> Result<Kept> {
        let count: u64 = self.count.query_row([upstream], |row| unsigned(row, 0))?;
        let mut kept = Kept::Kept;
        if count >= MOST_EARLY {
            let Some(oldest) = self.stranger.query_row([upstream], early).optional()? else { return Ok(Kept::Full) };
            self.drop.execute([oldest.id])?;
            kept = Kept::Instead(oldest);
        }
        let expires = integer(now_us.saturating_add(EARLY_US));
        self.keep.execute(params![hook, upstream, reference, event, expires]).map(|_| kept)
    }

    /// Those behind that one about which all is written down by now.
    pub fn ripe(&mut self, scope: &Scope, after: i64, most: u32) -> Result<Vec<Early>> {
        match scope {
            Scope::All => self.ripe.query_map(params![after, most], early)?.collect(),
            Scope::Message(row) => self.ripe_of.query_map(params![after, most, row], early)?.collect(),
            Scope::Named { upstream, reference } => {
                self.ripe_named.query_map(params![after, most, upstream, reference], early)?.collect()
            }
        }
    }

    pub fn drop(&mut self, id: i64) -> Result<()> {
        self.drop.execute([id]).map(drop)
    }

    pub fn any(&mut self) -> Result<bool> {
        self.any.query_row([], |row| row.get(0))
    }

    /// Takes out some of each upstream whose time was over then. Where something may still come they have more of it.
    pub fn over(&mut self, then_us: u64, most: u32) -> Result<Vec<Early>> {
        let upstreams = self.upstreams.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>>>()?;
        let mut over = Vec::new();
        for upstream in upstreams {
            let longer = if self.may_come(&upstream)? { LATEST_US } else { 0 };
            let then = integer(then_us.saturating_sub(longer));
            for gone in self.over.query_map(params![upstream, then, most], early)? {
                over.push(gone?);
            }
        }
        Ok(over)
    }

    /// Forgets some events that were taken before then.
    pub fn forget(&mut self, before_us: u64, most: u32) -> Result<()> {
        self.forget.execute(params![integer(before_us), most]).map(drop)
    }
}

fn early(row: &Row<'_>) -> Result<Early> {
    Ok(Early { id: row.get(0)?, hook: row.get(1)?, upstream: row.get(2)?, event: row.get(3)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::store::open::Database;

    #[test]
    fn the_end_of_a_job_looks_for_what_its_message_is_called_alone() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("db")).unwrap();
        let database = Database::open(home.path()).unwrap();
        let plan = |sql: &str| -> String {
            let mut plan = database.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let (mut rows, mut lines) = (plan.raw_query(), Vec::new());
            while let Some(row) = rows.next().unwrap() {
                lines.push(row.get::<_, String>(3).unwrap());
            }
            lines.join("\n")
        };
        for sql in [RIPE_OF, RIPE_NAMED] {
            let plan = plan(sql);
            assert!(plan.contains("he_reference (upstream=? AND reference=?"), "{plan}");
            assert!(!plan.contains("SCAN hook_early"), "{plan}");
        }
    }
}
