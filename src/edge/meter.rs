//! What is counted at one listener, until the vault is told. What this process counted since then is lost with it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::ipc::counted::{Api, Count, Counted, Status};
use crate::ipc::figures::family::{Spread, Value};
use crate::ipc::figures::metric::Metric;

#[derive(Debug, Default)]
pub struct Meter(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    open: u64,
    under_way: u64,
    counts: BTreeMap<Count, u64>,
    took: Spreads,
    bodies: Spreads,
    /// How many were open and under way when that was said last.
    told: (u64, u64),
    /// It is to be said whatever it was: there is another vault, or it could not be said.
    is_due: bool,
}

/// What was measured of requests, by their APIs, in the buckets of a metric.
#[derive(Debug, Default)]
struct Spreads(BTreeMap<Api, Value>);

/// A connection, until this is dropped.
pub struct Open<'a>(&'a Meter);

/// A request, until this is dropped.
pub struct UnderWay<'a>(&'a Meter);

impl Meter {
    pub fn count(&self, what: Count) {
        let mut state = self.lock();
        let number = state.counts.entry(what).or_default();
        *number = number.saturating_add(1);
    }

    /// A connection is served from here on.
    pub fn open(&self) -> Open<'_> {
        self.lock().open += 1;
        Open(self)
    }

    /// A request is worked on from here on.
    pub fn begin(&self) -> UnderWay<'_> {
        self.lock().under_way += 1;
        UnderWay(self)
    }

    /// A request was answered with this status, so long after its head was read, and so much of its body was.
    pub fn answered(&self, api: Api, status: u16, took: Duration, octets: u64) {
        self.count(Count::Answered(api, Status::of(status)));
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let mut state = self.lock();
        state.took.add(Metric::HttpDuration, api, micros);
        if octets > 0 {
            state.bodies.add(Metric::HttpBody, api, octets);
        }
    }

    /// What is to be told, where there is anything new. It counts as told.
    pub fn take(&self, listener: &str) -> Option<Counted> {
        let mut state = self.lock();
        let at_hand = (state.open, state.under_way);
        if state.counts.is_empty() && state.told == at_hand && !state.is_due {
            return None;
        }
        (state.told, state.is_due) = (at_hand, false);
        let counts = std::mem::take(&mut state.counts).into_iter().collect();
        let (open, under_way) = at_hand;
        let (took, bodies) = (state.took.take(), state.bodies.take());
        Some(Counted { listener: listener.to_owned(), open, under_way, counts, took, bodies })
    }

    /// It could not be told: it is told with what comes next.
    pub fn put_back(&self, counted: Counted) {
        let mut state = self.lock();
        state.is_due = true;
        for (what, much) in counted.counts {
            let number = state.counts.entry(what).or_default();
            *number = number.saturating_add(much);
        }
        state.took.put_back(Metric::HttpDuration, counted.took);
        state.bodies.put_back(Metric::HttpBody, counted.bodies);
    }

    /// There is another vault, which knows of nothing that is open.
    pub fn forget(&self) {
        self.lock().is_due = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spreads {
    fn add(&mut self, metric: Metric, api: Api, much: u64) {
        self.0.entry(api).or_insert_with(|| Value::none(metric)).add(metric, much);
    }

    fn take(&mut self) -> Vec<(Api, Spread)> {
        let spread = |(api, value)| if let Value::Spread(spread) = value { Some((api, spread)) } else { None };
        std::mem::take(&mut self.0).into_iter().filter_map(spread).collect()
    }

    fn put_back(&mut self, metric: Metric, spreads: Vec<(Api, Spread)>) {
        for (api, spread) in spreads {
            if let Value::Spread(own) = self.0.entry(api).or_insert_with(|| Value::none(metric)) {
                own.merge(&spread);
            }
        }
    }
}

impl Drop for Open<'_> {
    /// In whichever way its session ended.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.count(Count::Fell);
        }
        let mut state = self.0.lock();
        state.open = state.open.saturating_sub(1);
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.under_way = state.under_way.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::counted::Met;

    #[test]
    fn what_was_told_is_told_once_and_what_could_not_be_is_told_with_the_next() {
        let meter = Meter::default();
        assert_eq!(meter.take("a"), None);
        let open = meter.open();
        meter.count(Count::Connection(Met::Begun));
        meter.answered(Api::V1, 202, Duration::from_millis(7), 1024);
        let told = meter.take("a").unwrap();
        assert_eq!((told.open, told.under_way, told.listener.as_str()), (1, 0, "a"));
        let counts = vec![(Count::Connection(Met::Begun), 1), (Count::Answered(Api::V1, Status::of(202)), 1)];
        assert_eq!(told.counts, counts);
        assert_eq!(
            (told.took[0].1.sum, &told.bodies[0].1.counts[..2], told.bodies[0].1.sum),
            (7000, &[1, 0][..], 1024)
        );
        assert_eq!(meter.take("a"), None);

        meter.answered(Api::V1, 202, Duration::from_millis(9), 1025);
        // Of what has no body there is none of no length.
        meter.answered(Api::Ops, 200, Duration::from_millis(1), 0);
        meter.put_back(told);
        let told = meter.take("a").unwrap();
        assert_eq!(told.counts[1], (Count::Answered(Api::V1, Status::of(202)), 2));
        assert_eq!((told.took[0].1.sum, told.took[0].1.counts.iter().sum::<u64>()), (16_000, 2));
        assert_eq!((told.took.len(), told.bodies.len()), (2, 1));
        assert_eq!((&told.bodies[0].1.counts[..2], told.bodies[0].1.sum), (&[1, 1][..], 2049));
        // A vault that is new hears how much is open, whether or not something was counted since.
        meter.forget();
        assert_eq!(meter.take("a").unwrap().open, 1);
        drop(open);
        // That nothing is open any more could not be told: it is told again.
        let told = meter.take("a").unwrap();
        assert_eq!((told.open, told.counts.len()), (0, 0));
        meter.put_back(told);
        assert_eq!(meter.take("a").unwrap().open, 0);
        assert_eq!(meter.take("a"), None);
    }

    #[test]
    fn a_session_that_falls_is_counted_and_open_no_more() {
        let meter = std::sync::Arc::new(Meter::default());
        let own = std::sync::Arc::clone(&meter);
        let fell = std::thread::spawn(move || {
            let _open = own.open();
            panic!("on purpose")
        });
        assert!(fell.join().is_err());
        let told = meter.take("a").unwrap();
        assert_eq!((told.open, told.counts), (0, vec![(Count::Fell, 1)]));
    }
}
