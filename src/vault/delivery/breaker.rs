//! The breaker of an upstream: it rests when all its hosts have failed, is probed by one message, and comes back step by step.
//!
//! What failed may only just be up again, or still be failing for most: after the first success two messages may be on the
//! way, then four, until there are as many as its courier can take.

use std::time::{Duration, Instant};

use super::outcome::jitter;

/// It rests this long after its first failure, twice as long after each further one, and never longer than the second.
const PAUSE: Duration = Duration::from_secs(5);
pub const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The same when it refuses our login: providers lock accounts for trying, and only somebody can mend that.
const REFUSED: Duration = Duration::from_secs(120);
const LONGEST_REFUSED: Duration = Duration::from_secs(900);
/// As long as it may ask to be left alone (Retry-After): nobody stops our mail for a day by one word.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// Why an upstream can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No host could be reached, or was of use.
    Route,
    /// It ends its sessions over one credential's messages, and might bear those of others.
    Messages,
    /// It refuses our login.
    Login,
}

impl Fault {
    /// For the log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Route | Self::Messages => "route-failed",
            Self::Login => "login-refused",
        }
    }
}

#[derive(Debug, Default)]
pub struct Breaker {
    /// In a row.
    pub failures: u32,
    /// The last of them, until one passes.
    pub fault: Option<(Fault, String)>,
    resting_until: Option<Instant>,
    /// It asked to be left alone until then, which another answer doesn't end.
    asked_until: Option<Instant>,
    /// Messages that may be on the way at once, since a failure; none when there is no such limit.
    pub window: Option<u32>,
    /// Passed since the window was widened.
    passed: u32,
    /// Messages on the way.
    pub busy: u32,
    /// How many of these were on the way when it failed, all of them under lower numbers than this: they probe nothing, and how they end
    /// is no matter of the window.
    older: (u64, u32),
}

impl Breaker {
    pub fn rests(&self, now: Instant) -> bool {
        self.until().is_some_and(|until| now < until)
    }

    /// How much longer it rests.
    pub fn rest(&self, now: Instant) -> Option<Duration> {
        self.until().map(|until| until.saturating_duration_since(now)).filter(|rest| !rest.is_zero())
    }

    fn until(&self) -> Option<Instant> {
        self.resting_until.max(self.asked_until)
    }

    /// It has failed and nothing has passed since.
    pub fn is_open(&self) -> bool {
        self.failures > 0
    }

    /// How many more it may be offered.
    pub fn room(&self) -> u32 {
        self.window.map_or(u32::MAX, |window| window.saturating_sub(self.busy.saturating_sub(self.older())))
    }

    /// How many are on the way since before it failed.
    pub const fn older(&self) -> u32 {
        self.older.1
    }

    /// So many are on the way no more, the first of them under that number.
    pub const fn ended(&mut self, first: u64, count: u32) {
        self.busy = self.busy.saturating_sub(count);
        if first < self.older.0 {
            self.older.1 = self.older.1.saturating_sub(count);
        }
    }

    /// It failed. How long it rests, when it wasn't resting already.
    pub fn failed(&mut self, fault: Fault, reason: String, now: Instant) -> Option<Duration> {
        if self.rests(now) {
            return None;
        }
        let (least, most) = match fault {
            Fault::Route => (PAUSE, LONGEST_PAUSE),
            Fault::Messages => (PAUSE, PAUSE),
            Fault::Login => (REFUSED, LONGEST_REFUSED),
        };
        let pause = least.saturating_mul(1 << self.failures.min(16)).min(most);
        let pause = (pause * jitter() / 100).min(most);
        self.failures += 1;
        self.resting_until = Some(now + pause);
        (self.window, self.passed) = (Some(1), 0);
        self.fault = Some((fault, reason));
        Some(pause)
    }

    /// All that is on the way now, under lower numbers than this, is from before it failed.
    pub const fn set_apart(&mut self, next: u64) {
        self.older = (next, self.busy);
    }

    /// It asked to be left alone for so long. How long that is, when it is longer than it would have rested.
    pub fn rest_at_least(&mut self, asked: Duration, now: Instant) -> Option<Duration> {
        let asked = asked.min(LONGEST_ASKED);
        let is_longer = self.until().is_none_or(|until| until < now + asked);
        self.asked_until = self.asked_until.max(Some(now + asked));
        is_longer.then_some(asked)
    }

    /// It answered. True when that ends a series of failures.
    pub fn answered(&mut self) -> bool {
        (self.resting_until, self.fault) = (None, None);
        std::mem::take(&mut self.failures) > 0
    }

    /// A message came to its end there, of as many as the courier takes at once.
    pub fn passed(&mut self, slots: u32) {
        let Some(window) = self.window.filter(|_| !self.is_open()) else { return };
        self.passed += 1;
        if self.passed >= window {
            let wider = window.saturating_mul(2);
            (self.window, self.passed) = ((wider < slots).then_some(wider), 0);
        }
    }

    /// It is tried now, by one message if it has failed.
    pub fn try_now(&mut self) {
        (self.resting_until, self.asked_until) = (None, None);
    }

    /// What it is may have been mended. True when it had failed.
    pub fn forget(&mut self) -> bool {
        (self.window, self.asked_until) = (None, None);
        self.answered()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(pause: Duration, seconds: u64) -> bool {
        let base = Duration::from_secs(seconds);
        (base * 4 / 5..=base * 6 / 5).contains(&pause)
    }

    #[test]
    fn rule_q2_a_route_rests_longer_after_each_failure_and_not_at_all_after_a_success() {
        let (mut breaker, mut at) = (Breaker::default(), Instant::now());
        for seconds in [5, 10, 20, 40, 80, 160, 300, 300] {
            let pause = breaker.failed(Fault::Route, String::new(), at).unwrap();
            assert_eq!(breaker.failed(Fault::Route, String::new(), at), None, "several jobs fail at once");
            assert!(near(pause, seconds) && pause <= LONGEST_PAUSE, "{pause:?} for {seconds}");
            assert!(breaker.rests(at) && !breaker.rests(at + pause));
            at += pause;
        }
        assert!(breaker.answered());
        assert!(!breaker.answered() && !breaker.rests(at));
        assert!(near(breaker.failed(Fault::Route, String::new(), at).unwrap(), 5));
    }

    #[test]
    fn rule_q2_a_route_rests_as_long_as_it_was_asked_to_and_no_longer_than_an_hour() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        let seconds = Duration::from_secs;
        let pause = breaker.failed(Fault::Route, String::new(), now).unwrap();
        assert_eq!(breaker.rest_at_least(seconds(1), now), None, "it rests for longer");
        assert_eq!(breaker.rest(now), Some(pause));
        assert_eq!(breaker.rest_at_least(seconds(30), now), Some(seconds(30)));
        assert!(breaker.rests(now + seconds(29)) && !breaker.rests(now + seconds(30)));
        assert_eq!(breaker.rest_at_least(seconds(u64::MAX), now), Some(LONGEST_ASKED));
        assert!(
            breaker.answered() && breaker.rests(now),
            "an answer to what was on its way ends no rest that was asked for"
        );
        assert!(!breaker.rests(now + LONGEST_ASKED));
        breaker.try_now();
        assert!(!breaker.rests(now));
    }

    #[test]
    fn rule_q2_pauses_have_jitter() {
        let now = Instant::now();
        let pauses: std::collections::BTreeSet<_> =
            (0..40).filter_map(|_| Breaker::default().failed(Fault::Route, String::new(), now)).collect();
        assert!(pauses.len() > 5, "{pauses:?}");
    }

    #[test]
    fn rule_q2_one_message_probes_and_each_success_lets_twice_as_many_go() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        assert_eq!(breaker.room(), u32::MAX);
        let pause = breaker.failed(Fault::Route, String::new(), now).unwrap();
        assert_eq!(breaker.room(), 1);
        breaker.busy = 1;
        assert_eq!(breaker.room(), 0, "one probe at a time");
        breaker.passed(32);
        assert_eq!(breaker.window, Some(1), "nothing is known to have passed");
        breaker.answered();
        let mut windows = Vec::new();
        for _ in 0..40 {
            breaker.passed(32);
            windows.push(breaker.window);
        }
        windows.dedup();
        assert_eq!(windows, [Some(2), Some(4), Some(8), Some(16), None]);
        breaker.failed(Fault::Route, String::new(), now + pause);
        assert_eq!(breaker.window, Some(1));
        assert!(breaker.forget() && breaker.room() == u32::MAX);
    }

    #[test]
    fn rule_q2_what_was_on_its_way_before_the_failure_is_not_taken_for_the_probe() {
        let (mut breaker, now) = (Breaker { busy: 3, ..Breaker::default() }, Instant::now());
        let pause = breaker.failed(Fault::Route, String::new(), now).unwrap();
        breaker.set_apart(4);
        assert_eq!((breaker.room(), breaker.older()), (1, 3), "somebody can probe");
        breaker.busy += 1;
        assert_eq!(breaker.room(), 0, "one probe at a time");
        breaker.ended(2, 1);
        assert_eq!(breaker.room(), 0, "the end of an older one is not the probe's");
        breaker.ended(4, 1);
        assert_eq!((breaker.room(), breaker.busy, breaker.older()), (1, 2, 2));
        // When it fails again, all that is on the way is older, the probe too.
        breaker.busy += 1;
        assert!(breaker.failed(Fault::Route, String::new(), now + pause).is_some());
        breaker.set_apart(6);
        assert_eq!((breaker.room(), breaker.older()), (1, 3));
        for job in [1, 3, 5] {
            breaker.ended(job, 1);
        }
        assert_eq!((breaker.room(), breaker.busy, breaker.older()), (1, 0, 0));
    }

    #[test]
    fn rule_q3_a_refused_login_is_not_tried_again_for_minutes() {
        let (mut breaker, mut at) = (Breaker::default(), Instant::now());
        for seconds in [120, 240, 480, 900, 900] {
            let pause = breaker.failed(Fault::Login, String::new(), at).unwrap();
            assert!(near(pause, seconds) && pause <= LONGEST_REFUSED, "{pause:?} for {seconds}");
            at += pause;
        }
    }
}
