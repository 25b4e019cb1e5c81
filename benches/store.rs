//! How many messages the store keeps in a second, by messages in one transaction, beside how often the disk can be synced.
//!
//! One unit is what one accepted message costs: its event with its personal values and its leaf, the message with a body of
//! 2 KiB, its recipient, and its use of the limits. Both are measured in turns, so that whatever else burdens the disk
//! burdens both.

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use gatepost::mail::envelope::Manner;
use gatepost::mail::id::MessageId;
use gatepost::policy::OnUnknown;
use gatepost::policy::reports::{Delays, Reports};
use gatepost::secret::Secret;
use gatepost::vault::audit::ledger::now_us;
use gatepost::vault::audit::month;
use gatepost::vault::cipher::BodyKey;
use gatepost::vault::limits::days::Day;
use gatepost::vault::limits::key::Tier;
use gatepost::vault::limits::rate::Series;
use gatepost::vault::master::Master;
use gatepost::vault::store::Store;
use gatepost::vault::store::consumption::{Bucket, DayRow, Use};
use gatepost::vault::store::open::Database;
use gatepost::vault::store::spool::{Accepted, Body};
use sha2::{Digest, Sha256};
use support::ledger::{accepted, address};
use support::{introduce, listed, median, quick, rate};
use uuid::Uuid;

const GROUPS: [u32; 4] = [1, 16, 64, 256];
/// What each is to be of the rate of syncs.
const AIMS: [f64; 4] = [0.6, 3.0, 15.0, 25.0];
const ROUNDS: usize = 7;
const BODY: usize = 2048;
/// The writer copies its log back when it has so many pages.
const LOG: u32 = 4096;

fn main() {
    introduce("the store: full units a second, by units in one transaction");
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("db")).unwrap();
    let mut database = Database::open(home.path()).unwrap();
    let pages = Arc::new(AtomicU32::new(0));
    let log = Arc::clone(&pages);
    let hook = move |_: &mut rusqlite::hooks::Wal, now: i32| {
        log.store(u32::try_from(now).unwrap_or(0), Ordering::Relaxed);
        Ok(())
    };
    database.connection.wal_hook(Some(hook)).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    store.keys.adopt(vec![Master::new(Secret::new([7; 32]))]);
    let raw = Raw::new(home.path());
    let (rounds, time) = if quick() { (1, Duration::from_millis(50)) } else { (ROUNDS, Duration::from_secs(1)) };
    let mut syncs = Vec::new();
    let mut units = vec![Vec::new(); GROUPS.len()];
    for round in 1..=rounds {
        syncs.push(rate(time, || raw.sync()));
        for (group, units) in GROUPS.iter().zip(&mut units) {
            units.push(rate(time, || {
                keep(&mut store, *group);
                if pages.load(Ordering::Relaxed) > LOG {
                    pages.store(0, Ordering::Relaxed);
                    store.checkpoint(false).unwrap();
                }
                *group
            }));
        }
        let last: Vec<f64> = units.iter().filter_map(|units| units.last().copied()).collect();
        println!("round {round}: {:.0} syncs, units {}", syncs.last().copied().unwrap_or(0.0), listed(&last));
    }
    let syncs = median(&syncs);
    println!("fdatasync of 4 KiB: {syncs:.0} a second");
    for ((group, units), aim) in GROUPS.iter().zip(&units).zip(AIMS) {
        let ratios: Vec<f64> = units.iter().map(|units| units / syncs).collect();
        println!(
            "groups of {group:3}: {:6.0} units a second, {:.2} times the syncs (aim {aim})",
            median(units),
            median(&ratios)
        );
    }
}

/// One transaction of so many accepted messages.
fn keep(store: &mut Store<'_>, group: u32) {
    let now = now_us();
    let done = store.transaction(|store| {
        for number in 0..group {
            let (key, content) = (BodyKey::generate(), vec![b'x'; BODY]);
            let mut sealed = content.clone();
            key.seal(0, true, &mut sealed).expect("a body is sealed");
            let accepted_message = Accepted {
                message: MessageId::now(),
                session: Uuid::now_v7(),
                principal: "billing".to_owned(),
                sender: Some(address("billing@example.net")),
                manner: Manner::default(),
                recipients: vec![(address(&format!("person{number}@example.org")).into(), "smarthost".to_owned())],
                sha256: Sha256::digest(&content).into(),
                body: Body::Inline(sealed),
                key,
                bytes: BODY as u64,
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
            };
            let seq = store.ledger.append(accepted(number))?;
            store.accept(&accepted_message, seq)?;
            store.consumption.consume(&used(now))?;
        }
        Ok(())
    });
    done.unwrap_or_else(|failure| panic!("{failure}"));
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
struct Raw {
    file: File,
    at: std::cell::Cell<u64>,
}

impl Raw {
    /// As long as it gets, so that no sync has to change its length.
    const LENGTH: u64 = 64 * 1024 * 1024;

    fn new(home: &Path) -> Self {
        let file = File::create(home.join("raw")).unwrap();
        let zeros = vec![0; 1024 * 1024];
        for at in (0..Self::LENGTH).step_by(zeros.len()) {
            file.write_all_at(&zeros, at).unwrap();
        }
        file.sync_all().unwrap();
        Self { file, at: std::cell::Cell::new(0) }
    }

    fn sync(&self) -> u32 {
        let at = self.at.get();
        self.file.write_all_at(&[7; 4096], at).unwrap();
        self.file.sync_data().unwrap();
        self.at.set((at + 4096) % Self::LENGTH);
        1
    }
}
