//! Alerts: what is wrong with the gate itself is told to operators, by mail and to a webhook, once.
//!
//! Nothing is probed for it: signs are read (`look`) from what the vault knows already. Which of them is told when is decided without
//! I/O (`watch`), and what was told is written down in the transaction of the mail and the event (`tell`): a restart tells nobody
//! again. All that changed by one look is one mail, there is an end to how many there are in an hour, and of the gate's own mail
//! nothing is told, so that an alert is never the reason for the next one.

pub mod certificates;
pub mod letter;
mod look;
mod rates;
pub mod sign;
pub mod tell;
mod watch;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use super::Vault;
use super::audit::ledger::now_us;
use super::audit::seal::Pulse;
use crate::config::slice::Alerts;
use certificates::Certificates;
pub use look::{expiries, span};
use rates::{Counts, Rates};
use sign::Sign;
use watch::Watches;

/// How often it is looked: as late is what is told at once.
const EVERY: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(5) };
/// Looks between two at what every credential has left, of which there may be many.
const SELDOM: u64 = if cfg!(test) { 1 } else { 12 };
/// What comes within this time behind a mail is told together.
const APART: Duration = if cfg!(test) { Duration::from_millis(100) } else { Duration::from_secs(60) };
/// Mails, and rounds of events, within an hour: whoever gets more reads none.
const MOST_AN_HOUR: usize = 12;

/// What is known for it beside what others keep.
#[derive(Default)]
pub struct Desk {
    pub certificates: RefCell<Certificates>,
    /// None while whoever is to be told is told.
    pub silence: RefCell<Option<Silence>>,
}

/// Something is wrong that nobody could be told of, or not by all ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// In Unix microseconds.
    pub since_us: u64,
    pub reason: String,
}

impl Desk {
    /// What became of telling something, or of a test of that.
    pub fn tried(&self, reason: Option<String>, now_us: u64) {
        let mut silence = self.silence.borrow_mut();
        let since_us = silence.as_ref().map_or(now_us, |silence| silence.since_us);
        *silence = reason.map(|reason| Silence { since_us, reason });
    }
}

/// When something was told, of the last hour, and when that was tried last.
#[derive(Debug, Default)]
struct Voice {
    told: VecDeque<Instant>,
    tried: Option<Instant>,
}

impl Voice {
    fn may(&mut self, now: Instant) -> bool {
        self.told.retain(|at| now.duration_since(*at) < rates::HOUR);
        self.told.len() < MOST_AN_HOUR && self.tried.is_none_or(|last| now.duration_since(last) >= APART)
    }

    /// What could not be told takes nobody's place, and its reason stands in the log once in a while, and not at every look.
    fn tried(&mut self, is_told: bool, now: Instant) {
        self.tried = Some(now);
        self.told.extend(is_told.then_some(now));
    }
}

/// Runs as long as there is a vault. Where nobody is told, nothing is looked at but counts.
pub async fn run(vault: Rc<Vault>, pulse: Rc<Pulse>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut keeper = Keeper::new(vault, pulse);
    let mut turn = 0;
    let mut is_quiet = false;
    loop {
        ticks.tick().await;
        // Also while nobody is told: what came before somebody was is no news.
        keeper.note(Instant::now());
        let alerts = keeper.vault.authority.borrow().slice.alerts.clone();
        match alerts {
            Some(alerts) => {
                is_quiet = false;
                keeper.turn(&alerts, turn, now_us(), Instant::now()).await;
            }
            // Who is told again later begins anew.
            None if !is_quiet => {
                keeper.watches = None;
                keeper.vault.alerts.tried(None, now_us());
                is_quiet = keeper.vault.writer.run(|store| store.alerts.forget()).await.is_ok();
            }
            None => {}
        }
        turn += 1;
    }
}

/// Who looks and tells.
pub struct Keeper {
    vault: Rc<Vault>,
    pulse: Rc<Pulse>,
    /// None before they were read.
    watches: Option<Watches>,
    rates: Rates,
    voice: Voice,
    /// What credentials had left when that was looked at last.
    seldom: Vec<Sign>,
}

impl Keeper {
    pub fn new(vault: Rc<Vault>, pulse: Rc<Pulse>) -> Self {
        let (rates, voice) = (Rates::default(), Voice::default());
        Self { vault, pulse, watches: None, rates, voice, seldom: Vec::new() }
    }

    /// Takes down what was counted by then.
    pub fn note(&mut self, now: Instant) {
        self.rates.note(Counts::of(self.vault.writer.tally()), now);
    }

    /// Looks once, and tells what is to be told by then.
    pub async fn turn(&mut self, alerts: &Alerts, turn: u64, now_us: u64, now: Instant) {
        if turn.is_multiple_of(SELDOM) {
            self.seldom = look::of_credentials(&self.vault);
        }
        let Some(mut signs) = look::look(&self.vault, &self.pulse, alerts, &self.rates, now_us).await else { return };
        signs.extend(self.seldom.iter().cloned());
        if self.watches.is_none() {
            // A full disk, or the end of the store: the next look may do.
            let Ok(told) = self.vault.writer.run(|store| store.alerts.all()).await else { return };
            self.watches = Some(Watches::load(told, now));
        }
        let Some(watches) = &mut self.watches else { return };
        let changes = watches.look(signs, alerts, now_us, now);
        if changes.is_empty() || !self.voice.may(now) {
            return;
        }
        let told = tell::changes(&self.vault, alerts, &changes, now_us).await;
        self.voice.tried(told.is_ok(), now);
        let reason = match &told {
            Ok(by_mail) => by_mail.as_ref().err(),
            Err(reason) => Some(reason),
        };
        self.vault.alerts.tried(reason.cloned(), now_us);
        match told {
            Ok(_) => watches.told(&changes, now_us),
            Err(reason) => {
                tracing::error!(reason, changes = changes.len(), "operators could not be told what is wrong")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_when_somebody_could_not_be_told_is_kept_until_he_is() {
        let desk = Desk::default();
        let silence = |since_us, reason: &str| Some(Silence { since_us, reason: reason.to_owned() });
        for (now_us, reason, expected) in [
            (1, None, None),
            (2, Some("no room"), silence(2, "no room")),
            (3, Some("no route"), silence(2, "no route")),
            (4, None, None),
            (5, Some("no room"), silence(5, "no room")),
        ] {
            desk.tried(reason.map(str::to_owned), now_us);
            assert_eq!(*desk.silence.borrow(), expected, "{now_us}");
        }
    }

    #[test]
    fn there_is_an_end_to_how_much_is_told() {
        let (mut voice, begun) = (Voice::default(), Instant::now());
        let mut told = 0;
        for second in 0..3600 {
            let now = begun + Duration::from_secs(second);
            if voice.may(now) {
                voice.tried(true, now);
                told += 1;
            }
        }
        assert_eq!(told, MOST_AN_HOUR);
        let later = begun + Duration::from_secs(7200);
        assert!(voice.may(later));
        for minute in 0..60 {
            let now = later + Duration::from_secs(60 * minute);
            assert!(voice.may(now), "what fails takes no place");
            voice.tried(false, now);
            assert!(!voice.may(now), "and is not tried at every look");
        }
    }
}
