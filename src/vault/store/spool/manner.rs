//! What an envelope says beside its addresses, as columns. What is read is judged like what a client says.

use rusqlite::{Result, Row};

use crate::mail::dsn::{Envid, Notify, Orcpt, Report, Ret, Wish};
use crate::mail::envelope::Manner;
use crate::vault::audit::row::damaged;

/// Bits of `spool_msg.flags`; the schema names them.
const HEADERS: i64 = 8;
const FULL: i64 = 16;

pub fn flags(manner: &Manner) -> i64 {
    match manner.report.ret {
        None => 0,
        Some(Ret::Headers) => HEADERS,
        Some(Ret::Full) => FULL,
    }
}

/// From `flags` and `envid`, by their places in the row.
pub fn read(row: &Row<'_>, flags: usize, envid: usize) -> Result<Manner> {
    let ret = match row.get::<_, i64>(flags)? {
        0 => None,
        HEADERS => Some(Ret::Headers),
        FULL => Some(Ret::Full),
        _ => return Err(damaged("the flags of a message are none that there are")),
    };
    let envid = row.get::<_, Option<String>>(envid)?.map(Envid::try_from).transpose();
    let envid = envid.map_err(|_| damaged("an envelope id can't be read"))?;
    Ok(Manner { report: Report { ret, envid } })
}

/// `notify` and `orcpt`.
pub fn columns(wish: &Wish) -> (Option<u8>, Option<String>) {
    (wish.notify.map(u8::from), wish.orcpt.as_ref().map(ToString::to_string))
}

pub fn wish(row: &Row<'_>, notify: usize, orcpt: usize) -> Result<Wish> {
    let notify = row.get::<_, Option<u8>>(notify)?.map(Notify::try_from).transpose();
    let orcpt = row.get::<_, Option<String>>(orcpt)?.map(Orcpt::try_from).transpose();
    match (notify, orcpt) {
        (Ok(notify), Ok(orcpt)) => Ok(Wish { notify, orcpt }),
        _ => Err(damaged("what a recipient is to be told can't be read")),
    }
}
