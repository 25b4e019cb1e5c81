//! No false alarms: each honest cause of a pause leaves a log that verifies, and a pause without a cause doesn't.

use std::sync::{Arc, Mutex};

use super::super::*;
use crate::vault::audit::clock::Reading;
use crate::vault::audit::event::{Event, Name, Outcome};
use crate::vault::audit::specimen::{Specimen, accepted};
use crate::vault::store::Store;

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
/// 2027-01-31 12:00 UTC: the month changes soon.
const BEGIN: i64 = 1_801_396_800_000_000;

/// A log whose time the test makes.
pub struct Life {
    pub log: Specimen,
    clocks: Arc<Mutex<Reading>>,
}

impl Life {
    /// A service that has just started.
    pub fn new() -> Self {
        let clocks = Arc::new(Mutex::new(Reading { time: BEGIN, elapsed: HOUR, running: HOUR }));
        let life = Self { log: Specimen::empty(), clocks };
        life.boot();
        life.say(Name::DaemonStart, "");
        life
    }

    /// The vault's start: it knows no reading before its own.
    fn boot(&self) {
        let clocks = Arc::clone(&self.clocks);
        let read = move || *clocks.lock().unwrap();
        let begin = move |store: &mut Store<'_>| {
            store.ledger.set_clocks(Box::new(read));
            let last = store.ledger.last();
            if let Some(crash) = store.marker.begin(0, last)? {
                store.ledger.append(crash)?;
            }
            store.ledger.begin()
        };
        self.log.writer.run_blocking(begin).unwrap();
    }

    fn say(&self, name: Name, data: &str) {
        let data = Some(data.to_owned()).filter(|data| !data.is_empty());
        self.log.append(vec![Event { data, ..Event::new(name, Outcome::Info) }]);
    }

    fn stop(&self) {
        self.say(Name::DaemonStop, "");
        self.log.writer.run_blocking(|store| store.marker.end()).unwrap();
    }

    /// Moves the clocks: so much sleep, so far set, so much time in which the vault ran or stood still.
    fn jump(&self, slept: i64, set: i64, ran: i64) {
        let mut clocks = self.clocks.lock().unwrap();
        clocks.time += slept + set + ran;
        clocks.elapsed += slept + ran;
        clocks.running += ran;
    }

    /// Hours in which the machine sleeps, and a message after them.
    pub fn sleep(&self, hours: i64) {
        self.jump(hours * HOUR, 0, MINUTE / 60);
        self.log.append(vec![accepted()]);
    }

    /// The look that the vault takes once a second.
    fn look(&self) {
        self.log.writer.tick();
        self.log.writer.run_blocking(|_| Ok(())).unwrap();
    }

    /// Hours in which nothing happens but the vault's own looks and heartbeats.
    pub fn quiet(&self, minutes: i64) {
        for minute in 1..=minutes {
            self.jump(0, 0, MINUTE);
            self.look();
            if minute % 5 == 0 {
                self.say(Name::AuditHeartbeat, "");
            }
        }
    }

    fn verify(&self) -> Result<Summary, Fault> {
        // The last leaf of a month has a head of its own, and its file is closed after that.
        for _ in 0..2 {
            self.log.seal();
            self.log.publish();
        }
        let now = u64::try_from(self.clocks.lock().unwrap().time).unwrap();
        let known = Known { as_of_us: Some(now), ..Known::default() };
        verify(&self.log.audit(), self.log.key(), &known, |_| {})
    }

    fn assert_sound(&self, what: &str) {
        self.quiet(6);
        let verified = self.verify();
        assert!(verified.is_ok(), "{what}: {}", verified.unwrap_err());
    }

    fn told(&self) -> Vec<String> {
        let told = |store: &mut Store<'_>| store.ledger.batch(1000);
        let rows = self.log.writer.run_blocking(told).unwrap().rows;
        rows.iter()
            .filter(|row| row.event == "clock.step")
            .filter_map(|row| row.text("reason").map(str::to_owned))
            .collect()
    }
}

#[test]
fn a_quiet_log_verifies_over_the_end_of_a_month_and_the_clocks_say_nothing() {
    let life = Life::new();
    life.quiet(24 * 60);
    assert_eq!(life.told(), [""; 0]);
    life.assert_sound("a quiet day");
    assert!(life.log.audit().join("audit-2027-01.db").exists());
}

#[test]
fn a_clock_that_is_set_either_way_is_told_before_what_comes_then() {
    for set in [HOUR, -HOUR, 400 * 24 * HOUR, -400 * 24 * HOUR] {
        for noticed_by_an_event in [false, true] {
            let life = Life::new();
            life.jump(0, set, MINUTE / 60);
            if noticed_by_an_event {
                life.log.append(vec![accepted()]);
            } else {
                life.look();
            }
            assert_eq!(life.told(), ["step"]);
            life.assert_sound(&format!("set by {set}"));
            life.jump(0, -set, MINUTE / 60);
            life.assert_sound(&format!("set by {set}, and back"));
        }
    }
}

#[test]
fn a_machine_that_sleeps_and_one_that_stands_still_are_told() {
    for (slept, set, ran, kind) in [
        (9 * HOUR, 0, MINUTE / 60, "suspend"),
        (9 * HOUR, 20 * MINUTE, MINUTE / 60, "suspend"),
        // A paused virtual machine whose clocks went on, and one whose clocks stood still, too, and were set afterwards.
        (0, 0, 9 * HOUR, "stall"),
        (0, 9 * HOUR, MINUTE / 60, "step"),
    ] {
        let life = Life::new();
        life.jump(slept, set, ran);
        life.log.append(vec![accepted()]);
        assert_eq!(life.told(), [kind]);
        life.assert_sound(kind);
    }
}

#[test]
fn a_stop_an_unclean_one_and_a_clock_that_is_wrong_at_the_next_start_are_no_gaps() {
    let life = Life::new();
    life.stop();
    life.jump(0, 30 * HOUR, 0);
    life.boot();
    life.say(Name::DaemonStart, "");
    life.assert_sound("a stop, an upgrade, a move");
    // The power fails; the vault falls too often and stays down: nothing but the marker is left.
    life.jump(0, 30 * HOUR, 0);
    life.boot();
    life.assert_sound("an unclean stop");
    life.stop();
    // No battery: it is 1970 until the network comes.
    life.jump(0, -BEGIN, 0);
    life.boot();
    assert_eq!(life.told().last().map(String::as_str), Some("behind"));
    life.say(Name::DaemonStart, "");
    life.quiet(12);
    life.jump(0, BEGIN, 0);
    life.assert_sound("a clock without a battery");
}

#[test]
fn commands_while_the_service_is_stopped_are_no_gaps_even_after_an_unclean_stop() {
    let life = Life::new();
    life.jump(0, 5 * HOUR, 0);
    let command = |store: &mut Store<'_>| {
        store.tell_unclean_stop()?;
        store.record(vec![Event::new(Name::CredentialCreate, Outcome::Success)])
    };
    for _ in 0..2 {
        life.log.writer.run_blocking(command).unwrap();
        life.jump(0, 5 * HOUR, 0);
    }
    life.boot();
    life.say(Name::DaemonStart, "");
    life.assert_sound("commands");
}

#[test]
fn a_pause_without_a_cause_is_refused_and_so_is_an_end_that_is_none() {
    let life = Life::new();
    // The vault looks, and writes nothing: it is captured, or events were left out.
    for _ in 0..11 {
        life.jump(0, 0, MINUTE);
        life.look();
    }
    let silent = life.verify().unwrap_err();
    assert_eq!((silent.verdict, silent.what.contains("had not stopped")), (Verdict::Unsealed, true), "{silent}");
    life.log.append(vec![accepted()]);
    let gap = life.verify().unwrap_err();
    assert_eq!((gap.verdict, gap.what.contains("no event says why")), (Verdict::Altered, true), "{gap}");
}

#[test]
fn a_service_that_ended_is_not_silent_and_one_that_fell_is_shown_by_the_sealers_head() {
    let life = Life::new();
    let size = life.verify().unwrap().size;
    let now = u64::try_from(BEGIN + 5 * HOUR).unwrap();
    let root = life.log.writer.run_blocking(move |store| store.ledger.root_at(size)).unwrap().unwrap();
    let head = KnownHead { what: "the sealer's last head".into(), size, root, verdict: Verdict::Altered, gap: None };
    let known = |published, heads| Known { as_of_us: Some(now), published, heads, ..Known::default() };
    let check = |known: &Known| verify(&life.log.audit(), life.log.key(), known, |_| {}).map(|summary| summary.ended);
    assert_eq!(check(&known(None, vec![])).unwrap_err().verdict, Verdict::Unsealed);
    assert_eq!(check(&known(None, vec![head.clone()])), Ok(false));
    assert_eq!(
        check(&known(Some(size), vec![head])).unwrap_err().verdict,
        Verdict::Unsealed,
        "a service that writes nothing"
    );
    life.stop();
    life.log.seal();
    life.log.publish();
    assert_eq!(check(&known(None, vec![])), Ok(true));
}
