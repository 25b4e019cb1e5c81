//! The small things that time brings.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::audit::ledger::now_us;
use super::audit::month;
use super::{Vault, login};

/// For ever.
pub async fn run(vault: Rc<Vault>) {
    /// Messages that are done are remembered so long, for those who ask.
    const REMEMBERED_US: u64 = 7 * 86_400_000_000;
    /// Messages forgotten in one transaction, and the seconds between two looks.
    const SWEEP: u32 = 200;
    const SWEEP_SECONDS: u64 = 60;
    /// Suppressed addresses forgotten in one transaction, and how old the vault is by then: a machine whose clock is wrong when it
    /// starts has it right soon, and what is forgotten does not come back.
    const SWEEP_SUPPRESSED: u32 = 1000;
    /// The same of requests that were done once; more than come in that time would have to be very many.
    const SWEEP_ONCE: u32 = 10_000;
    const SETTLED: Duration = Duration::from_secs(3600);
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut second = 0u64;
    loop {
        ticks.tick().await;
        vault.writer.tick();
        login::expiry::look(&vault).await;
        second += 1;
        if second.is_multiple_of(SWEEP_SECONDS) {
            let now = vault.authority.borrow().clock.now();
            let refused = vault.authority.borrow_mut().sweep();
            if !refused.is_empty() {
                vault.writer.record(refused).await;
            }
            // What lies behind by one clock and not by the other is not old yet.
            let day = now.day().min(month::today(now.us).0);
            let (sweep_us, now) = (now.us, now_us());
            let clock = vault.authority.borrow().clock;
            let over_us = (clock.age() >= SETTLED).then(|| clock.passed_us());
            if let Some(over_us) = over_us {
                vault.onces.sweep(over_us);
            }
            let sweep = vault.writer.run(move |store| {
                store.consumption.sweep(sweep_us, day)?;
                if let Some(over_us) = over_us {
                    store.once.sweep(over_us, SWEEP_ONCE)?;
                    store.suppressions.sweep(over_us, SWEEP_SUPPRESSED)?;
                }
                store.spool.sweep(now.saturating_sub(REMEMBERED_US), SWEEP)
            });
            // No room on the disk, or the end of the store: the next look will do.
            let _ = sweep.await;
        }
    }
}
