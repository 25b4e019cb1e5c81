//! Load is shed before it hurts, the heaviest first: what the spool holds and how long the store takes are measured where they
//! change, by the writer, and whether somebody's mail is taken is asked by the sessions. What was accepted is never touched by
//! it, nor are reports of the gate's own.

pub mod gauge;
pub mod lately;
pub mod latency;
pub mod share;
pub mod work;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::ipc::admin::load::{Figure, Load as Told, Measure, Stage};
use crate::policy::thresholds::{Shedding, Thresholds};
use crate::vault::audit::event::{Event, Name, Outcome};
use crate::vault::store::holdings::{Came, Held};
use gauge::Gauge;
use lately::Lately;
use latency::Latencies;
use work::Work;

/// How long a sender is told to wait: shares change as mail leaves, and it isn't known how fast that goes.
pub const AGAIN: u32 = 60;
/// How long commits must have been fast enough again. A disk that is in trouble is not slow all the time.
const STEADY: Duration = Duration::from_secs(10);
/// Octets of a large body that are to take no longer than a commit.
const BODY: u64 = 4 * 1024 * 1024;

/// What the writer and the sessions share.
#[derive(Clone, Default)]
pub struct Load(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Somebody is to be told to come again. Asked at each message, so without the lock.
    sheds: AtomicBool,
    work: Work,
    /// What is under way for so long keeps all mail away. 0 before there is a configuration.
    most_us: AtomicU64,
    state: Mutex<State>,
}

struct State {
    /// None before there is a configuration: nothing is shed.
    rules: Option<Shedding>,
    holders: HashMap<String, Held>,
    sum: Held,
    lately: Lately,
    latency: Latencies,
    gauges: Gauges,
    stage: Stage,
    shares: Shares,
}

struct Gauges {
    messages: Gauge,
    octets: Gauge,
    latency: Gauge,
}

/// What a credential may have before it is heavy.
#[derive(Clone, Copy)]
struct Shares {
    messages: u64,
    octets: u64,
    /// What it may have cost the store lately.
    cost: u64,
}

impl Default for State {
    fn default() -> Self {
        let latency = Gauge::lingering(STEADY);
        Self {
            rules: None,
            holders: HashMap::new(),
            sum: Held::default(),
            lately: Lately::default(),
            latency: Latencies::default(),
            gauges: Gauges { messages: Gauge::default(), octets: Gauge::default(), latency },
            stage: Stage::Calm,
            shares: Shares { messages: u64::MAX, octets: u64::MAX, cost: u64::MAX },
        }
    }
}

impl Load {
    /// From here on by these thresholds.
    pub fn set(&self, rules: Shedding) {
        self.0.most_us.store(microseconds(rules.latency).all, Ordering::Relaxed);
        self.state().rules = Some(rules);
    }

    /// The last run ended in this stage: that it is over is still to be told.
    pub fn go_on(&self, stage: Stage) {
        self.state().stage = stage;
    }

    /// So much is held of these now, and so much of it came since it was told last.
    pub fn changed(&self, held: Vec<(String, Held, Came)>) {
        let mut state = self.state();
        for (who, now, came) in held {
            state.lately.came(&who, came);
            let before = match now.messages {
                0 => state.holders.remove(&who),
                _ => state.holders.insert(who, now),
            };
            let before = before.unwrap_or_default();
            state.sum.messages = state.sum.messages.saturating_sub(before.messages).saturating_add(now.messages);
            state.sum.octets = state.sum.octets.saturating_sub(before.octets).saturating_add(now.octets);
        }
    }

    /// The writer begins something that all others wait for.
    pub fn begin(&self, now: Instant) {
        self.0.work.begin(now);
    }

    /// That is over.
    pub fn end(&self, now: Instant) {
        if self.is_stuck(now) {
            let took_us = self.0.work.age_us(now);
            tracing::warn!(took_us, "the store stood still: no mail was accepted until it went on");
        }
        self.0.work.end(now);
    }

    /// Whether the writer brought something to its end within that time: one that is slow is alive.
    pub fn moved_within(&self, time: Duration) -> bool {
        self.0.work.moved_within(time, Instant::now())
    }

    /// Something was written, and its transaction took so long; so many more wait already, and whoever comes now waits for all of them.
    pub fn committed(&self, took: Duration, behind: usize) {
        let all = u32::try_from(behind).unwrap_or(u32::MAX).saturating_add(1);
        self.state().latency.commits.took(took.saturating_mul(all));
    }

    /// The write-ahead log was copied back.
    pub fn copied_back(&self, took: Duration) {
        self.state().latency.checkpoints.took(took);
    }

    /// A large body of so many octets was made durable. It counts by as many as one commit may have of them.
    pub fn synced(&self, octets: u64, took: Duration) {
        let commits = u32::try_from(octets.div_ceil(BODY)).unwrap_or(u32::MAX).max(1);
        self.state().latency.bodies.took(took / commits);
    }

    /// A second has passed.
    pub fn second(&self) {
        let mut state = self.state();
        state.latency.second();
        state.lately.second();
    }

    /// Seconds since the last commit, the last copy of the log, and the last large body.
    #[cfg(test)]
    pub fn quiet(&self) -> [u32; 3] {
        let state = self.state();
        [&state.latency.commits, &state.latency.checkpoints, &state.latency.bodies].map(|kind| kind.quiet)
    }

    /// Looks at all figures. Gives what is to be written down when another stage has begun.
    pub fn look(&self, now: Instant) -> Option<Change> {
        let mut state = self.state();
        let before = state.stage;
        state.look(now);
        let is_set = state.rules.is_some();
        self.0.sheds.store(is_set && state.stage > Stage::Calm, Ordering::Relaxed);
        (state.stage != before).then(|| Change { before, load: state.told() })
    }

    /// Whether one more message of this credential is to come later.
    pub fn sheds(&self, who: &str) -> bool {
        self.sheds_at(who, Instant::now())
    }

    fn sheds_at(&self, who: &str, now: Instant) -> bool {
        self.is_stuck(now)
            || self.0.sheds.load(Ordering::Relaxed) && {
                let state = self.state();
                state.stage == Stage::All || state.stage == Stage::Heavy && state.is_heavy(who)
            }
    }

    /// Whether nobody's mail is taken for it.
    pub fn is_beyond(&self) -> bool {
        self.is_stuck(Instant::now()) || self.0.sheds.load(Ordering::Relaxed) && self.state().stage == Stage::All
    }

    pub fn told(&self) -> Told {
        self.told_at(Instant::now())
    }

    fn told_at(&self, now: Instant) -> Told {
        let mut told = self.state().told();
        if self.is_stuck(now) {
            (told.stage, told.put_off) = (Stage::All, told.credentials);
            for figure in told.figures.iter_mut().filter(|figure| figure.measure == Measure::Latency) {
                (figure.now, figure.stage) = (figure.now.max(self.0.work.age_us(now)), Stage::All);
            }
        }
        told
    }

    /// Whether what the writer is at takes longer already than its average may come to: whoever sends now would wait for it. The
    /// average knows nothing of it until it is over, and no stage begins or ends meanwhile.
    fn is_stuck(&self, now: Instant) -> bool {
        let most_us = self.0.most_us.load(Ordering::Relaxed);
        most_us > 0 && self.0.work.age_us(now) >= most_us
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn look(&mut self, now: Instant) {
        let Some(rules) = self.rules else { return };
        let messages = self.gauges.messages.look(self.sum.messages, &rules.messages, now);
        let octets = self.gauges.octets.look(self.sum.octets, &rules.octets, now);
        let latency = self.gauges.latency.look(self.latency.average_us(), &microseconds(rules.latency), now);
        self.stage = messages.max(octets).max(latency);
        // What would end the stage is shared out.
        let fair = |stage: Stage, from: u64, of: fn(&Held) -> u64| match stage {
            Stage::Calm => u64::MAX,
            _ => share::fair(self.holders.values().map(of).collect(), gauge::end(from).saturating_sub(1)),
        };
        self.shares = Shares {
            messages: fair(messages, rules.messages.heavy, |held| held.messages),
            octets: fair(octets, rules.octets.heavy, |held| held.octets),
            // It would be as fast as ends the stage with so much less to do.
            cost: match latency {
                Stage::Calm => u64::MAX,
                _ => self.lately.fair(gauge::end(microseconds(rules.latency).heavy), self.latency.average_us()),
            },
        };
    }

    fn is_heavy(&self, who: &str) -> bool {
        let held = self.holders.get(who).copied().unwrap_or_default();
        let Shares { messages, octets, cost } = self.shares;
        held.messages > messages || held.octets > octets || self.lately.cost(who) > cost
    }

    /// Those that have something in the spool, or sent something lately.
    fn credentials(&self) -> impl Iterator<Item = &str> {
        let gone = self.lately.credentials().filter(|who| !self.holders.contains_key(*who));
        self.holders.keys().map(String::as_str).chain(gone)
    }

    fn told(&self) -> Told {
        let none = Thresholds { heavy: u64::MAX, all: u64::MAX };
        let of = |rules: fn(&Shedding) -> Thresholds<u64>| self.rules.as_ref().map_or(none, rules);
        let figure =
            |measure, now, thresholds, gauge: &Gauge| Figure { measure, now, thresholds, stage: gauge.stage() };
        let Gauges { messages, octets, latency } = &self.gauges;
        let put_off = match self.stage {
            Stage::Calm => 0,
            Stage::Heavy => self.credentials().filter(|who| self.is_heavy(who)).count(),
            Stage::All => self.credentials().count(),
        };
        Told {
            stage: self.stage,
            figures: vec![
                figure(Measure::Messages, self.sum.messages, of(|rules| rules.messages), messages),
                figure(Measure::Octets, self.sum.octets, of(|rules| rules.octets), octets),
                figure(Measure::Latency, self.latency.average_us(), of(|rules| microseconds(rules.latency)), latency),
            ],
            credentials: u64::try_from(self.credentials().count()).unwrap_or(u64::MAX),
            put_off: u64::try_from(put_off).unwrap_or(u64::MAX),
        }
    }
}

fn microseconds(of: Thresholds<Duration>) -> Thresholds<u64> {
    let [heavy, all] = [of.heavy, of.all].map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    Thresholds { heavy, all }
}

/// Another stage has begun.
#[derive(Debug)]
pub struct Change {
    before: Stage,
    load: Told,
}

impl Change {
    pub const fn stage(&self) -> Stage {
        self.load.stage
    }

    /// What it is in both logs.
    pub fn event(&self) -> Event {
        let Self { before, load } = self;
        let reasons: Vec<&str> = load.reasons().map(|figure| figure.measure.word()).collect();
        let mut data = serde_json::Map::from_iter([
            ("stage".to_owned(), load.stage.word().into()),
            ("before".to_owned(), before.word().into()),
            ("credentials".to_owned(), load.credentials.into()),
            ("put_off".to_owned(), load.put_off.into()),
        ]);
        data.extend(load.figures.iter().map(|figure| (figure.measure.word().to_owned(), figure.now.into())));
        let figures = serde_json::Value::Object(data).to_string();
        let (name, outcome, severity) = match (load.stage > *before, load.stage) {
            (true, Stage::All) => {
                tracing::error!(figures, "too much load: no mail is accepted until there is less");
                (Name::ShedBegin, Outcome::Failure, 3)
            }
            (true, _) => {
                tracing::warn!(figures, "much load: credentials with more than their share are told to come again");
                (Name::ShedBegin, Outcome::Failure, 4)
            }
            (false, Stage::Calm) => {
                tracing::info!(figures, "there is less load again: everybody's mail is accepted");
                (Name::ShedEnd, Outcome::Info, 5)
            }
            (false, _) => {
                tracing::warn!(figures, "there is less load: mail is accepted but of those with more than their share");
                (Name::ShedEnd, Outcome::Info, 5)
            }
        };
        let reason = reasons.first().map(|word| (*word).to_owned());
        Event { severity, reason, data: Some(figures), ..Event::new(name, outcome) }
    }
}

#[cfg(test)]
mod tests;
