//! What the writer is at. A disk that hangs is known by how long that goes on: how long it took is known when it is over.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub struct Work {
    origin: Instant,
    /// Microseconds after the origin, and one; 0 for nothing that is under way, and nothing that was done.
    began: AtomicU64,
    ended: AtomicU64,
}

impl Default for Work {
    fn default() -> Self {
        Self { origin: Instant::now(), began: AtomicU64::new(0), ended: AtomicU64::new(0) }
    }
}

impl Work {
    pub fn begin(&self, now: Instant) {
        self.began.store(self.at(now), Ordering::Relaxed);
    }

    pub fn end(&self, now: Instant) {
        self.ended.store(self.at(now), Ordering::Relaxed);
        self.began.store(0, Ordering::Relaxed);
    }

    /// How long what is under way has been so; nothing is zero.
    pub fn age_us(&self, now: Instant) -> u64 {
        match self.began.load(Ordering::Relaxed) {
            0 => 0,
            began => self.at(now).saturating_sub(began),
        }
    }

    /// Whether something was brought to its end within that time.
    pub fn moved_within(&self, time: Duration, now: Instant) -> bool {
        match self.ended.load(Ordering::Relaxed) {
            0 => false,
            ended => u128::from(self.at(now).saturating_sub(ended)) <= time.as_micros(),
        }
    }

    fn at(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.origin).as_micros();
        u64::try_from(since).unwrap_or(u64::MAX).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_has_an_age_and_what_ends_moves() {
        let (work, second) = (Work::default(), Duration::from_secs(1));
        let start = work.origin;
        assert_eq!((work.age_us(start + second), work.moved_within(second, start)), (0, false));
        work.begin(start);
        assert_eq!(work.age_us(start + second), 1_000_000);
        assert!(!work.moved_within(second, start + second), "nothing was done yet");
        work.end(start + second);
        assert_eq!(work.age_us(start + 9 * second), 0);
        assert!(work.moved_within(second, start + 2 * second) && !work.moved_within(second, start + 3 * second));
    }
}
