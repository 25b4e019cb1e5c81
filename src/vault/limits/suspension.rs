//! Credentials that are suspended by rule, because they sent far beyond their history: until the day ends, or somebody
//! enables them.

use std::collections::HashMap;

use super::clock::Now;

/// A suspension as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspension {
    pub credential: String,
    /// The day of it.
    pub day: i64,
    /// Until when, in Unix microseconds; none when it was lifted: then there is no other on that day.
    pub until_us: Option<u64>,
}

#[derive(Debug, Default)]
pub struct Suspensions(HashMap<String, Held>);

#[derive(Debug)]
struct Held {
    day: i64,
    /// By the clock that doesn't jump.
    until_us: Option<u64>,
}

const DAY_US: u64 = 86_400_000_000;

impl Suspensions {
    pub fn load(all: Vec<Suspension>, now: Now) -> Self {
        let held = |kept: &Suspension| {
            // No suspension is longer than a day, whatever a clock said.
            let until_us = kept.until_us.map(|until| now.us + until.saturating_sub(now.wall_us).min(DAY_US));
            Held { day: kept.day, until_us }
        };
        Self(all.into_iter().map(|kept| (kept.credential.clone(), held(&kept))).collect())
    }

    /// The seconds that are left of a suspension.
    pub fn left(&self, credential: &str, now: Now) -> Option<u32> {
        let until = self.0.get(credential)?.until_us.filter(|until| *until > now.us)?;
        Some(u32::try_from((until - now.us).div_ceil(1_000_000)).unwrap_or(u32::MAX))
    }

    /// Suspends it until the day ends. None when a suspension of this day was lifted: whoever lifted it knew.
    pub fn suspend(&mut self, credential: &str, now: Now) -> Option<Suspension> {
        let day = now.day();
        if self.0.get(credential).is_some_and(|held| held.day == day && held.until_us.is_none()) {
            return None;
        }
        let left_us = u64::from(now.left()) * 1_000_000;
        self.0.insert(credential.to_owned(), Held { day, until_us: Some(now.us + left_us) });
        Some(Suspension { credential: credential.to_owned(), day, until_us: Some(now.wall_us + left_us) })
    }

    /// Undoes a suspension whose message was not kept, unless somebody has lifted it meanwhile.
    pub fn undo(&mut self, kept: &Suspension) {
        self.0.retain(|name, held| *name != kept.credential || held.day != kept.day || held.until_us.is_none());
    }

    /// Lifts a suspension. None when there is none.
    pub fn lift(&mut self, credential: &str, now: Now) -> Option<Suspension> {
        self.left(credential, now)?;
        let day = now.day();
        self.0.insert(credential.to_owned(), Held { day, until_us: None });
        Some(Suspension { credential: credential.to_owned(), day, until_us: None })
    }

    /// Lets go of what is over.
    pub fn sweep(&mut self, now: Now) {
        self.0.retain(|_, held| held.until_us.map_or(held.day >= now.day(), |until| until > now.us));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Now = Now::at(20_000 * DAY_US);

    fn at(seconds: u64) -> Now {
        Now::at(DAY.us + seconds * 1_000_000)
    }

    #[test]
    fn it_ends_with_the_day_and_outlives_a_restart() {
        let mut all = Suspensions::default();
        let kept = all.suspend("shop", at(3600)).unwrap();
        assert_eq!(all.left("shop", at(3600)), Some(23 * 3600));
        let mut all = Suspensions::load(vec![kept], at(7200));
        assert_eq!((all.left("shop", at(7200)), all.left("other", at(7200))), (Some(22 * 3600), None));
        assert_eq!(all.left("shop", at(86_400)), None);
        all.sweep(at(86_400));
        assert!(all.0.is_empty());
    }

    #[test]
    fn once_lifted_there_is_no_other_on_that_day() {
        let mut all = Suspensions::default();
        assert_eq!(all.lift("shop", at(0)), None);
        all.suspend("shop", at(0)).unwrap();
        let lifted = all.lift("shop", at(1)).unwrap();
        let mut all = Suspensions::load(vec![lifted], at(2));
        assert_eq!((all.left("shop", at(2)), all.suspend("shop", at(3))), (None, None));
        assert!(all.suspend("shop", at(86_400)).is_some());
    }

    #[test]
    fn a_clock_set_back_makes_none_longer_than_a_day() {
        let mut all = Suspensions::default();
        let kept = all.suspend("shop", at(100 * 86_400)).unwrap();
        assert_eq!(Suspensions::load(vec![kept], at(0)).left("shop", at(0)), Some(86_400));
    }
}
