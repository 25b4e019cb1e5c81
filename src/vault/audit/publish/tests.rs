//! Publication that is interrupted between any two of its steps.

use std::fs;

use super::files::{BATCH, Moved};
use super::*;
use crate::mail::address::Address;
use crate::vault::audit::event::{Event, Field, Name, Outcome};
use crate::vault::audit::ledger::{Batch, Note};
use crate::vault::audit::month;
use crate::vault::audit::month_file::keep_personal;
use crate::vault::store::anchors::Anchored;
use crate::vault::store::open::Database;

struct Bench {
    home: tempfile::TempDir,
    writer: Writer,
}

impl Bench {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("db")).unwrap();
        fs::create_dir(home.path().join("audit")).unwrap();
        let database = Database::open(home.path()).unwrap();
        let (writer, _) = Writer::start(database, |failure| panic!("{failure}")).unwrap();
        Self { home, writer }
    }

    fn append(&self, count: u64) {
        let address = Address::parse("rosa@example.net").unwrap();
        let work = move |store: &mut crate::vault::store::Store<'_>| {
            let event =
                Event::new(Name::MsgAccept, Outcome::Success).with(Field::Account, "shop").recipients([&address]);
            store.record(vec![event; usize::try_from(count).unwrap()])
        };
        self.writer.run_blocking(work).unwrap();
    }

    fn batch(&self) -> Batch {
        self.writer.run_blocking(|store| store.ledger.batch(BATCH)).unwrap()
    }

    fn files(&self) -> Files {
        Files::open(self.home.path()).unwrap()
    }

    fn count(&self, file: &str, sql: &str) -> i64 {
        let connection = rusqlite::Connection::open(self.home.path().join(file)).unwrap();
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn personal(&self) -> String {
        format!("db/personal-{}.db", month::of(super::super::ledger::now_us()))
    }

    fn check(&self, events: i64) {
        assert_eq!(self.count("audit/audit.db", "SELECT count(*) FROM event"), events);
        assert_eq!(self.count("audit/audit.db", "SELECT count(*) FROM personal"), events * 2);
        assert_eq!(self.count("audit/audit.db", "SELECT count(*) FROM personal WHERE value = 'shop'"), events);
        assert_eq!(self.count("audit/audit.db", "SELECT count(*) FROM personal WHERE value LIKE 'rosa%'"), 0);
        let clear = "SELECT count(*) FROM personal WHERE value = 'rosa@example.net' AND length(salt) = 16";
        assert_eq!(self.count(&self.personal(), clear), events);
        assert!(self.batch().rows.is_empty());
    }
}

#[test]
fn a_crash_after_the_personal_values_loses_and_doubles_nothing() {
    let bench = Bench::new();
    bench.append(300);
    keep_personal(&bench.home.path().join(bench.personal()), &bench.batch().rows).unwrap();
    assert_eq!(bench.files().publish_all(&bench.writer, None), Ok(300));
    bench.check(300);
    assert_eq!(bench.count("audit/audit.db", "SELECT count(*) FROM tile"), 1);
}

#[test]
fn what_comes_while_events_are_moved_is_for_the_next_second() {
    let bench = Bench::new();
    let transactions = || bench.writer.run_blocking(|store| Ok(store.transactions)).unwrap();
    let (mut files, mut size) = (bench.files(), 0);
    for (events, moves) in [(7, 1), (u64::from(BATCH) * 2 + 5, 3), (0, 0)] {
        bench.append(events);
        let before = transactions();
        size += events;
        assert_eq!(files.publish_all(&bench.writer, None), Ok(size));
        // Each is read and forgotten, and nobody looks once more for what may have come; where nothing is there that is seen by a look.
        assert_eq!(transactions() - before, 1 + u64::max(2 * moves, 1), "{events}");
    }
}

#[test]
fn a_crash_before_the_events_leave_the_vault_loses_and_doubles_nothing() {
    let bench = Bench::new();
    bench.append(5);
    assert_eq!(bench.files().publish(&bench.batch(), Some("gate/audit+0+x")), Ok(Moved::Below(5)));
    bench.append(2);
    assert_eq!(bench.files().publish_all(&bench.writer, None), Ok(7));
    bench.check(7);
}

#[test]
fn a_reader_in_the_way_delays_publication_until_the_next_tick() {
    let bench = Bench::new();
    bench.append(1);
    let mut files = bench.files();
    assert_eq!(files.publish_all(&bench.writer, None), Ok(1));
    let reader = rusqlite::Connection::open(bench.home.path().join("audit/audit.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM event;").unwrap();
    let mut statement = reader.prepare("SELECT * FROM event").unwrap();
    let mut rows = statement.query([]).unwrap();
    rows.next().unwrap();
    bench.append(1);
    assert_eq!(files.publish_all(&bench.writer, None), Ok(1));
    drop(rows);
    drop(statement);
    drop(reader);
    assert_eq!(files.publish_all(&bench.writer, None), Ok(2));
    bench.check(2);
}

#[test]
fn a_new_month_gets_a_new_file_once_the_old_one_is_sealed_or_has_waited() {
    let bench = Bench::new();
    bench.append(3);
    let mut files = bench.files();
    let mut batch = bench.batch();
    // The third event is of a later month.
    let later = super::super::ledger::now_us() + 40 * 86_400_000_000;
    batch.rows[2].time_us = later;
    assert_eq!(files.publish(&batch, None), Ok(Moved::Below(2)));
    let rest = Batch { rows: batch.rows.split_off(2), base: bench.base(2), ..Batch::default() };
    assert_eq!(files.publish(&rest, None), Ok(Moved::NotNow), "its last head isn't there yet");
    let notes = vec![Note { size: 2, time_us: later, root: [0; 32], note: String::new() }];
    let rest = Batch { notes, ..rest };
    assert_eq!(files.publish(&rest, None), Ok(Moved::Below(3)));
    let closed = format!("audit/audit-{}.db", month::of(super::super::ledger::now_us()));
    assert_eq!(bench.count(&closed, "SELECT count(*) FROM event"), 2);
    assert_eq!(bench.count("audit/audit.db", "SELECT min(seq) FROM event"), 2);
    assert_eq!(bench.count("audit/audit.db", "SELECT cast(value AS INTEGER) FROM info WHERE key = 'first_seq'"), 2);
}

impl Bench {
    fn base(&self, size: u64) -> crate::merkle::Frontier {
        let mut frontier = crate::merkle::Frontier::default();
        for row in self.batch().rows.iter().take(usize::try_from(size).unwrap()) {
            frontier.push(row.leaf_hash);
        }
        frontier
    }
}

#[test]
fn a_head_that_was_kept_elsewhere_is_told_to_auditors_and_a_cosignature_is_in_its_note() {
    let bench = Bench::new();
    bench.append(3);
    let note = Note { size: 3, time_us: 1, root: [0; 32], note: "text\n\nsigned\n".into() };
    bench.writer.run_blocking(move |store| store.ledger.keep_note(&note)).unwrap();
    let mut files = bench.files();
    assert_eq!(files.publish_all(&bench.writer, None), Ok(3));
    let line = "\u{2014} witness.example/w1 abcd";
    let head = |name: &str, proof: Option<&str>| {
        let proof = proof.map(str::to_owned);
        Anchored { name: name.into(), size: 3, time_us: 1_000_000, proof }
    };
    // Twice, as after a crash between the two files.
    for _ in 0..2 {
        for head in [head("file", None), head("w1", Some(line))] {
            bench.writer.run_blocking(move |store| store.anchors.keep(&head)).unwrap();
        }
        assert_eq!(files.publish_all(&bench.writer, None), Ok(3));
    }
    let rows = "SELECT count(*) FROM anchor_v1 WHERE size = 3 AND time = '1970-01-01T00:00:01.000000Z'";
    assert_eq!(bench.count("audit/audit.db", rows), 2);
    let whole = format!("SELECT note = 'text\n\nsigned\n{line}\n' FROM checkpoint");
    assert_eq!(bench.count("audit/audit.db", &whole), 1);
    assert_eq!(bench.writer.run_blocking(|store| store.anchors.unpublished(10)), Ok(vec![]));
}
