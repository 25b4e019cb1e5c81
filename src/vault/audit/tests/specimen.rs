//! A log for tests: a real store, its publisher, and a key that signs its heads.

use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;

use super::clock::Reading;
use super::event::{Event, Field, Name, Outcome};
use super::ledger::{Note, now_us};
use super::publish::Publisher;
use crate::mail::address::Address;
use crate::merkle::note::Verifier;
use crate::sealer::key::LogKey;
use crate::secret::Secret;
use crate::vault::store::open::Database;
use crate::vault::store::writer::Writer;

pub const ORIGIN: &str = "gate.example.net/audit";

pub struct Specimen {
    pub home: tempfile::TempDir,
    pub writer: Writer,
    pub publisher: Publisher,
    key: LogKey,
}

impl Specimen {
    pub fn empty() -> Self {
        Self::with("")
    }

    /// With something in the vault's database from the start.
    pub fn with(sql: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("db")).unwrap();
        fs::create_dir(home.path().join("audit")).unwrap();
        let database = Database::open(home.path()).unwrap();
        database.connection.execute_batch(sql).unwrap();
        let (writer, _) = Writer::start(database, |failure| panic!("{failure}")).unwrap();
        let (publisher, _) = Publisher::start(home.path().to_owned(), writer.clone()).unwrap();
        let key = LogKey::new(ORIGIN, &Secret::new([1; 32])).unwrap();
        Self { home, writer, publisher, key }
    }

    /// Events in so many portions, with a signed head over each, published.
    pub fn grown(portions: &[usize]) -> Self {
        let log = Self::empty();
        for count in portions {
            log.grow(*count);
        }
        log
    }

    pub fn grow(&self, count: usize) {
        self.append(vec![accepted(); count]);
        self.seal();
        self.publish();
    }

    pub fn append(&self, events: Vec<Event>) {
        self.writer.run_blocking(move |store| store.record(events)).unwrap();
    }

    pub fn seal(&self) {
        let work = |store: &mut crate::vault::store::Store<'_>| {
            let sealed = store.ledger.last_sealed()?;
            store.ledger.head(sealed)
        };
        let head = self.writer.run_blocking(work).unwrap().unwrap();
        let note = self.key.sign(head.size, head.root);
        let note = Note { size: head.size, time_us: now_us(), root: head.root, note };
        self.writer.run_blocking(move |store| store.ledger.keep_note(&note)).unwrap();
    }

    pub fn publish(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.publisher.publish()).unwrap();
    }

    /// The current file becomes that of an earlier month, and what follows goes into a new one.
    pub fn end_month(&mut self, month: &str) {
        let audit = self.audit();
        fs::rename(audit.join("audit.db"), audit.join(format!("audit-{month}.db"))).unwrap();
        self.publisher = Publisher::start(self.home.path().to_owned(), self.writer.clone()).unwrap().0;
    }

    /// What comes is of that time.
    pub fn set_time(&self, time_us: u64) {
        let time = i64::try_from(time_us).unwrap();
        let set = move |store: &mut crate::vault::store::Store<'_>| {
            store.ledger.set_clocks(Box::new(move || Reading { time, elapsed: 0, running: 0 }));
            Ok(())
        };
        self.writer.run_blocking(set).unwrap();
    }

    pub fn audit(&self) -> PathBuf {
        self.home.path().join("audit")
    }

    pub fn key(&self) -> &Verifier {
        self.key.verifier()
    }

    /// Does it to the current file.
    pub fn tamper(&self, sql: &str) {
        Connection::open(self.audit().join("audit.db")).unwrap().execute_batch(sql).unwrap();
    }
}

pub fn accepted() -> Event {
    let address = Address::parse("rosa@example.net").unwrap();
    let event = Event::new(Name::MsgAccept, Outcome::Success).with(Field::Account, "shop").recipients([&address]);
    Event { bytes: Some(1200), ..event }.client("192.0.2.7".parse().unwrap()).with(Field::Helo, "pc.example.net")
}
