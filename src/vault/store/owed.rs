//! Reports that are owed: recipients with a final state of whom the sender wants to know.

use rusqlite::{Connection, OptionalExtension, Result, Row, Statement, params};
use uuid::Uuid;

use super::keys::{Keys, Lock};
use super::spool::{Body, manner};
use crate::mail::address::Address;
use crate::mail::envelope::Manner;
use crate::mail::id::MessageId;
use crate::mail::notification::{Action, Fate};
use crate::vault::audit::row::{damaged, octets, unsigned};
use crate::vault::store::lasting;

/// Recipients in one report: more than there is room for in one (`MAX_REPORT`). A message of more, all of whom fail at once,
/// makes several.
pub const MAX_FATES: u32 = 250;
/// What `fate` reads.
pub const FATE: &str = "n, rcpt, state, code, enhanced, said, host, notify, orcpt, unknown, doubt";

/// Why a sender is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Of these recipients nobody waits any more.
    End,
    /// They wait for long.
    Delay,
}

/// A message whose sender is to be told.
#[derive(Clone, Debug)]
pub struct Owed {
    pub occasion: Occasion,
    pub row: i64,
    pub message: MessageId,
    pub principal: String,
    pub sender: Address,
    pub manner: Manner,
    pub bytes: u64,
    pub accepted_us: u64,
    pub expires_us: u64,
    pub body: Body,
    pub lock: Lock,
    /// There is no body any more.
    pub is_gone: bool,
    /// By the numbers of the recipients.
    pub fates: Vec<(u32, Fate)>,
}

/// The row of a message, and what is told of whom, by number.
pub type Told = (i64, Vec<(u32, Fate)>);

pub struct Owing<'c> {
    next: Statement<'c>,
    message: Statement<'c>,
    fates: Statement<'c>,
    told: Statement<'c>,
}

impl<'c> Owing<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| lasting(connection, sql);
        Ok(Self {
            // Those that couriers have at this moment belong into the same report.
            next: sql("SELECT msg FROM spool_rcpt AS one WHERE owed = 1 AND NOT EXISTS( \
                       SELECT 1 FROM spool_rcpt WHERE msg = one.msg AND state = 1) LIMIT 1")?,
            message: sql("SELECT msg_id, principal, mail_from, bytes, accepted_us, content, segment, flags, envid, \
                          expires_us \
                          FROM spool_msg LEFT JOIN spool_body ON msg = id WHERE id = ?")?,
            fates: sql(&format!("SELECT {FATE} FROM spool_rcpt WHERE msg = ? AND owed = 1 ORDER BY n LIMIT ?"))?,
            told: sql("UPDATE spool_rcpt SET owed = 0 WHERE msg = ? AND n = ?")?,
        })
    }

    /// The row of the next message of which a report is owed and can be made, and what became of whom.
    pub fn first(&mut self) -> Result<Option<Told>> {
        let Some(row) = self.next.query_row([], |row| row.get(0)).optional()? else { return Ok(None) };
        let fates = self.fates.query_map(params![row, MAX_FATES], |columns| fate(columns, end))?;
        Ok(Some((row, fates.collect::<Result<_>>()?)))
    }

    /// That message, to be reported for these.
    pub fn of(&mut self, row: i64, fates: Vec<(u32, Fate)>, occasion: Occasion, keys: &mut Keys<'_>) -> Result<Owed> {
        let mut owed = self.message.query_row([row], |columns| {
            let body = match (columns.get(5)?, columns.get(6)?) {
                (Some(content), None) => Body::Inline(content),
                (None, Some(name)) => Body::Segment(name),
                // It went with the last outcome, and of one of them something else was told later.
                (None, None) => Body::Inline(Vec::new()),
                _ => return Err(damaged("a body is neither here nor there")),
            };
            Ok(Owed {
                occasion,
                row,
                message: octets::<16>(columns, 0)?
                    .map(Uuid::from_bytes)
                    .ok_or_else(|| damaged("an id is missing"))?
                    .into(),
                principal: columns.get(1)?,
                sender: address(columns, 2)?,
                manner: manner::read(columns, 7, 8)?,
                bytes: unsigned(columns, 3)?,
                accepted_us: unsigned(columns, 4)?,
                expires_us: unsigned(columns, 9)?,
                is_gone: matches!(&body, Body::Inline(content) if content.is_empty()),
                body,
                lock: Lock::None,
                fates,
            })
        })?;
        owed.lock = keys.get(row, owed.message)?;
        Ok(owed)
    }

    /// The sender of a message was told of that recipient.
    pub fn told(&mut self, row: i64, number: u32) -> Result<()> {
        self.told.execute(params![row, number]).map(drop)
    }
}

/// What became of one whose state is final.
fn end(row: &Row<'_>) -> Option<Action> {
    match row.get::<_, i64>(2).ok()? {
        2 => Some(Action::Relayed),
        3 if row.get(9).ok()? => Some(Action::Unknown),
        3 => Some(Action::Failed),
        4 => Some(Action::Expired),
        _ => None,
    }
}

/// What is told of one recipient, with its number.
pub fn fate(row: &Row<'_>, action: impl FnOnce(&Row<'_>) -> Option<Action>) -> Result<(u32, Fate)> {
    let number = u32::try_from(row.get::<_, i64>(0)?).map_err(|_| damaged("a number is out of range"))?;
    let action = action(row).ok_or_else(|| damaged("a report is owed of a recipient who waits"))?;
    let code = row.get::<_, Option<i64>>(3)?.and_then(|code| u16::try_from(code).ok());
    Ok((
        number,
        Fate {
            recipient: address(row, 1)?,
            action,
            code,
            enhanced: row.get(4)?,
            text: row.get::<_, Option<String>>(5)?.unwrap_or_default(),
            host: row.get::<_, Option<String>>(6)?.unwrap_or_default(),
            original: manner::wish(row, 7, 8)?.orcpt,
            doubt: row.get(10)?,
        },
    ))
}

fn address(row: &Row<'_>, at: usize) -> Result<Address> {
    Address::parse_international(&row.get::<_, String>(at)?).map_err(|_| damaged("an address can't be read"))
}
