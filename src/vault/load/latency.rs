//! How long the store takes for a commit, smoothed: one slow commit is none of the disk's, many are.

use std::time::Duration;

/// What one commit counts for in the average, as in the estimate of a round trip (RFC 6298 section 2): an eighth.
const GAIN: u64 = 8;

#[derive(Debug, Default)]
pub struct Latency {
    average_us: u64,
    last_us: u64,
    /// Commits since the last second.
    fresh: u32,
}

impl Latency {
    /// Something was written, and that took so long. It counts as no more than the one before it took: whatever holds a single one
    /// up (a machine that stood still, one long order) says nothing of the next.
    pub fn commit(&mut self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        // No overflow, and it comes to its end: what is lost by rounding is less than what one commit is.
        let counted = took.min(std::mem::replace(&mut self.last_us, took));
        self.average_us = self.average_us - self.average_us / GAIN + counted / GAIN;
        self.fresh = self.fresh.saturating_add(1);
    }

    /// A second has passed. Where nothing is written, nothing is known of how long that takes, and less each second of how long
    /// it took: what kept mail away for it would else keep it away for ever.
    pub fn second(&mut self) {
        if std::mem::take(&mut self.fresh) == 0 {
            (self.average_us, self.last_us) = (self.average_us / 2, 0);
        }
    }

    /// In microseconds.
    pub const fn average_us(&self) -> u64 {
        self.average_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_q16_one_slow_commit_says_little_many_say_it_and_silence_forgets_it() {
        let mut latency = Latency::default();
        for _ in 0..60 {
            latency.commit(Duration::from_secs(3600));
            latency.commit(Duration::from_millis(2));
        }
        assert!(latency.average_us() < 5000, "each is alone: {}", latency.average_us());
        (0..2).for_each(|_| latency.commit(Duration::from_secs(8)));
        assert!(latency.average_us() > 1_000_000, "{}", latency.average_us());
        (0..60).for_each(|_| latency.commit(Duration::from_millis(2)));
        assert!(latency.average_us() < 5000, "{}", latency.average_us());
        (0..60).for_each(|_| latency.commit(Duration::from_secs(4)));
        assert!(latency.average_us() > 3_900_000, "{}", latency.average_us());
        latency.second();
        assert!(latency.average_us() > 3_900_000, "there were commits in it");
        (0..11).for_each(|_| latency.second());
        assert!(latency.average_us() < 2000, "{}", latency.average_us());
        (0..3).for_each(|_| latency.commit(Duration::MAX));
        assert!(latency.average_us() > u64::MAX / 8 - 1_000_000);
    }
}
