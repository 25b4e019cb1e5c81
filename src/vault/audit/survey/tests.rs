//! What is gone from the log's files is told, and what was erased on purpose is not.

use super::*;
use crate::mail::address::Address;
use crate::vault::audit::erasure::{self, Part, disclosure, usual_fields};
use crate::vault::audit::month;
use crate::vault::audit::specimen::Specimen;

const EVENTS: u64 = 40;

fn grown() -> Specimen {
    let log = Specimen::empty();
    let recipient = Address::parse("rosa@example.net").unwrap();
    let event =
        Event::new(Name::DeliverBounce, Outcome::Failure).recipients([&recipient]).with(Field::RemoteText, "no");
    log.append((0..EVENTS).map(|_| event.clone()).collect());
    log.seal();
    log.publish();
    log
}

fn reasons(log: &Specimen) -> Vec<&'static str> {
    survey(log.home.path(), kept(&log.writer).unwrap()).into_iter().map(|lack| lack.reason).collect()
}

fn personal(log: &Specimen) -> PathBuf {
    let now = crate::vault::audit::ledger::now_us();
    log.home.path().join("db").join(format!("personal-{}.db", month::of(now)))
}

#[test]
fn values_that_are_gone_are_told_from_those_that_were_erased() {
    let log = grown();
    assert_eq!(reasons(&log), Vec::<&str>::new());
    let path = personal(&log);
    let whole = fs::read(&path).unwrap();
    let refusal = || disclosure::find(log.home.path(), 3, "remote_text").err().unwrap();
    for content in [None, Some(b"no database".repeat(500)), Some(Vec::new())] {
        match &content {
            None => fs::remove_file(&path).unwrap(),
            Some(content) => fs::write(&path, content).unwrap(),
        }
        assert_eq!(reasons(&log), ["personal-missing"], "{content:?}");
        if content.is_none() {
            assert!(refusal().contains("no event says that it was erased"), "{}", refusal());
        }
    }
    fs::write(&path, whole).unwrap();
    // Some of it was erased, and then all.
    for events in [vec![(0, 7), (9, 9)], vec![(0, EVENTS - 1)]] {
        let parts = [Part { events: events.clone(), fields: usual_fields() }];
        log.writer.run_blocking(move |store| erasure::order(store, &parts, "uid 0", "case 7", None)).unwrap();
        log.seal();
        log.publish();
        assert_eq!(reasons(&log), Vec::<&str>::new(), "{events:?}");
        assert!(refusal().contains("was erased"), "{}", refusal());
        let kept = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let expected: &[&str] = if events.len() > 1 { &["personal-missing"] } else { &[] };
        assert_eq!(reasons(&log), expected, "{events:?}");
        fs::write(&path, kept).unwrap();
    }
}

#[test]
fn events_that_are_in_no_file_or_in_two_and_files_that_were_cut_are_told() {
    let log = grown();
    let audit = log.home.path().join("audit");
    let (current, stray) = (audit.join("audit.db"), audit.join("audit-2099-01.db"));
    fs::copy(&current, &stray).unwrap();
    assert_eq!(reasons(&log), ["events-twice"]);
    fs::remove_file(&stray).unwrap();
    let whole = fs::read(&current).unwrap();
    for cut in [whole.len() - 4096, 1000] {
        fs::write(&current, &whole[..cut]).unwrap();
        assert!(reasons(&log).contains(&"events-damaged"), "{cut}: {:?}", reasons(&log));
    }
    fs::remove_file(&current).unwrap();
    let lacks = survey(log.home.path(), kept(&log.writer).unwrap());
    assert_eq!(lacks.len(), 1);
    assert!(lacks[0].what.contains(&format!("lack events 0 to {}", EVENTS - 1)), "{lacks:?}");
    fs::write(&current, b"").unwrap();
    assert_eq!(reasons(&log), ["events-missing"]);
    fs::write(&current, whole).unwrap();
    assert_eq!(reasons(&log), Vec::<&str>::new());
}

#[test]
fn a_hole_that_was_declared_is_known_and_no_other() {
    let mut log = grown();
    log.end_month("2020-01");
    fs::remove_file(log.audit().join("audit-2020-01.db")).unwrap();
    for (last, expected) in [(EVENTS - 2, &["events-missing"][..]), (EVENTS - 1, &[])] {
        let data = serde_json::json!({ "missing": [[0, last]] }).to_string();
        log.append(vec![Event { data: Some(data), ..Event::new(Name::AuditResume, Outcome::Info) }]);
        log.seal();
        log.publish();
        assert_eq!(reasons(&log), expected, "{last}");
    }
}
