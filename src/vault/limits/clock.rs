//! The clock that limits are counted by: it doesn't jump while the vault lives.
//!
//! A rate that was counted by the wall's clock would be refilled by a step forward and would lock out after a step back. So
//! the wall's clock is read once, at the start, and from there on time passes as it does, also while the machine sleeps. A
//! day is still a day of the calendar, because people and reports count by it.

use std::time::Duration;

use crate::sys::clock;
use crate::vault::audit::{ledger, month};

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began_us: u64,
    since: Duration,
}

/// One instant, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Microseconds by the clock that doesn't jump: what rates count by.
    pub us: u64,
    /// Unix time in microseconds, as the calendar has it: what days count by.
    pub wall_us: u64,
}

impl Clock {
    pub fn start() -> Self {
        Self { began_us: ledger::now_us(), since: clock::elapsed() }
    }

    pub fn now(&self) -> Now {
        let passed = clock::elapsed().saturating_sub(self.since);
        let passed = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX);
        Now { us: self.began_us.saturating_add(passed), wall_us: ledger::now_us() }
    }
}

impl Now {
    /// Both clocks agree, as at a start.
    pub const fn at(us: u64) -> Self {
        Self { us, wall_us: us }
    }

    /// Days since 1970, in UTC.
    pub fn day(self) -> i64 {
        month::today(self.wall_us).0
    }

    /// Seconds until the next day, rounded up.
    pub fn left(self) -> u32 {
        month::today(self.wall_us).1
    }

    /// Hours since 1970.
    pub fn hour(self) -> i64 {
        i64::try_from(self.wall_us / 3_600_000_000).unwrap_or(i64::MAX)
    }
}
