//! Hashes that go with their clock, and a tree that stays what it was.

use std::path::Path;

use rusqlite::Connection;

use super::*;
use crate::config::slice::Retention;
use crate::merkle::Hash;
use crate::merkle::proof::is_consistent;
use crate::vault::audit::adopt::Leaf;
use crate::vault::audit::erasure::places::Place;
use crate::vault::audit::erasure::pruning::{self, Pruning};
use crate::vault::audit::event::{Event, Outcome};
use crate::vault::audit::ledger::now_us;
use crate::vault::audit::publish::Publisher;
use crate::vault::audit::resume::{Standing, Wish, declare};
use crate::vault::audit::retention::by_time;
use crate::vault::audit::second_opinion::second_opinion;
use crate::vault::audit::specimen::Specimen;
use crate::vault::audit::verify::{Known, Verdict, verify};

const MONTH: &str = "2025-01";
/// Events of that month: some more than go at once.
const OLD: u64 = GRAIN + 500;
/// Sizes whose roots are asked before and after: of what goes, with its whole tiles, and of what stays.
const SIZES: [u64; 9] = [1, 100, 256, 300, GRAIN - 1, GRAIN, GRAIN + 1, OLD, OLD + 3];
const DAY_US: u64 = 86_400_000_000;

fn over() -> u64 {
    MONTH.parse::<Month>().unwrap().end_us().unwrap()
}

/// A log whose first month was removed, as its event says; of its events the vault has the leaf hashes.
fn pruned() -> Specimen {
    let log = Specimen::empty();
    let grow = |store: &mut Store<'_>| {
        for seq in 0..OLD {
            let hash: Hash = std::array::from_fn(|at| (seq >> (8 * (at % 4))) as u8);
            store.ledger.adopt(&Leaf { seq, time_us: over() - DAY_US, hash })?;
        }
        Ok(())
    };
    log.writer.run_blocking(grow).unwrap();
    log.append(vec![Event::new(Name::DaemonStart, Outcome::Info)]);
    log.grow(5);
    let order = |store: &mut Store<'_>| {
        let (month, root) = (MONTH.to_owned(), hex(&store.ledger.root_at(OLD)?.unwrap()));
        let ground = "retain_events = 30d".to_owned();
        let pruning = Pruning { month, first: 0, size: OLD, root, sha256: "of a file".into(), ground, hashes: 0 };
        pruning::order(store, &pruning, MONTH.parse().unwrap(), "policy")
    };
    log.writer.run_blocking(order).unwrap();
    log.seal();
    log.publish();
    log
}

fn rules() -> Retention {
    Retention { hashes: Some(Duration::from_secs(400 * 86_400)), ..Retention::default() }
}

fn look(log: &Specimen, days: u64) {
    assert_eq!(by_time(log.home.path(), &log.writer, &rules(), over() + days * DAY_US), Ok(None));
    log.seal();
    log.publish();
}

fn first(log: &Specimen) -> u64 {
    log.writer.run_blocking(|store| store.hashes.first(store.ledger.size())).unwrap()
}

fn verdict(log: &Specimen, hashes: u64) -> Verdict {
    let known = Known { as_of_us: Some(now_us()), hashes: Some(hashes), ..Known::default() };
    verify(&log.audit(), log.key(), &known, |_| {}).map_or_else(|fault| fault.verdict, |_| Verdict::Sound)
}

fn roots(log: &Specimen) -> Vec<Option<Hash>> {
    log.writer.run_blocking(|store| SIZES.iter().map(|size| store.ledger.root_at(*size)).collect()).unwrap()
}

#[test]
fn they_go_in_their_time_and_what_stays_proves_what_it_did() {
    let log = pruned();
    let before = roots(&log);
    assert!(before.iter().all(Option::is_some));
    look(&log, 399);
    assert_eq!((first(&log), log.writer.size()), (0, OLD + 7));
    look(&log, 401);
    assert_eq!((first(&log), log.writer.size()), (GRAIN, OLD + 8));
    let after = roots(&log);
    for ((size, before), after) in SIZES.iter().zip(&before).zip(&after) {
        let gone = *size < GRAIN && size % 256 != 0;
        assert_eq!(*after, before.filter(|_| !gone), "{size}");
    }
    let size = log.writer.size();
    let root = log.writer.run_blocking(move |store| store.ledger.root_at(size)).unwrap().unwrap();
    for (old, old_root) in SIZES.into_iter().zip(after) {
        let proof = log.writer.run_blocking(move |store| store.ledger.consistency(old, size)).unwrap();
        assert_eq!(proof.is_some(), old_root.is_some(), "{old}");
        if let Some((proof, old_root)) = proof.zip(old_root) {
            assert!(is_consistent(old, &old_root, size, &root, &proof), "{old}");
        }
    }
    // Whoever signed something in there last is told so, and nobody falls over it.
    assert_eq!(log.writer.run_blocking(|store| store.ledger.head(300)).unwrap(), None);
    // As after a start: from the disk.
    log.writer.run_blocking(|store| store.ledger.load()).unwrap();
    assert_eq!(log.writer.run_blocking(move |store| store.ledger.root_at(size)).unwrap(), Some(root));
    log.grow(300);
    assert_eq!((verdict(&log, first(&log)), second_opinion(&log.audit(), log.key(), &[])), (Verdict::Sound, 0));
    look(&log, 402);
    assert_eq!(log.writer.size(), OLD + 308, "once is enough");
    let said =
        "SELECT what || ' ' || first_seq || ' ' || last_seq || ' ' || ground FROM erasure_v1 WHERE what = 'hashes'";
    let audit = Connection::open(log.audit().join("audit.db")).unwrap();
    let said: String = audit.query_row(said, [], |row| row.get(0)).unwrap();
    assert_eq!(said, format!("hashes 0 {} retain_hashes = 400d", GRAIN - 1));
}

#[test]
fn those_that_went_without_an_event_are_missed_and_the_newest_event_always_says_where_they_begin() {
    let log = pruned();
    assert_eq!(verdict(&log, 0), Verdict::Sound);
    assert_eq!(verdict(&log, 256), Verdict::Erased);
    // Silently, in the vault's database.
    while log.writer.run_blocking(|store| store.hashes.remove(512)).unwrap() {}
    assert_eq!((first(&log), verdict(&log, first(&log))), (512, Verdict::Erased));
    look(&log, 401);
    assert_eq!((first(&log), verdict(&log, first(&log))), (GRAIN, Verdict::Sound));
    assert_eq!(verdict(&log, GRAIN + 256), Verdict::Erased);
    // The event of a later month says it again.
    let order = |store: &mut Store<'_>| {
        let pruning = Pruning {
            month: "2025-02".into(),
            first: OLD,
            size: OLD,
            root: hex(&store.ledger.root_at(OLD)?.unwrap()),
            sha256: "of a file".into(),
            ground: "retain_events = 30d".into(),
            hashes: 0,
        };
        pruning::order(store, &pruning, "2025-02".parse().unwrap(), "policy")
    };
    log.writer.run_blocking(order).unwrap();
    log.seal();
    log.publish();
    let newest =
        "SELECT json_extract(data, '$.hashes') FROM event WHERE event = 'audit.prune' ORDER BY seq DESC LIMIT 1";
    let audit = Connection::open(log.audit().join("audit.db")).unwrap();
    assert_eq!(audit.query_row(newest, [], |row| row.get::<_, i64>(0)), Ok(65_536));
    assert_eq!((verdict(&log, first(&log)), second_opinion(&log.audit(), log.key(), &[])), (Verdict::Sound, 0));
}

#[test]
fn a_crash_between_the_event_and_the_removal_is_made_good() {
    let mut log = pruned();
    log.publisher = Specimen::empty().publisher.clone();
    look(&log, 401);
    assert_eq!((first(&log), log.writer.size()), (0, OLD + 8));
    log.publisher = Publisher::start(log.home.path().to_owned(), log.writer.clone()).unwrap().0;
    log.publish();
    assert_eq!((first(&log), verdict(&log, first(&log))), (GRAIN, Verdict::Sound));
}

#[test]
fn a_month_that_is_put_back_after_its_hashes_went_stays_and_the_reason_is_told() {
    let log = pruned();
    look(&log, 401);
    log.writer
        .run_blocking(|store| {
            let size = store.ledger.size();
            store.anchors.keep(&crate::vault::store::anchors::Anchored {
                name: "w1".into(),
                size,
                time_us: 1,
                proof: Some("its line".into()),
            })
        })
        .unwrap();
    let path = Path::new("audit-2025-01.db").to_owned();
    let place = Place { path, month: MONTH.parse().unwrap(), first: 100, end: OLD, is_current: false };
    let stays = pruning::examine(&place, &log.writer, "case 7").unwrap_err();
    assert!(stays.contains("move the file away"), "{stays}");
}

#[test]
fn a_sealer_that_was_set_back_behind_them_goes_on_with_a_declared_gap() {
    let log = pruned();
    let root = log.writer.run_blocking(|store| store.ledger.root_at(300)).unwrap().unwrap();
    let standing = Standing { last: Some((300, root)), refuses: None, holes: Vec::new() };
    let declare = || {
        let (standing, wish) =
            (standing.clone(), Wish { actor: "uid 0".into(), reason: "restored".into(), named: None });
        log.writer.run_blocking(move |store| declare(store, &standing, &wish)).unwrap()
    };
    assert!(declare().unwrap_err().contains("nothing to resume"), "as long as it can be shown");
    look(&log, 401);
    let gap = declare().unwrap().gap;
    assert_eq!((gap.kept, gap.old_size, gap.old_root), (0, 300, root));
}

#[test]
fn no_more_go_than_are_over_and_out_of_the_files_and_under_a_tile_that_stays() {
    let (first, second): (Month, Month) = (MONTH.parse().unwrap(), "2025-02".parse().unwrap());
    let keep = Duration::from_secs(400 * 86_400);
    let at = |days: u64| over() + days * DAY_US;
    let months = [(first, 3 * GRAIN + 7), (second, 5 * GRAIN)];
    assert_eq!(due(&months, u64::MAX, keep, at(399)), 0);
    assert_eq!(due(&months, u64::MAX, keep, at(400)), 3 * GRAIN);
    assert_eq!(due(&months, u64::MAX, keep, at(428)), 5 * GRAIN);
    assert_eq!(due(&months, 2 * GRAIN + 1, keep, at(428)), 2 * GRAIN);
    assert_eq!(due(&[], u64::MAX, keep, at(4000)), 0);
}
