//! What is leased next, for whom: which lane can move, and to which of its upstreams.

use std::ops::Bound;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::Schedule;
use crate::role::Instance;
use crate::vault::delivery::pace::{Full, Slot};
use crate::vault::delivery::upstream::Share;
use crate::vault::store::spool::Leased;

/// Messages leased in one transaction.
const LEASES: u32 = 32;

/// So many messages of a lane for a courier, under the job numbers from `first` on.
pub struct Plan {
    pub lane: String,
    pub upstream: String,
    pub instance: Instance,
    pub offers: UnboundedSender<Leased>,
    pub first: u64,
    pub count: u32,
    pub share: Share,
    /// For a suspect.
    pub is_alone: bool,
    /// What is to be remembered of the upstream's day when it is given all of them.
    pub slot: Option<Slot>,
}

impl Schedule {
    /// A suspect that can go, to a courier that has nothing else, or nothing but what takes long. One that has is given no more until
    /// it hasn't.
    fn next_suspect(&mut self, now: Instant, now_us: u64) -> Option<Plan> {
        for courier in self.upstreams.values_mut().flat_map(|upstream| &mut upstream.couriers) {
            (courier.empties, courier.turns_senders_away) = (false, false);
        }
        let beat_us = self.beat(now, now_us);
        for (lane, _) in self.suspects.iter().filter(|(_, due)| **due <= now_us) {
            for name in lane.split(',') {
                let Some(upstream) = self.upstreams.get_mut(name).filter(|upstream| !upstream.is_away(now)) else {
                    continue;
                };
                let (room, paced) = (upstream.breaker.room(), upstream.meter.room(beat_us));
                let Some(courier) = upstream.current().filter(|courier| courier.slots > 0) else { continue };
                if let Err(full) = paced {
                    wake(&mut self.wake, full, now, beat_us);
                    if full.is_long { continue } else { break }
                }
                if courier.free == 0 || courier.free + courier.slow < courier.slots || room == 0 {
                    // A sender may take its time, and the queue doesn't wait for that.
                    courier.empties = courier.live == 0;
                    courier.turns_senders_away = true;
                    break;
                }
                return self.plan(lane.clone(), name.to_owned(), 1, Share::default(), true, now);
            }
        }
        None
    }

    /// The next lane that can move: the first upstream of it that is there and neither rests nor is paused nor has had a day's
    /// worth, if it has room.
    pub(super) fn next(&mut self, now: Instant, now_us: u64) -> Option<Plan> {
        self.wake = None;
        if let Some(plan) = self.next_suspect(now, now_us) {
            return Some(plan);
        }
        let beat_us = self.beat(now, now_us);
        let behind = self.lanes.range::<str, _>((Bound::Excluded(self.served.as_str()), Bound::Unbounded));
        let before = self.lanes.range::<str, _>((Bound::Unbounded, Bound::Included(self.served.as_str())));
        for (lane, _) in behind.chain(before).filter(|(_, due)| **due <= now_us) {
            for name in lane.split(',') {
                let Some(upstream) = self.upstreams.get_mut(name) else { continue };
                if upstream.is_away(now) {
                    continue;
                }
                let (room, window) = (upstream.breaker.room(), upstream.breaker.window.unwrap_or(u32::MAX));
                let (paced, is_wanted) = (upstream.meter.room(beat_us), upstream.wanted > 0);
                let is_queues_turn = upstream.is_queues_turn;
                let Some(courier) = upstream.current() else { continue };
                // The next upstream is for when this one fails or has had its day, not for when it is busy.
                let paced = match paced {
                    Ok(paced) => paced,
                    Err(full) => {
                        wake(&mut self.wake, full, now, beat_us);
                        if full.is_long { continue } else { break }
                    }
                };
                let left = courier.of_queue(courier.slots.min(window), is_wanted, is_queues_turn).min(room);
                let count = left.min(LEASES).min(paced);
                if count == 0 || courier.alone.is_some() || courier.empties {
                    break;
                }
                // Where there is but one, nothing can be kept for anybody.
                let left = (self.is_shared && courier.slots.min(window) > 1).then_some(left);
                let share = Share { left, held: courier.held.clone() };
                self.served.clone_from(lane);
                return self.plan(lane.clone(), name.to_owned(), count, share, false, now);
            }
        }
        None
    }

    /// How long nothing moves by time alone, at most: until a pace lets the next one through, or that long.
    pub(super) fn sleep(&self, most: Duration, now: Instant) -> Duration {
        self.wake.map_or(most, |wake| most.min(wake.saturating_duration_since(now)))
    }

    /// Takes so many of the newest courier's places, and of the upstream's pace.
    fn plan(
        &mut self,
        lane: String,
        upstream: String,
        count: u32,
        share: Share,
        is_alone: bool,
        now: Instant,
    ) -> Option<Plan> {
        let first = self.numbers(count);
        let beat_us = self.since(now);
        let found = self.upstreams.get_mut(&upstream)?;
        found.is_queues_turn = false;
        found.breaker.busy = found.breaker.busy.saturating_add(count);
        found.meter.take(count, beat_us);
        let slot = found.meter.slot(&upstream, beat_us);
        let courier = found.current()?;
        courier.free -= count;
        courier.alone = is_alone.then_some(first).or(courier.alone);
        let (instance, offers) = (courier.instance, courier.offers.clone());
        Some(Plan { lane, upstream, instance, offers, first, count, share, is_alone, slot })
    }
}

/// Nothing can be had of an upstream until then: whoever sleeps is to wake by it.
fn wake(earliest: &mut Option<Instant>, full: Full, now: Instant, beat_us: u64) {
    let at = now + Duration::from_micros(full.until_us.saturating_sub(beat_us));
    *earliest = Some(earliest.map_or(at, |wake| wake.min(at)));
}
