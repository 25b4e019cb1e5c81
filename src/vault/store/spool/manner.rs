//! What an envelope says beside its addresses, as columns. What is read is judged like what a client says.

use rusqlite::{Result, Row};

use crate::mail::dsn::{Envid, Notify, Orcpt, Report, Ret, Wish};
use crate::mail::envelope::{Manner, Utf8};
use crate::vault::audit::row::damaged;

/// Bits of `spool_msg.flags`; the schema names all but the last two: one is set beside SMTPUTF8 when the header needs it, one says
/// that it is sent for a test. From `MOVE` on stands how often its sender has given it another time.
const UTF8: i64 = 2;
const REQUIRETLS: i64 = 4;
const HEADERS: i64 = 8;
const FULL: i64 = 16;
const UTF8_HEADER: i64 = 32;
pub const TEST: i64 = 64;
pub const MOVE: i64 = 128;

pub fn flags(manner: &Manner) -> i64 {
    let ret = match manner.report.ret {
        None => 0,
        Some(Ret::Headers) => HEADERS,
        Some(Ret::Full) => FULL,
    };
    let utf8 = match manner.utf8 {
        Utf8::None => 0,
        Utf8::Allowed => UTF8,
        Utf8::Needed => UTF8 | UTF8_HEADER,
    };
    let require_tls = if manner.require_tls { REQUIRETLS } else { 0 };
    ret | utf8 | require_tls | if manner.test { TEST } else { 0 }
}

/// From `flags` and `envid`, by their places in the row.
pub fn read(row: &Row<'_>, flags: usize, envid: usize) -> Result<Manner> {
    // How often it was moved is no matter of its envelope.
    let flags = row.get::<_, i64>(flags)? % MOVE;
    let ret = [None, Some(Ret::Headers), Some(Ret::Full)];
    let utf8 = [Utf8::None, Utf8::Allowed, Utf8::Needed];
    let envid = row.get::<_, Option<String>>(envid)?.map(Envid::try_from).transpose();
    let envid = envid.map_err(|_| damaged("an envelope id can't be read"))?;
    let (require_tls, test) = (flags & REQUIRETLS != 0, flags & TEST != 0);
    let all = utf8.into_iter().flat_map(|utf8| ret.map(|ret| (utf8, ret)));
    let mut manners = all.map(|(utf8, ret)| Manner {
        utf8,
        require_tls,
        // That is in the recipients' next_us, and over.
        release_us: None,
        report: Report { ret, envid: envid.clone() },
        test,
    });
    let found = manners.find(|manner| self::flags(manner) == flags);
    found.ok_or_else(|| damaged("the flags of a message are none that there are"))
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
