//! How often: a rate (GCRA) and a quota of the UTC day for each credential.
//!
//! This is the memory of it, which decides. The store gets each message's use in the message's own transaction, so that
//! neither can be without the other, and gives it back at start. A reservation that comes to nothing is given back.

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
    day: i64,
    messages: u64,
}

/// A place for one message, until it is consumed or given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    pub credential: String,
    step_us: Option<u64>,
    day: i64,
}

impl Reservation {
    /// What the message's transaction writes down.
    pub fn consumed(self, now_us: u64, recipients: u64, bytes: u64) -> Use {
        Use { credential: self.credential, step_us: self.step_us, now_us, day: self.day, recipients, bytes }
    }
}

impl Limits {
    /// What the store remembers: arrival times, and the messages of this day.
    pub fn new(buckets: Vec<(String, u64)>, quotas: Vec<(String, u64)>, now_us: u64) -> Self {
        let (day, _) = month::today(now_us);
        let mut limits = Self::default();
        for (credential, tat_us) in buckets {
            limits.buckets.entry(credential).or_default().tat_us = tat_us;
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
        let mut step_us = None;
        if let Some(rate) = rules.per_minute {
            let step = MINUTE_US / u64::from(rate.max(1));
            let burst = rules.burst.unwrap_or((rate / 6).max(10)).max(1);
            let tolerance = step.saturating_mul(u64::from(burst));
            // A clock that was set back must not lock anybody out: no bucket is ever fuller than full.
            bucket.tat_us = bucket.tat_us.min(now_us + tolerance);
            let tat = bucket.tat_us.max(now_us) + step;
            if rate == 0 || tat - now_us > tolerance {
                let wait = (tat - tolerance).saturating_sub(now_us).div_ceil(1_000_000);
                return Err(Refusal::RateLimited(u32::try_from(wait).unwrap_or(u32::MAX).max(1)));
            }
            bucket.tat_us = tat;
            step_us = Some(step);
        }
        bucket.messages += 1;
        Ok(Reservation { credential: credential.to_owned(), step_us, day })
    }

    /// Gives a place back.
    pub fn release(&mut self, reservation: Reservation) {
        if let Some(bucket) = self.buckets.get_mut(&reservation.credential) {
            bucket.tat_us = bucket.tat_us.saturating_sub(reservation.step_us.unwrap_or(0));
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
