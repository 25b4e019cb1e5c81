//! Manipulations of the auditors' files, and the code each is found out with.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::*;
use crate::mail::address::Address;
use crate::sealer::key::LogKey;
use crate::secret::Secret;
use crate::vault::audit::event::{Event, Field, Name, Outcome};
use crate::vault::audit::ledger::Note;
use crate::vault::audit::ledger::now_us;
use crate::vault::audit::publish::Publisher;
use crate::vault::audit::second_opinion::second_opinion;
use crate::vault::store::open::Database;
use crate::vault::store::writer::Writer;

mod beside;
mod causes;
mod database;
mod encoding;
mod indices;
mod keys;
mod lessons;
mod rows;
mod waits;

const ORIGIN: &str = "gate.example.net/audit";

fn key(seed: u8) -> LogKey {
    LogKey::new(ORIGIN, &Secret::new([seed; 32])).unwrap()
}

struct Bench {
    home: tempfile::TempDir,
    writer: Writer,
    publisher: Publisher,
}

impl Bench {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("db")).unwrap();
        fs::create_dir(home.path().join("audit")).unwrap();
        let (writer, _) = Writer::start(Database::open(home.path()).unwrap(), |failure| panic!("{failure}")).unwrap();
        let (publisher, _) = Publisher::start(home.path().to_owned(), writer.clone()).unwrap();
        Self { home, writer, publisher }
    }

    /// Events, a sealed head over them all, and more of both.
    fn grown() -> Self {
        let bench = Self::new();
        for count in [3, 250, 7, 400] {
            bench.append(count);
            bench.seal();
        }
        bench.publish();
        bench
    }

    fn append(&self, count: usize) {
        let address = Address::parse("rosa@example.net").unwrap();
        let event = Event::new(Name::MsgAccept, Outcome::Success).with(Field::Account, "shop").recipients([&address]);
        let event = event
            .sender(&Some(address.clone()))
            .client("192.0.2.7".parse().unwrap())
            .with(Field::Helo, "pc.example.net");
        self.writer.run_blocking(move |store| store.record(vec![event; count])).unwrap();
    }

    fn seal(&self) {
        let work = |store: &mut crate::vault::store::Store<'_>| {
            let sealed = store.ledger.last_sealed()?;
            let head = store.ledger.head(sealed)?.unwrap();
            let note = key(1).sign(head.size, head.root);
            store.ledger.keep_note(&Note { size: head.size, time_us: now_us(), root: head.root, note })
        };
        self.writer.run_blocking(work).unwrap();
    }

    fn publish(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.publisher.publish()).unwrap();
    }

    fn audit(&self) -> PathBuf {
        self.home.path().join("audit")
    }

    fn verify(&self) -> Result<Summary, Fault> {
        self.against(Known::default())
    }

    fn against(&self, known: Known) -> Result<Summary, Fault> {
        verify(&self.audit(), key(1).verifier(), &known, |_| {})
    }

    /// What somebody keeps of the log as it was at that size.
    fn head(&self, size: u64, verdict: Verdict) -> KnownHead {
        let root = self.writer.run_blocking(move |store| store.ledger.root_at(size)).unwrap().unwrap();
        KnownHead { what: "a head".into(), size, root, verdict, gap: None }
    }

    /// Does it to the file itself.
    fn tamper(&self, sql: &str) {
        Connection::open(self.audit().join("audit.db")).unwrap().execute_batch(sql).unwrap();
    }

    /// Leaves the first events and what fits them.
    fn cut(&self, size: u64) {
        self.tamper(&format!(
            "DELETE FROM event WHERE seq >= {size}; DELETE FROM personal WHERE seq >= {size};
             DELETE FROM checkpoint WHERE size > {size}; DELETE FROM tile WHERE (number + 1) * 256 > {size};
             UPDATE info SET value = {size} WHERE key = 'published_size';"
        ));
    }

    /// The code after a manipulation of the file.
    fn after(&self, sql: &str) -> Verdict {
        let file = self.audit().join("audit.db");
        let copy = tempfile::NamedTempFile::new().unwrap();
        fs::copy(&file, copy.path()).unwrap();
        Connection::open(copy.path()).unwrap().execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let found = match verify(copy.path(), key(1).verifier(), &Known::default(), |_| {}) {
            Ok(_) => Verdict::Sound,
            Err(fault) => fault.verdict,
        };
        assert_eq!(second_opinion(copy.path(), key(1).verifier(), &[]), found.code(), "{sql}");
        found
    }
}

#[test]
fn a_log_that_nobody_touched_is_sound() {
    let bench = Bench::grown();
    let summary = bench.verify().unwrap();
    assert_eq!((summary.first, summary.size, summary.sealed), (0, 660, 660));
    assert_eq!((summary.checkpoints, summary.files), (4, 1));
    assert_eq!(second_opinion(&bench.audit(), key(1).verifier(), &[]), 0);
    assert_eq!(bench.after("SELECT 1"), Verdict::Sound);
    assert_eq!(bench.after("VACUUM; REINDEX"), Verdict::Sound, "the same in other pages");
}

#[test]
fn every_manipulation_is_found_out_with_its_code() {
    let bench = Bench::grown();
    for (what, sql, verdict) in [
        ("edit a column", "UPDATE event SET reason = 'x' WHERE seq = 5", Verdict::Altered),
        ("edit and hide", "UPDATE event SET truncated = 1 WHERE seq = 5", Verdict::Altered),
        ("edit the time", "UPDATE event SET time_us = time_us + 1 WHERE seq = 5", Verdict::Altered),
        ("edit a leaf hash", "UPDATE event SET leaf_hash = zeroblob(32) WHERE seq = 5", Verdict::Altered),
        ("shorten a leaf hash", "UPDATE event SET leaf_hash = x'00' WHERE seq = 5", Verdict::Altered),
        (
            "edit an account",
            "UPDATE personal SET value = 'other' WHERE seq = 5 AND field = 'account'",
            Verdict::Altered,
        ),
        (
            "edit what is shown",
            "UPDATE personal SET shown = '***@good.example' WHERE seq = 5 AND field = 'rcpt_to'",
            Verdict::Altered,
        ),
        ("show what was hidden", "UPDATE personal SET shown = 'x' WHERE seq = 5 AND field = 'helo'", Verdict::Altered),
        ("delete a value's row", "DELETE FROM personal WHERE seq = 5 AND field = 'helo'", Verdict::Altered),
        (
            "invent a value",
            "INSERT INTO personal SELECT 7000, field, n, salt, value, commitment, shown, shown_salt, shown_commitment FROM personal LIMIT 1",
            Verdict::Altered,
        ),
        (
            "delete in the middle",
            "DELETE FROM event WHERE seq = 5; DELETE FROM personal WHERE seq = 5",
            Verdict::Altered,
        ),
        (
            "reorder",
            "UPDATE event SET seq = 9000 WHERE seq = 5; UPDATE event SET seq = 5 WHERE seq = 6; UPDATE event SET seq = 6 WHERE seq = 9000",
            Verdict::Altered,
        ),
        ("truncate", "DELETE FROM event WHERE seq > 600; DELETE FROM personal WHERE seq > 600", Verdict::Altered),
        ("edit a tile", "UPDATE tile SET hashes = zeroblob(8192) WHERE number = 1", Verdict::Altered),
        ("delete a tile", "DELETE FROM tile WHERE number = 1", Verdict::Altered),
        (
            "erase silently",
            "UPDATE personal SET value = NULL, salt = NULL WHERE seq = 5 AND field = 'account'",
            Verdict::Erased,
        ),
        (
            "erase what is shown",
            "UPDATE personal SET shown = NULL, shown_salt = NULL WHERE seq = 5 AND field = 'rcpt_to'",
            Verdict::Erased,
        ),
        (
            "strip a signature",
            "UPDATE checkpoint SET note = substr(note, 1, instr(note, char(10, 10)) + 1)",
            Verdict::Signature,
        ),
        (
            "change a signed head",
            "UPDATE checkpoint SET note = replace(note, char(10) || '660' || char(10), char(10) || '661' || char(10))",
            Verdict::Signature,
        ),
        (
            "swap heads",
            "UPDATE checkpoint SET note = (SELECT note FROM checkpoint WHERE size = 3) WHERE size = 253",
            Verdict::Altered,
        ),
        ("begin later", "UPDATE info SET value = '1' WHERE key = 'first_seq'", Verdict::Altered),
        ("not ours", "PRAGMA application_id = 7", Verdict::Unreadable),
        ("a file of two", "PRAGMA journal_mode = WAL", Verdict::Unreadable),
        (
            "hide in a view",
            "DROP VIEW auth_failure_v1; CREATE VIEW auth_failure_v1 AS SELECT 1 AS seq",
            Verdict::Altered,
        ),
        ("add a trigger", "CREATE TRIGGER t AFTER INSERT ON event BEGIN SELECT 1; END", Verdict::Altered),
        ("drop an index", "DROP INDEX e_msg", Verdict::Altered),
        ("add a table", "CREATE TABLE more(a)", Verdict::Altered),
        ("call it older", "PRAGMA user_version = 1", Verdict::Altered),
        ("invent an anchor", "INSERT INTO anchor(name, size, time_us) VALUES('w1', 661, 1)", Verdict::Altered),
    ] {
        assert_eq!(bench.after(sql), verdict, "{what}");
    }
}

#[test]
fn history_that_was_rewritten_and_signed_with_another_key_is_found_out() {
    let bench = Bench::grown();
    let other = key(2);
    let fault = verify(&bench.audit(), other.verifier(), &Known::default(), |_| {}).unwrap_err();
    assert_eq!(fault.verdict, Verdict::Signature);
    assert_eq!(second_opinion(&bench.audit(), other.verifier(), &[]), Verdict::Signature.code());
}

#[test]
fn an_old_tail_under_no_head_is_found_out_and_a_fresh_one_is_not() {
    let bench = Bench::grown();
    bench.append(2);
    bench.publish();
    assert_eq!(bench.verify().unwrap().sealed, 660);
    let later = || bench.against(Known { as_of_us: Some(now_us() + 60_000_000), ..Known::default() });
    assert_eq!(later().unwrap_err().verdict, Verdict::Unsealed);
    bench.seal();
    bench.publish();
    assert_eq!(later().unwrap().sealed, 662);
}

#[test]
fn several_months_are_one_log_and_a_missing_one_is_found_out() {
    let bench = Bench::grown();
    let audit = bench.audit();
    fs::rename(audit.join("audit.db"), audit.join("audit-2020-01.db")).unwrap();
    let (publisher, _) = Publisher::start(bench.home.path().to_owned(), bench.writer.clone()).unwrap();
    bench.append(300);
    bench.seal();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(publisher.publish()).unwrap();
    let summary = bench.verify().unwrap();
    assert_eq!((summary.size, summary.sealed, summary.files), (960, 960, 2));
    assert_eq!(second_opinion(&audit, key(1).verifier(), &[]), 0);
    // Each file can be verified by itself, by whoever knows where it begins.
    let alone =
        |from: u64| verify(&audit.join("audit.db"), key(1).verifier(), &Known { from, ..Known::default() }, |_| {});
    assert_eq!(alone(660).map(|summary| (summary.first, summary.size)), Ok((660, 960)));
    assert_eq!(second_opinion(&audit.join("audit.db"), key(1).verifier(), &["--from", "660"]), 0);
    for (from, verdict) in [(0, Verdict::Erased), (659, Verdict::Altered), (661, Verdict::Altered)] {
        assert_eq!(alone(from).unwrap_err().verdict, verdict, "from {from}");
        let words = ["--from", &from.to_string()];
        assert_eq!(second_opinion(&audit.join("audit.db"), key(1).verifier(), &words), verdict.code());
    }
    // An older head than that can't be compared with it.
    let known = Known { from: 660, heads: vec![bench.head(253, Verdict::Fork)], ..Known::default() };
    assert_eq!(verify(&audit.join("audit.db"), key(1).verifier(), &known, |_| {}).unwrap_err().verdict, Verdict::Usage);
    fs::rename(audit.join("audit-2020-01.db"), audit.join("audit-2019-01.db")).unwrap();
    fs::copy(audit.join("audit.db"), audit.join("audit-2020-01.db")).unwrap();
    assert_eq!(bench.verify().unwrap_err().verdict, Verdict::Altered);
    assert_eq!(second_opinion(&audit, key(1).verifier(), &[]), Verdict::Altered.code());
}

#[test]
fn a_log_that_was_cut_at_a_signed_head_is_found_out_by_each_who_knows_better() {
    let bench = Bench::grown();
    let (sealer, kept) = (bench.head(660, Verdict::Altered), bench.head(260, Verdict::Fork));
    let known = |published: Option<u64>, heads: &[&KnownHead]| {
        bench.against(Known { published, heads: heads.iter().copied().cloned().collect(), ..Known::default() })
    };
    assert_eq!(known(Some(660), &[&kept, &sealer]).unwrap().size, 660);
    bench.cut(253);
    assert_eq!(known(None, &[]).unwrap().size, 253, "the files alone can't tell");
    for (published, heads, verdict) in [
        (Some(660), vec![], Verdict::Altered),
        (Some(254), vec![], Verdict::Altered),
        (None, vec![&sealer], Verdict::Altered),
        (None, vec![&kept], Verdict::Fork),
        (Some(660), vec![&sealer, &kept], Verdict::Fork),
    ] {
        assert_eq!(known(published, &heads).unwrap_err().verdict, verdict, "{published:?} {heads:?}");
    }
    assert!(known(Some(253), &[&bench.head(253, Verdict::Fork)]).is_ok());
}

#[test]
fn a_log_without_events_is_never_sound() {
    let bench = Bench::grown();
    bench.cut(0);
    let fault = bench.verify().unwrap_err();
    assert_eq!((fault.verdict, fault.what.contains("no event")), (Verdict::Altered, true), "{fault}");
}

#[test]
fn a_log_whose_beginning_was_cut_is_found_out_although_its_base_is_right() {
    let bench = Bench::grown();
    // Two leaves are one perfect subtree: its root is the whole base.
    let base: String = bench.head(2, Verdict::Fork).root.iter().map(|octet| format!("{octet:02x}")).collect();
    bench.tamper(&format!(
        "UPDATE info SET value = 2 WHERE key = 'first_seq'; UPDATE info SET value = '{base}' WHERE key = 'base';
         DELETE FROM event WHERE seq < 2; DELETE FROM personal WHERE seq < 2;"
    ));
    assert_eq!(bench.verify().unwrap_err().verdict, Verdict::Erased);
    let meant = bench.against(Known { from: 2, ..Known::default() });
    assert_eq!(meant.map(|summary| (summary.first, summary.sealed)), Ok((2, 660)), "the cut is well made");
}

#[test]
fn a_head_of_another_history_is_found_out_at_its_size() {
    let bench = Bench::grown();
    for (size, verdict) in [(660, Verdict::Fork), (5, Verdict::Fork), (660, Verdict::Altered)] {
        let right = bench.head(size, verdict);
        let wrong = KnownHead { root: [7; 32], ..right.clone() };
        let known = |head| Known { heads: vec![head], ..Known::default() };
        assert!(bench.against(known(right)).is_ok());
        assert_eq!(bench.against(known(wrong)).unwrap_err().verdict, verdict, "{size}");
    }
}

#[test]
fn events_that_wait_for_the_files_are_told_before_the_sealers_head() {
    let bench = Bench::grown();
    bench.append(3);
    bench.seal();
    let known = |published: u64| Known {
        published: Some(published),
        waiting: Some("3 events wait".into()),
        heads: vec![bench.head(663, Verdict::Altered)],
        ..Known::default()
    };
    let fault = bench.against(known(660)).unwrap_err();
    assert_eq!((fault.verdict, fault.what.as_str()), (Verdict::Unsealed, "3 events wait"));
    bench.cut(253);
    assert_eq!(bench.against(known(660)).unwrap_err().verdict, Verdict::Altered);
}
