//! The pace of an upstream: how many messages it may be given now, and when the next one.
//!
//! By the second they go evenly, because that is where providers count most strictly. By the minute and the day there may be as
//! many at once as there is room for in any minute, and in any 24 hours, that ends now.

mod window;

use std::time::Duration;

use super::super::limits::rate::Rate;
use crate::policy::limits::Pace;
use window::Window;

const SECOND_US: u64 = 1_000_000;
const MINUTE_US: u64 = 60 * SECOND_US;
const DAY_US: u64 = 24 * 60 * MINUTE_US;
/// A minute is counted by seconds, and a day by stretches of ten minutes: so long after it was taken, room comes back at most.
const DAY_SLOT_US: u64 = 10 * MINUTE_US;
/// Of a pace by the second, at most this part goes at once: timers are late by a millisecond, and what was late is caught up.
const AT_ONCE: u32 = 20;
/// Who must wait longer than this for an upstream goes to the next one of its route. A minute's pace is never in the way for so
/// long, a day's is for hours.
const LONG_US: u64 = 5 * MINUTE_US;

/// Why there is nothing to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// When there is.
    pub until_us: u64,
    /// So far off that the next upstream is asked.
    pub is_long: bool,
}

/// The slot of a day that messages are taken in, for the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    pub upstream: String,
    pub slot: u64,
    /// Slots before this one count no more.
    pub oldest: u64,
}

/// The slot of a day that such a time is in.
pub const fn day_slot(now_us: u64) -> u64 {
    now_us / DAY_SLOT_US
}

/// The oldest slot that counts at such a time.
pub const fn oldest_day_slot(now_us: u64) -> u64 {
    day_slot(now_us).saturating_sub(DAY_US / DAY_SLOT_US)
}

/// What an upstream has had.
#[derive(Debug)]
pub struct Meter {
    pub pace: Pace,
    /// When the next message would be expected, by the second.
    tat_us: u64,
    minute: Window,
    day: Window,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            pace: Pace::default(),
            tat_us: 0,
            minute: Window::new(SECOND_US, 60),
            day: Window::new(DAY_SLOT_US, DAY_US / DAY_SLOT_US),
        }
    }
}

impl Meter {
    /// How many messages it may be given now; at least one.
    ///
    /// Errors: none.
    pub fn room(&mut self, now_us: u64) -> Result<u32, Full> {
        self.minute.let_go(now_us);
        self.day.let_go(now_us);
        self.look(now_us)
    }

    /// Why it may be given none now; nothing when it may.
    pub fn full(&self, now_us: u64) -> Option<Full> {
        self.look(now_us).err()
    }

    fn look(&self, now_us: u64) -> Result<u32, Full> {
        let Pace { per_second, per_minute, per_day } = self.pace;
        let (mut room, mut until_us) = (u32::MAX, now_us);
        if let Some(rate) = per_second.map(evenly) {
            let early = self.tat_us.saturating_sub(now_us);
            let fit = rate.tolerance_us.saturating_sub(early) / rate.step_us.max(1);
            room = room.min(u32::try_from(fit).unwrap_or(u32::MAX));
            if fit == 0 {
                until_us = until_us.max(self.tat_us.saturating_add(rate.step_us).saturating_sub(rate.tolerance_us));
            }
        }
        for (limit, window) in [(per_minute, &self.minute), (per_day, &self.day)] {
            let Some(limit) = limit else { continue };
            let left = limit.saturating_sub(window.count(now_us));
            room = room.min(left);
            if left == 0 {
                until_us = until_us.max(window.free_at(limit, now_us));
            }
        }
        match room {
            0 => Err(Full { until_us, is_long: until_us.saturating_sub(now_us) > LONG_US }),
            _ => Ok(room),
        }
    }

    /// So many are given to it.
    pub fn take(&mut self, count: u32, now_us: u64) {
        if let Some(rate) = self.pace.per_second.map(evenly) {
            self.tat_us = self.tat_us.max(now_us).saturating_add(rate.step_us.saturating_mul(count.into()));
        }
        self.minute.add(count, now_us);
        self.day.add(count, now_us);
    }

    /// So many came back before anything was said of them there, which were taken in that slot of a day.
    pub fn give_back(&mut self, slot: Option<u64>, count: u32) {
        if let Some(rate) = self.pace.per_second.map(evenly) {
            self.tat_us = self.tat_us.saturating_sub(rate.step_us.saturating_mul(count.into()));
        }
        self.minute.take_back(count);
        match slot {
            Some(slot) => self.day.take_back_of(slot, count),
            None => self.day.take_back(count),
        }
    }

    /// What a run before this one has given it.
    pub fn load(&mut self, slot: u64, messages: u32, now_us: u64) {
        self.day.load(slot, messages, now_us);
    }

    /// Where what it is given now is to be remembered; nowhere when no day is limited.
    pub fn slot(&self, upstream: &str, now_us: u64) -> Option<Slot> {
        self.pace.per_day?;
        Some(Slot { upstream: upstream.to_owned(), slot: day_slot(now_us), oldest: self.day.oldest(now_us) })
    }

    /// How many there can be in so long a time, from now on, and whether it is a day's limit that says so: what is beyond that
    /// goes to the next upstream. None where nothing is limited.
    pub fn capacity(&self, within: Duration, now_us: u64) -> Option<(u64, bool)> {
        let within_us = u64::try_from(within.as_micros()).unwrap_or(u64::MAX);
        let second = self.pace.per_second.map(|limit| share(limit, SECOND_US, within));
        let minute = self.pace.per_minute.map(|limit| share(limit, MINUTE_US, within));
        // What there is within a day is known; from then on it comes as time passes.
        let day = |limit: u32| {
            let known_us = within_us.min(DAY_US + DAY_SLOT_US);
            let later = Duration::from_micros(within_us - known_us);
            let known_us = now_us.saturating_add(known_us);
            u64::from(limit.saturating_sub(self.day.count(known_us))).saturating_add(share(limit, DAY_US, later))
        };
        let day = self.pace.per_day.map(day);
        let shorter = second.into_iter().chain(minute).min();
        match (shorter, day) {
            (None, None) => None,
            (Some(shorter), Some(day)) => Some((shorter.min(day), day < shorter)),
            (Some(shorter), None) => Some((shorter, false)),
            (None, Some(day)) => Some((day, true)),
        }
    }

    /// What is left of a minute and of a day, where they are limited.
    pub fn left(&self, now_us: u64) -> (Option<u32>, Option<u32>) {
        let left = |limit: Option<u32>, window: &Window| limit.map(|limit| limit.saturating_sub(window.count(now_us)));
        (left(self.pace.per_minute, &self.minute), left(self.pace.per_day, &self.day))
    }
}

/// What a limit lets through in so long a time.
fn share(limit: u32, period_us: u64, within: Duration) -> u64 {
    u64::try_from(u128::from(limit) * within.as_micros() / u128::from(period_us)).unwrap_or(u64::MAX)
}

/// One at a time; where there are many, a few.
fn evenly(limit: u32) -> Rate {
    Rate::new(limit, SECOND_US, limit / AT_ONCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes all that there is for so long, and gives the times.
    fn run(meter: &mut Meter, from_us: u64, for_us: u64) -> Vec<u64> {
        let (mut times, mut now) = (Vec::new(), from_us);
        while now < from_us + for_us {
            match meter.room(now) {
                Ok(room) => {
                    meter.take(room, now);
                    times.extend((0..room).map(|_| now));
                }
                Err(full) => {
                    assert!(full.until_us > now, "time must pass: {full:?}");
                    now = full.until_us;
                }
            }
        }
        times
    }

    fn most(times: &[u64], within_us: u64) -> usize {
        let from = |at: usize| times[at..].iter().take_while(|time| **time < times[at] + within_us).count();
        (0..times.len()).map(from).max().unwrap_or(0)
    }

    fn meter(per_second: Option<u32>, per_minute: Option<u32>, per_day: Option<u32>) -> Meter {
        Meter { pace: Pace { per_second, per_minute, per_day }, ..Meter::default() }
    }

    #[test]
    fn rule_q12_no_second_minute_or_day_has_more_than_its_pace_and_all_of_it_is_used() {
        let start = 1_700_000_000_000_000;
        let times = run(&mut meter(Some(10), None, None), start, 10 * SECOND_US);
        assert_eq!((most(&times, SECOND_US), times.len()), (10, 100));
        let times = run(&mut meter(None, Some(60), None), start, 10 * MINUTE_US);
        assert!(most(&times, MINUTE_US) <= 60 && times.len() >= 580, "{}", times.len());
        let times = run(&mut meter(None, None, Some(500)), start, 10 * DAY_US);
        assert!(most(&times, DAY_US) <= 500 && times.len() >= 4900, "{}", times.len());
        let times = run(&mut meter(Some(5), Some(100), Some(2000)), start, 2 * DAY_US);
        assert!(most(&times, SECOND_US) <= 5 && most(&times, MINUTE_US) <= 100 && most(&times, DAY_US) <= 2000);
        assert!(times.len() >= 3900, "{}", times.len());
    }

    #[test]
    fn only_a_day_that_is_used_up_sends_mail_elsewhere_and_only_while_it_takes_long() {
        let mut one = meter(None, Some(2), Some(3));
        one.take(2, 0);
        assert_eq!(one.room(0), Err(Full { until_us: 61 * SECOND_US, is_long: false }));
        one.take(1, 2 * MINUTE_US);
        let full = one.room(2 * MINUTE_US).unwrap_err();
        assert!(full.is_long && full.until_us > DAY_US, "{full:?}");
        assert!(!one.room(full.until_us - LONG_US).unwrap_err().is_long);
        assert_eq!(one.room(full.until_us), Ok(2), "what was taken together comes back together, a minute's worth");
    }

    #[test]
    fn what_came_back_was_nothing_and_what_was_remembered_counts() {
        let mut one = meter(Some(1), Some(5), Some(5));
        one.load(7, 3, 8 * DAY_SLOT_US);
        assert_eq!(one.left(8 * DAY_SLOT_US), (Some(5), Some(2)));
        let now = 8 * DAY_SLOT_US;
        one.take(1, now);
        assert!(one.room(now).is_err());
        assert_eq!(one.slot("a", now).map(|slot| slot.slot), Some(8));
        one.give_back(Some(8), 1);
        assert_eq!((one.room(now), one.left(now)), (Ok(1), (Some(5), Some(2))));
        assert_eq!(meter(Some(1), None, None).slot("a", now), None, "nothing to remember");
    }

    #[test]
    fn a_reload_changes_the_limit_and_not_what_was_counted() {
        let mut one = meter(None, None, Some(10));
        one.take(8, 0);
        one.pace.per_day = Some(5);
        assert!(one.room(0).is_err());
        one.pace = Pace { per_minute: Some(9), per_day: None, ..Pace::default() };
        assert_eq!(one.room(0), Ok(1), "a minute is counted whether it is limited or not");
    }

    #[test]
    fn what_fits_into_a_time_is_the_least_of_all() {
        let hour = Duration::from_secs(3600);
        assert_eq!(meter(None, None, None).capacity(hour, 0), None);
        assert_eq!(meter(Some(1), Some(30), None).capacity(hour, 0), Some((1800, false)));
        let mut day = meter(Some(1), None, Some(240));
        day.take(40, 0);
        assert_eq!(day.capacity(hour, 0), Some((200, true)), "nothing comes back within the hour");
        assert_eq!(day.capacity(Duration::from_micros(DAY_US + DAY_SLOT_US) + hour, 0), Some((250, true)));
        assert_eq!(day.capacity(Duration::from_secs(60), 0), Some((60, false)));
    }
}
