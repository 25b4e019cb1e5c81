//! Erasures with and without an event, and events without an erasure.

use super::super::super::erasure::{self, Part};
use super::super::super::ledger::now_us;
use super::super::super::second_opinion::second_opinion;
use super::super::super::specimen::Specimen;
use super::super::{Known, Verdict, time, verify};
use super::GRACE_US;

/// The verdict at that many microseconds from now.
fn verdict(log: &Specimen, later_us: u64) -> Verdict {
    let as_of_us = now_us() + later_us;
    let known = Known { as_of_us: Some(as_of_us), ..Known::default() };
    let found = match verify(&log.audit(), log.key(), &known, |_| {}) {
        Ok(_) => Verdict::Sound,
        Err(fault) => fault.verdict,
    };
    assert_eq!(second_opinion(&log.audit(), log.key(), &["--as-of", &time(as_of_us)]), found.code());
    found
}

/// A log whose events 3 to 5 have lost what is shown of their recipients, and say so.
fn redacted() -> Specimen {
    let log = Specimen::grown(&[10]);
    let parts = vec![Part { events: vec![(3, 5)], fields: vec!["rcpt_to".into()] }];
    let order =
        move |store: &mut crate::vault::store::Store<'_>| erasure::order(store, &parts, "uid 0", "case 7", None);
    log.writer.run_blocking(order).unwrap();
    log.seal();
    log.publish();
    log
}

#[test]
fn an_erasure_with_its_event_is_sound_and_one_by_hand_is_not() {
    let log = redacted();
    assert_eq!(verdict(&log, 0), Verdict::Sound);
    assert_eq!(second_opinion(&log.audit(), log.key(), &[]), 0);
    for (seq, field, columns) in [
        (3, "client_ip", "shown = NULL, shown_salt = NULL"),
        (2, "rcpt_to", "shown = NULL, shown_salt = NULL"),
        (6, "rcpt_to", "shown = NULL, shown_salt = NULL"),
        (4, "account", "value = NULL, salt = NULL"),
    ] {
        let log = redacted();
        log.tamper(&format!("UPDATE personal SET {columns} WHERE seq = {seq} AND field = '{field}'"));
        assert_eq!(verdict(&log, 0), Verdict::Erased, "{field} of {seq}");
        assert_eq!(second_opinion(&log.audit(), log.key(), &[]), Verdict::Erased.code(), "{field} of {seq}");
    }
}

#[test]
fn a_month_whose_later_events_are_not_there_is_not_called_tampered_with_nor_sound() {
    let mut log = Specimen::grown(&[10]);
    log.end_month("2020-01");
    let parts = vec![Part { events: vec![(3, 5)], fields: vec!["rcpt_to".into()] }];
    let order =
        move |store: &mut crate::vault::store::Store<'_>| erasure::order(store, &parts, "uid 0", "case 7", None);
    log.writer.run_blocking(order).unwrap();
    log.seal();
    log.publish();
    assert_eq!(verdict(&log, 0), Verdict::Sound);
    let month = log.audit().join("audit-2020-01.db");
    let alone = |as_of_us: Option<u64>| {
        let known = Known { as_of_us, ..Known::default() };
        let found = verify(&month, log.key(), &known, |_| {}).unwrap_err();
        let words = as_of_us.map(time);
        let words: Vec<&str> = words.iter().flat_map(|time| ["--as-of", time]).collect();
        assert_eq!(second_opinion(&month, log.key(), &words), found.verdict.code(), "{found}");
        found
    };
    let unjudged = alone(None);
    assert!(unjudged.verdict == Verdict::Usage && unjudged.what.contains("can't be judged"), "{unjudged}");
    // Who says that this was all knows that nothing came later.
    assert_eq!(alone(Some(now_us())).verdict, Verdict::Erased);
    // What can be judged goes first.
    let file = rusqlite::Connection::open(&month).unwrap();
    file.execute("UPDATE event SET reason = 'x' WHERE seq = 7", []).unwrap();
    assert_eq!(alone(None).verdict, Verdict::Altered);
}

#[test]
fn what_an_event_says_is_gone_must_be_gone_after_a_while() {
    let log = Specimen::grown(&[10]);
    let side = format!("ATTACH '{}' AS side;", log.home.path().join("side.db").display());
    log.tamper(&format!("{side} CREATE TABLE side.kept AS SELECT * FROM personal WHERE seq = 4 AND field = 'rcpt_to'"));
    let parts = vec![Part { events: vec![(3, 5)], fields: vec!["rcpt_to[0]".into()] }];
    let order =
        move |store: &mut crate::vault::store::Store<'_>| erasure::order(store, &parts, "uid 0", "case 7", None);
    log.writer.run_blocking(order).unwrap();
    log.seal();
    log.publish();
    assert_eq!(verdict(&log, GRACE_US + 1), Verdict::Sound);
    log.tamper(&format!("{side} INSERT OR REPLACE INTO personal SELECT * FROM side.kept"));
    assert_eq!(verdict(&log, 0), Verdict::Sound, "it may be under way");
    assert_eq!(verdict(&log, GRACE_US + 1_000_000), Verdict::Erased);
    // A reader may delay it as long as it likes: the service says that it is ordered.
    let ordered = |event: u64| {
        let as_of_us = Some(now_us() + GRACE_US + 1_000_000);
        let known = Known { as_of_us, erasing: vec![event], ..Known::default() };
        verify(&log.audit(), log.key(), &known, |_| {}).unwrap_err().verdict
    };
    let event = "SELECT max(seq) FROM event WHERE event = 'audit.redact'";
    let event: i64 = rusqlite::Connection::open(log.audit().join("audit.db"))
        .unwrap()
        .query_row(event, [], |row| row.get(0))
        .unwrap();
    let event = u64::try_from(event).unwrap();
    assert_eq!((ordered(event), ordered(event + 1)), (Verdict::Unsealed, Verdict::Erased));
}

#[test]
fn the_table_of_erasures_says_what_the_events_say() {
    for sql in [
        "UPDATE erasure SET last_seq = 4",
        "UPDATE erasure SET ground = 'another'",
        "DELETE FROM erasure",
        "INSERT INTO erasure VALUES(2, 0, 1, 1, 'rcpt_to', 'invented')",
        "DROP TABLE erasure",
    ] {
        let log = redacted();
        log.tamper(sql);
        assert_eq!(verdict(&log, 0), Verdict::Altered, "{sql}");
    }
}
