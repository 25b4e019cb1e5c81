//! Messages whose time is over, as all of them are at once after a clock that was set far forward: none is given up before
//! one more attempt was made. One whose time passes while the vault lives is not sent any more.

use super::queue::order;
use super::reports::report;
use super::*;
use crate::ipc::admin::queue::Deed;

/// What became of the deliveries, in its order.
fn deliveries(bench: &Bench) -> Vec<String> {
    bench.names().into_iter().filter(|name| name.starts_with("deliver.")).collect()
}

/// A clock that was set forward while the vault was down, as a message sees it: its time was over long ago.
fn step_forward(bench: &Bench) {
    let database = Database::open(bench.home.path()).unwrap();
    assert_eq!(database.connection.execute("UPDATE spool_msg SET expires_us = 1", []).unwrap(), 1);
}

#[test]
fn rule_q5_a_message_whose_time_is_over_before_it_is_offered_is_given_up_and_reported() {
    let mut bench = Bench::new();
    bench.slice.credentials[0].policy.ttl_seconds = Some(0);
    let mut vault = bench.run();
    let text = test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let kept = edge.submit(1, &["x@example.org", "y@example.org"], b"x\r\n").await;
        let Answer::Kept { .. } = kept else { panic!("{kept:?}") };
        let mut courier = vault.courier().await;
        report(&mut courier).await.1
    });
    vault.drain();
    assert!(text.contains("given up, because its time was over") && text.contains("Status: 4.4.7"), "{text}");
    assert_eq!(deliveries(&bench), ["deliver.expire", "deliver.expire", "deliver.success"]);
    assert_eq!(bench.count("SELECT count(*) FROM spool_rcpt WHERE state = 4 AND attempts = 0"), 2);
    assert_eq!((bench.bodies(), bench.count("SELECT count(*) FROM spool_lease")), (0, 0));
}

#[test]
fn rule_q5_what_nobody_can_take_is_given_up_and_reported_too() {
    let mut bench = Bench::new();
    bench.slice.credentials[0].policy.ttl_seconds = Some(0);
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        // More than one transaction's.
        for n in 0..5 {
            let kept = edge.submit(1, &[&format!("x{n}@example.org")], b"x\r\n").await;
            assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
        }
        let expires = async {
            let mut count = 0;
            while count < 5 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                count = 0;
                let _ = query(&bench.home.path().join("audit"), &Filter::default(), |event| {
                    count += usize::from(event.get("event") == Some("deliver.expire"));
                });
            }
        };
        tokio::time::timeout(Duration::from_secs(20), expires).await.expect("they are given up");
        // Only now is there somebody who could have taken them.
        let mut courier = vault.courier().await;
        let reported = courier.offer().await;
        assert!(matches!(reported, Offer::Message { sender: None, .. }), "{reported:?}");
    });
    vault.abandon();
    assert_eq!(bench.count("SELECT count(*) FROM spool_rcpt WHERE state = 4 AND attempts = 0"), 5);
}

#[test]
fn rule_q5_what_is_released_when_its_time_is_over_is_tried() {
    let mut bench = Bench::new();
    bench.slice.credentials[0].policy.ttl_seconds = Some(0);
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        // It takes nothing yet; without one, what is late is given up.
        let mut courier = vault.silent_courier("smarthost");
        edge.submit(1, &["x@example.org"], b"x\r\n").await;
        order(&mut vault, Deed::Hold).await;
        order(&mut vault, Deed::Release).await;
        courier.tell(Progress::Slots(4)).await;
        let (job, ..) = courier.message().await;
        courier.say(job, 0, Outcome::Delivered(said(250))).await;
        courier.settled(job).await;
    });
    vault.drain();
    assert_eq!(deliveries(&bench), ["deliver.success"]);
}

#[test]
fn rule_q5_a_credential_has_a_lifetime_of_its_own_and_what_lives_shortly_is_marked() {
    let mut bench = Bench::new();
    bench.slice.credentials[0].policy.ttl_seconds = Some(900);
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        edge.submit(1, &["a@example.org"], b"x\r\n").await;
    });
    vault.drain();
    assert_eq!(bench.count("SELECT (expires_us - accepted_us) / 1000000 FROM spool_msg"), 900);
    assert_eq!(bench.count("SELECT urgent FROM spool_rcpt WHERE turn = 'shop'"), 1);
}

#[test]
fn after_a_step_of_the_clock_it_is_the_next_attempt_that_decides() {
    let attempts: [(Option<Outcome>, &[&str]); 5] = [
        (Some(Outcome::Delivered(said(250))), &["deliver.success"]),
        (Some(Outcome::Failed(said(550))), &["deliver.bounce"]),
        (Some(Outcome::Deferred(said(451))), &["deliver.defer", "deliver.expire"]),
        (Some(Outcome::Unknown(Said::default())), &["deliver.unknown", "deliver.expire"]),
        // The upstream can't be reached.
        (None, &["deliver.expire"]),
    ];
    for (outcome, expected) in attempts {
        let bench = Bench::new();
        let mut vault = bench.run();
        test(async {
            let mut edge = vault.edge();
            edge.login(&bench, 1).await;
            edge.submit(1, &["x@example.org"], b"x\r\n").await;
            let mut courier = vault.courier().await;
            let (job, ..) = courier.message().await;
            courier.say(job, 0, Outcome::Deferred(said(451))).await;
            courier.settled(job).await;
        });
        vault.drain();
        step_forward(&bench);
        // A start gives nothing up.
        bench.run().drain_after(1);
        assert_eq!(deliveries(&bench), ["deliver.defer"], "before {outcome:?}");
        assert_eq!(bench.bodies(), 1);

        let mut vault = bench.run();
        test(async {
            let mut courier = vault.courier().await;
            let (job, ..) = courier.message().await;
            match &outcome {
                Some(outcome) => {
                    courier.say(job, 0, outcome.clone()).await;
                    courier.settled(job).await;
                }
                None => {
                    courier.tell(Progress::RouteFailed { job, reason: "no route to host".into(), rest: None }).await
                }
            }
        });
        vault.drain();
        assert_eq!(deliveries(&bench)[1..], *expected, "after {outcome:?}");
        assert_eq!(bench.bodies(), 0, "after {outcome:?}");
    }
}
