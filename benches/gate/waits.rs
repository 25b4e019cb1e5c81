//! How long many things took, told by the shares that had an end by then.

use std::fmt::{Display, Formatter, Result};

/// In milliseconds, the shortest first.
pub struct Waits(Vec<f64>);

impl Waits {
    pub fn new(mut all: Vec<f64>) -> Self {
        all.sort_by(f64::total_cmp);
        Self(all)
    }

    /// By then so many of a thousand had ended. Nothing took no time at all where there was nothing.
    pub fn at(&self, of_thousand: usize) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((self.0.len() * of_thousand / 1000).min(last)).copied().unwrap_or(f64::NAN)
    }
}

impl Display for Waits {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let [p50, p99, p999, slowest] = [500, 990, 999, 1000].map(|share| self.at(share));
        let count = self.0.len();
        write!(f, "p50 {p50:.1}, p99 {p99:.1}, p99.9 {p999:.1}, slowest {slowest:.1} ms of {count}")
    }
}
