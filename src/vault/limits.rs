//! How often: a rate (GCRA) and a quota of the UTC day for each credential.
//!
//! This is the memory of it, which decides. The store gets each message's use in the message's own transaction, so that
//! neither can be without the other, and gives it back at start. A reservation that comes to nothing is given back.
//!
//! The rate is asked twice. At MAIL, so that nobody sends a whole message to be refused then; and at the dot, because a place
//! that was taken at MAIL can be held: many of them, taken one by one in their time, would be used all at once.

use std::collections::HashMap;

use super::audit::month;
use super::store::consumption::Use;
use crate::policy::Limits as Rules;
use crate::policy::refusal::Refusal;

const MINUTE_US: u64 = 60_000_000;

#[derive(Debug, Default)]
pub struct Limits {
    buckets: HashMap<String, Bucket>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// When the next message would be expected if they came evenly (ITU-T I.371's theoretical arrival time).
    tat_us: u64,
    /// The same of the messages that were accepted.
    accepted_tat_us: u64,
    day: i64,
    messages: u64,
}

/// A rate that was asked for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    /// From one message to the next.
    step_us: u64,
    /// How much earlier than expected one may come.
    tolerance_us: u64,
}

impl Rate {
    fn of(rules: Rules) -> Option<Self> {
        let rate = rules.per_minute?;
        let burst = rules.burst.unwrap_or((rate / 6).max(10)).max(1);
        let step_us = MINUTE_US / u64::from(rate.max(1));
        // Nothing is ever early enough for a rate of nothing.
        let tolerance_us = if rate == 0 { 0 } else { step_us.saturating_mul(u64::from(burst)) };
        Some(Self { step_us, tolerance_us })
    }

    /// One more message now, or how long to wait.
    fn take(self, tat_us: &mut u64, now_us: u64) -> Result<(), Refusal> {
        // A clock that was set back must not lock anybody out: no bucket is ever fuller than full.
        *tat_us = (*tat_us).min(now_us + self.tolerance_us);
        let next = (*tat_us).max(now_us) + self.step_us;
        if next - now_us > self.tolerance_us {
            let wait = (next - self.tolerance_us).saturating_sub(now_us).div_ceil(1_000_000);
            return Err(Refusal::RateLimited(u32::try_from(wait).unwrap_or(u32::MAX).max(1)));
        }
        *tat_us = next;
        Ok(())
    }
}

/// A place for one message, until it is consumed or given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    pub credential: String,
    rate: Option<Rate>,
    accepted: bool,
    day: i64,
}

impl Reservation {
    /// What the message's transaction writes down.
    pub fn consumed(self, now_us: u64, recipients: u64, bytes: u64) -> Use {
        let step_us = self.rate.map(|rate| rate.step_us);
        Use { credential: self.credential, step_us, now_us, day: self.day, recipients, bytes }
    }
}

impl Limits {
    /// What the store remembers: arrival times, and the messages of this day.
    pub fn new(buckets: Vec<(String, u64)>, quotas: Vec<(String, u64)>, now_us: u64) -> Self {
        let (day, _) = month::today(now_us);
        let mut limits = Self::default();
        for (credential, tat_us) in buckets {
            let bucket = limits.buckets.entry(credential).or_default();
            (bucket.tat_us, bucket.accepted_tat_us) = (tat_us, tat_us);
        }
        for (credential, messages) in quotas {
            let bucket = limits.buckets.entry(credential).or_default();
            (bucket.day, bucket.messages) = (day, messages);
        }
        limits
    }

    /// Takes a place, or says how long to wait. A denial takes nothing.
    pub fn reserve(&mut self, credential: &str, rules: Rules, now_us: u64) -> Result<Reservation, Refusal> {
        let (day, left) = month::today(now_us);
        let bucket = self.buckets.entry(credential.to_owned()).or_default();
        if bucket.day != day {
            (bucket.day, bucket.messages) = (day, 0);
        }
        if rules.per_day.is_some_and(|most| bucket.messages >= u64::from(most)) {
            return Err(Refusal::QuotaExceeded(left));
        }
        let rate = Rate::of(rules);
        if let Some(rate) = rate {
            rate.take(&mut bucket.tat_us, now_us)?;
        }
        bucket.messages += 1;
        Ok(Reservation { credential: credential.to_owned(), rate, accepted: false, day })
    }

    /// Uses a place, at the dot, or says how long to wait. There may be one more than the burst at a time: who keeps to the
    /// rate at MAIL must not be refused because contents don't all take the same time.
    pub fn accept(&mut self, reservation: &mut Reservation, now_us: u64) -> Result<(), Refusal> {
        if let Some(rate) = reservation.rate {
            let bucket = self.buckets.entry(reservation.credential.clone()).or_default();
            let rate = Rate { tolerance_us: rate.tolerance_us.saturating_add(rate.step_us), ..rate };
            rate.take(&mut bucket.accepted_tat_us, now_us)?;
        }
        reservation.accepted = true;
        Ok(())
    }

    /// Gives a place back.
    pub fn release(&mut self, reservation: Reservation) {
        if let Some(bucket) = self.buckets.get_mut(&reservation.credential) {
            let step = reservation.rate.map_or(0, |rate| rate.step_us);
            bucket.tat_us = bucket.tat_us.saturating_sub(step);
            if reservation.accepted {
                bucket.accepted_tat_us = bucket.accepted_tat_us.saturating_sub(step);
            }
            if bucket.day == reservation.day {
                bucket.messages = bucket.messages.saturating_sub(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000_000;
    const SECOND: u64 = 1_000_000;

    fn rules(per_minute: u32, burst: u32) -> Rules {
        Rules { per_minute: Some(per_minute), per_day: None, burst: Some(burst) }
    }

    #[test]
    fn never_more_than_the_burst_and_the_rate() {
        let (mut limits, rules) = (Limits::default(), rules(60, 5));
        let mut admitted = 0;
        for tenth in 0..600 {
            admitted += u32::from(limits.reserve("a", rules, NOW + tenth * SECOND / 10).is_ok());
        }
        assert!((60..=65).contains(&admitted), "{admitted}");
        assert_eq!(limits.reserve("b", rules, NOW).map(|r| r.credential), Ok("b".to_owned()));
    }

    #[test]
    fn a_denial_takes_nothing_and_its_wait_is_exact() {
        let (mut limits, rules) = (Limits::default(), rules(6, 1));
        limits.reserve("a", rules, NOW).unwrap();
        for _ in 0..50 {
            assert_eq!(limits.reserve("a", rules, NOW), Err(Refusal::RateLimited(10)));
        }
        assert!(limits.reserve("a", rules, NOW + 9 * SECOND).is_err());
        assert!(limits.reserve("a", rules, NOW + 10 * SECOND).is_ok());
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let (mut limits, rules) = (Limits::default(), Rules { per_day: Some(1), ..rules(1, 1) });
        for _ in 0..5 {
            let place = limits.reserve("a", rules, NOW).unwrap();
            assert!(limits.reserve("a", rules, NOW).is_err());
            limits.release(place);
        }
    }

    #[test]
    fn places_that_were_saved_up_are_not_used_at_once() {
        let (mut limits, rules) = (Limits::default(), rules(6, 1));
        let saved: Vec<_> = (0..8).map(|n| limits.reserve("a", rules, NOW + n * 10 * SECOND).unwrap()).collect();
        let dot = NOW + 70 * SECOND;
        let accepted: Vec<_> = saved.into_iter().map(|mut place| (limits.accept(&mut place, dot), place)).collect();
        let results: Vec<_> = accepted.iter().map(|(result, _)| *result).collect();
        assert_eq!(results[..2], [Ok(()), Ok(())]);
        assert!(results[2..].iter().all(|result| *result == Err(Refusal::RateLimited(10))), "{results:?}");
        // What was refused is given back, and what was not kept is too, and counts as neither.
        accepted.into_iter().for_each(|(_, place)| limits.release(place));
        let mut place = limits.reserve("a", rules, dot).unwrap();
        assert_eq!(limits.accept(&mut place, dot), Ok(()));
    }

    #[test]
    fn who_keeps_to_the_rate_at_mail_may_be_late_at_the_dot_by_a_step() {
        let (mut limits, rules) = (Limits::default(), rules(6, 1));
        for n in 0..20 {
            let mail = NOW + n * 10 * SECOND;
            let mut place = limits.reserve("a", rules, mail).unwrap();
            let dot = mail + if n % 2 == 0 { 9 * SECOND } else { 0 };
            assert_eq!(limits.accept(&mut place, dot), Ok(()), "{n}");
        }
    }

    #[test]
    fn the_quota_is_the_utc_days_and_outlives_a_restart() {
        let rules = Rules { per_minute: None, per_day: Some(3), burst: None };
        let mut limits = Limits::new(vec![], vec![("a".into(), 2)], NOW);
        limits.reserve("a", rules, NOW).unwrap();
        let (_, left) = month::today(NOW);
        assert_eq!(limits.reserve("a", rules, NOW), Err(Refusal::QuotaExceeded(left)));
        assert!(limits.reserve("a", rules, NOW + u64::from(left) * SECOND).is_ok());
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out() {
        let (mut limits, rules) = (Limits::default(), rules(60, 5));
        limits.reserve("a", rules, NOW).unwrap();
        let earlier = NOW - 3600 * SECOND;
        assert!(limits.reserve("a", rules, earlier).is_err());
        assert!(limits.reserve("a", rules, earlier + SECOND).is_ok());
    }
}
