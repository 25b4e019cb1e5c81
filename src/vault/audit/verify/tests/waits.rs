//! What was acknowledged while events wait to be published: theirs may be among them, for as long as a transaction may last.

use uuid::Uuid;

use super::causes::Life;
use super::*;
use crate::mail::id::MessageId;

const SECOND: u64 = 1_000_000;

/// A message without an event, of which the service said that it was accepted; its id is of that time.
fn silent(time_us: u64) -> MessageId {
    MessageId::from(Uuid::from_u128(u128::from(time_us / 1000) << 80))
}

#[test]
fn a_message_of_the_day_before_the_last_event_is_missed_only_when_no_events_wait() {
    let life = Life::new();
    life.sleep(30);
    life.log.seal();
    life.log.publish();
    let found = |time_us: u64, waiting: Option<&str>| {
        let (accepted, waiting) = (vec![silent(time_us)], waiting.map(str::to_owned));
        let known = Known { accepted, waiting, ..Known::default() };
        verify(&life.log.audit(), life.log.key(), &known, |_| {}).map_err(|fault| fault.verdict)
    };
    let last_us = verify(&life.log.audit(), life.log.key(), &Known::default(), |_| {}).unwrap().last_us;
    let a_day_before = last_us - 24 * 3600 * SECOND;
    for (time_us, waits) in [
        (a_day_before - SECOND, Verdict::Altered),
        (a_day_before + SECOND, Verdict::Unsealed),
        (last_us - SECOND, Verdict::Unsealed),
    ] {
        assert_eq!(found(time_us, None), Err(Verdict::Altered), "{}", time(time_us));
        assert_eq!(found(time_us, Some("a reader holds the file")), Err(waits), "{}", time(time_us));
    }
    assert!(found(last_us + SECOND, None).is_ok(), "of what comes after the end nothing is known");
}
