//! The clock that limits are counted by: it doesn't jump while the vault lives.
//!
//! A rate that was counted by the wall's clock would be refilled by a step forward and would lock out after a step back. So
//! the wall's clock is read once, at the start, and from there on time passes as it does, also while the machine sleeps. A
//! day is still a day of the calendar, because people and reports count by it.

use std::sync::LazyLock;
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
        Now { us: self.began_us.saturating_add(passed), wall_us: wall_us() }
    }

    /// The instant that both clocks have come to: a wall's clock that was set forward ends nothing before its time.
    pub fn passed_us(&self) -> u64 {
        let now = self.now();
        now.us.min(now.wall_us)
    }

    /// The instant that one of them has come to.
    fn reached_us(&self) -> u64 {
        let now = self.now();
        now.us.max(now.wall_us)
    }

    /// How long ago the vault began.
    pub fn age(&self) -> Duration {
        clock::elapsed().saturating_sub(self.since)
    }

    /// Whether an instant has come while the vault lives, by both clocks. Of one that had come before, nobody knows whether the
    /// wall's clock was set forward meanwhile.
    pub fn has_come(&self, us: u64) -> bool {
        let now = self.now();
        self.began_us < us && us <= now.us.min(now.wall_us)
    }
}

#[cfg(not(test))]
fn wall_us() -> u64 {
    ledger::now_us()
}

#[cfg(test)]
thread_local! {
    /// How far a test has set the wall's clock forward on its thread.
    pub static AHEAD_US: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
fn wall_us() -> u64 {
    ledger::now_us() + AHEAD_US.get()
}

/// Of this process, for the queue.
static QUEUE: LazyLock<Clock> = LazyLock::new(Clock::start);

/// The time of the queue, which its waits are counted from and come to their end by: what either clock has come to. A wall's clock that
/// was set back keeps nothing waiting, and one that is set forward ends waits early and those alone that were begun before.
pub fn queue_us() -> u64 {
    QUEUE.reached_us()
}

/// What both clocks have come to: what is due by this is due whatever they do, and what is over by it is over.
pub fn passed_us() -> u64 {
    QUEUE.passed_us()
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

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000_000;

    /// A clock that was started so long ago, when the wall's clock showed so much more or less than it should.
    fn started(ago: u64, wrong: i64) -> Clock {
        let since = clock::elapsed().saturating_sub(Duration::from_micros(ago));
        let ago = u64::try_from((clock::elapsed() - since).as_micros()).unwrap();
        Clock { began_us: (ledger::now_us() - ago).saturating_add_signed(wrong), since }
    }

    #[test]
    fn rule_q5_a_time_comes_by_both_clocks_and_while_it_is_watched() {
        let (now, second) = (ledger::now_us(), 1_000_000);
        // As long as the machine runs, if that is less.
        let true_clock = started(10 * second, 0);
        let begun = true_clock.began_us;
        assert!(true_clock.has_come(now) && true_clock.has_come(begun + 1));
        assert!(!true_clock.has_come(now + HOUR), "it is yet to come");
        assert!(!true_clock.has_come(begun) && !true_clock.has_come(1), "it had come before");
        assert!(true_clock.passed_us() >= now);
        let behind = -i64::try_from(HOUR).unwrap();
        // A clock that was set back while the vault lived, and one that was set forward.
        assert!(started(10 * second, -behind).reached_us() > now + HOUR - second * 60, "what waits is kept waiting");
        assert!(started(10 * second, behind).reached_us() >= now, "what waits is kept waiting");
        assert!(!started(10 * second, behind).has_come(now - second), "the wall's clock was set forward");
        let ahead = started(10 * second, behind).passed_us();
        assert!(ahead < now - HOUR + second * 60, "what is over by a clock that was set forward is not over");
        assert!(!started(10 * second, -behind).has_come(now + second), "the wall's clock was set back");
    }
}
