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

/// Recipients in one report. A message of more, all of whom fail at once, makes several.
const MAX_FATES: u32 = 1000;

/// A message whose sender is to be told.
#[derive(Clone, Debug)]
pub struct Owed {
    pub row: i64,
    pub message: MessageId,
    pub principal: String,
    pub sender: Address,
    pub manner: Manner,
    pub bytes: u64,
    pub accepted_us: u64,
    pub body: Body,
    pub lock: Lock,
    /// By the numbers of the recipients.
    pub fates: Vec<(u32, Fate)>,
}

pub struct Owing<'c> {
    next: Statement<'c>,
    message: Statement<'c>,
    fates: Statement<'c>,
    told: Statement<'c>,
}

impl<'c> Owing<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| connection.prepare(sql);
        Ok(Self {
            // Those that couriers have at this moment belong into the same report.
            next: sql("SELECT msg FROM spool_rcpt AS one WHERE owed = 1 AND NOT EXISTS( \
                       SELECT 1 FROM spool_rcpt WHERE msg = one.msg AND state = 1) LIMIT 1")?,
            message: sql("SELECT msg_id, principal, mail_from, bytes, accepted_us, content, segment, flags, envid \
                          FROM spool_msg JOIN spool_body ON msg = id WHERE id = ?")?,
            fates: sql("SELECT n, rcpt, state, code, enhanced, said, host, notify, orcpt, unknown FROM spool_rcpt \
                        WHERE msg = ? AND owed = 1 ORDER BY n LIMIT ?")?,
            told: sql("UPDATE spool_rcpt SET owed = 0 WHERE msg = ? AND n = ?")?,
        })
    }

    /// The next message of which a report is owed and can be made.
    pub fn next(&mut self, keys: &mut Keys<'_>) -> Result<Option<Owed>> {
        let Some(row) = self.next.query_row([], |row| row.get::<_, i64>(0)).optional()? else { return Ok(None) };
        let fates = self.fates.query_map(params![row, MAX_FATES], fate)?.collect::<Result<Vec<_>>>()?;
        let mut owed = self.message.query_row([row], |columns| {
            let body = match (columns.get(5)?, columns.get(6)?) {
                (Some(content), None) => Body::Inline(content),
                (None, Some(name)) => Body::Segment(name),
                _ => return Err(damaged("a body is neither here nor there")),
            };
            Ok(Owed {
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
                body,
                lock: Lock::None,
                fates,
            })
        })?;
        owed.lock = keys.get(row, owed.message)?;
        Ok(Some(owed))
    }

    /// The sender of a message was told of that recipient.
    pub fn told(&mut self, row: i64, number: u32) -> Result<()> {
        self.told.execute(params![row, number]).map(drop)
    }
}

fn fate(row: &Row<'_>) -> Result<(u32, Fate)> {
    let number = u32::try_from(row.get::<_, i64>(0)?).map_err(|_| damaged("a number is out of range"))?;
    let action = match row.get::<_, i64>(2)? {
        2 => Action::Relayed,
        3 if row.get(9)? => Action::Unknown,
        3 => Action::Failed,
        4 => Action::Expired,
        _ => return Err(damaged("a report is owed of a recipient who waits")),
    };
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
        },
    ))
}

fn address(row: &Row<'_>, at: usize) -> Result<Address> {
    Address::parse_international(&row.get::<_, String>(at)?).map_err(|_| damaged("an address can't be read"))
}
