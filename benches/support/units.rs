//! What the store does for one accepted message, and what a disk does when it is only synced: to be measured in turns.

use std::cell::Cell;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gatepost::mail::envelope::Manner;
use gatepost::mail::id::MessageId;
use gatepost::mail::outcome::Said;
use gatepost::policy::OnUnknown;
use gatepost::policy::reports::{Delays, Reports};
use gatepost::secret::Secret;
use gatepost::vault::audit::event::{Event, Field, Name, Outcome};
use gatepost::vault::audit::ledger::now_us;
use gatepost::vault::audit::month;
use gatepost::vault::cipher::BodyKey;
use gatepost::vault::delivery::release;
use gatepost::vault::limits::days::Day;
use gatepost::vault::limits::key::Tier;
use gatepost::vault::limits::rate::Series;
use gatepost::vault::master::Master;
use gatepost::vault::store::Store;
use gatepost::vault::store::consumption::{Bucket, DayRow, Use};
use gatepost::vault::store::open::Database;
use gatepost::vault::store::spool::{Accepted, Body, Leased, Settled, State, Verdict};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::ledger::{accepted, address};

const BODY: usize = 2048;
const LANE: &str = "smarthost";
/// The writer copies its log back when it has so many pages.
const LOG: u32 = 4096;

/// A store, and how long its log has become.
pub struct Units<'database> {
    store: Store<'database>,
    pages: Arc<AtomicU32>,
}

/// Opens a store below a folder, for as long as `work` goes on.
pub fn with_store(home: &Path, work: impl FnOnce(&mut Units<'_>)) {
    fs::create_dir(home.join("db")).unwrap();
    let database = Database::open(home).unwrap();
    let pages = Arc::clone(&database.log);
    let mut store = Store::prepare(&database).unwrap();
    store.keys.adopt(vec![Master::new(Secret::new([7; 32]))]);
    work(&mut Units { store, pages });
}

impl Units<'_> {
    /// One transaction of so many accepted messages, and what the log then wants.
    pub fn keep(&mut self, group: u32) -> u32 {
        keep(&mut self.store, group);
        if self.pages.load(Ordering::Relaxed) > LOG {
            self.pages.store(0, Ordering::Relaxed);
            self.store.checkpoint(false).unwrap();
        }
        group
    }

    /// Delivers so many of those that were kept, under numbers from `first`: leases them in one transaction, and writes what became of
    /// each, with its event, in another.
    pub fn deliver(&mut self, first: u64, group: u32) {
        let jobs = first..first + u64::from(group);
        let leased = self.store.transaction(|store| {
            let lease = |job| store.lease(LANE, LANE, job, now_us(), &|_| true);
            jobs.map(lease).collect::<rusqlite::Result<Vec<_>>>()
        });
        let leased: Vec<Leased> = leased.unwrap_or_else(|failure| panic!("{failure}")).into_iter().flatten().collect();
        assert_eq!(leased.len(), group as usize, "all that was kept waits");
        let marked = self.store.transaction(|store| leased.iter().try_for_each(|leased| mark(store, leased)));
        marked.unwrap_or_else(|failure| panic!("{failure}"));
        let done = self.store.transaction(|store| leased.iter().try_for_each(|leased| deliver(store, leased)));
        done.unwrap_or_else(|failure| panic!("{failure}"));
    }
}

/// From now on its recipient may have it.
fn mark(store: &mut Store<'_>, leased: &Leased) -> rusqlite::Result<()> {
    store.leases.mark(leased.job, leased.row, leased.on_unknown, &[(0, true)])
}

/// One was taken by its upstream.
fn deliver(store: &mut Store<'_>, leased: &Leased) -> rusqlite::Result<()> {
    let said = Said { code: Some(250), text: "2.0.0 taken".into(), host: "127.0.0.1".into(), ..Said::default() };
    let settled =
        Settled { state: State::Delivered, said, owed: false, tried: true, unknown: false, verdict: Verdict::Other };
    store.settle(leased.job, leased.row, 0, &settled)?;
    let event = Event { message: Some(leased.message), ..Event::new(Name::DeliverSuccess, Outcome::Success) };
    store.record(vec![event.with(Field::Account, "billing")])?;
    store.finish(leased.row, now_us())?;
    release::write(store, leased.job, now_us()).map(drop)
}

/// One transaction of so many accepted messages.
fn keep(store: &mut Store<'_>, group: u32) {
    let now = now_us();
    let done = store.transaction(|store| {
        for number in 0..group {
            let accepted_message = message(number, LANE, BODY);
            let seq = store.ledger.append(accepted(number))?;
            store.accept(&accepted_message, seq)?;
            store.consumption.consume(&used(now))?;
        }
        Ok(())
    });
    done.unwrap_or_else(|failure| panic!("{failure}"));
}

/// A message for one recipient, its body sealed, that is due at once.
pub fn message(number: u32, lane: &str, octets: usize) -> Accepted {
    let (key, content, now) = (BodyKey::generate(), vec![b'x'; octets], now_us());
    let mut sealed = content.clone();
    key.seal(0, true, &mut sealed).expect("a body is sealed");
    Accepted {
        message: MessageId::now(),
        session: Uuid::now_v7(),
        principal: "billing".to_owned(),
        sender: Some(address("billing@example.net")),
        manner: Manner::default(),
        recipients: vec![(address(&format!("person{number}@example.org")).into(), lane.to_owned())],
        sha256: Sha256::digest(&content).into(),
        body: Body::Inline(sealed),
        key,
        bytes: octets as u64,
        accepted_us: now,
        due_us: now,
        expires_us: now + 1_000_000,
        on_unknown: OnUnknown::Retry,
        reports: Reports::Mail,
        webhook: None,
        delays: Delays::Told,
        is_report: false,
        named: None,
        owner: None,
        label: None,
    }
}

/// One message's use of the limits of its credential.
fn used(now_us: u64) -> Use {
    let name = "billing".to_owned();
    let day = Day { day: month::today(now_us).0, messages: 1, recipients: 1, bytes: BODY as u64, ..Day::default() };
    let bucket =
        Bucket { tier: Tier::Credential, series: Series::PerMinute, name: name.clone(), tat_us: now_us + 1000 };
    Use { buckets: vec![bucket], days: vec![DayRow { tier: Tier::Credential, name, day }], suspension: None }
}

/// A file that is written and synced, and nothing else.
pub struct Raw {
    file: File,
    at: Cell<u64>,
}

impl Raw {
    /// As long as it gets, so that no sync has to change its length.
    const LENGTH: u64 = 64 * 1024 * 1024;

    pub fn new(home: &Path) -> Self {
        let file = File::create(home.join("raw")).unwrap();
        let zeros = vec![0; 1024 * 1024];
        for at in (0..Self::LENGTH).step_by(zeros.len()) {
            file.write_all_at(&zeros, at).unwrap();
        }
        file.sync_all().unwrap();
        Self { file, at: Cell::new(0) }
    }

    pub fn sync(&self) -> u32 {
        let at = self.at.get();
        self.file.write_all_at(&[7; 4096], at).unwrap();
        self.file.sync_data().unwrap();
        self.at.set((at + 4096) % Self::LENGTH);
        1
    }
}
