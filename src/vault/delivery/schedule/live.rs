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

impl Courier {
    /// How many of its places senders may have at once.
    fn of_senders(&self) -> u32 {
        (self.slots - self.slots / QUEUES_SHARE).min(self.slots.saturating_sub(1)).max(1)
    }

    /// How many more of them the queue may have.
    pub fn of_queue(&self, is_wanted: bool) -> u32 {
        if !is_wanted {
            return self.free;
        }
        let own = self.slots.saturating_sub(self.of_senders()).max(1);
        let held = self.slots.saturating_sub(self.free).saturating_sub(self.live);
        self.free.min(own.saturating_sub(held))
    }
}

impl Upstream {
    fn room(&mut self, who: &str, is_shared: bool, now: Instant, beat_us: u64) -> Result<&mut Courier, NoPlace> {
        if self.is_away(now) {
            return Err(NoPlace::Away);
        }
        let (room, window) = (self.breaker.room(), self.breaker.window.unwrap_or(u32::MAX));
        let paced = self.meter.room(beat_us);
        let courier = self.current().filter(|courier| courier.slots > 0).ok_or(NoPlace::Away)?;
        match paced {
            Err(full) if full.is_long => return Err(NoPlace::Away),
            Err(_) | Ok(0) => return Err(NoPlace::Busy),
            Ok(_) => {}
        }
        let left = courier.free.min(room);
        let is_kept = is_shared && courier.slots.min(window) > 1;
        let share = Share { left: is_kept.then_some(left), held: courier.held.clone() };
        match left == 0
            || courier.is_alone
            || courier.empties
            || courier.live >= courier.of_senders()
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
        let upstream = self.upstreams.get_mut(name).ok_or(NoPlace::Away)?;
        let courier = upstream.room(who, is_shared, now, beat_us)?;
        let biddings = courier.biddings.clone().ok_or(NoPlace::Away)?;
        courier.free -= 1;
        courier.live += 1;
        courier.took(who);
        let instance = courier.instance;
        upstream.breaker.busy = upstream.breaker.busy.saturating_add(1);
        upstream.meter.take(1, beat_us);
        let slot = upstream.meter.slot(name, beat_us);
        Ok(Place { job, upstream: name.to_owned(), instance, biddings, slot })
    }

    /// A courier takes such messages.
    pub fn bids(&mut self, upstream: &str, instance: Instance, biddings: UnboundedSender<(Job, Bidding)>) {
        if let Some(courier) = self.courier(upstream, instance) {
            courier.biddings = Some(biddings);
        }
    }

    /// A sender's place is free again.
    pub fn left(&mut self, upstream: &str, instance: Instance, who: &str) {
        if let Some(courier) = self.courier(upstream, instance) {
            courier.live = courier.live.saturating_sub(1);
        }
        self.returned(upstream, instance, who);
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
        for (slots, of_senders, of_queue) in [(1, 1, 1), (2, 1, 1), (3, 2, 1), (4, 3, 1), (8, 6, 2), (64, 48, 16)] {
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
                queue.back("a", Instance(1), 1);
                queue.arrived(["a".to_owned()]);
                assert!(queue.next(now, 1).is_none() && queue.place("a", "shop", now, 1).is_ok(), "{slots}");
            }
        }
    }

    #[test]
    fn there_is_no_place_where_the_upstream_rests_is_paused_has_had_its_pace_or_is_not_there() {
        use crate::policy::limits::Pace;
        use crate::vault::delivery::breaker::Fault;
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
        back.left("a", place.instance, "shop");
        assert!(back.place("a", "shop", now, 1).is_ok());
    }
}
