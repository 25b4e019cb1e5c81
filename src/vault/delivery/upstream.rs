//! One upstream as the schedule sees it: its couriers, its breaker, and whether an administrator has paused it.

use std::collections::HashMap;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;

use super::breaker::Breaker;
use super::rehearsal::Rehearsal;
use crate::ipc::admin::route::{Standing, State};
use crate::role::{Generation, Instance};
use crate::vault::store::pauses::Pause;
use crate::vault::store::spool::Leased;

#[derive(Default)]
pub struct Upstream {
    pub couriers: Vec<Courier>,
    pub breaker: Breaker,
    /// Nothing is offered to it until somebody says so.
    pub paused: Option<Pause>,
    /// Whose messages were the last that sessions ended over, when none passed since, and how many in a row.
    pub broke_off_over: Option<(String, u32)>,
    /// Lanes that had rather take their next upstream, and until when.
    pub avoided: HashMap<String, Instant>,
}

/// A courier as the schedule sees it.
pub struct Courier {
    pub instance: Instance,
    pub generation: Generation,
    /// How many messages it takes at once, and how many more it can.
    pub slots: u32,
    pub free: u32,
    pub offers: UnboundedSender<Leased>,
    pub rehearse: Option<UnboundedSender<Rehearsal>>,
}

impl Upstream {
    /// It is passed over for now: the next upstream of a lane is for this.
    pub fn is_away(&self, now: Instant) -> bool {
        let is_probed = self.breaker.is_open() && self.breaker.room() == 0;
        self.paused.is_some() || self.breaker.rests(now) || is_probed
    }

    pub fn is_avoided(&self, lane: &str, now: Instant) -> bool {
        self.avoided.get(lane).is_some_and(|until| now < *until)
    }

    /// The courier of the newest configuration; older ones finish what they have.
    pub fn current(&mut self) -> Option<&mut Courier> {
        self.couriers.iter_mut().max_by_key(|courier| (courier.generation, courier.instance))
    }

    /// For whoever asks.
    pub fn state(&self, name: &str, now: Instant) -> State {
        let courier = self.couriers.iter().max_by_key(|courier| (courier.generation, courier.instance));
        let standing = match (&self.paused, courier) {
            (Some(_), _) => Standing::Paused,
            (None, None) => Standing::Absent,
            _ if self.breaker.rests(now) => Standing::Resting,
            _ if self.breaker.is_open() => Standing::Probed,
            _ if self.breaker.window.is_some() => Standing::Recovering,
            _ => Standing::Up,
        };
        State {
            upstream: name.to_owned(),
            standing,
            failures: self.breaker.failures,
            seconds: self.breaker.rest(now).map(|rest| rest.as_secs()),
            fault: self.breaker.fault.as_ref().map(|(fault, reason)| (fault.word().to_owned(), reason.clone())),
            under_way: self.breaker.busy,
            slots: courier.map_or(0, |courier| courier.slots),
            window: self.breaker.window,
            paused: self.paused.as_ref().map(|pause| (pause.since_us, pause.actor.clone())),
        }
    }
}
