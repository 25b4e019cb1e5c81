//! Lets go of leaf hashes whose events are gone for long.
//!
//! The event has the root of the tree at the cut, and each later event of a removed month says again where the hashes begin: so
//! the newest of them is always in the log, and fewer hashes than it says are an erasure without an event.

use std::time::Duration;

use rusqlite::Result as Sql;
use serde::{Deserialize, Serialize};

use super::{Name, record};
use crate::vault::audit::month::Month;
use crate::vault::audit::month_file::hex;
use crate::vault::store::Store;
use crate::vault::store::hashes::GRAIN;

/// What the order is known by as long as it is under way.
const RULE: &str = "hashes";

/// The data of `audit.prune` when hashes go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HashPruning {
    /// Those of the events before this one.
    pub hashes: u64,
    /// The root of the tree of that size.
    pub root: String,
    pub ground: String,
}

/// The hashes that an event says were removed. None for other events, and when it can't be read.
pub fn hash_pruning(event: &str, data: &str) -> Option<HashPruning> {
    if event != Name::AuditPrune.word() { None } else { serde_json::from_str(data).ok() }
}

/// How far they may go: with months that are over for so long, before `first`, which is the first event that is in a file, and as
/// many as a tile above covers.
fn due(months: &[(Month, u64)], first: u64, keep: Duration, now_us: u64) -> u64 {
    let keep_us = u64::try_from(keep.as_micros()).unwrap_or(u64::MAX);
    let is_over = |month: &Month| month.end_us().is_some_and(|end_us| end_us.saturating_add(keep_us) <= now_us);
    let ends = months.iter().filter(|(month, _)| is_over(month)).map(|(_, end)| *end);
    let end = ends.max().unwrap_or(0).min(first);
    end - end % GRAIN
}

/// Writes the event and the order for what is due, if there is any. True when that was now.
pub fn order(store: &mut Store<'_>, first: u64, keep: Duration, now_us: u64, actor: &str, ground: &str) -> Sql<bool> {
    if store.erasures.has(RULE)? {
        return Ok(false);
    }
    let from = due(&store.hashes.months()?, first, keep, now_us);
    let size = store.ledger.size();
    if from <= store.hashes.first(size)? {
        return Ok(false);
    }
    let Some(root) = store.ledger.root_at(from)? else { return Ok(false) };
    let pruning = HashPruning { hashes: from, root: hex(&root), ground: ground.to_owned() };
    record(store, Name::AuditPrune, serde_json::json!(pruning).to_string(), actor, Some(RULE))?;
    store.hashes.keep_from(from)?;
    Ok(true)
}

#[cfg(test)]
mod tests;
