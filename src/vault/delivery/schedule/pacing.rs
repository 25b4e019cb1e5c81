//! The schedule's side of the upstreams' paces: their rules, what they have had, and whether more mail would leave in time.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{Schedule, persist};
use crate::policy::limits::Pace;
use crate::vault::Vault;
use crate::vault::delivery::backlog::Backlog;
use crate::vault::store::spool::Leased;
use crate::vault::store::spool::turns::SHORT_US;

/// What a sender is told to wait at least and at most when too much waits already: what is in the way goes in its own time, and
/// whoever comes later may find another's mail there.
const LEAST_WAIT: u64 = 60;
const LONGEST_WAIT: u64 = 3600;

impl Schedule {
    /// With the paces of the first configuration.
    pub fn paced(mut self, paces: &[(String, Pace)]) -> Self {
        self.set_paces(paces);
        self
    }

    /// The paces of this configuration. What upstreams have had is counted on.
    pub fn set_paces(&mut self, paces: &[(String, Pace)]) {
        if !self.has_paces() {
            self.backlog = Backlog::default();
        }
        for upstream in self.upstreams.values_mut() {
            upstream.meter.pace = Pace::default();
        }
        for (name, pace) in paces {
            self.upstreams.entry(name.clone()).or_default().meter.pace = *pace;
        }
    }

    /// Whether any upstream has a pace.
    pub fn has_paces(&self) -> bool {
        self.upstreams.values().any(|upstream| upstream.meter.pace.is_some())
    }

    /// A message has come, for these lanes. It is in the way of others by its credential, when it doesn't wait for a later time.
    pub fn queued(&mut self, lanes: Vec<String>, who: Option<&str>, urgent: bool) {
        if let Some(who) = who.filter(|_| self.has_paces()) {
            self.backlog.arrived(&lanes, who, urgent);
        }
        self.arrived(lanes);
    }

    /// What was written down by the runs before this one.
    pub fn remember(&mut self, had: Vec<(String, u64, u32)>, now: Instant, now_us: u64) {
        let now_us = self.beat(now, now_us);
        for (name, slot, messages) in had {
            self.upstreams.entry(name).or_default().meter.load(slot, messages, now_us);
        }
    }

    /// The time that paces are counted by: as the machine's clock had it when it was first asked for, and from there on as time
    /// passes. A clock that is set forward brings nothing back, and one that is set back keeps nobody waiting.
    pub(super) fn beat(&mut self, now: Instant, now_us: u64) -> u64 {
        self.began.get_or_insert((now, now_us));
        self.since(now)
    }

    pub(super) fn since(&self, now: Instant) -> u64 {
        let Some((began, began_us)) = self.began else { return 0 };
        let passed = now.saturating_duration_since(began).as_micros();
        began_us.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// So many messages came back before anything was said of them to the upstream, which were taken in that slot of a day.
    pub fn unsaid(&mut self, upstream: &str, slot: Option<u64>, count: u32) {
        if let Some(upstream) = self.upstreams.get_mut(upstream) {
            upstream.meter.give_back(slot, count);
        }
    }

    /// Whether one more message of a credential, which lives so long, would wait for longer than that on a route. Then how many
    /// seconds its sender is to wait: until as many have left as there are too many.
    pub fn is_backed_up(&self, via: &[&str], who: &str, lifetime: Duration, now: Instant) -> Option<u32> {
        let beat_us = self.since(now);
        let (mut most, mut full) = (0u64, None);
        for name in via {
            let meter = self.upstreams.get(*name).map(|upstream| &upstream.meter)?;
            let (more, goes_on) = meter.capacity(lifetime, beat_us)?;
            let until = meter.full(beat_us).map_or(0, |full| full.until_us.saturating_sub(beat_us).div_ceil(1_000_000));
            full = Some(full.map_or(until, |before: u64| before.min(until)));
            most = most.saturating_add(more);
            if !goes_on {
                break;
            }
        }
        let urgent = u64::try_from(lifetime.as_micros()).is_ok_and(|lifetime_us| lifetime_us <= SHORT_US);
        let place = self.backlog.place(via.first()?, who, urgent);
        let beyond = place.checked_sub(most).filter(|beyond| *beyond > 0)?;
        let wait = u128::from(beyond) * u128::from(lifetime.as_secs()) / u128::from(most.max(1));
        // Before there is room at all nobody need come again.
        let wait = u64::try_from(wait).unwrap_or(LONGEST_WAIT).max(full.unwrap_or(0)).clamp(LEAST_WAIT, LONGEST_WAIT);
        u32::try_from(wait).ok()
    }
}

/// A leased message comes back before anything was said of it to the upstream: what it took of the pace is given back, also of
/// the day as it is on the disk.
pub fn unsaid(vault: &Rc<Vault>, upstream: &str, leased: &Leased) {
    give_back(vault, upstream, leased.day_slot);
}

/// The same of one that was taken in that slot of a day.
pub fn give_back(vault: &Rc<Vault>, upstream: &str, slot: Option<u64>) {
    vault.schedule.borrow_mut().unsaid(upstream, slot, 1);
    let Some(slot) = slot else { return };
    let (own, upstream) = (Rc::clone(vault), upstream.to_owned());
    vault.finish(async move {
        persist(&own, move |store| store.paces.give_back(&upstream, slot)).await;
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::admin::route::Standing;
    use crate::role::{Generation, Instance};
    use crate::vault::store::census::Waiting;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Two upstreams with four connections each, of which the first has a pace.
    fn schedule(lane: &str, pace: Pace) -> Schedule {
        let mut schedule = Schedule::new(vec![lane.into()]).paced(&[("first".into(), pace)]);
        let (offers, kept) = tokio::sync::mpsc::unbounded_channel();
        std::mem::forget(kept);
        for (n, name) in [(1, "first"), (2, "second")] {
            schedule.join(name, Instance(n), Generation(1), offers.clone());
            schedule.room(name, Instance(n), 4);
        }
        schedule
    }

    /// What is given now, each with how many.
    fn given(schedule: &mut Schedule, now: Instant) -> Vec<(String, u32)> {
        std::iter::from_fn(|| schedule.next(now, 0)).map(|plan| (plan.upstream, plan.count)).collect()
    }

    #[test]
    fn rule_q12_what_must_wait_shortly_waits_and_what_must_wait_long_goes_to_the_next_upstream() {
        let now = Instant::now();
        let mut short = schedule("first,second", Pace { per_minute: Some(3), ..Pace::default() });
        assert_eq!(given(&mut short, now), [("first".to_owned(), 3)]);
        short.back("first", Instance(1), 1, 3);
        assert_eq!(given(&mut short, now), [], "the second is not for this");
        assert_eq!(short.sleep(HOUR, now), Duration::from_secs(61));
        let state = short.state("first", now);
        assert_eq!((state.standing, state.seconds), (Standing::Paced, Some(61)));
        assert_eq!(given(&mut short, now + Duration::from_secs(61)), [("first".to_owned(), 3)]);

        let mut long = schedule("first,second", Pace { per_day: Some(3), ..Pace::default() });
        assert_eq!(given(&mut long, now), [("first".to_owned(), 3), ("second".to_owned(), 4)]);
        let mut alone = schedule("first", Pace { per_day: Some(3), ..Pace::default() });
        assert_eq!(given(&mut alone, now), [("first".to_owned(), 3)]);
        assert_eq!(given(&mut alone, now + HOUR), [], "there is no other");
        alone.back("first", Instance(1), 1, 3);
        assert_eq!(given(&mut alone, now + 25 * HOUR), [("first".to_owned(), 3)]);
    }

    #[test]
    fn rule_q12_by_the_second_it_goes_evenly_and_routes_that_share_the_upstream_share_its_pace() {
        let now = Instant::now();
        let mut schedule = schedule("first", Pace { per_second: Some(2), ..Pace::default() });
        schedule.arrived(["first,second".to_owned()]);
        let mut lanes = Vec::new();
        for step in 0..4 {
            let at = now + Duration::from_millis(500) * step;
            let plan = schedule.next(at, 0).unwrap();
            assert_eq!((plan.count, schedule.next(at, 0).is_none()), (1, true), "{step}");
            assert_eq!(schedule.sleep(HOUR, at), Duration::from_millis(500));
            lanes.push(plan.lane);
        }
        assert_eq!(lanes, ["first", "first,second", "first", "first,second"]);
    }

    #[test]
    fn what_came_back_untouched_is_given_again_and_a_suspect_keeps_to_the_pace() {
        let now = Instant::now();
        let mut schedule = schedule("first", Pace { per_day: Some(2), ..Pace::default() });
        let plan = schedule.next(now, 0).unwrap();
        assert_eq!(plan.count, 2);
        schedule.back("first", Instance(1), 1, 2);
        schedule.unsaid("first", plan.slot.map(|slot| slot.slot), 2);
        assert_eq!(given(&mut schedule, now), [("first".to_owned(), 2)]);
        schedule.back("first", Instance(1), 1, 2);
        schedule.suspect("first", Some(0));
        assert_eq!(given(&mut schedule, now), []);
        schedule.lanes.clear();
        assert_eq!(given(&mut schedule, now + 25 * HOUR), [("first".to_owned(), 1)]);
    }

    #[test]
    fn a_clock_that_is_set_brings_nothing_back_and_keeps_nobody_waiting() {
        let now = Instant::now();
        let pace = Pace { per_day: Some(1), ..Pace::default() };
        for (before, after) in [(1_000 * 86_400_000_000, 2_000 * 86_400_000_000), (2_000 * 86_400_000_000, 1)] {
            let mut schedule = schedule("first", pace);
            assert!(schedule.next(now, before).is_some());
            schedule.back("first", Instance(1), 1, 1);
            assert!(schedule.next(now + 23 * HOUR, after).is_none());
            assert!(schedule.next(now + 25 * HOUR, after).is_some());
        }
        // Between two runs, what was written by a clock that was ahead is of now.
        let mut schedule = schedule("first", pace);
        schedule.remember(vec![("first".into(), u64::MAX, 1)], now, 86_400_000_000);
        assert!(schedule.next(now + 23 * HOUR, 1).is_none() && schedule.next(now + 25 * HOUR, 1).is_some());
    }

    #[test]
    fn rule_q12_a_route_is_backed_up_when_more_waits_than_leaves_in_time() {
        let now = Instant::now();
        let waiting = |messages| Waiting { lane: "first".into(), urgent: false, principal: "shop".into(), messages };
        let day = Duration::from_secs(86_400);
        let wait = |pace, via: &[&str], messages, lifetime| {
            let mut schedule = schedule("first", pace);
            schedule.backlog.count(vec![waiting(messages)]);
            schedule.is_backed_up(via, "shop", lifetime, now)
        };
        let minute = Pace { per_minute: Some(1), ..Pace::default() };
        assert_eq!(wait(minute, &["first"], 1439, day), None);
        assert_eq!(wait(minute, &["first"], 1449, day), Some(600), "ten too many");
        assert_eq!(wait(minute, &["first"], 1440, day), Some(60), "never less than a minute");
        assert_eq!(wait(minute, &["first"], 900_000, day), Some(3600), "nor more than an hour");
        assert_eq!(wait(minute, &["first", "second"], 1449, day), Some(600), "nothing of it goes on to the second");
        assert_eq!(wait(minute, &["second"], 1449, day), None, "that has no pace");
        let by_day = Pace { per_day: Some(100), ..Pace::default() };
        assert!(wait(by_day, &["first"], 101, day).is_some());
        let mut used_up = schedule("first", Pace { per_day: Some(4), ..Pace::default() });
        assert_eq!(used_up.next(now, 0).map(|plan| plan.count), Some(4));
        let minutes = Duration::from_secs(600);
        assert_eq!(used_up.is_backed_up(&["first"], "shop", minutes, now), Some(3600), "there is room in a day");
        assert_eq!(wait(by_day, &["first", "second"], 900_000, day), None, "what is beyond a day goes on");
        assert_eq!(wait(Pace::default(), &["first"], 900_000, day), None);
    }
}
