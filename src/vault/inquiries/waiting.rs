//! Waiting for the end of a message: woken by what is written of it, and looked up then and at the end alone.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep_until};

use super::{Asker, look};
use crate::ipc::inquiry::{Finding, LONGEST_WAIT_MS, Over, Submission};
use crate::mail::id::MessageId;
use crate::policy::refusal::Refusal;
use crate::vault::Vault;
use crate::vault::shares::{Share, Shares};

/// Who may wait at a time, in all and of one credential. Each is a session that asks nothing else meanwhile.
const MOST: usize = 256;
const OWN: u64 = 16;
/// The shortest time between two looks of one who waits, which doubles with each: a message to many has much news, and the last of
/// it alone is waited for.
const GAP: Duration = Duration::from_millis(50);
const LONGEST_GAP: Duration = Duration::from_secs(2);

/// Places of those who wait.
pub struct Places {
    all: Arc<Semaphore>,
    own: Rc<Shares>,
}

impl Default for Places {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(MOST)), own: Rc::default() }
    }
}

/// One of them, until it is dropped.
struct Place {
    _one: OwnedSemaphorePermit,
    _own: Share,
}

impl Places {
    fn take(&self, principal: &str) -> Option<Place> {
        let mut own = self.own.share(principal);
        own.grow(1, OWN).ok()?;
        let one = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Place { _one: one, _own: own })
    }
}

/// What became of a message, once nothing more does, so much time is over, or `left` says (or its other end is dropped) that nobody
/// waits any more. `share` is of its question, which is over with the first look: from then on it has a place.
pub async fn wait(
    vault: &Vault,
    asker: &Asker,
    message: MessageId,
    within_ms: u32,
    (mut left, share): (oneshot::Receiver<()>, Share),
) -> Result<Finding, Refusal> {
    let until = Instant::now() + Duration::from_millis(u64::from(within_ms.min(LONGEST_WAIT_MS)));
    // Before the first look, so that nothing comes between.
    let ear = vault.writer.bells().listen(message);
    let (mut place, mut gap, mut over, mut share) = (None, GAP, None, Some(share));
    loop {
        let found = look(vault, asker, message).await?;
        drop(share.take());
        if found.as_deref().is_none_or(is_over) {
            return Ok(Finding::Waited(found, Over::Ended));
        }
        if let Some(over) = over {
            return Ok(Finding::Waited(found, over));
        }
        // Whoever asks for what is not there, or is over, needs none.
        if place.is_none() {
            place = vault.inquiries.waiting.take(&asker.principal);
        }
        if place.is_none() {
            return Ok(Finding::Waited(found, Over::Crowded));
        }
        let not_before = Instant::now() + gap;
        gap = (gap * 2).min(LONGEST_GAP);
        let news = async {
            ear.rung().await;
            sleep_until(not_before).await;
        };
        over = tokio::select! {
            biased;
            _ = &mut left => Some(Over::Left),
            () = news => None,
            () = sleep_until(until) => Some(Over::Elapsed),
        };
    }
}

fn is_over(submission: &Submission) -> bool {
    submission.status.is_final()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_of_a_credential_and_of_all_may_wait_and_who_waits_no_more_makes_room() {
        let places = Places::default();
        let mut shop: Vec<_> = (0..OWN).map_while(|_| places.take("shop")).collect();
        assert_eq!(shop.len(), 16);
        assert!(places.take("shop").is_none());
        let others: Vec<_> = (0..MOST).map_while(|n| places.take(&(n / 16).to_string())).collect();
        assert_eq!(others.len(), MOST - 16, "in all");
        assert!(places.take("board").is_none());
        shop.pop();
        assert!(places.take("shop").is_some());
    }
}
