//! Orders in the database of a stopped service, with and without an event that says them.

use super::super::super::erasure::{self, Part};
use super::super::super::ledger::now_us;
use super::super::super::specimen::Specimen;
use super::super::{Fault, Known, KnownHead, Verdict, verify};
use crate::vault::store::Store;

const REDACT: &str = "audit.redact";

/// What is found beside the stopped service, at a time when nothing of it is under way any more.
fn fault(log: &Specimen, from: u64) -> Option<Fault> {
    fault_of(log, Known { from, state: Some(log.home.path().to_owned()), ..Known::default() })
}

fn fault_of(log: &Specimen, known: Known) -> Option<Fault> {
    let as_of_us = Some(now_us() + 3_600_000_000);
    let signed = |store: &mut Store<'_>| {
        let size = store.ledger.last_sealed()?;
        Ok((size, store.ledger.root_at(size)?.unwrap()))
    };
    let (size, root) = log.writer.run_blocking(signed).unwrap();
    let head = KnownHead { what: "the sealer's last head".into(), size, root, verdict: Verdict::Altered, gap: None };
    let known = Known { as_of_us, heads: vec![head], ..known };
    verify(&log.audit(), log.key(), &known, |_| {}).err()
}

fn verdict(log: &Specimen) -> Verdict {
    fault(log, 0).map_or(Verdict::Sound, |fault| fault.verdict)
}

/// Orders that what is shown of some recipients goes, with its event, which it gives.
fn order(log: &Specimen, ground: &'static str) -> (u64, String) {
    let parts = vec![Part { events: vec![(3, 5)], fields: vec!["rcpt_to".into()] }];
    let order = move |store: &mut Store<'_>| erasure::order(store, &parts, "uid 0", ground, None);
    let seq = log.writer.run_blocking(order).unwrap().unwrap();
    let rows = log.writer.run_blocking(|store| store.ledger.batch(1000)).unwrap().rows;
    let row = rows.iter().find(|row| row.seq == seq).unwrap();
    (seq, row.text("data").unwrap().to_owned())
}

/// A log that says an erasure, which was carried out.
fn redacted() -> (Specimen, u64, String) {
    let log = Specimen::grown(&[10]);
    let (seq, data) = order(&log, "case 7");
    log.seal();
    log.publish();
    (log, seq, data)
}

fn insert(log: &Specimen, seq: u64, event: &str, data: &str) {
    let (event, data) = (event.to_owned(), data.to_owned());
    log.writer.run_blocking(move |store| store.erasures.add(seq, &event, &data, None)).unwrap();
}

#[test]
fn an_order_that_its_event_says_waits_for_the_service_and_any_other_is_an_alteration() {
    let (log, seq, data) = redacted();
    assert_eq!(verdict(&log), Verdict::Sound);
    insert(&log, seq, REDACT, &data);
    let waits = fault(&log, 0).unwrap();
    assert_eq!((waits.verdict, waits.what.contains("start the service")), (Verdict::Unsealed, true), "{waits}");
    for (what, at, event, other) in [
        ("an event that says another", seq, REDACT, data.replace("[3,5]", "[3,6]")),
        ("an event that says nothing", 2, REDACT, data.clone()),
        ("an event with another name", seq, "audit.prune", data.clone()),
        ("no event", seq + 1, REDACT, data.clone()),
        ("what is no order", seq, REDACT, "{}".to_owned()),
    ] {
        let (log, found, said) = redacted();
        assert_eq!((found, &said), (seq, &data));
        insert(&log, at, event, &other);
        let fault = fault(&log, 0).unwrap();
        assert_eq!((fault.verdict, fault.what.contains("no event says")), (Verdict::Altered, true), "{what}: {fault}");
    }
}

#[test]
fn an_order_that_no_event_says_excuses_nothing_that_an_event_says_is_gone() {
    let log = Specimen::grown(&[10]);
    let side = format!("ATTACH '{}' AS side;", log.home.path().join("side.db").display());
    log.tamper(&format!("{side} CREATE TABLE side.kept AS SELECT * FROM personal WHERE seq = 4 AND field = 'rcpt_to'"));
    let (seq, data) = order(&log, "case 7");
    log.seal();
    log.publish();
    log.tamper(&format!("{side} INSERT OR REPLACE INTO personal SELECT * FROM side.kept"));
    assert_eq!(verdict(&log), Verdict::Erased);
    insert(&log, seq, REDACT, &data.replace("[3,5]", "[3,4]"));
    assert_eq!(verdict(&log), Verdict::Erased);
    // Nobody knows whether it was ordered: that is no tampering, and nothing sound.
    let unread = Known { state: Some("/proc/self/none".into()), ..Known::default() };
    let untold = Known {
        published: Some(seq + 1),
        waiting: Some("the disk is full".into()),
        erasing_unknown: Some("the disk is full".into()),
        ..Known::default()
    };
    let nothing = Known { waiting: None, ..untold.clone() };
    for (known, why) in
        [(unread, "/proc/self/none/db/vault.db"), (untold, "the disk is full"), (nothing, "can't be judged")]
    {
        let fault = fault_of(&log, known).unwrap();
        assert!(fault.verdict == Verdict::Unsealed && fault.what.contains(why), "{fault}");
    }
}

#[test]
fn an_order_whose_event_was_not_published_waits_with_it_whether_or_not_it_was_signed() {
    for sealed in [true, false] {
        let log = Specimen::grown(&[10]);
        let (seq, data) = order(&log, "case 8");
        if sealed {
            log.seal();
        }
        let waits = fault(&log, 0).unwrap();
        assert_eq!(waits.verdict, Verdict::Unsealed, "{waits}");
        assert_eq!(waits.what.contains("are what was signed"), sealed, "{waits}");
        // One more, of which what waits says nothing.
        insert(&log, seq + 1, REDACT, &data);
        assert_eq!(verdict(&log), Verdict::Altered);
    }
}

#[test]
fn an_order_whose_event_is_kept_elsewhere_is_none_that_was_put_there() {
    let (mut log, seq, data) = redacted();
    log.end_month("2020-01");
    log.grow(3);
    insert(&log, seq, REDACT, &data);
    assert_eq!(verdict(&log), Verdict::Unsealed);
    std::fs::remove_file(log.audit().join("audit-2020-01.db")).unwrap();
    assert_eq!(fault(&log, seq + 1).unwrap().verdict, Verdict::Unsealed);
    insert(&log, seq + 1, REDACT, &data);
    assert_eq!(fault(&log, seq + 1).unwrap().verdict, Verdict::Altered);
}
