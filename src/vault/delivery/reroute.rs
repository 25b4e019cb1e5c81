//! After the routes have changed: those who wait are moved to the lanes they have now, and those who are under way when they come back.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::way_back;
use crate::policy::simulation::LANE;
use crate::vault::Vault;
use crate::vault::store::spool::Waiting;

/// Recipients looked at in one transaction.
const SLICE: u32 = 500;

/// What a look has done.
#[derive(Default)]
struct Moved {
    /// To another lane.
    recipients: usize,
    /// To none: no route applies to them any more.
    stranded: usize,
}

/// Looks at everybody who waits, some at a time. What is under way keeps its lane until it comes back (`message`): so it is at worst
/// tried once more the old way.
pub async fn run(vault: Rc<Vault>) {
    vault.schedule.borrow_mut().look_begins();
    let moved = look(&vault).await;
    vault.schedule.borrow_mut().look_ended();
    tell(&moved);
    vault.poke.notify_one();
}

/// The same for the recipients of one message that was leased before the routes changed, and isn't any more.
pub async fn message(vault: &Vault, row: i64) {
    // Behind everybody of the one before.
    let (mut after, mut moved) = ((row - 1, u32::MAX), Moved::default());
    loop {
        let Ok(mut waiting) = vault.writer.run(move |store| store.spool.waiting(after, SLICE)).await else { return };
        waiting.retain(|one| one.row == row);
        let Some(last) = waiting.last() else { break };
        after = (last.row, last.number);
        if !move_all(vault, waiting, &mut moved).await {
            return;
        }
    }
    tell(&moved);
}

async fn look(vault: &Vault) -> Moved {
    let (mut after, mut moved) = ((0, 0), Moved::default());
    loop {
        let Ok(waiting) = vault.writer.run(move |store| store.spool.waiting(after, SLICE)).await else { break };
        let Some(last) = waiting.last() else { break };
        after = (last.row, last.number);
        if !move_all(vault, waiting, &mut moved).await {
            break;
        }
    }
    moved
}

/// Moves those who have another lane now. False when the store has ended.
async fn move_all(vault: &Vault, waiting: Vec<Waiting>, moved: &mut Moved) -> bool {
    let changed: Vec<_> = {
        let authority = vault.authority.borrow();
        let lane =
            |one: &Waiting| way_back::lane(&authority, &one.principal, one.is_report, &one.sender, &one.recipient);
        // What is sent for a test stays one, whatever becomes of its credential.
        let waiting = waiting.into_iter().filter(|one| one.lane != LANE);
        waiting.map(|one| (lane(&one), one)).filter(|(lane, one)| *lane != one.lane).collect()
    };
    if changed.is_empty() {
        return true;
    }
    let stranded = changed.iter().filter(|(lane, _)| lane.is_empty()).count();
    (moved.recipients, moved.stranded) = (moved.recipients + changed.len() - stranded, moved.stranded + stranded);
    let lanes: BTreeSet<String> = changed.iter().map(|(lane, _)| lane.clone()).collect();
    let done = vault
        .writer
        .run(move |store| changed.iter().try_for_each(|(lane, one)| store.spool.move_to(one.row, one.number, lane)));
    if done.await.is_err() {
        return false;
    }
    vault.schedule.borrow_mut().arrived(lanes);
    true
}

fn tell(moved: &Moved) {
    if moved.recipients > 0 {
        tracing::info!(recipients = moved.recipients, "waiting recipients were moved to their new routes");
    }
    if moved.stranded > 0 {
        tracing::warn!(
            recipients = moved.stranded,
            "no route applies to waiting recipients any more: they wait for one, and are given up when their time is over"
        );
    }
}
