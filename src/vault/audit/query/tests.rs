//! Questions to files that grow, change their month, come from elsewhere or are broken.

use std::fs;
use std::process::Command;

use super::*;
use crate::vault::audit::event::{Event, Field, Name, Outcome};
use crate::vault::audit::specimen::{Specimen, accepted};

fn seqs(log: &Specimen, filter: &Filter) -> Vec<u64> {
    let mut seqs = Vec::new();
    query(&log.audit(), filter, |found| seqs.push(found.seq())).unwrap();
    seqs
}

#[test]
fn the_columns_are_those_of_the_view() {
    let log = Specimen::grown(&[1]);
    let connection = open(&log.audit().join("audit.db")).unwrap();
    let view = connection.prepare("SELECT * FROM audit_v1").unwrap();
    assert_eq!(view.column_names().collect::<Vec<_>>(), COLUMNS);
}

#[test]
fn a_month_that_lacks_a_column_of_today_is_read_without_it() {
    let log = Specimen::grown(&[1]);
    log.tamper("DROP VIEW audit_v1; CREATE VIEW audit_v1 AS SELECT seq, time_us, event, NULL AS time FROM event");
    let connection = open_unchecked(&log.audit().join("audit.db")).unwrap();
    let found = Filter::default().page(&connection, 0, 10).unwrap();
    assert_eq!((found[0].get("event"), found[0].get("listener")), (Some("msg.accept"), None));
    // But no version of ours has that view: somebody hides columns.
    let refused = query(&log.audit(), &Filter::default(), |_| {}).unwrap_err();
    assert!(refused.contains(FOREIGN), "{refused}");
}

#[test]
fn pages_and_months_are_one_log() {
    let mut log = Specimen::grown(&[10, 2500]);
    log.end_month("2020-01");
    log.grow(40);
    log.end_month("2020-02");
    log.grow(3);
    assert_eq!(seqs(&log, &Filter::default()), (0..2553).collect::<Vec<_>>());
    for (limit, first) in [(1, 2552), (3, 2550), (4, 2549), (43, 2510), (44, 2509), (2000, 553), (9000, 0)] {
        let newest = Filter { limit: Some(limit), ..Filter::default() };
        assert_eq!(seqs(&log, &newest), (first..2553).collect::<Vec<_>>(), "{limit}");
    }
    assert_eq!(seqs(&log, &Filter { limit: Some(0), ..Filter::default() }), [0; 0]);
    let range = Filter { from: Some(2505), to: Some(2552), ..Filter::default() };
    assert_eq!(seqs(&log, &range), (2505..2552).collect::<Vec<_>>());
    assert_eq!(seqs(&log, &Filter { limit: Some(2), ..range }), [2550, 2551]);
}

#[test]
fn the_newest_of_what_matches_are_found_across_months() {
    let mut log = Specimen::empty();
    let other = || Event::new(Name::AuthFailure, Outcome::Denied).with(Field::AuthUser, "x***(3)");
    log.append(vec![other(), accepted(), accepted(), other()]);
    log.publish();
    log.end_month("2020-01");
    log.append(vec![accepted(), other(), accepted()]);
    log.publish();
    let filter = |limit| Filter { event: Some("auth.failure".into()), limit, ..Filter::default() };
    assert_eq!(seqs(&log, &filter(None)), [0, 3, 5]);
    assert_eq!(seqs(&log, &filter(Some(2))), [3, 5]);
    let none = Filter { event: Some("daemon.stop".into()), limit: Some(5), ..Filter::default() };
    assert_eq!(seqs(&log, &none), [0; 0]);
}

#[test]
fn a_cursor_goes_on_where_the_log_does_also_into_the_next_month() {
    let mut log = Specimen::grown(&[5]);
    let mut cursor = Cursor::start(&log.audit(), &Filter { limit: Some(2), ..Filter::default() }).unwrap();
    let mut page = || cursor.page().unwrap().iter().map(Found::seq).collect::<Vec<_>>();
    assert_eq!(page(), [3, 4]);
    assert_eq!(page(), [0; 0]);
    log.grow(2);
    assert_eq!(page(), [5, 6]);
    log.end_month("2020-01");
    assert_eq!(page(), [0; 0]);
    // The vault makes the file before it writes to it.
    fs::write(log.audit().join("audit.db"), b"").unwrap();
    assert_eq!(page(), [0; 0]);
    fs::remove_file(log.audit().join("audit.db")).unwrap();
    log.grow(3);
    assert_eq!(page(), [7, 8, 9]);
    assert_eq!(page(), [0; 0]);
}

#[test]
fn months_that_are_kept_elsewhere_are_stepped_over() {
    let mut log = Specimen::grown(&[5]);
    log.end_month("2020-01");
    log.grow(2);
    fs::remove_file(log.audit().join("audit-2020-01.db")).unwrap();
    assert_eq!(seqs(&log, &Filter::default()), [5, 6]);
    assert_eq!(seqs(&log, &Filter { limit: Some(9), ..Filter::default() }), [5, 6]);
}

#[test]
fn what_is_asked_for_is_data_and_never_sql() {
    let log = Specimen::grown(&[3]);
    for text in ["' OR 1=1 --", "shop'; DROP TABLE event; --", "shop\0", "\u{202e}shop", "%", "*", ""] {
        let some = || Some(text.to_owned());
        for filter in [
            Filter { account: some(), ..Filter::default() },
            Filter { message: some(), ..Filter::default() },
            Filter { session: some(), ..Filter::default() },
            Filter { event: some(), ..Filter::default() },
            Filter { outcome: some(), ..Filter::default() },
            Filter { recipient: some(), ..Filter::default() },
        ] {
            assert_eq!(seqs(&log, &filter), [0; 0], "{filter:?}");
        }
    }
    assert_eq!(seqs(&log, &Filter { account: Some("shop".into()), ..Filter::default() }), [0, 1, 2]);
    let recipient = Filter { recipient: Some("anybody@example.net".into()), ..Filter::default() };
    assert_eq!(seqs(&log, &recipient), [0, 1, 2], "as far as auditors see it");
}

#[test]
fn what_is_no_text_in_a_file_breaks_nothing() {
    let log = Specimen::grown(&[2]);
    log.tamper("UPDATE event SET reason = CAST(x'ff1b5b324a' AS TEXT), upstream = x'00ff', mx = 1.5 WHERE seq = 1");
    let mut found = Vec::new();
    query(&log.audit(), &Filter::default(), |event| found.push(event)).unwrap();
    assert_eq!(found[1].get("reason"), Some("\u{fffd}\u{1b}[2J"));
    assert_eq!(found[1].get("upstream"), Some("\0\u{fffd}"));
    assert_eq!(found[1].get("mx"), Some("1.5"));
}

#[test]
fn a_file_that_cannot_be_read_is_refused_with_what_to_do_and_left_as_it_is() {
    let log = Specimen::grown(&[300]);
    let good = fs::read(log.audit().join("audit.db")).unwrap();
    let cut = &good[..good.len() / 2 + 100];
    let mut torn = good.clone();
    torn[4096..12_288].fill(0xff);
    let sql = |statement: &str| {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("audit.db");
        fs::write(&file, &good).unwrap();
        rusqlite::Connection::open(&file).unwrap().execute_batch(statement).unwrap();
        fs::read(&file).unwrap()
    };
    for (what, octets, said) in [
        ("another program's", sql("PRAGMA application_id = 7"), "is not an auditors' file"),
        ("newer", sql("PRAGMA user_version = 99"), "was written by a newer Gatepost"),
        (
            "no database",
            b"once upon a time, there was no database at all\n".repeat(100),
            "take a copy of it from a backup",
        ),
        ("cut short", cut.to_vec(), "take a copy of it from a backup"),
        ("torn", torn, "take a copy of it from a backup"),
    ] {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("audit.db");
        fs::write(&file, &octets).unwrap();
        let error = query(place.path(), &Filter::default(), |_| ()).unwrap_err();
        assert!(error.contains(said), "{what}: {error}");
        assert_eq!(fs::read(&file).unwrap(), octets, "{what}");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "{what}");
    }
}

#[test]
fn a_write_that_was_cut_short_is_told_apart_from_damage() {
    let log = Specimen::grown(&[300]);
    let file = log.audit().join("audit.db");
    // What is on the disk in the middle of a transaction that didn't fit into memory.
    let writer = rusqlite::Connection::open(&file).unwrap();
    writer
        .execute_batch("PRAGMA journal_mode=TRUNCATE; PRAGMA cache_size=2; BEGIN; UPDATE event SET reason='x'")
        .unwrap();
    let place = tempfile::tempdir().unwrap();
    for name in ["audit.db", "audit.db-journal"] {
        fs::copy(log.audit().join(name), place.path().join(name)).unwrap();
    }
    let error = query(place.path(), &Filter::default(), |_| ()).unwrap_err();
    assert!(error.contains("start the service, which mends it"), "{error}");
}

#[test]
fn what_is_opened_once_more_stays_as_it_is_for_those_who_read_it_already() {
    let log = Specimen::grown(&[3]);
    let path = log.audit().join("audit.db");
    let reader = open(&path).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let count = || reader.query_row("SELECT count(*) FROM event", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count(), 3);
    drop(open(&path).unwrap());
    // Of another process, because nobody is in the way of his own.
    let write = || Command::new("sqlite3").arg(&path).arg("DELETE FROM anchor").output().unwrap();
    let refused = String::from_utf8(write().stderr).unwrap();
    assert!(refused.contains("locked"), "{refused:?}");
    reader.execute_batch("COMMIT").unwrap();
    assert!(write().status.success());
}
