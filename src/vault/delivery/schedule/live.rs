//! Places for messages whose senders wait: beside those of the queue, out of the same number.

use std::rc::Rc;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;

use super::Schedule;
use crate::ipc::delivery::Job;
use crate::role::Instance;
use crate::vault::Vault;
use crate::vault::delivery::courier::live::Bidding;
use crate::vault::delivery::pace::Slot;
use crate::vault::delivery::upstream::{Courier, Share, Upstream};

/// The queue has one of so many places of a courier for itself while a sender waits for one; the others are for senders.
const QUEUES_SHARE: u32 = 4;

/// Where a message goes whose sender waits.
pub struct Place {
    pub job: Job,
    pub upstream: String,
    pub instance: Instance,
    pub biddings: UnboundedSender<(Job, Bidding)>,
    /// What is to be remembered of the upstream's day if it gets the message.
    pub slot: Option<Slot>,
}

/// Why there is none.
#[derive(Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// All that senders may have are taken: one may become free soon.
    Busy,
    /// The upstream can't be used now.
    Away,
}

/// How many of so many places senders may have at once.
fn of_senders(places: u32) -> u32 {
    (places - places / QUEUES_SHARE).min(places.saturating_sub(1)).max(1)
}

impl Courier {
    /// How many more of its places the queue may have, where so many may be taken at once.
    pub fn of_queue(&self, places: u32, is_wanted: bool, is_queues_turn: bool) -> u32 {
        match (is_wanted, places) {
            (false, _) => self.free,
            // They take it in turns.
            (true, 1) => self.free.min(u32::from(is_queues_turn)),
            (true, _) => {
                let held = self.slots.saturating_sub(self.free).saturating_sub(self.live);
                self.free.min(places.saturating_sub(of_senders(places)).saturating_sub(held))
            }
        }
    }

    /// Whether a sender of that credential may have one more of so many places. The last that senders may have is for a credential
    /// that has none.
    /// Of those that are on the way, so many are beside these places.
    fn is_for_sender(&self, who: &str, places: u32, is_shared: bool, beside: u32) -> bool {
        let (most, is_there) = (of_senders(places), self.live_of.contains_key(who));
        let live = self.live.saturating_sub(beside);
        live < most && !(is_shared && is_there && most > 1 && live + 1 == most)
    }
}

impl Upstream {
    /// `is_due`: something of the queue could go there.
    fn room(
        &mut self,
        who: &str,
        is_shared: bool,
        is_due: bool,
        now: Instant,
        beat_us: u64,
    ) -> Result<&mut Courier, NoPlace> {
        if self.is_away(now) {
            return Err(NoPlace::Away);
        }
        let (room, window) = (self.breaker.room(), self.breaker.window.unwrap_or(u32::MAX));
        let beside = self.breaker.window.map_or(0, |_| self.breaker.older());
        let (paced, is_queues) = (self.meter.room(beat_us), self.is_queues_turn && is_due);
        let courier = self.current().filter(|courier| courier.slots > 0).ok_or(NoPlace::Away)?;
        match paced {
            Err(full) if full.is_long => return Err(NoPlace::Away),
            Err(_) | Ok(0) => return Err(NoPlace::Busy),
            Ok(_) => {}
        }
        let (left, places) = (courier.free.min(room), courier.slots.min(window));
        let is_kept = is_shared && places > 1;
        let share = Share { left: is_kept.then_some(left), held: courier.held.clone() };
        match left == 0
            || courier.alone.is_some()
            || courier.empties
            || courier.turns_senders_away
            || (places == 1 && is_queues)
            || !courier.is_for_sender(who, places, is_shared, beside)
            || !share.may(who)
        {
            true => Err(NoPlace::Busy),
            false => Ok(courier),
        }
    }
}

impl Schedule {
    /// Takes a place at an upstream for a message of that credential.
    pub fn place(&mut self, name: &str, who: &str, now: Instant, now_us: u64) -> Result<Place, NoPlace> {
        let (beat_us, is_shared, job) = (self.beat(now, now_us), self.is_shared, self.number());
        let is_due = self.would_go_to(name, now, now_us);
        let upstream = self.upstreams.get_mut(name).ok_or(NoPlace::Away)?;
        let courier = upstream.room(who, is_shared, is_due, now, beat_us)?;
        let biddings = courier.biddings.clone().ok_or(NoPlace::Away)?;
        courier.free -= 1;
        courier.live += 1;
        *courier.live_of.entry(who.to_owned()).or_default() += 1;
        courier.took(who);
        let instance = courier.instance;
        upstream.is_queues_turn = true;
        upstream.breaker.busy = upstream.breaker.busy.saturating_add(1);
        upstream.meter.take(1, beat_us);
        let slot = upstream.meter.slot(name, beat_us);
        Ok(Place { job, upstream: name.to_owned(), instance, biddings, slot })
    }

    /// Whether something of the queue is due whose first upstream that can be used is this one.
    fn would_go_to(&self, name: &str, now: Instant, now_us: u64) -> bool {
        let is_of_use = |other: &&str| self.upstreams.get(*other).is_some_and(|upstream| !upstream.is_away(now));
        let mut due = self.lanes.iter().filter(|(_, due)| **due <= now_us);
        due.any(|(lane, _)| lane.split(',').find(is_of_use) == Some(name))
    }

    /// A courier takes such messages.
    pub fn bids(&mut self, upstream: &str, instance: Instance, biddings: UnboundedSender<(Job, Bidding)>) {
        if let Some(courier) = self.courier(upstream, instance) {
            courier.biddings = Some(biddings);
        }
    }

    /// A sender's place is free again.
    pub fn left(&mut self, upstream: &str, instance: Instance, job: Job, who: &str) {
        if let Some(courier) = self.courier(upstream, instance) {
            courier.live = courier.live.saturating_sub(1);
            if let Some(held) = courier.live_of.get_mut(who) {
                *held = held.saturating_sub(1);
            }
            courier.live_of.retain(|_, held| *held > 0);
        }
        self.returned(upstream, instance, job.0, who);
    }
}

/// One who waits for a place: the queue takes no more than its share meanwhile.
pub struct Waiting {
    vault: Rc<Vault>,
    upstream: String,
}

impl Waiting {
    pub fn new(vault: &Rc<Vault>, upstream: &str) -> Self {
        vault.schedule.borrow_mut().want(upstream, 1);
        Self { vault: Rc::clone(vault), upstream: upstream.to_owned() }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.vault.schedule.borrow_mut().want(&self.upstream, -1);
        self.vault.poke.notify_one();
    }
}

impl Schedule {
    fn want(&mut self, upstream: &str, more: i32) {
        if let Some(upstream) = self.upstreams.get_mut(upstream) {
            upstream.wanted = upstream.wanted.saturating_add_signed(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::Generation;
    use crate::vault::delivery::breaker::Fault;
    use crate::vault::store::spool::Leased;

    /// An upstream with so many places, and a queue that waits for them.
    fn schedule(slots: u32) -> Schedule {
        let mut schedule = Schedule::new(vec!["a".into()]);
        let (offers, kept) = tokio::sync::mpsc::unbounded_channel::<Leased>();
        let (biddings, heard) = tokio::sync::mpsc::unbounded_channel();
        std::mem::forget((kept, heard));
        schedule.join("a", Instance(1), Generation(1), offers);
        schedule.bids("a", Instance(1), biddings);
        schedule.room("a", Instance(1), slots);
        schedule
    }

    #[test]
    fn senders_never_have_all_places_and_while_one_waits_the_queue_has_its_share() {
        for (slots, of_senders, of_queue) in [(1, 1, 0), (2, 1, 1), (3, 2, 1), (4, 3, 1), (8, 6, 2), (64, 48, 16)] {
            let (mut live, now) = (schedule(slots), Instant::now());
            let taken = std::iter::from_fn(|| live.place("a", "shop", now, 1).ok()).count();
            assert_eq!(taken, of_senders, "{slots}");
            assert_eq!(live.place("a", "shop", now, 1).err(), Some(NoPlace::Busy));
            let mut queue = schedule(slots);
            queue.want("a", 1);
            let got: u32 = std::iter::from_fn(|| queue.next(now, 1)).map(|plan| plan.count).sum();
            assert_eq!(got, of_queue, "{slots}");
            queue.want("a", -1);
            let rest: u32 = std::iter::from_fn(|| queue.next(now, 1)).map(|plan| plan.count).sum();
            assert_eq!(got + rest, slots, "nobody waits: the queue has all");
            // What comes back is for the sender first, until the queue has less than its share.
            if slots > 1 {
                queue.want("a", 1);
                queue.back("a", Instance(1), 1, 1);
                queue.arrived(["a".to_owned()]);
                assert!(queue.next(now, 1).is_none() && queue.place("a", "shop", now, 1).is_ok(), "{slots}");
            }
        }
    }

    /// Those who get a place, one after the other.
    fn places(schedule: &mut Schedule, whose: &[&str]) -> Vec<bool> {
        let now = Instant::now();
        whose.iter().map(|who| schedule.place("a", who, now, 1).is_ok()).collect()
    }

    #[test]
    fn an_upstream_that_comes_back_has_room_for_the_queue_too_and_the_last_place_is_for_whoever_has_none() {
        let mut window = schedule(8);
        window.upstreams.get_mut("a").unwrap().breaker.window = Some(2);
        assert_eq!(places(&mut window, &["shop", "till"]), [true, false]);
        assert_eq!(window.next(Instant::now(), 1).map(|plan| plan.count), Some(1));
        let mut shared = schedule(4);
        shared.is_shared = true;
        assert_eq!(places(&mut shared, &["shop", "shop", "shop", "till", "till"]), [true, true, false, true, false]);
    }

    #[test]
    fn one_from_before_a_failure_keeps_no_sender_from_probing() {
        let (mut live, now) = (schedule(4), Instant::now());
        assert_eq!(places(&mut live, &["shop"]), [true]);
        let later = now + live.failed("a", Fault::Route, "gone", now).unwrap();
        live.lanes.clear();
        let probe = |live: &mut Schedule| live.place("a", "till", later, 1).is_ok();
        assert_eq!([probe(&mut live), probe(&mut live)], [true, false], "one at a time");
    }

    #[test]
    fn where_there_is_but_one_place_sender_and_queue_take_it_in_turns() {
        for window in [None, Some(1)] {
            let mut one = schedule(if window.is_some() { 4 } else { 1 });
            one.upstreams.get_mut("a").unwrap().breaker.window = window;
            let now = Instant::now();
            assert_eq!(places(&mut one, &["shop"]), [true]);
            one.left("a", Instance(1), Job(1), "shop");
            assert_eq!(places(&mut one, &["shop"]), [false], "something waits in the queue");
            one.want("a", 1);
            assert_eq!(one.next(now, 1).map(|plan| plan.count), Some(1));
            one.back("a", Instance(1), 1, 1);
            one.arrived(["a".to_owned()]);
            assert!(one.next(now, 1).is_none(), "a sender waits");
            assert_eq!(places(&mut one, &["shop"]), [true]);
            // What goes elsewhere waits for nothing here.
            one.left("a", Instance(1), Job(1), "shop");
            one.lanes.clear();
            one.arrived(["b,a".to_owned()]);
            let (offers, kept) = tokio::sync::mpsc::unbounded_channel::<Leased>();
            std::mem::forget(kept);
            one.join("b", Instance(2), Generation(1), offers);
            assert_eq!(places(&mut one, &["shop"]), [true]);
        }
    }

    #[test]
    fn a_suspect_waits_for_senders_and_the_queue_does_not_wait_with_it() {
        let (mut both, now) = (schedule(4), Instant::now());
        assert_eq!(places(&mut both, &["shop"]), [true]);
        both.suspect("a", Some(0));
        assert!(both.next(now, 1).is_some_and(|plan| !plan.is_alone), "the queue goes on");
        assert_eq!(places(&mut both, &["till"]), [false], "and no further sender comes before it");
        both.left("a", Instance(1), Job(1), "shop");
        both.arrived(["a".to_owned()]);
        assert!(both.next(now, 1).is_none(), "now it empties");
        both.back("a", Instance(1), 1, 3);
        assert!(both.next(now, 1).is_some_and(|plan| plan.is_alone));
    }

    #[test]
    fn there_is_no_place_where_the_upstream_rests_is_paused_has_had_its_pace_or_is_not_there() {
        use crate::policy::limits::Pace;
        let now = Instant::now();
        let away = |mut schedule: Schedule| schedule.place("a", "shop", now, 1).err();
        assert_eq!(away(Schedule::new(Vec::new())), Some(NoPlace::Away));
        assert_eq!(away(schedule(0)), Some(NoPlace::Away), "it has not said how many it takes");
        let mut rests = schedule(4);
        rests.failed("a", Fault::Route, "", now);
        assert_eq!(away(rests), Some(NoPlace::Away));
        let mut paused = schedule(4);
        paused.pause("a", Some(crate::vault::store::pauses::Pause { since_us: 1, actor: "root".into() }));
        assert_eq!(away(paused), Some(NoPlace::Away));
        let mut paced = schedule(4).paced(&[("a".into(), Pace { per_day: Some(1), ..Pace::default() })]);
        assert!(paced.place("a", "shop", now, 1).is_ok());
        assert_eq!(away(paced), Some(NoPlace::Away));
        let mut back = schedule(2);
        let place = back.place("a", "shop", now, 1).unwrap();
        assert_eq!(back.place("a", "shop", now, 1).err(), Some(NoPlace::Busy));
        back.left("a", place.instance, place.job, "shop");
        assert!(back.place("a", "shop", now, 1).is_ok());
    }
}
