//! The clocks, watched: the time of day against two clocks that nobody sets. What would look like a gap in the log, or
//! like a log that stands still, is an event before the first one that is affected.

use super::event::{Event, Name, Outcome};
use super::ledger::now_us;
use crate::sys::clock;

/// Readings this far apart from each other mean that a clock was set. What NTP corrects bit by bit stays below it, because
/// the vault looks once a second.
const APART_US: i64 = 1_000_000;
/// A clock that was set by more than this is doubted: nothing is erased by its word for a while.
pub const DOUBTFUL_US: u64 = 3_600_000_000;
/// The vault looks once a second. If it did not for so long, the machine stood still, or the disk or the processor hung.
const STALL_US: i64 = 60_000_000;
/// Readings are taken one after the other; if that took longer, they say nothing about each other.
const ATOMIC_US: i64 = 100_000;
const TRIES: u32 = 5;

/// Three clocks at one instant, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Unix time, which may be set.
    pub time: i64,
    /// Since boot, sleep included.
    pub elapsed: i64,
    /// Since boot, without sleep.
    pub running: i64,
}

impl Reading {
    pub fn now() -> Self {
        let mut reading = Self::once();
        for _ in 1..TRIES {
            if micros(clock::elapsed().as_micros()) - reading.elapsed < ATOMIC_US {
                break;
            }
            reading = Self::once();
        }
        reading
    }

    fn once() -> Self {
        let elapsed = micros(clock::elapsed().as_micros());
        Self { time: micros(u128::from(now_us())), elapsed, running: micros(clock::running().as_micros()) }
    }
}

fn micros(n: u128) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Where readings come from: the system, or a test.
pub type Clocks = Box<dyn FnMut() -> Reading>;

/// The last reading, and what was noticed and is not in the log yet.
#[derive(Default)]
pub struct Watch {
    last: Option<Reading>,
    noticed: Vec<Event>,
    /// How many of those were written in the transaction under way.
    told: usize,
}

impl Watch {
    /// Compares with the reading before.
    pub fn look(&mut self, now: Reading) {
        let Some(last) = self.last.replace(now) else { return };
        let ran = now.running - last.running;
        let elapsed = now.elapsed - last.elapsed;
        let apart = |us: i64| if us.abs() > APART_US { us } else { 0 };
        let slept = apart(elapsed - ran);
        let stepped = apart((now.time - last.time) - elapsed);
        let stalled = if ran > STALL_US { ran } else { 0 };
        let parts = [("suspend", slept), ("step", stepped), ("stall", stalled)];
        // All of what happened goes by the name of the greatest part.
        let Some((kind, _)) = parts.iter().filter(|(_, us)| *us != 0).max_by_key(|(_, us)| us.abs()) else { return };
        tracing::warn!(kind, slept, stepped, stalled, "the clocks moved apart (microseconds)");
        self.noticed.push(event(kind, slept + stepped + stalled, &parts));
    }

    /// A clock that is behind the end of the log: events keep the time of the last one until it has caught up.
    pub fn behind(&mut self, now_us: u64, last_us: u64) {
        let behind = micros(u128::from(last_us.saturating_sub(now_us)));
        if behind > APART_US {
            tracing::warn!(behind, "the clock is behind the last event of the log (microseconds): is it set?");
            self.noticed.push(event("behind", -behind, &[]));
        }
    }

    pub fn has_news(&self) -> bool {
        self.told < self.noticed.len()
    }

    /// The next event to write in this transaction.
    pub fn tell(&mut self) -> Option<Event> {
        let event = self.noticed.get(self.told).cloned()?;
        self.told += 1;
        Some(event)
    }

    /// What was told is on the disk.
    pub fn committed(&mut self) {
        self.noticed.drain(..std::mem::take(&mut self.told));
    }

    /// It is not: it will be told again.
    pub fn rolled_back(&mut self) {
        self.told = 0;
    }
}

/// Whether an event of the clocks says that the time of day was set so far that it is doubted.
pub fn is_doubtful(event: &Event) -> bool {
    let data = event.data.as_deref().and_then(|data| serde_json::from_str::<serde_json::Value>(data).ok());
    let Some(data) = data else { return false };
    let whole = if event.reason.as_deref() == Some("step") { "by_us" } else { "step_us" };
    let stepped = data.get("step_us").or_else(|| data.get(whole)).and_then(serde_json::Value::as_i64);
    stepped.is_some_and(|us| us.unsigned_abs() > DOUBTFUL_US)
}

fn event(kind: &str, by_us: i64, parts: &[(&str, i64)]) -> Event {
    let mut data = serde_json::json!({ "kind": kind, "by_us": by_us });
    let several = parts.iter().filter(|(_, us)| *us != 0).count() > 1;
    for (part, us) in parts.iter().filter(|(_, us)| *us != 0 && several) {
        if let Some(data) = data.as_object_mut() {
            data.insert(format!("{part}_us"), (*us).into());
        }
    }
    let event = Event::new(Name::ClockStep, Outcome::Info);
    Event { severity: 5, reason: Some(kind.to_owned()), data: Some(data.to_string()), ..event }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const HOUR: i64 = 3600 * SECOND;

    /// A second passes, and on top of it: the machine sleeps, the clock is set, nobody looks.
    fn noticed(slept: i64, stepped: i64, stalled: i64) -> Option<String> {
        let mut watch = Watch::default();
        watch.look(Reading { time: 1_800_000_000 * SECOND, elapsed: 5 * SECOND, running: 4 * SECOND });
        let ran = SECOND + stalled;
        watch.look(Reading {
            time: 1_800_000_000 * SECOND + ran + slept + stepped,
            elapsed: 5 * SECOND + ran + slept,
            running: 4 * SECOND + ran,
        });
        watch.tell().map(|event| event.data.unwrap())
    }

    #[test]
    fn each_way_in_which_time_jumps_is_told_by_its_name() {
        assert_eq!(noticed(0, 0, 0), None);
        assert_eq!(noticed(0, SECOND / 2, 0), None, "what NTP does all day");
        assert_eq!(noticed(0, HOUR, 0).as_deref(), Some(r#"{"by_us":3600000000,"kind":"step"}"#));
        assert_eq!(noticed(0, -HOUR, 0).as_deref(), Some(r#"{"by_us":-3600000000,"kind":"step"}"#));
        assert_eq!(noticed(HOUR, 0, 0).as_deref(), Some(r#"{"by_us":3600000000,"kind":"suspend"}"#));
        assert_eq!(noticed(0, 0, HOUR).as_deref(), Some(r#"{"by_us":3601000000,"kind":"stall"}"#));
        let both = r#"{"by_us":3610000000,"kind":"suspend","step_us":10000000,"suspend_us":3600000000}"#;
        assert_eq!(noticed(HOUR, 10 * SECOND, 0).as_deref(), Some(both));
    }

    #[test]
    fn a_clock_that_was_set_far_is_doubted_whatever_else_happened() {
        let doubted = |slept: i64, stepped: i64| {
            let mut watch = Watch::default();
            watch.look(Reading { time: 0, elapsed: 0, running: 0 });
            watch.look(Reading { time: slept + stepped + SECOND, elapsed: slept + SECOND, running: SECOND });
            is_doubtful(&watch.tell().unwrap())
        };
        assert!(doubted(0, 2 * HOUR) && doubted(0, -2 * HOUR) && doubted(9 * HOUR, 2 * HOUR));
        assert!(!doubted(9 * HOUR, 0) && !doubted(0, HOUR / 2) && !doubted(9 * HOUR, HOUR / 2));
    }

    #[test]
    fn what_was_noticed_is_told_until_it_is_on_the_disk() {
        let mut watch = Watch::default();
        watch.behind(10_000_000, 70_000_000);
        assert!(watch.tell().is_some_and(|event| event.reason.as_deref() == Some("behind")));
        assert!(watch.tell().is_none());
        watch.rolled_back();
        assert!(watch.has_news() && watch.tell().is_some());
        watch.committed();
        assert!(!watch.has_news() && watch.tell().is_none());
    }

    #[test]
    fn the_systems_own_clocks_agree_with_each_other() {
        let mut watch = Watch::default();
        for _ in 0..3 {
            watch.look(Reading::now());
        }
        assert!(!watch.has_news());
    }
}
