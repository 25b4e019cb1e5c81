//! Batches without a key that were to go whole, and that something came into the middle of which nobody could know before: what was
//! kept of each, so that the same request again sends the rest and not the first ones twice.
//!
//! Only such a batch is remembered, and only until the same request comes: one that was kept whole can be sent again at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::mail::id::MessageId;

/// How long: whatever came between is over by then, or its client has given up.
const KEPT: Duration = Duration::from_secs(3600);
/// Batches of one listener: with a hundred messages each, less than a megabyte. The oldest makes room.
const MOST: usize = 256;

/// What was kept of a batch: the numbers of its messages, and their ids.
pub type Begun = BTreeMap<usize, MessageId>;

#[derive(Debug, Default)]
pub struct Cuts(Mutex<HashMap<[u8; 32], (Instant, Begun)>>);

impl Cuts {
    /// What was kept of the batch with that fingerprint; it is forgotten here.
    pub fn take(&self, print: &[u8; 32]) -> Begun {
        self.take_at(print, Instant::now())
    }

    fn take_at(&self, print: &[u8; 32], now: Instant) -> Begun {
        let found = self.all().remove(print);
        found
            .filter(|(since, _)| now.saturating_duration_since(*since) < KEPT)
            .map(|(_, begun)| begun)
            .unwrap_or_default()
    }

    pub fn put(&self, print: [u8; 32], begun: Begun) {
        self.put_at(print, begun, Instant::now());
    }

    fn put_at(&self, print: [u8; 32], begun: Begun, now: Instant) {
        let mut all = self.all();
        all.retain(|_, (since, _)| now.saturating_duration_since(*since) < KEPT);
        if all.len() >= MOST
            && let Some(oldest) = all.iter().min_by_key(|(_, (since, _))| *since).map(|(print, _)| *print)
        {
            all.remove(&oldest);
        }
        all.insert(print, (now, begun));
    }

    fn all(&self) -> MutexGuard<'_, HashMap<[u8; 32], (Instant, Begun)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_told_once_and_for_an_hour_and_the_oldest_makes_room() {
        let (cuts, now, id) = (Cuts::default(), Instant::now(), MessageId::now());
        let begun = || Begun::from([(3, id)]);
        cuts.put_at([1; 32], begun(), now);
        assert_eq!((cuts.take_at(&[1; 32], now), cuts.take_at(&[1; 32], now)), (begun(), Begun::new()));
        cuts.put_at([1; 32], begun(), now);
        assert_eq!(cuts.take_at(&[1; 32], now + KEPT), Begun::new());
        for n in 0..=MOST {
            let mut print = [0; 32];
            print[..8].copy_from_slice(&n.to_be_bytes());
            cuts.put_at(print, begun(), now + Duration::from_secs(u64::try_from(n).unwrap()));
        }
        let most = cuts.all().len();
        assert_eq!((most, cuts.take_at(&[0; 32], now)), (MOST, Begun::new()));
    }
}
