//! Databases that are behind the auditors' files, and files that are not theirs.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::vault::audit::publish::Publisher;
use crate::vault::audit::specimen::accepted;
use crate::vault::store::open::Database;

/// A vault's directory, whose store is opened and closed again.
struct House(tempfile::TempDir);

impl House {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("db")).unwrap();
        fs::create_dir(home.path().join("audit")).unwrap();
        Self(home)
    }

    fn open<T>(&self, work: impl FnOnce(&Writer) -> T) -> T {
        let (writer, thread) =
            Writer::start(Database::open(self.0.path()).unwrap(), |failure| panic!("{failure}")).unwrap();
        let done = work(&writer);
        drop(writer);
        thread.join().unwrap();
        done
    }

    /// Writes so many events and publishes them.
    fn grow(&self, count: usize) {
        self.open(|writer| {
            writer.run_blocking(move |store| store.record(vec![accepted(); count])).unwrap();
            let (publisher, thread) = Publisher::start(self.0.path().to_owned(), writer.clone()).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(publisher.publish()).unwrap();
            drop(publisher);
            thread.join().unwrap();
        });
    }

    fn adopt(&self) -> Result<u64, Untaken> {
        self.open(|writer| adopt(self.0.path(), writer)).map(|adopted| adopted.leaves)
    }

    fn database(&self) -> PathBuf {
        self.0.path().join("db/vault.db")
    }

    fn root(&self, size: u64) -> Option<Hash> {
        self.open(|writer| writer.run_blocking(move |store| store.ledger.root_at(size)).unwrap())
    }

    fn tamper(&self, sql: &str) {
        Connection::open(self.0.path().join("audit/audit.db")).unwrap().execute_batch(sql).unwrap();
    }
}

#[test]
fn a_database_that_is_behind_takes_up_the_log_where_the_files_end_over_tiles_and_months() {
    for (before, after) in [(0, 3), (5, 1), (5, 300), (300, 500), (256, 256)] {
        let house = House::new();
        house.grow(before);
        let old = fs::read(house.database()).unwrap();
        house.grow(after);
        let audit = house.0.path().join("audit");
        if after == 500 {
            fs::rename(audit.join("audit.db"), audit.join("audit-2020-01.db")).unwrap();
            house.grow(7);
        }
        let size = house.open(|writer| writer.size());
        let root = house.root(size);
        fs::write(house.database(), old).unwrap();
        assert_eq!(house.adopt(), Ok(size - before as u64), "{before} {after}");
        assert_eq!(house.root(size), root);
        assert_eq!(house.adopt(), Ok(0), "once");
        // What comes next goes on from there, in the files, too.
        house.grow(2);
        let next: u64 = size + 3;
        let count = Connection::open(audit.join("audit.db")).unwrap();
        let last: i64 = count.query_row("SELECT max(seq) FROM event", [], |row| row.get(0)).unwrap();
        assert_eq!(u64::try_from(last), Ok(next - 1));
        let event: String = count
            .query_row("SELECT event FROM event WHERE seq = ?", [i64::try_from(size).unwrap()], |row| row.get(0))
            .unwrap();
        assert_eq!(event, "store.recovered");
    }
}

#[test]
fn files_that_tell_another_history_or_are_damaged_are_not_taken_and_nothing_is_written_into_them() {
    for (what, sql) in [
        ("before the end of the database", "UPDATE event SET leaf_hash = randomblob(32) WHERE seq = 2"),
        ("after it", "UPDATE event SET reason = 'x' WHERE seq = 7"),
        ("a hash after it", "UPDATE event SET leaf_hash = randomblob(32) WHERE seq = 7"),
        ("a hole", "DELETE FROM event WHERE seq = 7"),
        ("a value", "DELETE FROM personal WHERE seq = 7 AND field = 'helo'"),
    ] {
        let house = House::new();
        house.grow(5);
        let old = fs::read(house.database()).unwrap();
        house.grow(5);
        fs::write(house.database(), old).unwrap();
        house.tamper(sql);
        let path = house.0.path().join("audit/audit.db");
        let file = fs::read(&path).unwrap();
        assert!(house.adopt().is_err(), "{what}");
        assert_eq!(house.open(|writer| writer.size()), 5, "{what}");
        house.open(|writer| {
            writer.run_blocking(|store| store.record(vec![accepted()])).unwrap();
            let (publisher, _) = Publisher::start(house.0.path().to_owned(), writer.clone()).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let refused = runtime.block_on(publisher.publish()).unwrap_err();
            assert!(refused.contains("another history"), "{what}: {refused}");
        });
        assert_eq!(fs::read(&path).unwrap(), file, "{what}");
    }
}

#[test]
fn files_that_are_behind_the_database_get_no_hole() {
    let house = House::new();
    house.grow(5);
    let path = house.0.path().join("audit/audit.db");
    let old = fs::read(&path).unwrap();
    house.grow(5);
    fs::write(&path, &old).unwrap();
    house.open(|writer| {
        assert_eq!(adopt(house.0.path(), writer), Ok(Adopted::default()));
        writer.run_blocking(|store| store.record(vec![accepted()])).unwrap();
        let (publisher, _) = Publisher::start(house.0.path().to_owned(), writer.clone()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert!(runtime.block_on(publisher.publish()).unwrap_err().contains("events are missing"));
    });
}

#[test]
fn what_info_says_of_the_end_is_not_believed_and_is_put_right() {
    for (said, behind) in [("1000000", false), ("3", false), ("1000000", true), ("6", true)] {
        let house = House::new();
        house.grow(5);
        let old = fs::read(house.database()).unwrap();
        house.grow(4);
        if behind {
            fs::write(house.database(), old).unwrap();
        }
        house.tamper(&format!("UPDATE info SET value = '{said}' WHERE key = 'published_size'"));
        assert_eq!(house.adopt(), Ok(if behind { 4 } else { 0 }), "{said}");
        house.grow(2);
        let file = Connection::open(house.0.path().join("audit/audit.db")).unwrap();
        let ends = "SELECT max(seq) + 1, (SELECT value FROM info WHERE key = 'published_size'),
            (SELECT data FROM event WHERE event = 'store.recovered') FROM event";
        let read =
            |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, Option<String>>(2)?));
        let (size, info, told): (i64, _, _) = file.query_row(ends, [], read).unwrap();
        assert_eq!((size, info), (if behind { 12 } else { 11 }, size.to_string()), "{said}");
        assert_eq!(told, behind.then(|| r#"{"from":5,"last_event":8,"to":9}"#.to_owned()));
    }
}

#[test]
fn a_file_whose_info_was_emptied_is_not_begun_anew() {
    let house = House::new();
    house.grow(5);
    house.tamper("DELETE FROM info WHERE key = 'first_seq'");
    let Err(Untaken::Unopened(said)) = house.adopt() else { panic!("it is opened") };
    assert!(said.contains("info lacks"), "{said}");
}

#[test]
fn a_damaged_file_is_called_so_and_neither_another_history_nor_a_reason_to_restore_the_mail() {
    let house = House::new();
    house.grow(400);
    let path = house.0.path().join("audit/audit.db");
    let octets = fs::read(&path).unwrap();
    let noise = octets.iter().map(|octet| octet ^ 0x5a).collect::<Vec<u8>>();
    for damaged in [noise, octets[..100].to_vec(), octets[..octets.len() / 2].to_vec()] {
        fs::write(&path, damaged).unwrap();
        let Err(Untaken::Unopened(said)) = house.adopt() else { panic!("it is opened") };
        for words in [
            path.to_str().unwrap(),
            "is damaged: with the service stopped, move this one file away",
            "gatepost audit resume",
        ] {
            assert!(said.contains(words), "{said}");
        }
    }
}
