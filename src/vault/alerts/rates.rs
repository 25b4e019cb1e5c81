//! How much of what is counted came within a time. The counts begin at 0 with the vault, and so does what is known here.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::ipc::figures::metric::Metric;
use crate::policy::principal::GATE;
use crate::policy::simulation::LANE;
use crate::vault::audit::event::Name;
use crate::vault::figures::tally::Tally;

/// The longest time that is asked about.
pub const HOUR: Duration = Duration::from_secs(3600);

/// What is counted, since the vault began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub failed_logins: u64,
    /// Recipients that got theirs, and those that never will.
    pub accepted: u64,
    pub failed: u64,
    /// Processes that fell, the vault itself among them.
    pub fallen: u64,
    pub crashes: u64,
    pub integrity: u64,
    pub steps: u64,
}

impl Counts {
    pub fn of(tally: &Tally) -> Self {
        let events = |names: &[Name]| {
            tally.total(Metric::AuditEvents, |[event, _]| names.iter().any(|name| name.word() == event.as_ref()))
        };
        // Of clients' mail: alerts that don't arrive are no reason for the next one, and tests say nothing of what is real.
        let ends = |words: &[&str]| {
            let of = |own: bool| {
                let wanted = |[by, end]: &[Cow<'static, str>; 2]| {
                    (by == GATE) == own && by != LANE && words.contains(&end.as_ref())
                };
                tally.total(Metric::Deliveries, wanted)
            };
            of(false).saturating_sub(of(true))
        };
        let crashes = events(&[Name::DaemonCrash]);
        Self {
            failed_logins: tally
                .total(Metric::AuthAttempts, |[_, result]| matches!(result.as_ref(), "failed" | "locked")),
            accepted: ends(&["accepted"]),
            failed: ends(&["failed", "expired"]),
            fallen: events(&[Name::ProcExit]).saturating_add(crashes),
            crashes,
            integrity: events(&[Name::IntegrityFailure, Name::SealerRefused]),
            steps: events(&[Name::ClockStep]),
        }
    }

    fn since(self, then: Self) -> Self {
        Self {
            failed_logins: self.failed_logins.saturating_sub(then.failed_logins),
            accepted: self.accepted.saturating_sub(then.accepted),
            failed: self.failed.saturating_sub(then.failed),
            fallen: self.fallen.saturating_sub(then.fallen),
            crashes: self.crashes.saturating_sub(then.crashes),
            integrity: self.integrity.saturating_sub(then.integrity),
            steps: self.steps.saturating_sub(then.steps),
        }
    }
}

/// The counts of the last hour, as often as somebody looked.
#[derive(Debug, Default)]
pub struct Rates(VecDeque<(Instant, Counts)>);

impl Rates {
    pub fn note(&mut self, counts: Counts, now: Instant) {
        self.0.push_back((now, counts));
        // One that is older stays: the hour begins with it.
        while self.0.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= HOUR) {
            self.0.pop_front();
        }
    }

    /// What came within that time before the last look.
    pub fn within(&self, time: Duration) -> Counts {
        let Some((now, counts)) = self.0.back() else { return Counts::default() };
        let before = self.0.iter().rev().find(|(at, _)| now.duration_since(*at) >= time);
        counts.since(before.map(|(_, counts)| *counts).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::figures::tally::LOGINS;

    #[test]
    fn what_came_within_a_time_is_told_from_what_came_before() {
        let (tally, begun) = (Tally::default(), Instant::now());
        let mut rates = Rates::default();
        let [_, failed, ..] = LOGINS;
        for minute in 0..=120 {
            tally.add(Metric::AuthAttempts, ["smtp", failed], 1);
            tally.add(Metric::AuditEvents, [Name::ProcExit.word(), ""], 1);
            rates.note(Counts::of(&tally), begun + Duration::from_secs(60 * minute));
            let minutes = Duration::from_secs(600);
            let expected = if minute < 10 { minute + 1 } else { 10 };
            assert_eq!(rates.within(minutes).failed_logins, expected);
            assert_eq!(rates.within(HOUR).fallen, if minute < 60 { minute + 1 } else { 60 });
        }
        assert!(rates.0.len() <= 62, "{}", rates.0.len());
    }

    #[test]
    fn whatever_is_counted_has_the_words_that_it_is_looked_for_by() {
        let tally = Tally::default();
        for outcome in crate::vault::figures::entries::OUTCOMES {
            tally.add(Metric::Deliveries, ["smarthost", outcome], 1);
        }
        for by in ["smarthost", GATE, LANE] {
            tally.add(Metric::Deliveries, [by, "failed"], 9);
        }
        for name in [Name::DaemonCrash, Name::IntegrityFailure, Name::SealerRefused, Name::ClockStep] {
            tally.add(Metric::AuditEvents, [name.word(), ""], 1);
        }
        for login in LOGINS {
            tally.add(Metric::AuthAttempts, ["smtp", login], 1);
        }
        let counts = Counts::of(&tally);
        let expected =
            Counts { failed_logins: 2, accepted: 1, failed: 2, fallen: 1, crashes: 1, integrity: 2, steps: 1 };
        assert_eq!(counts, expected);
    }
}
