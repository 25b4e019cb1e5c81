//! A rate, as the generic cell rate algorithm counts it (ITU-T I.371): one time per bucket, whole numbers, no drift.
//!
//! The bucket's time is when the next unit would be expected if units came evenly. A unit may come earlier than that by the
//! tolerance. A time that has passed is an empty bucket: the same as none.

use crate::policy::limits::Rates;

/// How fast, and how much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// From one unit to the next.
    pub step_us: u64,
    /// How much earlier than expected one may come: as many steps as there may be units at once.
    pub tolerance_us: u64,
}

/// What there is no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// There is in so many seconds, and not one second earlier.
    For(u32),
    /// It is more than there ever is at once.
    Ever,
}

impl Rate {
    /// So many in a period, and so many at once.
    pub fn new(limit: u32, period_us: u64, burst: u32) -> Self {
        // Rounded up: rather a unit less than one too many.
        let step_us = period_us.div_ceil(u64::from(limit.max(1)));
        Self { step_us, tolerance_us: step_us.saturating_mul(u64::from(burst.max(1))) }
    }

    /// The bucket's time after `units` more, if they fit now beside `held` that may still come.
    pub fn fits(self, tat_us: u64, units: u64, held: u64, now_us: u64) -> Result<u64, Full> {
        let more = self.step_us.saturating_mul(units);
        if more > self.tolerance_us {
            return Err(Full::Ever);
        }
        let next = tat_us.max(now_us).saturating_add(more);
        let early = next.saturating_add(self.step_us.saturating_mul(held)).saturating_sub(now_us);
        match early.checked_sub(self.tolerance_us) {
            None | Some(0) => Ok(next),
            Some(excess) => Err(Full::For(u32::try_from(excess.div_ceil(1_000_000)).unwrap_or(u32::MAX))),
        }
    }

    /// How many units fit now beside `held` that may still come, and the seconds after which one more would: by the same sum as
    /// `fits`, so that none is told of that would be refused.
    pub fn room(self, tat_us: u64, held: u64, now_us: u64) -> (u64, u32) {
        let taken = tat_us.saturating_sub(now_us).saturating_add(self.step_us.saturating_mul(held));
        let units = self.tolerance_us.saturating_sub(taken) / self.step_us.max(1);
        let one_more = self.step_us.saturating_mul(units.saturating_add(1)).saturating_add(taken);
        let seconds = one_more.saturating_sub(self.tolerance_us).div_ceil(1_000_000);
        (units, u32::try_from(seconds).unwrap_or(u32::MAX))
    }

    /// A time that was loaded. No bucket is fuller than full: what says so was written by a clock that was ahead, or under a
    /// more generous rule, and must lock nobody out.
    pub fn clamped(self, tat_us: u64, loaded_us: u64) -> u64 {
        tat_us.min(loaded_us.saturating_add(self.tolerance_us))
    }
}

/// What is left of what was taken: it drains away from below, so it is what lies between now and the time it was taken up
/// to. Giving back more than that would give away what others took since.
pub fn left(taken_us: u64, until_us: u64, now_us: u64) -> u64 {
    taken_us.min(until_us.saturating_sub(now_us))
}

/// What a bucket counts, and by what period. The numbers stand in the store and are never used for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Series {
    PerMinute = 0,
    PerHour = 1,
    RecipientsPerMinute = 2,
    RecipientsPerHour = 3,
    FailedShort = 4,
    FailedLong = 5,
}

pub const MINUTE_US: u64 = 60_000_000;
pub const HOUR_US: u64 = 60 * MINUTE_US;

impl Series {
    /// Those of a message, in the order of a bucket's times.
    pub const OF_MESSAGES: [Self; 4] =
        [Self::PerMinute, Self::PerHour, Self::RecipientsPerMinute, Self::RecipientsPerHour];
    pub const OF_LOGINS: [Self; 2] = [Self::FailedShort, Self::FailedLong];

    /// The word for it in the audit log: for messages, the key of the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::PerMinute => "per_minute",
            Self::PerHour => "per_hour",
            Self::RecipientsPerMinute => "recipients_per_minute",
            Self::RecipientsPerHour => "recipients_per_hour",
            Self::FailedShort => "short",
            Self::FailedLong => "long",
        }
    }

    pub const fn counts_recipients(self) -> bool {
        matches!(self, Self::RecipientsPerMinute | Self::RecipientsPerHour)
    }

    /// The rate that some rules have for it.
    pub fn rate(self, rules: &Rates) -> Option<Rate> {
        let ((minute, hour), (recipients_minute, recipients_hour)) = (rules.bursts(), rules.recipients_bursts());
        let (limit, period, burst) = match self {
            Self::PerMinute => (rules.per_minute, MINUTE_US, minute),
            Self::PerHour => (rules.per_hour, HOUR_US, hour),
            Self::RecipientsPerMinute => (rules.recipients_per_minute, MINUTE_US, recipients_minute),
            Self::RecipientsPerHour => (rules.recipients_per_hour, HOUR_US, recipients_hour),
            Self::FailedShort | Self::FailedLong => (None, 0, 0),
        };
        limit.map(|limit| Rate::new(limit, period, burst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000_000;
    const SECOND: u64 = 1_000_000;

    #[test]
    fn the_told_second_is_enough_and_one_less_is_not() {
        for (limit, burst, units) in [(60, 10, 1), (7, 1, 1), (1, 1, 1), (600, 100, 13), (50_000, 3, 2)] {
            let rate = Rate::new(limit, MINUTE_US, burst);
            let (mut tat, mut now) = (0, NOW);
            for _ in 0..500 {
                match rate.fits(tat, units, 0, now) {
                    Ok(next) => tat = next,
                    Err(Full::For(wait)) => {
                        let wait = u64::from(wait);
                        assert!(rate.fits(tat, units, 0, now + wait * SECOND).is_ok(), "{limit} {wait}");
                        assert!(rate.fits(tat, units, 0, now + (wait - 1) * SECOND).is_err(), "{limit} {wait}");
                        now += wait * SECOND;
                    }
                    Err(Full::Ever) => panic!("{units} fit into {burst}"),
                }
                now += 1_234;
            }
        }
    }

    #[test]
    fn more_than_there_ever_is_at_once_is_told_apart() {
        assert_eq!(Rate::new(60, MINUTE_US, 10).fits(0, 11, 0, NOW), Err(Full::Ever));
        assert!(Rate::new(60, MINUTE_US, 10).fits(0, 10, 0, NOW).is_ok());
    }

    #[test]
    fn what_was_taken_drains_away_before_it_can_be_given_back() {
        let rate = Rate::new(60, MINUTE_US, 1);
        let until = rate.fits(0, 1, 0, NOW).unwrap();
        assert_eq!(left(rate.step_us, until, NOW), SECOND);
        assert_eq!(left(rate.step_us, until, NOW + SECOND / 4), SECOND * 3 / 4);
        assert_eq!(left(rate.step_us, until, NOW + 5 * SECOND), 0);
    }
}
