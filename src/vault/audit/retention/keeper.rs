//! When clocks and size are looked at, and what is told of it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Size, Trust, by_size, by_time, size_event};
use crate::config::slice::Retention;
use crate::vault::audit::ledger::now_us;
use crate::vault::store::waits::{self, Wait};
use crate::vault::store::writer::Writer;

/// Months are counted in days, the size grows with the mail.
const TIME: Duration = Duration::from_secs(3600);
const SIZE: Duration = Duration::from_secs(10);
/// What is left of a wait is written down so often: a restart makes it longer by that at most.
const NEWS: Duration = Duration::from_secs(600);

/// What the session thread and the publisher's share.
#[derive(Clone, Default)]
pub struct Shared {
    rules: Arc<Mutex<Retention>>,
    full: Arc<AtomicBool>,
}

impl Shared {
    pub fn set(&self, rules: Retention) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// Whether the log is as large as it may be, and mail is to wait.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }
}

struct Pause {
    since: Instant,
    whole: Duration,
    known: Duration,
}

pub struct Keeper {
    shared: Shared,
    trust: Trust,
    /// What the store knows of the doubt.
    doubt: Duration,
    /// No month goes for want of room for so long, from an instant on; and what the store knows of that.
    room: Pause,
    /// The rules of the last look, and when time and size were looked at.
    rules: Retention,
    time: Option<Instant>,
    size: Option<Instant>,
    /// What was said last of why something is not done.
    told: Option<String>,
}

impl Keeper {
    /// `last_us` is when the last event was.
    pub fn new(shared: Shared, last_us: Option<u64>, writer: &Writer) -> Self {
        let left = |wait| writer.run_blocking(move |store| store.waits.left(wait)).unwrap_or(waits::LONGEST);
        let (doubt, room) = (left(Wait::Doubt), left(Wait::Room));
        let trust = Trust::start(now_us(), last_us, doubt);
        let room = Pause { since: Instant::now(), whole: room, known: room };
        Self { shared, trust, doubt, room, rules: Retention::default(), time: None, size: None, told: None }
    }

    pub fn rules(&self) -> &Retention {
        &self.rules
    }

    /// Looks at what is due, and orders it.
    pub fn look(&mut self, home: &Path, writer: &Writer) {
        self.look_at(home, writer, Instant::now(), now_us());
    }

    /// `now` and `now_us` are the same instant on two clocks.
    pub(super) fn look_at(&mut self, home: &Path, writer: &Writer, now: Instant, now_us: u64) {
        let rules = self.shared.rules.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if rules != self.rules {
            (self.time, self.size) = (None, None);
            self.rules = rules;
        }
        let due = |at: &mut Option<Instant>, every| {
            let is_due = at.is_none_or(|at| now.saturating_duration_since(at) >= every);
            if is_due {
                *at = Some(now);
            }
            is_due
        };
        // Asked every time, so that it notices when the clock is set.
        let trusted = self.trust.holds(now, now_us);
        // Before anything is published that bears the time in doubt.
        remember(Wait::Doubt, self.trust.left(now), &mut self.doubt, writer);
        let wait = self.room.whole.saturating_sub(now.saturating_duration_since(self.room.since));
        remember(Wait::Room, wait, &mut self.room.known, writer);
        if due(&mut self.size, SIZE) {
            match by_size(home, writer, &self.rules, trusted.then_some(now_us), wait) {
                Ok(size) => {
                    if size == Size::Ordered {
                        self.room = Pause { since: now, whole: waits::LONGEST, known: waits::LONGEST };
                    }
                    self.bound(writer, &size);
                }
                Err(error) => self.failed(&error),
            }
        }
        if trusted && due(&mut self.time, TIME) {
            match by_time(home, writer, &self.rules, now_us) {
                Ok(Some(reason)) if self.is_news(&reason) => {
                    tracing::warn!(reason, "a month that is past retain_events stays");
                }
                Ok(_) => {}
                Err(error) => self.failed(&error),
            }
        }
    }

    /// The bound on the size was reached, or is no longer.
    fn bound(&self, writer: &Writer, size: &Size) {
        let full = if let Size::Full(reason) = size { Some(reason.as_str()) } else { None };
        if self.shared.full.swap(full.is_some(), Ordering::Relaxed) == full.is_some() {
            return;
        }
        match full {
            Some(reason) => {
                tracing::error!(
                    reason,
                    "the audit log is as large as audit.max_bytes allows: mail is refused (452, 503)"
                );
            }
            None => tracing::info!("the audit log has room again: mail is taken"),
        }
        let event = size_event(full, &self.rules);
        // On a full disk the log line has to do.
        let _ = writer.run_blocking(move |store| store.record(vec![event]));
    }

    fn failed(&mut self, error: &str) {
        if self.is_news(error) {
            tracing::warn!(error, "which months of the audit log may go can't be found out");
        }
    }

    fn is_news(&mut self, what: &str) -> bool {
        let is_news = self.told.as_deref() != Some(what);
        if is_news {
            self.told = Some(what.to_owned());
        }
        is_news
    }
}

/// Writes down what is left of a wait, when it is more than is known there, or much less.
fn remember(wait: Wait, left: Duration, known: &mut Duration, writer: &Writer) {
    let is_news = left > *known || known.saturating_sub(left) >= NEWS || left.is_zero();
    if is_news && left != *known && writer.run_blocking(move |store| store.waits.set(wait, left)).is_ok() {
        *known = left;
    }
}
