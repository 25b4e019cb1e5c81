//! When a lease ends: with the outcome of its only recipient, in the same transaction; and where there is more to wait for, behind all of
//! it.

use super::courier::{Courier, offered};
use super::*;

/// Put off and due at once: whoever isn't on a lease any more is offered to the next.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.slice.retry = vec![Duration::from_millis(1)];
    bench
}

/// Longer than it takes the schedule to look again.
async fn is_quiet(courier: &mut Courier) {
    let offer = tokio::time::timeout(Duration::from_millis(2500), courier.offers.receive()).await;
    assert!(offer.is_err(), "{offer:?}");
}

#[test]
fn the_lease_of_one_recipient_ends_with_its_outcome() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let (mut courier, job, message) = offered(&bench, &mut vault, &["rosa@example.org"], b"x\r\n").await;
        courier.say(job, 0, Outcome::Deferred(said(451))).await;
        // The courier has not said yet that it is over.
        let (again, same, ..) = courier.message().await;
        assert!(same == message && again != job);
        courier.settled(job).await;
        courier.say(again, 0, Outcome::Delivered(said(250))).await;
        courier.settled(again).await;
        is_quiet(&mut courier).await;
    });
    vault.drain();
    assert_eq!(bench.count("SELECT count(*) FROM spool_msg WHERE done_us IS NULL"), 0);
    assert_eq!(bench.count("SELECT count(*) FROM spool_lease"), 0);
}

#[test]
fn the_lease_of_several_ends_behind_all_their_outcomes() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let to = ["rosa@example.org", "emil@example.org"];
        let (mut courier, job, message) = offered(&bench, &mut vault, &to, b"x\r\n").await;
        for number in [0, 1] {
            courier.say(job, number, Outcome::Deferred(said(451))).await;
        }
        is_quiet(&mut courier).await;
        courier.settled(job).await;
        let (again, same, all, _) = courier.message().await;
        assert_eq!((same, all.len()), (message, 2), "both come back together");
        for number in [0, 1] {
            courier.say(again, number, Outcome::Delivered(said(250))).await;
        }
        courier.settled(again).await;
        is_quiet(&mut courier).await;
    });
    vault.drain();
    assert_eq!(bench.count("SELECT count(*) FROM spool_rcpt WHERE state = 2"), 2);
    assert_eq!(bench.count("SELECT count(*) FROM spool_lease"), 0);
}
