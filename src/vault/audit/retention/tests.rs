//! Retention by clocks that the tests set, and months that go only when they may.

use std::fs;

use rusqlite::Connection;

use super::*;
use crate::vault::audit::publish::Publisher;
use crate::vault::audit::second_opinion::second_opinion;
use crate::vault::audit::specimen::Specimen;
use crate::vault::audit::verify::{Known, Summary, Verdict, verify};

const DAY_US: u64 = 86_400_000_000;
const MONTH: &str = "2026-01";
const ANCHORED: &str = "INSERT INTO audit_anchor(name, size, time_us, proof) VALUES('w1', 10, 1, 'its line')";

/// A closed month with ten events, and a current one with five.
fn grown(sql: &str) -> Specimen {
    let log = Specimen::with(sql);
    log.set_time(after(0) - DAY_US);
    log.grow(10);
    log.set_time(super::super::ledger::now_us());
    log.append(vec![Event::new(Name::DaemonStart, Outcome::Info)]);
    log.grow(4);
    log
}

/// So many days after the end of the closed month.
fn after(days: u64) -> u64 {
    MONTH.parse::<Month>().unwrap().end_us().unwrap() + days * DAY_US
}

fn rules(personal: Option<u64>, events: Option<u64>) -> Retention {
    let days = |days: Option<u64>| days.map(|days| Duration::from_secs(days * 86_400));
    Retention { personal: days(personal), events: days(events), ..Retention::default() }
}

fn look(log: &Specimen, rules: &Retention, now_us: u64) -> Option<String> {
    let stays = by_time(log.home.path(), &log.writer, rules, now_us).unwrap();
    log.seal();
    log.publish();
    stays
}

fn sound(log: &Specimen) -> Result<Summary, Verdict> {
    let known = Known { as_of_us: Some(super::super::ledger::now_us()), ..Known::default() };
    verify(&log.audit(), log.key(), &known, |_| {}).map_err(|fault| fault.verdict)
}

fn seen(log: &Specimen, file: &str, sql: &str) -> Vec<String> {
    let connection = Connection::open(log.audit().join(file)).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

#[test]
fn personal_values_go_in_their_time_and_who_sent_what_stays() {
    let log = grown("");
    let closed = format!("audit-{MONTH}.db");
    let personal = log.home.path().join("db").join(format!("personal-{MONTH}.db"));
    look(&log, &rules(Some(90), None), after(89));
    assert_eq!(log.writer.size(), 15);
    assert!(personal.exists());
    look(&log, &rules(Some(90), None), after(91));
    assert_eq!(log.writer.size(), 16);
    assert!(!personal.exists(), "nothing is left in it");
    let columns =
        "SELECT DISTINCT account || ' ' || client_ip || ' ' || rcpt_to FROM audit_v1 WHERE rcpt_to IS NOT NULL";
    assert_eq!(seen(&log, &closed, columns), ["shop [erased] [erased]"]);
    assert_eq!(seen(&log, "audit.db", columns), ["shop 192.0.2.0/24 ***@example.net"]);
    let said = "SELECT actor || ' ' || ground || ' ' || first_seq || ' ' || last_seq FROM erasure_v1";
    assert_eq!(seen(&log, "audit.db", said), ["policy retain_personal = 90d 0 9"]);
    assert_eq!(sound(&log).map(|summary| summary.size), Ok(16));
    look(&log, &rules(Some(90), None), after(92));
    assert_eq!(log.writer.size(), 16, "once is enough");
}

#[test]
fn a_month_goes_when_it_is_anchored_and_old_and_the_log_is_sound_without_it() {
    let log = grown("");
    let stays = look(&log, &rules(None, Some(400)), after(401)).unwrap();
    assert!(stays.contains("ever anchored"), "{stays}");
    let log = grown("INSERT INTO audit_anchor(name, size, time_us) VALUES('file', 10, 1)");
    let stays = look(&log, &rules(None, Some(400)), after(401)).unwrap();
    assert!(stays.contains("ever anchored"), "not on another machine: {stays}");
    let log = grown(&ANCHORED.replace("10", "9"));
    let stays = look(&log, &rules(None, Some(400)), after(401)).unwrap();
    assert!(stays.contains("newest anchored head is of 9"), "{stays}");

    let log = grown(ANCHORED);
    assert_eq!(look(&log, &rules(None, Some(400)), after(399)), None);
    assert_eq!(log.writer.size(), 15);
    let root = log.writer.run_blocking(|store| store.ledger.root_at(10)).unwrap();
    assert_eq!(look(&log, &rules(None, Some(400)), after(401)), None);
    assert!(!log.audit().join(format!("audit-{MONTH}.db")).exists());
    assert!(!log.home.path().join("db").join(format!("personal-{MONTH}.db")).exists());
    assert_eq!(
        seen(&log, "audit.db", "SELECT what || ' ' || first_seq || ' ' || last_seq FROM erasure_v1"),
        ["events 0 9"]
    );
    let summary = sound(&log).unwrap();
    assert_eq!((summary.first, summary.size), (10, 16));
    assert_eq!(second_opinion(&log.audit(), log.key(), &[]), 0);
    assert_eq!(log.writer.run_blocking(|store| store.ledger.root_at(10)).unwrap(), root, "the tree stays");
    look(&log, &rules(None, Some(400)), after(402));
    assert_eq!(log.writer.size(), 16);
}

#[test]
fn a_month_that_went_without_an_event_is_missed_and_one_that_should_have_gone_is_found() {
    let log = grown(ANCHORED);
    let closed = log.audit().join(format!("audit-{MONTH}.db"));
    let copy = fs::read(&closed).unwrap();
    fs::remove_file(&closed).unwrap();
    assert_eq!(sound(&log), Err(Verdict::Erased));
    assert_eq!(second_opinion(&log.audit(), log.key(), &[]), Verdict::Erased.code());
    fs::write(&closed, &copy).unwrap();
    assert!(sound(&log).is_ok());
    look(&log, &rules(None, Some(400)), after(401));
    assert!(sound(&log).is_ok());
    fs::write(&closed, &copy).unwrap();
    assert!(sound(&log).is_ok(), "it may be under way");
    let known = Known { as_of_us: Some(super::super::ledger::now_us() + 700_000_000), ..Known::default() };
    let late = verify(&log.audit(), log.key(), &known, |_| {}).unwrap_err();
    assert!(late.what.contains("still there"), "{late}");
    let as_of = |later_us| super::super::verify::time(super::super::ledger::now_us() + later_us);
    let opinion = |later_us| second_opinion(&log.audit(), log.key(), &["--as-of", &as_of(later_us)]);
    assert_eq!((opinion(0), opinion(700_000_000)), (0, Verdict::Erased.code()));
    // An archive may have what the service no longer has.
    assert!(verify(&log.audit(), log.key(), &Known::default(), |_| {}).is_ok());
}

#[test]
fn a_file_that_is_not_what_the_tree_was_made_from_never_goes() {
    for sql in ["UPDATE event SET reason = 'x' WHERE seq = 3", "DELETE FROM event WHERE seq = 9"] {
        let log = grown(ANCHORED);
        Connection::open(log.audit().join(format!("audit-{MONTH}.db"))).unwrap().execute_batch(sql).unwrap();
        let stays = look(&log, &rules(None, Some(400)), after(401)).unwrap();
        assert!(stays.contains("isn't what"), "{stays}");
        assert!(log.audit().join(format!("audit-{MONTH}.db")).exists());
    }
}

#[test]
fn personal_values_never_go_by_what_a_file_says_of_itself() {
    let set = |key: &str, value: &str| format!("UPDATE info SET value = '{value}' WHERE key = '{key}';");
    for (name, lie) in [
        (MONTH, set("month", "2020-01")),
        ("2020-01", set("month", "2020-01")),
        (MONTH, set("published_size", "100000")),
        (MONTH, set("first_seq", "1")),
        (MONTH, "UPDATE event SET time_us = 1577836800000000".to_owned()),
    ] {
        let log = grown("");
        let closed = log.audit().join(format!("audit-{MONTH}.db"));
        Connection::open(&closed).unwrap().execute_batch(&lie).unwrap();
        fs::rename(&closed, log.audit().join(format!("audit-{name}.db"))).unwrap();
        let before = log.writer.size();
        let stays = look(&log, &rules(Some(90), None), after(91)).unwrap_or_default();
        assert!(stays.contains("keep the file"), "{lie}: {stays}");
        assert_eq!(log.writer.size(), before, "{lie}");
        assert!(log.home.path().join("db").join(format!("personal-{MONTH}.db")).exists(), "{lie}");
    }
}

#[test]
fn a_crash_between_the_event_and_the_removal_is_made_good() {
    let mut log = grown(ANCHORED);
    // A publisher that works for another house: nothing is removed here.
    log.publisher = Specimen::empty().publisher.clone();
    assert_eq!(by_time(log.home.path(), &log.writer, &rules(None, Some(400)), after(401)), Ok(None));
    assert!(log.audit().join(format!("audit-{MONTH}.db")).exists());
    log.publisher = Publisher::start(log.home.path().to_owned(), log.writer.clone()).unwrap().0;
    log.seal();
    log.publish();
    assert!(!log.audit().join(format!("audit-{MONTH}.db")).exists());
    assert!(sound(&log).is_ok());
}

#[test]
fn by_hand_it_is_looked_at_first_and_the_current_month_never_goes() {
    let log = grown(ANCHORED);
    let by_hand = |dry| -> Vec<Looked> {
        let meant = meant(log.home.path(), |_| true).unwrap();
        meant.iter().map(|place| super::by_hand(place, &log.writer, "case 7", "uid 0", dry).unwrap()).collect()
    };
    let looked = by_hand(true);
    assert_eq!(looked.len(), 2);
    assert_eq!((looked[0].first, looked[0].end, &looked[0].obstacle), (0, 10, &None));
    assert!(looked[1].obstacle.as_ref().unwrap().contains("being written"));
    assert_eq!(log.writer.size(), 15);
    by_hand(false);
    log.publish();
    assert_eq!(log.writer.size(), 16);
    assert_eq!(by_hand(true).len(), 1);
}

#[test]
fn a_log_that_is_too_large_loses_its_oldest_month_or_keeps_mail_out() {
    let bound = |when_full| Retention { max_octets: Some(1), when_full, ..Retention::default() };
    let size = |log: &Specimen, rules: &Retention| {
        by_size(log.home.path(), &log.writer, rules, Some(after(100)), Duration::ZERO).unwrap()
    };
    let stays = |log: &Specimen, rules: &Retention, why: &str| {
        let Size::Full(reason) = size(log, rules) else { panic!("there is room") };
        assert!(reason.contains(why), "{reason}");
    };
    let log = grown(ANCHORED);
    assert!(octets(log.home.path()).unwrap() > 100_000);
    assert_eq!(size(&log, &Retention::default()), Size::Fits);
    assert_eq!(size(&log, &Retention { max_octets: Some(1 << 30), ..bound(WhenFull::Mail) }), Size::Fits);
    stays(&log, &bound(WhenFull::Mail), "when_full");
    assert_eq!(log.writer.size(), 15);
    assert_eq!(size(&log, &bound(WhenFull::Oldest)), Size::Ordered);
    log.publish();
    assert!(!log.audit().join(format!("audit-{MONTH}.db")).exists());
    stays(&log, &bound(WhenFull::Oldest), "least_kept");
    stays(&grown(""), &bound(WhenFull::Oldest), "ever anchored");
}

/// Three closed months, all anchored, a current one, and a bound that leaves room for none of them.
fn flooded(least_kept: u64) -> (Specimen, keeper::Shared) {
    let log = Specimen::with(&ANCHORED.replace("10", "30"));
    for month in 0..3 {
        log.set_time(after(31 * month) - DAY_US);
        log.append(vec![Event::new(Name::DaemonStart, Outcome::Info)]);
        log.grow(9);
    }
    log.set_time(super::super::ledger::now_us());
    log.append(vec![Event::new(Name::DaemonStart, Outcome::Info)]);
    log.grow(4);
    let shared = keeper::Shared::default();
    let least_kept = Duration::from_secs(least_kept * 86_400);
    shared.set(Retention { max_octets: Some(1), when_full: WhenFull::Oldest, least_kept, ..Retention::default() });
    (log, shared)
}

/// A keeper looks, so many hours after this instant, with a clock that is so many days ahead. Gives how many closed months there
/// are then.
fn months_after(log: &Specimen, keeper: &mut Keeper, hours: u64, ahead: u64) -> usize {
    let now = Instant::now() + Duration::from_secs(hours * 3600);
    let now_us = super::super::ledger::now_us() + hours * 3_600_000_000 + ahead * DAY_US;
    keeper.look_at(log.home.path(), &log.writer, now, now_us);
    log.seal();
    log.publish();
    places::audit(log.home.path()).unwrap().len() - 1
}

#[test]
fn a_flood_costs_one_month_a_day_whatever_is_restarted() {
    let (log, shared) = flooded(1);
    let now_us = super::super::ledger::now_us();
    let keeper = || Keeper::new(shared.clone(), Some(now_us), &log.writer);
    let mut first = keeper();
    assert_eq!(months_after(&log, &mut first, 0, 0), 2);
    assert!(!shared.is_full(), "one makes room");
    let mut first = keeper();
    assert_eq!(months_after(&log, &mut first, 0, 0), 2, "a kill right after it is no new day");
    assert_eq!(months_after(&log, &mut first, 1, 0), 2);
    assert!(shared.is_full(), "no second one");
    for _ in 0..3 {
        assert_eq!(months_after(&log, &mut keeper(), 7, 0), 2, "a restart is no new day");
    }
    // It has run for a day but two hours.
    let mut second = keeper();
    assert_eq!(months_after(&log, &mut second, 1, 0), 2);
    assert_eq!(months_after(&log, &mut second, 3, 0), 1);
    assert!(!shared.is_full());
    assert_eq!(months_after(&log, &mut second, 26, 0), 1);
    assert_eq!(months_after(&log, &mut second, 28, 0), 0);
    assert!(sound(&log).is_ok());
    let full = "SELECT data FROM audit_v1 WHERE event = 'store.full'";
    assert!(seen(&log, "audit.db", full)[0].contains("one goes a day"));
}

#[test]
fn what_is_young_never_goes_for_want_of_room_and_a_clock_that_was_set_makes_nothing_old() {
    let over_days = |months: u64| (super::super::ledger::now_us() - after(31 * months)) / DAY_US;
    let (log, shared) = flooded(over_days(1) + 10);
    let now_us = super::super::ledger::now_us();
    let mut keeper = Keeper::new(shared.clone(), Some(now_us), &log.writer);
    assert_eq!(months_after(&log, &mut keeper, 0, 0), 2, "the first one is old enough");
    assert_eq!(months_after(&log, &mut keeper, 25, 0), 2);
    assert!(shared.is_full(), "and mail waits");
    // Years ahead: old by that clock, which is not believed for a day.
    assert_eq!(months_after(&log, &mut keeper, 26, 4000), 2);
    assert_eq!(months_after(&log, &mut keeper, 49, 4000), 2);
    let mut next = Keeper::new(shared.clone(), Some(now_us), &log.writer);
    assert_eq!(months_after(&log, &mut next, 0, 0), 2, "nor after a restart");
    assert!(shared.is_full());
    assert_eq!(months_after(&log, &mut keeper, 51, 4000), 1, "nobody objected");
}

#[test]
fn a_clock_that_was_set_is_not_believed_for_a_day() {
    let (start, day) = (Instant::now(), Duration::from_secs(86_400));
    let at = |hours: u64| start + Duration::from_secs(hours * 3600);
    let mut trust = Trust { since: start, since_us: 0, doubt: Duration::ZERO };
    let us = |hours: u64| hours * 3_600_000_000;
    assert!(trust.holds(at(0), us(0)) && trust.holds(at(100), us(100)));
    assert!(!trust.holds(at(101), us(9000)), "years ahead");
    assert!(!trust.holds(at(124), us(9023)));
    assert!(trust.holds(at(126), us(9025)), "nobody objected");
    assert!(!trust.holds(at(127), us(128)), "and back");
    let now = 100 * DAY_US;
    let doubt = |last_us, left| Trust::start(now, last_us, left).doubt;
    assert_eq!(doubt(None, Duration::ZERO), Duration::ZERO);
    assert_eq!(doubt(Some(now - DAY_US / 2), Duration::ZERO), Duration::ZERO);
    assert_eq!(doubt(Some(now - 2 * DAY_US), Duration::ZERO), day);
    assert_eq!(doubt(Some(now), day / 3), day / 3, "a restart forgets nothing");
}

#[test]
fn a_doubt_outlives_the_vault_whoever_noticed_it() {
    let log = Specimen::grown(&[3]);
    let left = || log.writer.run_blocking(|store| store.waits.left(Wait::Doubt)).unwrap();
    let keeper = |last_us| Keeper::new(keeper::Shared::default(), Some(last_us), &log.writer);
    let now_us = super::super::ledger::now_us();
    keeper(now_us).look(log.home.path(), &log.writer);
    assert_eq!(left(), Duration::ZERO);
    // A start after a long silence, and one soon after it.
    keeper(now_us - 2 * DAY_US).look(log.home.path(), &log.writer);
    let first = left();
    assert!(first > Duration::from_secs(86_300), "{first:?}");
    keeper(now_us).look(log.home.path(), &log.writer);
    assert!(left() > Duration::from_secs(86_200));
    // The event that tells of a clock that was set, and what is left of the doubt, are one transaction.
    log.writer.run_blocking(|store| store.waits.set(Wait::Doubt, Duration::ZERO)).unwrap();
    let step = |store: &mut crate::vault::store::Store<'_>| {
        let mut times = [0, 7_200_000_000].into_iter();
        let read = move || {
            let time = 1_800_000_000_000_000 + times.next().unwrap_or(7_200_000_000);
            crate::vault::audit::clock::Reading { time, elapsed: 0, running: 0 }
        };
        store.ledger.set_clocks(Box::new(read));
        store.ledger.append(Event::new(Name::AuditHeartbeat, Outcome::Info)).map(drop)
    };
    log.writer.run_blocking(step).unwrap();
    assert_eq!(left(), waits::LONGEST);
}

#[test]
fn one_look_by_time_orders_one_month() {
    let (log, _) = flooded(1);
    let closed = || places::audit(log.home.path()).unwrap().len() - 1;
    let ordered = || {
        let count = "SELECT count(*) FROM event WHERE event IN ('audit.redact', 'audit.prune')";
        seen(&log, "audit.db", &count.replace("count(*)", "CAST(count(*) AS TEXT)"))[0].parse::<u32>().unwrap()
    };
    assert_eq!(closed(), 3);
    for turn in 1..=3 {
        look(&log, &rules(Some(1), None), after(900));
        assert_eq!((ordered(), closed()), (turn, 3));
    }
    for turn in 1..=3 {
        assert_eq!(look(&log, &rules(Some(1), Some(400)), after(900)), None);
        assert_eq!((ordered(), closed()), (3 + turn, 3 - usize::try_from(turn).unwrap()));
    }
    assert!(sound(&log).is_ok());
}

#[test]
fn a_month_that_was_put_back_goes_again() {
    let log = grown(ANCHORED);
    let closed = log.audit().join(format!("audit-{MONTH}.db"));
    let copy = fs::read(&closed).unwrap();
    for _ in 0..2 {
        fs::write(&closed, &copy).unwrap();
        assert_eq!(look(&log, &rules(None, Some(400)), after(401)), None);
        assert!(!closed.exists());
    }
    assert_eq!(log.writer.size(), 17);
    assert!(sound(&log).is_ok());
}

#[test]
fn a_month_under_another_name_stays_and_no_other_months_values_go() {
    for name in [MONTH, "2025-11"] {
        let log = grown(ANCHORED);
        let closed = log.audit().join(format!("audit-{MONTH}.db"));
        let edit = "UPDATE info SET value = '2025-11' WHERE key = 'month'";
        Connection::open(&closed).unwrap().execute_batch(edit).unwrap();
        let renamed = log.audit().join(format!("audit-{name}.db"));
        fs::rename(&closed, &renamed).unwrap();
        let stays = look(&log, &rules(None, Some(400)), after(401)).unwrap();
        assert!(stays.contains("its events are not those of 2025-11"), "{stays}");
        assert!(renamed.exists());
    }
    // What was examined may be another file by the time it goes.
    let log = grown(ANCHORED);
    let place = places::audit(log.home.path()).unwrap().remove(0);
    let pruning = pruning::examine(&place, &log.writer, "case 7").unwrap();
    let personal = |month: &str| log.home.path().join("db").join(format!("personal-{month}.db"));
    let other = super::super::month::of(super::super::ledger::now_us()).to_string();
    let pruning = pruning::Pruning { month: other.clone(), ..pruning };
    assert!(pruning::remove(log.home.path(), &pruning).unwrap_err().contains("of other events"));
    assert!(personal(&other).exists() && personal(MONTH).exists());
}
