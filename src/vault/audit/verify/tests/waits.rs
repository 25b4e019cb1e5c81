//! What was acknowledged while events wait to be published, or may: theirs may be among them, for as long as a transaction may
//! last.

use uuid::Uuid;

use super::causes::Life;
use super::*;
use crate::mail::id::MessageId;
use crate::vault::audit::specimen::accepted;

const SECOND: u64 = 1_000_000;

/// A message without an event, of which the service said that it was accepted; its id is of that time.
fn silent(time_us: u64) -> MessageId {
    MessageId::from(Uuid::from_u128(u128::from(time_us / 1000) << 80))
}

/// A log of thirty hours, and the time of its last event.
fn thirty_hours() -> (Life, u64) {
    let life = Life::new();
    life.sleep(30);
    life.log.seal();
    life.log.publish();
    let last_us = verify(&life.log.audit(), life.log.key(), &Known::default(), |_| {}).unwrap().last_us;
    (life, last_us)
}

/// The code when that message was acknowledged.
fn found(life: &Life, message: MessageId, known: Known) -> Verdict {
    let known = Known { accepted: vec![message], ..known };
    verify(&life.log.audit(), life.log.key(), &known, |_| {}).map_or_else(|fault| fault.verdict, |_| Verdict::Sound)
}

#[test]
fn a_message_of_the_day_before_the_last_event_is_missed_only_where_the_log_is_known_to_end_there() {
    let (life, last_us) = thirty_hours();
    let running = || Known { published: Some(1), ..Known::default() };
    let waits = || Known { waiting: Some("a reader holds the file".into()), ..running() };
    let stopped = || Known { state: Some(life.log.home.path().to_owned()), ..Known::default() };
    // A service that can't be asked, with a database that can't be read.
    let unasked = || Known { state: Some("/proc/self/none".into()), ..Known::default() };
    let a_day_before = last_us - 24 * 3600 * SECOND;
    for (time_us, whole, waiting, unknown) in [
        (a_day_before - SECOND, Verdict::Altered, Verdict::Altered, Verdict::Altered),
        (a_day_before + SECOND, Verdict::Altered, Verdict::Unsealed, Verdict::Sound),
        (last_us - SECOND, Verdict::Altered, Verdict::Unsealed, Verdict::Sound),
        (last_us + SECOND, Verdict::Sound, Verdict::Unsealed, Verdict::Sound),
    ] {
        let found = |known: Known| found(&life, silent(time_us), known);
        let said = time(time_us);
        assert_eq!((found(running()), found(stopped())), (whole, whole), "{said}");
        assert_eq!(found(waits()), waiting, "{said}");
        assert_eq!((found(Known::default()), found(unasked())), (unknown, unknown), "{said}");
        let file = life.log.home.path().join("service.log");
        fs::write(&file, format!("INFO a message was acknowledged {}\n", silent(time_us))).unwrap();
        let words = ["--acks", file.to_str().unwrap()];
        assert_eq!(second_opinion(&life.log.audit(), life.log.key(), &words), unknown.code(), "{said}");
    }
}

#[test]
fn a_message_whose_event_a_stopped_service_did_not_publish_is_not_missed() {
    let (life, last_us) = thirty_hours();
    let message = silent(last_us - SECOND);
    let stopped = || Known { state: Some(life.log.home.path().to_owned()), ..Known::default() };
    assert_eq!(found(&life, message, stopped()), Verdict::Altered);
    life.log.append(vec![Event { message: Some(message), ..accepted() }]);
    assert_ne!(found(&life, message, stopped()), Verdict::Altered);
    let other = silent(last_us - 2 * SECOND);
    // A second later the log of the writes is emptied, once: what is read while it is proves nothing.
    assert!((0..10).any(|_| found(&life, other, stopped()) == Verdict::Altered));
}
