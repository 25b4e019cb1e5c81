//! A message that its courier has had for a while, and lives: who waits for a slow upstream keeps nobody from it, not even a suspect,
//! which otherwise waits until it is alone. A suspect itself is none any more then, and others go beside it: what ends a courier ends it
//! as it is read or sent.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{Courier, Job};
use crate::vault::delivery::schedule::persist;

/// An upstream may take ten minutes for its answer to the dot.
const ALONE: Duration = Duration::from_secs(if cfg!(test) { 3 } else { 30 });

impl Courier {
    /// Comes when the next one has been alone long enough; where there is none, never.
    pub(super) async fn acquittal(due: Option<(Instant, Job)>) -> Job {
        match due {
            Some((at, job)) => {
                tokio::time::sleep_until(at.into()).await;
                job
            }
            None => std::future::pending().await,
        }
    }

    pub(super) fn next_acquittal(&self) -> Option<(Instant, Job)> {
        let quick = self.active.iter().filter(|(_, active)| !active.is_slow);
        quick.map(|(job, active)| (active.begun + ALONE, *job)).min_by_key(|(at, _)| *at)
    }

    /// If the courier ends later, one that was a suspect is as one that was only under way.
    pub(super) fn acquit(&mut self, job: Job) {
        let Some(active) = self.active.get_mut(&job) else { return };
        active.is_slow = true;
        let was_suspect = std::mem::take(&mut active.leased.ended) > 0;
        let (row, message) = (active.leased.row, active.leased.message);
        self.vault.schedule.borrow_mut().takes_long(&self.peer.label, self.peer.instance, job.0);
        self.vault.poke.notify_one();
        if !was_suspect {
            return;
        }
        tracing::info!(upstream = self.peer.label, %message, "a suspect waits for its upstream; others go beside it");
        // In its own time: on a full disk that may be long, and the courier is heard meanwhile. What is written of it later, is behind.
        let vault = Rc::clone(&self.vault);
        self.vault.finish(async move { persist(&vault, move |store| store.suspects.clear(row)).await });
    }
}
