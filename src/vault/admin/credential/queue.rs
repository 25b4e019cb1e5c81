//! What becomes of the mail that a credential has in the queue when it, or a secret of it, is revoked.

use crate::ipc::admin::credential::Queue;
use crate::ipc::admin::queue::{Counts, Deed, Which};
use crate::vault::Vault;
use crate::vault::queue::{Order, REVOKED, carry_out_with_late, slice};
use crate::vault::store::{Failure, Store};

/// Messages counted in one transaction.
const SLICE: u32 = 1000;

fn order(id: &str, queue: Queue, actor: &str) -> Option<Order> {
    let deed = match queue {
        Queue::Hold => Deed::Hold,
        Queue::Drop => Deed::Drop,
        Queue::Deliver => return None,
    };
    let which = Which::Credential(id.to_owned());
    Some(Order { deed, which, actor: Some(actor.to_owned()), reason: REVOKED, note: None })
}

/// While the service runs: also for what was decided before the revocation and is not on the disk yet.
pub async fn settle(vault: &Vault, id: &str, queue: Queue, actor: &str) -> Result<Counts, String> {
    let Some(order) = order(id, queue, actor) else {
        let (mut counts, mut next) = (Counts::default(), Some(0));
        while let Some(after) = next {
            let id = id.to_owned();
            let counted = vault.writer.look(move |store| waiting(store, &id, after)).await;
            let (found, rest) = counted.map_err(|error| format!("the queue can't be counted: {error}"))?;
            counts.messages += found;
            next = rest;
        }
        return Ok(counts);
    };
    carry_out_with_late(vault, order).await
}

/// While the service is stopped.
pub fn settle_here(store: &mut Store<'_>, id: &str, queue: Queue, actor: &str) -> Result<Counts, Failure> {
    let (mut counts, mut next) = (Counts::default(), Some(0));
    let order = order(id, queue, actor);
    while let Some(after) = next {
        let Some(order) = &order else {
            let (found, rest) = store.transaction(|store| waiting(store, id, after))?;
            counts.messages += found;
            next = rest;
            continue;
        };
        let done = store.transaction(|store| slice(store, order, after))?;
        counts.messages += done.counts.messages;
        counts.recipients += done.counts.recipients;
        next = done.next;
        // Segments that nobody needs are removed at the next start.
    }
    Ok(counts)
}

/// How many messages of a credential wait behind that row, and where to go on.
fn waiting(store: &mut Store<'_>, id: &str, after: i64) -> rusqlite::Result<(u64, Option<i64>)> {
    let open = store.hold.open(after, SLICE)?;
    let is_full = u32::try_from(open.len()).is_ok_and(|length| length == SLICE);
    let next = open.last().map(|last| last.row).filter(|_| is_full);
    let own = open.iter().filter(|open| open.principal == id).count();
    Ok((u64::try_from(own).unwrap_or(u64::MAX), next))
}
