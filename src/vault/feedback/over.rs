//! The end of what nobody took in time.

use std::time::Duration;

use super::{Keeper, dropped};

/// Events given up in one transaction.
const SWEEP: u32 = 100;
/// After a start what is over is tried before it is given up: the clock may have been set forward meanwhile. And whoever is
/// under way when it is over is waited for.
const GRACE: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 300 });
const LATE_US: u64 = if cfg!(test) { 0 } else { 120_000_000 };

impl Keeper {
    /// Until when what ends is over, by both clocks; none as long as that isn't known after a start.
    pub(super) fn over_us(&self) -> Option<u64> {
        let clock = self.vault.authority.borrow().clock;
        (clock.age() >= GRACE).then(|| clock.passed_us())
    }

    /// Gives up some of what is over. Whether there may be more.
    pub(super) async fn sweep(&self) -> bool {
        let Some(over_us) = self.over_us() else { return false };
        let then_us = over_us.saturating_sub(LATE_US);
        let swept = self.vault.writer.run(move |store| {
            let lost = store.outbox.over(then_us, SWEEP)?;
            store.record(dropped::events(&lost, "lifetime"))?;
            Ok(lost.len())
        });
        // No room on the disk, or the end of the store: the next look will do.
        swept.await.is_ok_and(|count| u32::try_from(count) == Ok(SWEEP))
    }
}
