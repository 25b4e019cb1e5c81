//! Delays: the sender of a message that waits for long is told of it, once for each recipient.
//!
//! It doesn't matter what is waited for: an answer of the upstream, or a route that rests or is paused. What an administrator
//! holds is not late, and begins to wait when it is released.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;

use super::report;
use crate::vault::Vault;
use crate::vault::limits::clock::Clock;
use crate::vault::store::writer::NotStored;
use crate::vault::transaction::microseconds;

/// Messages reported one after the other, and the pause behind them: when a route was away for hours all that waits for it is
/// late at once, and mail goes on beside it.
const IN_A_ROW: usize = 50;
const PAUSE: Duration = Duration::from_secs(1);
/// The longest between two looks, in which the configuration can change.
const LONGEST: Duration = Duration::from_secs(60);
/// After a start what is late is tried before it is reported: it may have waited for that alone, or the clock was set forward.
const GRACE: Duration = Duration::from_secs(300);

/// Looks after those who wait, for ever.
pub async fn run(vault: Rc<Vault>) {
    loop {
        let wait = look(&vault).await;
        sleep(wait).await;
    }
}

/// Tells of some who are late. Gives how long there is nothing to do.
async fn look(vault: &Vault) -> Duration {
    let (late, clock, draining) = {
        let authority = vault.authority.borrow();
        (authority.slice.delay_report, authority.clock, authority.draining)
    };
    // A report is no mail that must be: it takes no room that others need.
    let Some(late) = late.filter(|_| !draining && !vault.writer.is_short()) else { return LONGEST };
    if let Some(wait) = GRACE.min(late).checked_sub(clock.age()).filter(|wait| !wait.is_zero()) {
        return wait.min(LONGEST);
    }
    for _ in 0..IN_A_ROW {
        let before = before(clock, late);
        let turn = vault.reporting.take().await;
        let found = match vault.writer.run(move |store| store.late(before)).await {
            Ok(Some(found)) => found,
            Ok(None) => break,
            Err(NotStored::Full | NotStored::Closed) => return LONGEST,
        };
        report::make(vault, found).await;
        drop(turn);
    }
    let oldest = vault.writer.run(|store| store.late.oldest()).await.ok().flatten();
    let left = oldest.map_or(late, |since| Duration::from_micros(since.saturating_sub(before(clock, late))));
    left.clamp(PAUSE, LONGEST.max(PAUSE)).min(late.max(PAUSE))
}

/// Whoever waits since then is late, by both clocks.
fn before(clock: Clock, late: Duration) -> u64 {
    let now = clock.now();
    now.us.min(now.wall_us).saturating_sub(microseconds(late))
}
