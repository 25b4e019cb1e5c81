//! After the routes have changed: those who wait are moved to the lanes they have now.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::way_back;
use crate::policy::simulation::LANE;
use crate::vault::Vault;
use crate::vault::store::spool::Waiting;

/// Recipients looked at in one transaction.
const SLICE: u32 = 500;

/// Looks at everybody who waits, some at a time. What is on offer keeps its lane until it comes back, and is then found by
/// the next look: so a message is at worst tried once more the old way.
pub async fn run(vault: Rc<Vault>) {
    let (mut after, mut moved) = ((0, 0), 0usize);
    loop {
        let Ok(waiting) = vault.writer.run(move |store| store.spool.waiting(after, SLICE)).await else { return };
        let Some(last) = waiting.last() else { break };
        after = (last.row, last.number);
        let changed: Vec<_> = {
            let authority = vault.authority.borrow();
            let lane =
                |one: &Waiting| way_back::lane(&authority, &one.principal, one.is_report, &one.sender, &one.recipient);
            // What is sent for a test stays one, whatever becomes of its credential.
            let waiting = waiting.into_iter().filter(|one| one.lane != LANE);
            waiting.map(|one| (lane(&one), one)).filter(|(lane, one)| *lane != one.lane).collect()
        };
        moved += changed.len();
        let lanes: BTreeSet<String> = changed.iter().map(|(lane, _)| lane.clone()).collect();
        let done = vault.writer.run(move |store| {
            changed.iter().try_for_each(|(lane, one)| store.spool.move_to(one.row, one.number, lane))
        });
        if done.await.is_err() {
            return;
        }
        vault.schedule.borrow_mut().arrived(lanes);
    }
    if moved > 0 {
        tracing::info!(recipients = moved, "waiting recipients were moved to their new routes");
    }
    vault.poke.notify_one();
}
