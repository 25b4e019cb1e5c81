//! What waits of credentials that have ended is held, of all of them in one pass over the queue.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Result as Sql;

use super::{Order, SLICE, Slice, add, concern, summary};
use crate::ipc::admin::queue::{Counts, Deed, Which};
use crate::mail::id::MessageId;
use crate::vault::Vault;
use crate::vault::store::Store;
use crate::vault::store::hold::Open;

/// Up to where mail is of those who have ended: what was begun after that was allowed, to one that is back. By its id, which says when it
/// was begun; or by its event, whatever the clock was when that was written.
#[derive(Clone, Copy, Debug)]
pub struct Until {
    pub(super) message: MessageId,
    /// How many events there were.
    pub(super) events: u64,
}

impl Until {
    /// All that there is now, and what was begun and is not on the disk yet.
    pub fn now(vault: &Vault) -> Self {
        Self { message: MessageId::now(), events: vault.writer.size() }
    }

    /// Whether the message was begun behind it.
    fn is_before(self, open: &Open) -> bool {
        open.message > self.message && open.accepted >= self.events
    }
}

/// Whose mail is held, by which order each, and up to where.
#[derive(Debug)]
pub struct Ended {
    orders: HashMap<String, Order>,
    until: Until,
}

impl Ended {
    /// Each for these reasons: a word, and our own words.
    pub fn new(ids: impl IntoIterator<Item = (String, &'static str, &'static str)>, until: Until) -> Self {
        let order = |id: String, reason, words: &str| Order {
            deed: Deed::Hold,
            which: Which::Credential(id),
            actor: None,
            reason,
            note: Some(words.to_owned()),
        };
        let orders = ids.into_iter().map(|(id, reason, words)| (id.clone(), order(id, reason, words))).collect();
        Self { orders, until }
    }
}

/// Holds it, also what is past its dot and not on the disk yet. How much of each; errors: the store took nothing.
pub async fn hold(vault: &Vault, ended: &Arc<Ended>) -> Result<HashMap<String, Counts>, String> {
    let mut counts = pass(vault, ended).await?;
    if vault.pending.settled().await {
        for (id, more) in pass(vault, ended).await? {
            add(counts.entry(id).or_default(), more);
        }
    }
    Ok(counts)
}

async fn pass(vault: &Vault, ended: &Arc<Ended>) -> Result<HashMap<String, Counts>, String> {
    let (mut all, mut next) = (HashMap::<String, Counts>::new(), Some(0));
    while let Some(after) = next {
        let own = Arc::clone(ended);
        let done = vault.writer.run(move |store| slice(store, &own, after)).await;
        let (counts, rest) = done.map_err(|error| error.to_string())?;
        for (id, more) in counts {
            add(all.entry(id).or_default(), more);
        }
        next = rest;
    }
    Ok(all)
}

/// How much of each.
type Held = Vec<(String, Counts)>;

/// The part of it that begins behind that row of the queue, and where to go on.
pub(super) fn slice(store: &mut Store<'_>, ended: &Ended, after: i64) -> Sql<(Held, Option<i64>)> {
    let open = store.hold.open(after, SLICE)?;
    let is_full = u32::try_from(open.len()).is_ok_and(|length| length == SLICE);
    let next = open.last().map(|last| last.row).filter(|_| is_full);
    let mut found = HashMap::<&str, (&Order, Slice)>::new();
    for open in &open {
        // What the gate says of such mail itself is no credential's.
        if open.is_ours || ended.until.is_before(open) {
            continue;
        }
        if let Some((id, order)) = ended.orders.get_key_value(&open.principal) {
            let (_, slice) = found.entry(id).or_insert_with(|| (order, Slice::default()));
            concern(store, order, open, slice)?;
        }
    }
    found.retain(|_, (_, slice)| slice.counts.messages > 0);
    store.record(found.values().map(|(order, slice)| summary(order, slice.counts)).collect())?;
    Ok((found.into_iter().map(|(id, (_, slice))| (id.to_owned(), slice.counts)).collect(), next))
}
