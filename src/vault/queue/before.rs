//! What a message that comes from an archive was here before: nobody gets it twice because it came back.

use std::collections::BTreeSet;

use rusqlite::Result as Sql;

use crate::mail::address::Address;
use crate::mail::id::MessageId;
use crate::vault::store::Store;
use crate::vault::store::transfer::Was;

pub const OPEN: &str = "it is in this queue already";
const DELIVERED: &str = "it was in this queue, and somebody whom the file has waiting was delivered to here";
const FAILED: &str = "it was in this queue, and somebody whom the file has waiting was given up here as failed";
const DOUBTFUL: &str = "it was in this queue, and somebody whom the file has waiting was given up here by order, after an attempt of \
                        which nobody knows whether it delivered it";
const NOBODY: &str = "it was in this queue, and somebody whom the file has waiting was no recipient of it here";

/// Whom of those who are to wait an attempt may have delivered it to, before it left here. Otherwise the reason why they can't wait:
/// it must not be here, and none of them has ended here save by order. What left for an archive is nowhere but there, however much in
/// doubt; what was dropped was to be gone.
pub fn look<'a>(
    store: &mut Store<'_>,
    message: MessageId,
    waiting: impl Iterator<Item = &'a Address>,
) -> Sql<Result<BTreeSet<String>, &'static str>> {
    let mut doubted = BTreeSet::new();
    if store.hold.find(message)?.is_some() {
        return Ok(Err(OPEN));
    }
    let before = store.transfer.was(message)?;
    if before.is_empty() {
        return Ok(Ok(doubted));
    }
    for address in waiting {
        let address = address.to_string();
        match before.iter().find(|(own, _)| *own == address).map(|(_, was)| was) {
            Some(Was::Exported { doubt: false } | Was::Dropped { doubt: false }) => {}
            Some(Was::Exported { doubt: true }) => _ = doubted.insert(address),
            Some(Was::Dropped { doubt: true }) => return Ok(Err(DOUBTFUL)),
            Some(Was::Delivered) => return Ok(Err(DELIVERED)),
            Some(Was::Failed) => return Ok(Err(FAILED)),
            None => return Ok(Err(NOBODY)),
        }
    }
    Ok(Ok(doubted))
}
