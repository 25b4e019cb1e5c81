//! All that a credential has sent, a page at a time: by the order of the ids in an index, and no more of it than a question may
//! cost, however much there is and however little of it is wanted.

use rusqlite::{Connection, Result, Statement, params};

use super::{Head, Owner, REMEMBERED_US, Submissions, head, shade, stand};
use crate::ipc::frame;
use crate::ipc::inquiry::{Cursor, Listed, MOST_BESIDE, MOST_LISTED, MOST_PAGE, Page, Recipient, Submission};
use crate::mail::id::MessageId;
use crate::policy::mask::Mask;
use crate::vault::audit::row::integer;
use crate::vault::store::lasting;

/// Messages that one question looks at where not all are wanted, and recipients of them that are counted for it: beyond either the
/// page ends, and the next one goes on behind it. Commits wait for a look.
const MOST_MESSAGES: u32 = 200;
const MOST_COUNTED: u64 = 2000;

/// Those between two ids (the first included), from the newest on and from the oldest on.
pub struct Lists<'c> {
    down: Statement<'c>,
    up: Statement<'c>,
}

/// A message, and when it was done.
type Found = (Head, Option<u64>);

impl<'c> Lists<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |order: &str| lasting(connection, &statement(order));
        Ok(Self { down: sql("DESC")?, up: sql("ASC")? })
    }
}

fn statement(order: &str) -> String {
    format!(
        "SELECT id, named, msg_id, bytes, accepted_us, expires_us, ended > 1, label, mail_from, flags, done_us FROM spool_msg \
         WHERE principal = ? AND owner IS ? AND report = 0 AND msg_id >= ? AND msg_id < ? ORDER BY msg_id {order} LIMIT ?"
    )
}

impl Lists<'_> {
    /// So many of that credential, or of nobody knows which of that name, in that direction.
    fn between(
        &mut self,
        principal: &str,
        owner: Option<u64>,
        span: Span,
        most: u32,
        is_up: bool,
    ) -> Result<Vec<Found>> {
        let (owner, from, to) = (owner.map(integer), span.from.to_be_bytes(), span.to.to_be_bytes());
        let list = if is_up { &mut self.up } else { &mut self.down };
        let columns = params![principal, owner, from, to, most];
        let rows = list.query_map(columns, |row| {
            let done_us = row.get::<_, Option<i64>>(10)?.and_then(|done_us| u64::try_from(done_us).ok());
            Ok((head(row)?, done_us))
        })?;
        rows.collect()
    }
}

/// Ids from one to before another.
#[derive(Clone, Copy)]
struct Span {
    from: u128,
    to: u128,
}

impl Span {
    fn of(page: &Page) -> Self {
        let first = |ms: u64| u128::from(ms.min(MOST_MS)) << 80;
        let (mut from, mut to) = (page.since_ms.map_or(0, first), page.until_ms.map_or(u128::MAX, first));
        match page.from {
            Some(Cursor::After(id)) => to = to.min(id.uuid().as_u128()),
            Some(Cursor::Before(id)) => from = from.max(id.uuid().as_u128().saturating_add(1)),
            None => {}
        }
        Self { from, to }
    }

    /// Of those the ones whose time is after that.
    fn behind(self, ms: u64) -> Self {
        let from = u128::from(ms.saturating_add(1).min(MOST_MS)) << 80;
        Self { from: self.from.max(from), ..self }
    }
}

/// The last time that an id can have (48 bits of milliseconds, RFC 9562 section 5.7).
const MOST_MS: u64 = (1 << 48) - 1;

impl Submissions<'_> {
    /// A page of what this credential has sent and is remembered. Addresses stand as `masks` has them for each message.
    pub fn list(
        &mut self,
        owner: Owner<'_>,
        page: &Page,
        masks: impl Fn(MessageId) -> Mask,
        now_us: u64,
    ) -> Result<Listed> {
        let Owner { principal, since_us, .. } = owner;
        let limit = page.limit.clamp(1, MOST_LISTED);
        // One more than there is to be tells that there are more.
        let is_all = page.status.is_empty() && page.tag.is_none() && page.recipient.is_none();
        let most = if is_all { limit.saturating_add(1) } else { MOST_MESSAGES };
        let (span, oldest) = (Span::of(page), now_us.saturating_sub(REMEMBERED_US));
        let is_up = matches!(page.from, Some(Cursor::Before(_)));
        let mut found = self.list.between(principal, Some(since_us), span, most, is_up)?;
        // Of nobody knows whom: what is older than this credential is not its own (`Masks::is_own`).
        let older = if since_us > 0 { span.behind(since_us / 1000) } else { span };
        found.extend(self.list.between(principal, None, older, most, is_up)?);
        found.sort_by_key(|((.., submission), _)| submission.message);
        if !is_up {
            found.reverse();
        }
        let (limit, most) = (size(limit), size(most));
        // Of each there may be more behind its last one, so no more than that is known to be in order.
        let mut more = found.len() >= most;
        found.truncate(most);
        let (mut all, mut last, mut counted, mut room) = (Vec::new(), None, 0, MOST_PAGE);
        for ((row, named, aside, mut submission), done_us) in found {
            if all.len() == limit || counted >= MOST_COUNTED {
                more = true;
                break;
            }
            let message = submission.message;
            let is_over = done_us.is_some_and(|done_us| done_us < oldest);
            if is_over || !self.is_wanted(page, row, named, &submission)? {
                last = Some(message);
                continue;
            }
            let standing = self.tally.of(row, named, aside, now_us)?;
            counted += standing.count;
            if page.status.is_empty() || page.status.contains(&standing.status) {
                let mask = masks(message);
                stand(&mut submission, standing, named);
                shade(&mut submission, mask);
                if page.with_recipients {
                    counted += submission.count.unwrap_or_default();
                    submission.recipients = self.named((row, named, aside), mask, now_us, MOST_BESIDE, briefly)?;
                }
                let octets = frame::encode(&submission).map_or(MOST_PAGE, |octets| octets.len());
                // One fits always.
                if octets > room && !all.is_empty() {
                    more = true;
                    break;
                }
                room = room.saturating_sub(octets);
                all.push(submission);
            }
            last = Some(message);
        }
        if is_up {
            all.reverse();
        }
        Ok(Listed { all, next: last.filter(|_| more) })
    }

    /// Whether a message has what is asked for, before anybody counts how it stands.
    fn is_wanted(&mut self, page: &Page, row: i64, named: Option<i64>, submission: &Submission) -> Result<bool> {
        if let Some(tag) = &page.tag
            && !submission.label.as_ref().is_some_and(|label| label.tags.iter().any(|one| one.is(tag)))
        {
            return Ok(false);
        }
        match &page.recipient {
            // Of one whose recipients aren't told nobody learns who they are.
            Some(recipient) => {
                self.is_to.query_row(params![row, named.unwrap_or(0), recipient.to_string()], |row| row.get(0))
            }
            None => Ok(true),
        }
    }
}

/// Whom and how it stands: what a list tells of a recipient.
fn briefly(one: Recipient) -> Recipient {
    Recipient { code: None, enhanced: None, reply: None, next_us: None, ..one }
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
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
        for (order, owner) in [("DESC", Some(7)), ("ASC", Some(0)), ("DESC", None)] {
            let sql = format!("EXPLAIN QUERY PLAN {}", statement(order));
            let mut plan = database.connection.prepare(&sql).unwrap();
            let columns = params!["shop", owner, [0u8; 16], [255u8; 16], 9];
            let steps = plan.query_map(columns, |row| row.get::<_, String>(3)).unwrap();
            let steps: Vec<String> = steps.collect::<Result<_>>().unwrap();
            let expected = "SEARCH spool_msg USING INDEX sm_mine (principal=? AND owner=? AND msg_id>? AND msg_id<?)";
            assert_eq!(steps, [expected], "{order}");
        }
    }
}
