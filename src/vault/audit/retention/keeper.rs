//! When clocks and size are looked at, and what is told of it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Trust, by_size, by_time, size_event};
use crate::config::slice::Retention;
use crate::vault::audit::ledger::now_us;
use crate::vault::store::doubt;
use crate::vault::store::writer::Writer;

/// Months are counted in days, the size grows with the mail.
const TIME: Duration = Duration::from_secs(3600);
const SIZE: Duration = Duration::from_secs(10);
/// What is left of a doubt is written down so often: a restart makes it longer by that at most.
const DOUBT: Duration = Duration::from_secs(600);

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

pub struct Keeper {
    shared: Shared,
    trust: Trust,
    /// What the store knows of the doubt.
    doubt: Duration,
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
        let doubt = writer.run_blocking(|store| store.doubt.left()).unwrap_or(doubt::LONGEST);
        let trust = Trust::start(now_us(), last_us, doubt);
        Self { shared, trust, doubt, rules: Retention::default(), time: None, size: None, told: None }
    }

    pub fn rules(&self) -> &Retention {
        &self.rules
    }

    /// Looks at what is due, and orders it.
    pub fn look(&mut self, home: &Path, writer: &Writer) {
        let (now, now_us) = (Instant::now(), now_us());
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
        self.remember(self.trust.left(now), writer);
        if due(&mut self.size, SIZE) {
            match by_size(home, writer, &self.rules) {
                Ok(full) => self.bound(writer, full),
                Err(error) => self.tell(&error),
            }
        }
        if trusted && due(&mut self.time, TIME) {
            match by_time(home, writer, &self.rules, now_us) {
                Ok(Some(reason)) => self.tell(&format!("a month that is past retain_events stays: {reason}")),
                Ok(None) => {}
                Err(error) => self.tell(&error),
            }
        }
    }

    /// Writes down what is left of the doubt, when it is more than is known there, or much less.
    fn remember(&mut self, left: Duration, writer: &Writer) {
        let is_news = left > self.doubt || self.doubt.saturating_sub(left) >= DOUBT || left.is_zero();
        if is_news && left != self.doubt && writer.run_blocking(move |store| store.doubt.set(left)).is_ok() {
            self.doubt = left;
        }
    }

    /// The bound on the size was reached, or is no longer.
    fn bound(&self, writer: &Writer, full: bool) {
        if self.shared.full.swap(full, Ordering::Relaxed) == full {
            return;
        }
        match full {
            true => tracing::error!("the audit log is as large as audit.max_bytes allows: mail is refused (452, 503)"),
            false => tracing::info!("the audit log has room again: mail is taken"),
        }
        let event = size_event(full, &self.rules);
        // On a full disk the log line has to do.
        let _ = writer.run_blocking(move |store| store.record(vec![event]));
    }

    fn tell(&mut self, what: &str) {
        if self.told.as_deref() != Some(what) {
            tracing::warn!("{what}");
            self.told = Some(what.to_owned());
        }
    }
}
