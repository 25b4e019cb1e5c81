//! Messages as those who sent them ask for them: of one credential, by an index, and no more of it than fits into an answer.

mod list;
mod tally;

use rusqlite::{Connection, OptionalExtension, Result, Row, Statement, params};
use uuid::Uuid;

use crate::ipc::inquiry::{MOST_OCTETS, MOST_RECIPIENTS, MOST_REPLY, Recipient, Status, Submission};
use crate::mail::id::MessageId;
use crate::mail::outcome::UNANSWERED;
use crate::policy::mask::Mask;
use crate::vault::audit::mask;
use crate::vault::audit::row::{damaged, integer, octets, unsigned};
use crate::vault::store::lasting;
use crate::vault::store::spool::manner::{MOVE, TEST};
use list::Lists;
use tally::{Standing, Tally};

/// Messages that are done are remembered so long, for those who ask.
pub const REMEMBERED_US: u64 = 7 * 86_400_000_000;
/// What each recipient is counted with beside his texts.
const ROW: usize = 64;
/// A recipient who was given up by order, and not by an answer; and one whom another gate has since then.
const DROPPED: &str = "(state = 3 AND said IS 'dropped' AND code IS NULL AND enhanced IS NULL AND host IS NULL)";
const EXPORTED: &str = "(state = 3 AND said IS 'exported' AND code IS NULL AND enhanced IS NULL AND host IS NULL)";
/// What stands in an answer's place of whom an operator has said himself what became of him.
const BY_HAND: &str = "reconciled";

pub struct Submissions<'c> {
    find: Statement<'c>,
    /// Whether somebody has it, or a courier is at it, or it is held of somebody: a copy's recipient, too.
    is_bound: Statement<'c>,
    /// When all of it, copies too, are to be tried for the first time; none where somebody was, is held, or it is a suspect. And how
    /// often that was changed.
    untried: Statement<'c>,
    is_to: Statement<'c>,
    list: Lists<'c>,
    tally: Tally<'c>,
    recipients: Statement<'c>,
}

/// Who asks: a credential by its name, and by when it was made.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    pub principal: &'a str,
    pub since_us: u64,
    /// It has what was sent under its name by nobody knows which credential.
    pub is_heir: bool,
}

/// What taking a message back comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It can be done.
    Now,
    /// Nobody gets it already.
    Before,
    TooLate,
}

/// When a message is to leave that its sender may give another time.
#[derive(Clone, Copy, Debug)]
pub struct Scheduled {
    pub row: i64,
    /// None: it doesn't wait for that alone.
    pub due_us: Option<u64>,
    /// So often it was given another one.
    pub moves: u32,
}

/// A message's row, how many recipients it named, and whether it is set aside.
type Head = (i64, Option<i64>, bool, Submission);

impl<'c> Submissions<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| lasting(connection, sql);
        Ok(Self {
            find: sql(
                "SELECT id, named, msg_id, bytes, accepted_us, expires_us, ended > 1, label, mail_from, flags FROM spool_msg \
                       WHERE msg_id = ? AND principal = ? AND report = 0 AND ifnull(owner = ?, ?) \
                       AND ifnull(done_us >= ?, 1)",
            )?,
            is_bound: sql(
                "SELECT EXISTS(SELECT 1 FROM spool_rcpt WHERE msg = ? AND (state IN (1, 2) OR state = 0 AND held > 0))",
            )?,
            untried: sql("SELECT iif(max(state <> 0 OR held > 0 OR tried) OR max(ended) > 0, NULL, min(next_us)), \
                 ifnull(max(flags), 0) / ?2 FROM spool_rcpt JOIN spool_msg ON id = msg WHERE msg = ?1")?,
            is_to: sql(
                "SELECT EXISTS(SELECT 1 FROM spool_rcpt WHERE msg = ?1 AND n < ?2 AND rcpt = ?3 COLLATE NOCASE)",
            )?,
            list: Lists::prepare(connection)?,
            tally: Tally::prepare(connection)?,
            // Where they aren't all told of, then those whom something is to be known of.
            recipients: sql(&format!(
                "SELECT n, rcpt, state, {DROPPED}, {EXPORTED}, held > 0 OR ?4, attempts, next_us, code, enhanced, said, doubt, \
                 tried FROM spool_rcpt WHERE msg = ?1 AND n < ?2 ORDER BY state = 2, n LIMIT ?3"
            ))?,
        })
    }

    /// The row of that message, if this credential may see it, and what taking it back would come to.
    pub fn stoppable(&mut self, owner: Owner<'_>, message: MessageId, now_us: u64) -> Result<Option<(i64, Stop)>> {
        let Some((row, named, aside, _)) = self.head(owner, message, now_us)? else { return Ok(None) };
        let standing = self.tally.of(row, named, aside, now_us)?;
        let Standing { count, counts, status, is_free, .. } = standing;
        let stop = match status {
            Status::Canceled if counts.canceled == count => Stop::Before,
            // Nobody has it, nobody was refused, and no courier is at it.
            Status::Received | Status::Scheduled | Status::Deferred if is_free && counts.waiting == count => {
                // Nor of the copies that its sender isn't told of.
                let is_bound: bool = self.is_bound.query_row([row], |row| row.get(0))?;
                if is_bound { Stop::TooLate } else { Stop::Now }
            }
            _ => Stop::TooLate,
        };
        Ok(Some((row, stop)))
    }

    /// That message, if this credential may see it, and when it is to leave, if it waits for that alone.
    pub fn scheduled(&mut self, owner: Owner<'_>, message: MessageId, now_us: u64) -> Result<Option<Scheduled>> {
        let Some((row, named, aside, _)) = self.head(owner, message, now_us)? else { return Ok(None) };
        let standing = self.tally.of(row, named, aside, now_us)?;
        let (untried, moves): (Option<i64>, u32) =
            self.untried.query_row([row, MOVE], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let due = untried.and_then(|due| u64::try_from(due).ok());
        // A copy that is due is about to leave.
        let due = due.filter(|due| standing.status == Status::Scheduled && *due > now_us);
        Ok(Some(Scheduled { row, due_us: due, moves }))
    }

    fn head(&mut self, owner: Owner<'_>, message: MessageId, now_us: u64) -> Result<Option<Head>> {
        let Owner { principal, since_us, is_heir } = owner;
        let (since, oldest) = (integer(since_us), integer(now_us.saturating_sub(REMEMBERED_US)));
        let id = message.uuid();
        self.find.query_row(params![id.as_bytes(), principal, since, is_heir, oldest], head).optional()
    }

    /// That message, if this credential has sent it and it is remembered. Addresses stand as `mask` has them.
    pub fn find(
        &mut self,
        owner: Owner<'_>,
        message: MessageId,
        mask: Mask,
        now_us: u64,
    ) -> Result<Option<Submission>> {
        let Some((row, named, aside, mut submission)) = self.head(owner, message, now_us)? else { return Ok(None) };
        let standing = self.tally.of(row, named, aside, now_us)?;
        stand(&mut submission, standing, named);
        shade(&mut submission, mask);
        let room = MOST_OCTETS.saturating_sub(submission.label.as_ref().map_or(0, |label| label.octets()));
        submission.recipients = self.named((row, named, aside), mask, now_us, room, |one| one)?;
        Ok(Some(submission))
    }

    /// Those whom a message names, as they may be seen, as far as there is room. `told`: what is told of one.
    fn named(
        &mut self,
        (row, named, aside): (i64, Option<i64>, bool),
        mask: Mask,
        now_us: u64,
        mut room: usize,
        told: impl Fn(Recipient) -> Recipient,
    ) -> Result<Vec<Recipient>> {
        let most = i64::try_from(MOST_RECIPIENTS).unwrap_or(i64::MAX);
        let mut rows = self.recipients.query(params![row, named.unwrap_or(0), most, aside])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            let one = told(recipient(row, mask, now_us)?);
            let texts = one.enhanced.iter().chain(&one.reply).map(String::len).sum::<usize>();
            let octets = ROW + one.address.len() + texts;
            let Some(rest) = room.checked_sub(octets) else { break };
            room = rest;
            all.push(one);
        }
        all.sort_by_key(|one| one.number);
        Ok(all)
    }
}

/// As much of it as may be seen.
fn shade(submission: &mut Submission, mask: Mask) {
    submission.from = submission.from.take().map(|from| seen(from, mask));
    if let Some(label) = submission.label.as_mut().filter(|_| mask != Mask::None) {
        label.subject = None;
    }
}

/// An address as it may be seen.
pub fn seen(address: String, mask: Mask) -> String {
    match mask {
        Mask::None => address,
        Mask::LocalPart => mask::mailbox(&address),
        Mask::Full => mask::HIDDEN.to_owned(),
    }
}

/// Says of a message where its recipients stand.
fn stand(submission: &mut Submission, standing: Standing, named: Option<i64>) {
    submission.status = standing.status;
    submission.cause = standing.cause;
    submission.doubt = standing.doubt;
    submission.scheduled_us = standing.scheduled_us;
    submission.ended_us = standing.ended_us;
    if named.is_some() {
        submission.count = Some(standing.count);
        submission.counts = Some(standing.counts);
    }
}

fn head(row: &Row<'_>) -> Result<Head> {
    let id = octets::<16>(row, 2)?.map(Uuid::from_bytes).ok_or_else(|| damaged("an id is missing"))?;
    let label: Option<String> = row.get(7)?;
    let label = label.map(|label| serde_json::from_str(&label).map_err(|_| damaged("a label can't be read")));
    let submission = Submission {
        message: id.into(),
        from: row.get(8)?,
        label: label.transpose()?,
        status: Status::Received,
        size: unsigned(row, 3)?,
        accepted_us: unsigned(row, 4)?,
        expires_us: unsigned(row, 5)?,
        ended_us: None,
        scheduled_us: None,
        count: None,
        counts: None,
        cause: None,
        doubt: false,
        recipients: Vec::new(),
        test: row.get::<_, i64>(9)? & TEST != 0,
    };
    Ok((row.get(0)?, row.get(1)?, row.get(6)?, submission))
}

fn recipient(row: &Row<'_>, mask: Mask, now_us: u64) -> Result<Recipient> {
    let number = |at: usize| u32::try_from(row.get::<_, i64>(at)?).map_err(|_| damaged("a number is out of range"));
    let (state, dropped, exported, held): (i64, bool, bool, bool) =
        (row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?);
    let (attempts, next_us) = (number(6)?, unsigned(row, 7)?);
    let status = match state {
        0 if held => Status::Held,
        0 if next_us > now_us && !row.get(12)? => Status::Scheduled,
        0 if next_us > now_us || attempts > 0 => Status::Deferred,
        0 => Status::Received,
        1 => Status::Started,
        2 => Status::Accepted,
        3 if dropped => Status::Canceled,
        3 if exported => Status::Moved,
        3 => Status::Failed,
        _ => Status::Expired,
    };
    let address: String = row.get(1)?;
    let said: Option<String> = row.get(10)?;
    // An order is no answer, and what was answered before it isn't that of its end.
    let is_answer = !dropped && !exported && said.as_deref() != Some(BY_HAND);
    Ok(Recipient {
        number: number(0)?,
        address: seen(address, mask),
        status,
        code: row.get::<_, Option<u16>>(8)?.filter(|_| is_answer),
        enhanced: row.get::<_, Option<String>>(9)?.filter(|_| is_answer),
        reply: said.filter(|_| is_answer).and_then(|said| reply(&said, mask)),
        attempts,
        next_us: (state == 0 && !held).then_some(next_us),
        doubt: row.get::<_, bool>(11)? && status != Status::Accepted,
    })
}

/// What an upstream said may quote an address, so it stands where addresses do; that it said nothing may be known. Nothing in it
/// steers a terminal or turns what is read.
pub fn reply(said: &str, mask: Mask) -> Option<String> {
    let shown = match mask {
        Mask::None => said,
        _ => said.starts_with(UNANSWERED).then_some(UNANSWERED)?,
    };
    let plain = |c: char| match c {
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => ' ',
        c if c.is_control() => ' ',
        c => c,
    };
    let words: String = shown.chars().map(plain).collect();
    let words = words.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    (!words.is_empty()).then(|| words.chars().take(MOST_REPLY).collect())
}
