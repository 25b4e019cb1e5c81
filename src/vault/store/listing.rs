//! The queue as an administrator looks at it: messages with their recipients, some at a time.

use rusqlite::{Connection, OptionalExtension, Result, Row, Statement, params};
use uuid::Uuid;

use crate::ipc::admin::queue::listing::{Ordered, Standing};
use crate::mail::address::{Address, ReversePath};
use crate::mail::id::MessageId;
use crate::vault::audit::row::{damaged, octets, unsigned};
use crate::vault::store::lasting;

/// A message and all its recipients.
#[derive(Clone, Debug)]
pub struct Seen {
    pub row: i64,
    pub message: MessageId,
    pub principal: String,
    pub sender: ReversePath,
    pub bytes: u64,
    pub accepted_us: u64,
    pub expires_us: u64,
    pub recipients: Vec<SeenRecipient>,
}

#[derive(Clone, Debug)]
pub struct SeenRecipient {
    pub number: u32,
    pub recipient: Address,
    pub lane: String,
    pub standing: Standing,
    pub order: Option<Ordered>,
    pub attempts: u32,
    pub next_us: u64,
    /// The last answer.
    pub code: Option<u16>,
    pub enhanced: Option<String>,
    pub said: Option<String>,
    pub host: Option<String>,
    /// An attempt may have delivered it.
    pub doubt: bool,
}

pub struct Listing<'c> {
    next: Statement<'c>,
    find: Statement<'c>,
    recipients: Statement<'c>,
}

impl<'c> Listing<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let columns = "id, msg_id, principal, mail_from, bytes, accepted_us, expires_us, hold, ended > 1";
        Ok(Self {
            // A body is there as long as somebody waits for it.
            next: lasting(
                connection,
                &format!(
                    "SELECT {columns} FROM spool_body CROSS JOIN spool_msg ON id = msg WHERE msg > ? ORDER BY msg LIMIT 1"
                ),
            )?,
            find: lasting(connection, &format!("SELECT {columns} FROM spool_msg WHERE msg_id = ?"))?,
            recipients: lasting(
                connection,
                "SELECT n, rcpt, lane, state, held, attempts, next_us, code, enhanced, said, host, unknown, doubt, tried FROM spool_rcpt \
                 WHERE msg = ? ORDER BY n",
            )?,
        })
    }

    /// The first message behind that row that has a body. What is due at `now_us` is ready.
    pub fn next(&mut self, after: i64, now_us: u64) -> Result<Option<Seen>> {
        let found = self.next.query_row([after], message).optional()?;
        found.map(|found| self.whole(found, now_us)).transpose()
    }

    /// That message, also when it is done, as long as it is remembered.
    pub fn find(&mut self, message_id: MessageId, now_us: u64) -> Result<Option<Seen>> {
        let found = self.find.query_row([message_id.uuid().as_bytes()], message).optional()?;
        found.map(|found| self.whole(found, now_us)).transpose()
    }

    fn whole(&mut self, (seen, hold): (Seen, Hold), now_us: u64) -> Result<Seen> {
        let rows = self.recipients.query_map(params![seen.row], |row| recipient(row, hold, now_us))?;
        Ok(Seen { recipients: rows.collect::<Result<_>>()?, ..seen })
    }
}

/// How a message is held.
#[derive(Clone, Copy)]
struct Hold {
    /// The gate itself holds somebody of it, or all.
    is_quarantined: bool,
    is_aside: bool,
}

/// A message without its recipients, and how it is held.
fn message(row: &Row<'_>) -> Result<(Seen, Hold)> {
    let id = octets::<16>(row, 1)?.map(Uuid::from_bytes).ok_or_else(|| damaged("an id is missing"))?;
    let sender: Option<String> = row.get(3)?;
    let seen = Seen {
        row: row.get(0)?,
        message: id.into(),
        principal: row.get(2)?,
        sender: sender.as_deref().map(address).transpose()?,
        bytes: unsigned(row, 4)?,
        accepted_us: unsigned(row, 5)?,
        expires_us: unsigned(row, 6)?,
        recipients: Vec::new(),
    };
    let is_quarantined = row.get::<_, i64>(7)? == super::hold::QUARANTINED;
    Ok((seen, Hold { is_quarantined, is_aside: row.get(8)? }))
}

fn recipient(row: &Row<'_>, hold: Hold, now_us: u64) -> Result<SeenRecipient> {
    let number = |at: usize| u32::try_from(row.get::<_, i64>(at)?).map_err(|_| damaged("a number is out of range"));
    let (attempts, next_us) = (number(5)?, unsigned(row, 6)?);
    let is_quarantined = hold.is_quarantined && (hold.is_aside || row.get(11)?);
    let standing = standing((row.get(3)?, row.get(4)?), is_quarantined, row.get(13)?, next_us > now_us);
    Ok(SeenRecipient {
        number: number(0)?,
        recipient: address(&row.get::<_, String>(1)?)?,
        lane: row.get(2)?,
        standing,
        order: order((row.get(3)?, row.get(4)?)),
        attempts,
        next_us,
        code: row.get(7)?,
        enhanced: row.get(8)?,
        said: row.get(9)?,
        host: row.get(10)?,
        doubt: row.get(12)?,
    })
}

/// By `state` and `held` of the recipient, and `hold` of its message.
pub fn standing((state, held): (i64, i64), is_quarantined: bool, is_tried: bool, is_later: bool) -> Standing {
    match (state, held) {
        (0, 0) if is_later && !is_tried => Standing::Scheduled,
        (0, 0) if is_later => Standing::Deferred,
        (0, 0) => Standing::Ready,
        (0, _) if is_quarantined => Standing::Quarantined,
        (0, _) => Standing::Held,
        (1, _) => Standing::Leased,
        (2, _) => Standing::Delivered,
        (3, _) => Standing::Failed,
        _ => Standing::Expired,
    }
}

/// By the same of one who is under way.
const fn order(columns: (i64, i64)) -> Option<Ordered> {
    match columns {
        (1, 1) => Some(Ordered::Hold),
        (1, 2) => Some(Ordered::Drop),
        _ => None,
    }
}

fn address(text: &str) -> Result<Address> {
    Address::parse_international(text).map_err(|_| damaged("an address can't be read"))
}
