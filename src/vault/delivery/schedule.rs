//! The schedule: lanes of waiting recipients, the couriers that could take them, and routes that rest after a failure.
//!
//! A lane is the list of upstreams of a route. What waits in it is known to the store; here is only when to look again.

pub mod barred;
pub mod leasing;
pub mod live;
mod pacing;
mod plan;
mod routes;
mod stranded;

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use super::backlog::Backlog;
use super::breaker::Fault;
use super::rehearsal::Rehearsal;
use super::upstream::{Courier, Upstream};
use super::verification::Verification;
use crate::ipc::admin::route::State;
use crate::ipc::delivery::Job;
use crate::role::{Generation, Instance};
use crate::vault::Vault;
use crate::vault::audit::event::{Event, Field, Name, Outcome};
use crate::vault::store::Store;
use crate::vault::store::pauses::Pause;
use crate::vault::store::spool::Leased;
use crate::vault::store::writer::NotStored;
use barred::Barred;
pub use pacing::{give_back, unsaid};
use plan::Plan;
use routes::Routes;

/// What is said of an upstream that ends its sessions over messages; its own words may quote those.
const ENDED: &str = "it ended its sessions over messages of several credentials";
const ENDED_IN_A_ROW: &str = "it ended its sessions over several messages in a row";
/// So many of one credential's make the route rest: more than somebody has by chance that an upstream can't bear.
const IN_A_ROW: u32 = 5;
/// How often time alone is looked at.
pub const TICK: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct Schedule {
    /// When somebody in a lane is due, in unix microseconds.
    lanes: BTreeMap<String, u64>,
    /// The same of suspects, which are offered alone.
    suspects: BTreeMap<String, u64>,
    /// The lane that was served last: those behind it come first.
    served: String,
    upstreams: HashMap<String, Upstream>,
    jobs: u64,
    /// What waits for upstreams with a pace.
    pub backlog: Backlog,
    /// When paces were first asked for, by both clocks.
    began: Option<(Instant, u64)>,
    /// When the next one of those that are used up lets something through.
    wake: Option<Instant>,
    /// Told when a place becomes free.
    pub freed: Rc<Notify>,
    /// There is more than one credential: the last connection of an upstream is for those that have none.
    pub is_shared: bool,
    pub barred: Barred,
    /// Which jobs were leased by other routes than there are now.
    pub routes: Routes,
}

impl Schedule {
    pub fn new(lanes: Vec<String>) -> Self {
        Self { lanes: lanes.into_iter().map(|lane| (lane, 0)).collect(), ..Self::default() }
    }

    /// Somebody waits in these lanes now.
    pub fn arrived(&mut self, lanes: impl IntoIterator<Item = String>) {
        for lane in lanes {
            self.lanes.insert(lane, 0);
        }
    }

    pub fn join(
        &mut self,
        upstream: &str,
        instance: Instance,
        generation: Generation,
        offers: UnboundedSender<Leased>,
    ) {
        let courier = Courier {
            instance,
            generation,
            slots: 0,
            free: 0,
            held: HashMap::new(),
            alone: None,
            empties: false,
            slow: 0,
            offers,
            rehearse: None,
            verify: None,
            live: 0,
            live_of: HashMap::new(),
            turns_senders_away: false,
            biddings: None,
        };
        self.upstreams.entry(upstream.to_owned()).or_default().couriers.push(courier);
    }

    /// A number for a job that is offered to nobody as a message.
    pub fn number(&mut self) -> Job {
        Job(self.numbers(1))
    }

    /// The first of so many such numbers.
    pub fn numbers(&mut self, count: u32) -> u64 {
        let first = self.jobs + 1;
        self.jobs += u64::from(count);
        first
    }

    /// A courier takes rehearsals, too.
    pub fn rehearses(&mut self, upstream: &str, instance: Instance, rehearse: UnboundedSender<Rehearsal>) {
        if let Some(courier) = self.courier(upstream, instance) {
            courier.rehearse = Some(rehearse);
        }
    }

    /// Asks the newest courier of an upstream, even if that rests or is paused. False when there is none.
    pub fn rehearse(&mut self, upstream: &str, rehearsal: Rehearsal) -> bool {
        let courier = self.upstreams.get_mut(upstream).and_then(Upstream::current);
        courier.and_then(|courier| courier.rehearse.as_ref()?.send(rehearsal).ok()).is_some()
    }

    /// A courier verifies keys of its provider, too.
    pub fn verifies(&mut self, upstream: &str, instance: Instance, verify: UnboundedSender<Verification>) {
        if let Some(courier) = self.courier(upstream, instance) {
            courier.verify = Some(verify);
        }
    }

    /// The same as for a rehearsal, for a key.
    pub fn verify(&mut self, upstream: &str, verification: Verification) -> bool {
        let courier = self.upstreams.get_mut(upstream).and_then(Upstream::current);
        courier.and_then(|courier| courier.verify.as_ref()?.send(verification).ok()).is_some()
    }

    pub fn leave(&mut self, upstream: &str, instance: Instance) {
        if let Some(upstream) = self.upstreams.get_mut(upstream) {
            upstream.couriers.retain(|courier| courier.instance != instance);
        }
    }

    /// A courier takes so many at once.
    pub fn room(&mut self, upstream: &str, instance: Instance, slots: u32) {
        if let Some(courier) = self.courier(upstream, instance) {
            (courier.slots, courier.free) = (slots, courier.free.saturating_add(slots));
        }
    }

    /// A courier has one fewer, which had that number, of that credential: whoever had as many as it may have can have another.
    pub fn returned(&mut self, upstream: &str, instance: Instance, job: u64, credential: &str) {
        self.back(upstream, instance, job, 1);
        if let Some(courier) = self.courier(upstream, instance) {
            courier.gave_back(credential);
            courier.alone.take_if(|alone| *alone == job);
        }
        let Some(upstream) = self.upstreams.get_mut(upstream) else { return };
        let lanes = std::mem::take(&mut upstream.passed_over);
        self.arrived(lanes);
    }

    /// A courier's message may take its time; if it was a suspect, it isn't one any more.
    pub fn takes_long(&mut self, upstream: &str, instance: Instance, job: u64) {
        if let Some(courier) = self.courier(upstream, instance) {
            courier.alone.take_if(|alone| *alone == job);
            courier.slow = courier.slow.saturating_add(1);
        }
    }

    /// One of those has come to its end.
    pub fn slow_one_ended(&mut self, upstream: &str, instance: Instance) {
        if let Some(courier) = self.courier(upstream, instance) {
            courier.slow = courier.slow.saturating_sub(1);
        }
    }

    /// A courier never got so many, the first of which had that number.
    pub fn back(&mut self, upstream: &str, instance: Instance, first: u64, count: u32) {
        if let Some(courier) = self.courier(upstream, instance) {
            courier.free = courier.free.saturating_add(count);
        }
        if let Some(upstream) = self.upstreams.get_mut(upstream) {
            upstream.breaker.ended(first, count);
        }
        self.freed.notify_waiters();
    }

    fn courier(&mut self, upstream: &str, instance: Instance) -> Option<&mut Courier> {
        let couriers = &mut self.upstreams.get_mut(upstream)?.couriers;
        couriers.iter_mut().find(|courier| courier.instance == instance)
    }

    /// Whether there are couriers of a newer configuration.
    pub fn is_replaced(&self, upstream: &str, generation: Generation) -> bool {
        let couriers = self.upstreams.get(upstream).map(|upstream| upstream.couriers.as_slice()).unwrap_or_default();
        couriers.iter().any(|courier| courier.generation > generation)
    }

    /// The upstream can't be used. How long it rests, when it wasn't resting already.
    pub fn failed(&mut self, upstream: &str, fault: Fault, reason: &str, now: Instant) -> Option<Duration> {
        let next = self.jobs + 1;
        let upstream = self.upstreams.entry(upstream.to_owned()).or_default();
        upstream.is_tried = true;
        let pause = upstream.breaker.failed(fault, reason.to_owned(), now)?;
        upstream.breaker.set_apart(next);
        Some(pause)
    }

    /// It failed and asked to be left alone for so long. How long that is, when it is longer than it would have rested.
    pub fn rest_at_least(&mut self, upstream: &str, asked: Duration, now: Instant) -> Option<Duration> {
        self.upstreams.get_mut(upstream)?.breaker.rest_at_least(asked, now)
    }

    /// A session ended over a message of this credential's. That may be for what is in it, so only when one of another credential
    /// met the same just before does the route rest, or when so many of its own did: then as briefly as it can be, however often,
    /// because nobody stops the mail of others.
    pub fn broke_off(&mut self, upstream: &str, credential: &str, now: Instant) -> Option<Duration> {
        let over = self.upstreams.entry(upstream.to_owned()).or_default();
        let before = over.broke_off_over.take();
        let is_others = before.as_ref().is_some_and(|(who, _)| who != credential);
        let in_a_row = before.filter(|_| !is_others).map_or(1, |(_, count)| count.saturating_add(1));
        over.broke_off_over = Some((credential.to_owned(), in_a_row));
        match in_a_row {
            _ if is_others => self.failed(upstream, Fault::Route, ENDED, now),
            IN_A_ROW.. => self.failed(upstream, Fault::Messages, ENDED_IN_A_ROW, now),
            _ => None,
        }
    }

    /// The upstream answered. True when that ends a series of failures.
    pub fn works(&mut self, upstream: &str) -> bool {
        let Some(upstream) = self.upstreams.get_mut(upstream) else { return false };
        (upstream.broke_off_over, upstream.is_tried) = (None, true);
        upstream.breaker.answered()
    }

    /// A test went through it to its end.
    pub fn tested(&mut self, upstream: &str) {
        if let Some(upstream) = self.upstreams.get_mut(upstream) {
            upstream.is_tried = true;
        }
    }

    /// A message came to its end there.
    pub fn passed(&mut self, upstream: &str) {
        if let Some(upstream) = self.upstreams.get_mut(upstream) {
            let slots = upstream.current().map_or(0, |courier| courier.slots);
            upstream.breaker.passed(slots);
        }
    }

    /// Every route is tried again now, because what its upstream is may have been mended. Gives those that had failed.
    pub fn resume(&mut self) -> Vec<String> {
        for upstream in self.upstreams.values_mut() {
            (upstream.broke_off_over, upstream.is_tried) = (None, false);
        }
        let failed = self.upstreams.iter_mut().filter_map(|(name, upstream)| {
            let had_failed = upstream.breaker.forget();
            had_failed.then(|| name.clone())
        });
        failed.collect()
    }

    /// That upstream is tried now, whatever it rests for.
    pub fn try_now(&mut self, upstream: &str) {
        if let Some(upstream) = self.upstreams.get_mut(upstream) {
            upstream.breaker.try_now();
        }
    }

    /// Pauses an upstream, or ends its pause.
    pub fn pause(&mut self, upstream: &str, pause: Option<Pause>) {
        self.upstreams.entry(upstream.to_owned()).or_default().paused = pause;
    }

    /// The upstreams that are paused.
    pub fn paused(&self) -> impl Iterator<Item = String> {
        self.upstreams.iter().filter(|(_, upstream)| upstream.paused.is_some()).map(|(name, _)| name.clone())
    }

    /// How an upstream stands.
    pub fn state(&self, upstream: &str, now: Instant) -> State {
        let (beat_us, waiting) = (self.since(now), self.backlog.waiting(upstream));
        match self.upstreams.get(upstream) {
            Some(found) => found.state(upstream, now, beat_us, waiting),
            None => Upstream::default().state(upstream, now, beat_us, waiting),
        }
    }

    /// A courier has these now; whoever was to be alone and isn't there keeps nobody out. With `is_passed_over` others of the lane are due and may have none until one comes back.
    fn took(&mut self, plan: &Plan, leased: &[Leased], is_passed_over: bool) {
        if self.has_paces() {
            leased.iter().for_each(|one| self.backlog.left(&plan.lane, &one.whose(), one.is_urgent()));
        }
        if let Some(courier) = self.courier(&plan.upstream, plan.instance) {
            leased.iter().for_each(|leased| courier.took(&leased.whose()));
            courier.alone.take_if(|alone| *alone == plan.first && leased.is_empty());
        }
        if let Some(upstream) = self.upstreams.get_mut(&plan.upstream).filter(|_| is_passed_over) {
            upstream.passed_over.insert(plan.lane.clone());
        }
    }

    /// When a suspect of a lane is due.
    pub fn suspect(&mut self, lane: &str, due: Option<u64>) {
        match due {
            Some(due) => self.suspects.insert(lane.to_owned(), due),
            None => self.suspects.remove(lane),
        };
    }
}

/// Does what must be done, as soon as there is room for it on the disk. None when the store has ended.
pub async fn persist<T, W>(vault: &Vault, work: W) -> Option<T>
where
    T: Send + 'static,
    W: FnOnce(&mut Store<'_>) -> rusqlite::Result<T> + Clone + Send + 'static,
{
    loop {
        match vault.writer.run(work.clone()).await {
            Ok(done) => return Some(done),
            Err(NotStored::Full) => tokio::time::sleep(TICK).await,
            Err(NotStored::Closed) => return None,
        }
    }
}

/// A reason as it is told.
pub fn plain(reason: &str) -> String {
    reason.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// A route begins to rest, if it does.
pub async fn tell_of(vault: &Vault, upstream: &str, pause: Option<Duration>, fault: Fault, reason: String) {
    let Some(seconds) = pause.map(|pause| pause.as_secs()) else { return };
    match fault {
        Fault::Route | Fault::Messages => {
            tracing::warn!(upstream, reason, seconds, "an upstream can't be used for now")
        }
        Fault::Login => tracing::error!(upstream, reason, seconds, "an upstream refuses our login"),
    }
    let event = Event {
        data: Some(serde_json::json!({ "seconds": seconds }).to_string()),
        ..route_event(Name::RoutePause, upstream, Some(fault.word().into()))
    };
    vault.writer.record(vec![event.with(Field::RemoteText, reason)]).await;
}

/// The event of a route that begins or ends to rest.
pub fn route_event(name: Name, upstream: &str, reason: Option<String>) -> Event {
    let outcome = if name == Name::RoutePause { Outcome::Failure } else { Outcome::Info };
    Event { upstream: Some(upstream.to_owned()), reason, ..Event::new(name, outcome) }
}

#[cfg(test)]
mod tests;
