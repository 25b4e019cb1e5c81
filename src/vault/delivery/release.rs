//! The end of a lease: what is written, and what follows when it is on the disk.

use std::rc::Rc;

use rusqlite::Result;
use tokio::task::JoinHandle;

use super::reroute;
use super::schedule::persist;
use crate::vault::Vault;
use crate::vault::hooks;
use crate::vault::queue;
use crate::vault::store::Store;
use crate::vault::store::hooks::Scope;

/// The message that a lease was of.
#[derive(Clone, Copy)]
pub struct Ended {
    pub job: u64,
    pub row: i64,
}

/// Ends a lease, in its own time; what has no outcome waits until then.
pub fn release(vault: &Rc<Vault>, job: u64, lane: String, next_us: u64) -> JoinHandle<()> {
    let own = Rc::clone(vault);
    vault.finish(async move {
        let written = persist(&own, move |store| write(store, job, next_us)).await;
        let (row, segment) = written.unwrap_or_default();
        if let Some(segment) = segment {
            own.segments.remove(segment).await;
        }
        follow(&own, row.map(|row| Ended { job, row }), lane).await;
    })
}

/// The lease itself, in a transaction. Gives the row of its message, and a segment that must be removed after it.
pub fn write(store: &mut Store<'_>, job: u64, next_us: u64) -> Result<(Option<i64>, Option<String>)> {
    let row = store.spool.release(job, next_us)?;
    let segment = row.map(|row| queue::bury(store, row)).transpose()?.flatten();
    Ok((row, segment))
}

/// What follows: who came back is looked at again where the routes are others, and what waited for this end comes to pass.
pub async fn follow(vault: &Rc<Vault>, ended: Option<Ended>, lane: String) {
    if let Some(Ended { row, .. }) = ended.filter(|one| vault.schedule.borrow().routes.are_others(one.job)) {
        reroute::message(vault, row).await;
    }
    vault.schedule.borrow_mut().arrived([lane]);
    vault.poke.notify_one();
    // All that its courier said is written down.
    if let Some(Ended { row, .. }) = ended {
        Box::pin(hooks::ripen(vault, Scope::Message(row))).await;
    }
}
