//! How long the store takes for one thing of a kind, smoothed: one that was slow is none of the disk's, many are.

use std::time::Duration;

/// What one counts for in the average, as in the estimate of a round trip (RFC 6298 section 2): an eighth.
const GAIN: u64 = 8;
/// Seconds without one after which what is known of those that are rare is forgotten, too: much mail comes between two of them.
const RARE: u32 = 60;

/// All kinds. A store is as slow as what it is slowest at: commits are small, and a disk that is fast at them may not be at the
/// rest.
#[derive(Debug, Default)]
pub struct Latencies {
    pub commits: Latency,
    /// The write-ahead log is copied back: pages all over the disk, while nothing else is written.
    pub checkpoints: Latency,
    /// Large bodies are made durable before their message is committed.
    pub bodies: Latency,
}

impl Latencies {
    pub fn second(&mut self) {
        self.commits.second(1);
        self.checkpoints.second(RARE);
        self.bodies.second(RARE);
    }

    /// Of the kind that takes longest. In microseconds.
    pub fn average_us(&self) -> u64 {
        self.commits.average_us.max(self.checkpoints.average_us).max(self.bodies.average_us)
    }
}

#[derive(Debug, Default)]
pub struct Latency {
    average_us: u64,
    last_us: u64,
    /// Seconds since the last one.
    pub quiet: u32,
}

impl Latency {
    /// That took so long. It counts as no more than the one before it took: whatever holds a single one
    /// up (a machine that stood still, one long order) says nothing of the next.
    pub fn took(&mut self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        // No overflow, and it comes to its end: what is lost by rounding is less than what one commit is.
        let counted = took.min(std::mem::replace(&mut self.last_us, took));
        self.average_us = self.average_us - self.average_us / GAIN + counted / GAIN;
        self.quiet = 0;
    }

    /// A second has passed. Where for so many there was none, nothing is known of how long it takes, and less each second of how
    /// long it took: what kept mail away for it would else keep it away for ever.
    fn second(&mut self, patience: u32) {
        self.quiet = self.quiet.saturating_add(1);
        if self.quiet > patience {
            (self.average_us, self.last_us) = (self.average_us / 2, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_q16_one_slow_commit_says_little_many_say_it_and_silence_forgets_it() {
        let mut latency = Latency::default();
        for _ in 0..60 {
            latency.took(Duration::from_secs(3600));
            latency.took(Duration::from_millis(2));
        }
        assert!(latency.average_us < 5000, "each is alone: {}", latency.average_us);
        (0..2).for_each(|_| latency.took(Duration::from_secs(8)));
        assert!(latency.average_us > 1_000_000, "{}", latency.average_us);
        (0..60).for_each(|_| latency.took(Duration::from_millis(2)));
        assert!(latency.average_us < 5000, "{}", latency.average_us);
        (0..60).for_each(|_| latency.took(Duration::from_secs(4)));
        assert!(latency.average_us > 3_900_000, "{}", latency.average_us);
        latency.second(1);
        assert!(latency.average_us > 3_900_000, "there were commits in it");
        (0..11).for_each(|_| latency.second(1));
        assert!(latency.average_us < 2000, "{}", latency.average_us);
        (0..3).for_each(|_| latency.took(Duration::MAX));
        assert!(latency.average_us > u64::MAX / 8 - 1_000_000);
    }
}
