//! One upstream as the schedule sees it: its couriers, its breaker, and whether an administrator has paused it.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;

use super::breaker::Breaker;
use super::courier::live::Bidding;
use super::pace::Meter;
use super::rehearsal::Rehearsal;
use super::verification::Verification;
use crate::ipc::admin::route::{Paced, Standing, State};
use crate::ipc::delivery::Job;
use crate::role::{Generation, Instance};
use crate::vault::store::pauses::Pause;
use crate::vault::store::spool::Leased;

#[derive(Default)]
pub struct Upstream {
    pub couriers: Vec<Courier>,
    pub breaker: Breaker,
    /// Something was heard of it, good or bad, since what it is may have changed.
    pub is_tried: bool,
    /// What it has had, and may have.
    pub meter: Meter,
    /// Nothing is offered to it until somebody says so.
    pub paused: Option<Pause>,
    /// Whose messages were the last that sessions ended over, when none passed since, and how many in a row.
    pub broke_off_over: Option<(String, u32)>,
    /// Lanes in which somebody is due who has as much under way as it may have.
    pub passed_over: BTreeSet<String>,
    /// How many senders wait for a place.
    pub wanted: u32,
    /// Where there is but one place, the queue has it next, because a sender had it last.
    pub is_queues_turn: bool,
}

/// A courier as the schedule sees it.
pub struct Courier {
    pub instance: Instance,
    pub generation: Generation,
    /// How many messages it takes at once, and how many more it can.
    pub slots: u32,
    pub free: u32,
    /// It has this suspect, by its number, and nothing else that ends soon, until that has ended, or takes long.
    pub alone: Option<u64>,
    /// It is given nothing more until it has nothing: a suspect waits for that.
    pub empties: bool,
    /// How many it has that take long: nobody waits for their end.
    pub slow: u32,
    /// How many it has of each credential.
    pub held: HashMap<String, u32>,
    pub offers: UnboundedSender<Leased>,
    pub rehearse: Option<UnboundedSender<Rehearsal>>,
    pub verify: Option<UnboundedSender<Verification>>,
    /// How many of its places senders have who wait, and the way there.
    pub live: u32,
    /// Of each credential.
    pub live_of: HashMap<String, u32>,
    /// They are given no more until they have none: a suspect waits for that.
    pub turns_senders_away: bool,
    pub biddings: Option<UnboundedSender<(Job, Bidding)>>,
}

impl Courier {
    pub fn took(&mut self, credential: &str) {
        *self.held.entry(credential.to_owned()).or_default() += 1;
    }

    pub fn gave_back(&mut self, credential: &str) {
        if let Some(held) = self.held.get_mut(credential) {
            *held = held.saturating_sub(1);
        }
        self.held.retain(|_, held| *held > 0);
    }
}

/// What credentials may have of the connections that are left: the last one is for those that have none, so that nobody's
/// slow messages keep all of them from everybody else.
#[derive(Clone, Debug, Default)]
pub struct Share {
    /// None when nothing is kept for anybody.
    pub left: Option<u32>,
    pub held: HashMap<String, u32>,
}

impl Share {
    pub fn may(&self, credential: &str) -> bool {
        self.left.is_none_or(|left| left > 1) || !self.held.contains_key(credential)
    }

    pub fn take(&mut self, credential: &str) {
        self.left = self.left.map(|left| left.saturating_sub(1));
        *self.held.entry(credential.to_owned()).or_default() += 1;
    }
}

impl Upstream {
    /// It is passed over for now: the next upstream of a lane is for this.
    pub fn is_away(&self, now: Instant) -> bool {
        let is_probed = self.breaker.is_open() && self.breaker.room() == 0;
        self.paused.is_some() || self.breaker.rests(now) || is_probed
    }

    /// The courier of the newest configuration; older ones finish what they have.
    pub fn current(&mut self) -> Option<&mut Courier> {
        self.couriers.iter_mut().max_by_key(|courier| (courier.generation, courier.instance))
    }

    /// For whoever asks. `beat_us` is the time that paces are counted by, and `waiting` how many messages wait for it.
    pub fn state(&self, name: &str, now: Instant, beat_us: u64, waiting: u64) -> State {
        let courier = self.couriers.iter().max_by_key(|courier| (courier.generation, courier.instance));
        let full = self.meter.full(beat_us);
        let standing = match (&self.paused, courier) {
            (Some(_), _) => Standing::Paused,
            (None, None) => Standing::Absent,
            _ if self.breaker.rests(now) => Standing::Resting,
            _ if self.breaker.is_open() => Standing::Probed,
            _ if full.is_some() => Standing::Paced,
            _ if self.breaker.window.is_some() => Standing::Recovering,
            _ => Standing::Up,
        };
        let waits = full.filter(|_| standing == Standing::Paced);
        let waits = waits.map(|full| full.until_us.saturating_sub(beat_us).div_ceil(1_000_000));
        let (minute_left, day_left) = self.meter.left(beat_us);
        let pace = self.meter.pace;
        State {
            upstream: name.to_owned(),
            standing,
            failures: self.breaker.failures,
            seconds: self.breaker.rest(now).map(|rest| rest.as_secs()).or(waits),
            fault: self.breaker.fault.as_ref().map(|(fault, reason)| (fault.word().to_owned(), reason.clone())),
            under_way: self.breaker.busy,
            slots: courier.map_or(0, |courier| courier.slots),
            window: self.breaker.window,
            paced: pace.is_some().then_some(Paced { pace, minute_left, day_left, waiting }),
            paused: self.paused.as_ref().map(|pause| (pause.since_us, pause.actor.clone())),
            tried: self.is_tried,
        }
    }
}
