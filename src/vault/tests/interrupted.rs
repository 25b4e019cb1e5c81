//! Deliveries whose end nobody tells, because a courier or the vault ended: before the content's end they are offered again,
//! and behind it they go by `on_unknown`.

use super::courier::{Courier, offered};
use super::queue::order;
use super::reports::report;
use super::*;
use crate::ipc::admin::queue::Deed;
use crate::policy::OnUnknown;

const ALL: [OnUnknown; 3] = [OnUnknown::Retry, OnUnknown::Hold, OnUnknown::Drop];

fn bench(on_unknown: OnUnknown) -> Bench {
    let mut bench = Bench::new();
    bench.slice.credentials[0].policy.on_unknown = on_unknown;
    bench
}

/// Whether the recipient of the client's message is as `on_unknown` says, and the log tells so.
fn check(bench: &Bench, on_unknown: OnUnknown) {
    let of = "FROM spool_rcpt WHERE msg = (SELECT min(id) FROM spool_msg) AND attempts = 1";
    let is = |what: &str| bench.count(&format!("SELECT count(*) {of} AND {what}"));
    let count = |name: &str| bench.told(name);
    let expected = match on_unknown {
        OnUnknown::Retry => (1, 0, 0),
        OnUnknown::Hold => (0, 1, 0),
        OnUnknown::Drop => (0, 0, 1),
    };
    assert_eq!(
        (is("state = 0 AND held = 0"), is("state = 0 AND held = 1"), is("state = 3")),
        expected,
        "{on_unknown:?}"
    );
    assert_eq!(bench.count("SELECT count(*) FROM spool_msg WHERE hold = 2"), expected.1, "{on_unknown:?}");
    assert_eq!(
        (count("queue.hold"), count("queue.drop")),
        (expected.1 as usize, expected.2 as usize),
        "{on_unknown:?}"
    );
    assert_eq!(count("deliver.unknown"), 1, "{on_unknown:?}");
}

#[test]
fn rule_q7_a_courier_that_ends_behind_the_content_leaves_an_unknown_outcome() {
    for on_unknown in ALL {
        let mut bench = bench(on_unknown);
        bench.slice.retry = vec![Duration::from_secs(3600)];
        let mut vault = bench.run();
        test(async {
            let (mut courier, job, _) = offered(&bench, &mut vault, &["x@example.org"], b"x\r\n").await;
            assert_eq!(courier.content(job).await, b"x\r\n");
            drop(courier);
            let mut next = vault.courier().await;
            if on_unknown == OnUnknown::Drop {
                let (_, text) = report(&mut next).await;
                for expected in ["may or may not have been delivered", "Status: 4.4.2", "Subject: It is not known"] {
                    assert!(text.contains(expected), "{expected}: {text}");
                }
                assert!(!text.contains("could not be delivered"), "{text}");
            }
            let quiet = tokio::time::timeout(Duration::from_millis(500), next.offers.receive()).await;
            assert!(quiet.is_err(), "{quiet:?}");
        });
        vault.drain();
        check(&bench, on_unknown);
    }
}

/// Reports, the log and the queue remember that somebody may have it, whatever comes after that attempt.
#[test]
fn rule_q7_who_may_have_it_may_have_it_whatever_the_next_attempt_comes_to() {
    // Put off and then refused by the next ones; and over when the next one puts it off.
    for (is_over, name) in [(false, "deliver.bounce"), (true, "deliver.expire")] {
        let mut bench = bench(OnUnknown::Retry);
        bench.slice.retry = vec![Duration::ZERO];
        let mut vault = bench.run();
        test(async {
            let (mut courier, job, _) = offered(&bench, &mut vault, &["x@example.org"], b"x\r\n").await;
            courier.content(job).await;
        });
        vault.drain();
        if is_over {
            let database = Database::open(bench.home.path()).unwrap();
            database.connection.execute("UPDATE spool_msg SET expires_us = 1", []).unwrap();
        }
        let mut vault = bench.run();
        test(async {
            let mut next = vault.courier().await;
            let outcomes = [Outcome::Deferred(said(450)), Outcome::Failed(said(550))];
            for outcome in outcomes.into_iter().take(if is_over { 1 } else { 2 }) {
                let (job, _, recipients, _) = next.message().await;
                next.say(job, recipients[0].0, outcome).await;
                next.settled(job).await;
            }
            let (_, text) = report(&mut next).await;
            for expected in ["Subject: It is not known", "It may have been delivered all the same"] {
                assert!(text.contains(expected), "{name}: {text}");
            }
        });
        vault.drain();
        let events = bench.events(&Filter::default());
        let event = events.iter().find(|event| event.get("event") == Some(name)).unwrap();
        let data: serde_json::Value = serde_json::from_str(event.get("data").unwrap()).unwrap();
        assert_eq!(data["may_be_delivered"], true, "{name}");
        assert_eq!(bench.count("SELECT sum(doubt) FROM spool_rcpt WHERE unknown = 0"), 1, "{name}");
    }
}

#[test]
fn rule_q7_a_courier_that_ends_before_the_content_does_has_delivered_nothing() {
    for on_unknown in ALL {
        let bench = bench(on_unknown);
        let mut vault = bench.run();
        test(async {
            let (courier, _, message) = offered(&bench, &mut vault, &["x@example.org"], b"x\r\n").await;
            drop(courier);
            let (_, again, ..) = vault.courier().await.message().await;
            assert_eq!(again, message, "{on_unknown:?}");
        });
        vault.abandon();
        assert_eq!(bench.count("SELECT sum(attempts) FROM spool_rcpt"), 0, "{on_unknown:?}");
    }
}

#[test]
fn rule_q7_a_vault_that_ends_behind_the_content_goes_by_what_it_wrote_before() {
    let cases = ALL.map(|on_unknown| (on_unknown, false)).into_iter().chain([(OnUnknown::Hold, true)]);
    for (on_unknown, removed) in cases {
        let mut bench = bench(on_unknown);
        bench.slice.retry = vec![Duration::from_secs(3600)];
        let mut vault = bench.run();
        test(async {
            let (mut courier, job, _) = offered(&bench, &mut vault, &["x@example.org"], b"x\r\n").await;
            courier.content(job).await;
            // While the courier still has it.
            vault.abandon();
        });
        if removed {
            bench.slice.credentials.remove(0);
        }
        let mut vault = bench.run();
        test(async {
            let mut courier = vault.courier().await;
            if on_unknown == OnUnknown::Drop {
                report(&mut courier).await;
            }
            let quiet = tokio::time::timeout(Duration::from_millis(500), courier.offers.receive()).await;
            assert!(quiet.is_err(), "{quiet:?}");
        });
        vault.drain();
        check(&bench, on_unknown);
        assert_eq!(bench.count("SELECT count(*) FROM spool_lease"), 0);
    }
}

/// What the tests below leave: of three, one has it, one may have it, and the third, whose part was never ended, can't.
async fn in_parts(bench: &Bench, vault: &mut Running) -> (Courier, MessageId) {
    let to = ["x@example.org", "y@example.org", "z@example.org"];
    let (mut courier, job, message) = offered(bench, vault, &to, b"x\r\n").await;
    courier.tell(Progress::Want { job, octets: 40_000 }).await;
    assert!(matches!(courier.offer().await, Offer::Content { .. }));
    for (turn, number) in [(1, 0), (2, 1)] {
        courier.tell(Progress::Ending { job, turn, numbers: vec![number] }).await;
        assert!(matches!(courier.offer().await, Offer::End { turn: of, .. } if of == turn));
        if number == 0 {
            courier.say(job, number, Outcome::Delivered(said(250))).await;
        }
    }
    (courier, message)
}

/// Only the third is offered again.
async fn check_parts(courier: &mut Courier, message: MessageId) {
    let (_, again, recipients, _) = courier.message().await;
    assert_eq!((again, recipients), (message, vec![(2, address("z@example.org"))]));
}

#[test]
fn rule_q7_of_a_message_in_parts_only_who_may_have_it_is_unknown() {
    for is_the_vault in [false, true] {
        let bench = bench(OnUnknown::Hold);
        let mut vault = bench.run();
        let (mut vault, message) = match is_the_vault {
            false => {
                let message = test(async {
                    let (courier, message) = in_parts(&bench, &mut vault).await;
                    drop(courier);
                    check_parts(&mut vault.courier().await, message).await;
                    message
                });
                (vault, message)
            }
            true => {
                let message = test(async {
                    let (_courier, message) = in_parts(&bench, &mut vault).await;
                    vault.abandon();
                    message
                });
                (bench.run(), message)
            }
        };
        if is_the_vault {
            test(async { check_parts(&mut vault.courier().await, message).await });
        }
        vault.abandon();
        let row = |n: u32| format!("SELECT state + 10 * held + 100 * attempts FROM spool_rcpt WHERE n = {n}");
        assert_eq!([bench.count(&row(0)), bench.count(&row(1)), bench.count(&row(2)) / 100], [102, 110, 0]);
    }
}

#[test]
fn rule_q7_content_alone_is_no_message_and_neither_is_one_whose_end_was_taken_back() {
    for (on_unknown, asks) in ALL.into_iter().flat_map(|on_unknown| [(on_unknown, false), (on_unknown, true)]) {
        for is_the_vault in [false, true] {
            let bench = bench(on_unknown);
            let mut vault = bench.run();
            test(async {
                let (mut courier, job, message) = offered(&bench, &mut vault, &["x@example.org"], b"x\r\n").await;
                courier.tell(Progress::Want { job, octets: 40_000 }).await;
                assert!(matches!(courier.offer().await, Offer::Content { .. }));
                for (turn, numbers) in [(1, vec![0]), (2, vec![])].into_iter().filter(|_| asks) {
                    courier.tell(Progress::Ending { job, turn, numbers }).await;
                    assert!(matches!(courier.offer().await, Offer::End { turn: of, .. } if of == turn));
                }
                if is_the_vault {
                    vault.abandon();
                    vault = bench.run();
                }
                drop(courier);
                let (_, again, ..) = vault.courier().await.message().await;
                assert_eq!(again, message, "{on_unknown:?} {asks}");
                vault.abandon();
            });
            assert_eq!(bench.count("SELECT sum(attempts) FROM spool_rcpt"), 0, "{on_unknown:?} {asks}");
        }
    }
}

#[test]
fn a_courier_asks_for_the_end_of_nobody_but_those_whom_it_has() {
    for numbers in [vec![1], vec![0, 0]] {
        let bench = Bench::new();
        let mut vault = bench.run();
        test(async {
            let (mut courier, job, _) = offered(&bench, &mut vault, &["x@example.org"], b"x\r\n").await;
            courier.tell(Progress::Ending { job, turn: 1, numbers }).await;
            let over = tokio::time::timeout(Duration::from_secs(10), courier.offers.receive()).await.expect("an end");
            assert!(!matches!(over, Ok(Some(_))), "{over:?}");
        });
        vault.drain();
        let violations = bench.events(&Filter { event: Some("ipc.violation".into()), ..Filter::default() });
        assert_eq!(violations[0].get("reason"), Some("ending-out-of-order"));
    }
}

#[test]
fn a_courier_that_can_not_wait_for_the_vault_any_longer_gives_one_message_up_and_no_other() {
    for on_unknown in ALL {
        let mut bench = bench(on_unknown);
        bench.slice.retry = vec![Duration::from_millis(1)];
        let mut vault = bench.run();
        test(async {
            let (mut courier, job, message) = offered(&bench, &mut vault, &["x@example.org"], b"x\r\n").await;
            courier.content(job).await;
            courier.tell(Progress::GivenUp { job }).await;
            // To the same courier, which has done nothing that it may not.
            assert_eq!(courier.message().await.1, message, "{on_unknown:?}");
        });
        vault.drain();
        assert!(!bench.names().contains(&"ipc.violation".to_owned()));
        assert_eq!(bench.count("SELECT sum(attempts) FROM spool_rcpt WHERE held = 0"), 0, "{on_unknown:?}");
    }
}

#[test]
fn rule_q7_a_vault_that_ends_before_the_content_does_offers_it_again() {
    let bench = bench(OnUnknown::Hold);
    let mut vault = bench.run();
    let message = test(async {
        let (_courier, _, message) = offered(&bench, &mut vault, &["x@example.org"], b"x\r\n").await;
        vault.abandon();
        message
    });
    let mut vault = bench.run();
    test(async { assert_eq!(vault.courier().await.message().await.1, message) });
    vault.abandon();
}

#[test]
fn rule_q7_what_becomes_of_an_unknown_outcome_outlives_the_credential() {
    let mut bench = bench(OnUnknown::Hold);
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        edge.submit(1, &["x@example.org"], b"x\r\n").await;
    });
    vault.drain();
    bench.slice.credentials.remove(0);
    let mut vault = bench.run();
    test(async {
        // It is held, as that of a credential that went (Q9), until somebody wants it.
        while order(&mut vault, Deed::Release).await.messages == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut courier = vault.courier().await;
        let (job, ..) = courier.message().await;
        courier.say(job, 0, Outcome::Unknown(said(421))).await;
        courier.settled(job).await;
    });
    vault.drain();
    let is = "state = 0 AND held = 1 AND attempts = 1 AND unknown = 1";
    assert_eq!(bench.count(&format!("SELECT count(*) FROM spool_rcpt WHERE {is}")), 1);
    assert_eq!(bench.count("SELECT count(*) FROM spool_msg WHERE hold = 2"), 1);
    let reasons = bench.events(&Filter { event: Some("queue.hold".to_owned()), ..Filter::default() });
    let reasons: Vec<_> = reasons.iter().filter_map(|event| event.get("reason")).collect();
    assert_eq!(reasons, ["revoked", "unknown-outcome"]);
}

#[test]
fn rule_q7_a_vault_that_ends_between_the_last_outcome_and_its_lease_starts_again() {
    // What can't be so by a mere end is no reason not to start, either: somebody without an outcome, and no body.
    for (on_unknown, is_open) in [(1, false), (2, false), (1, true)] {
        let bench = bench(OnUnknown::Hold);
        let mut vault = bench.run();
        test(async {
            let (mut courier, job, _) = offered(&bench, &mut vault, &["x@example.org"], b"x\r\n").await;
            courier.content(job).await;
            courier.say(job, 0, Outcome::Delivered(said(250))).await;
            courier.settled(job).await;
        });
        vault.drain();
        assert_eq!(bench.bodies(), 0);
        let database = Database::open(bench.home.path()).unwrap();
        let lease = "INSERT INTO spool_lease(job, msg, upstream, delivery_id, leased_us, on_unknown) \
                     SELECT 1, id, 'smarthost', randomblob(16), 1, ? FROM spool_msg";
        assert_eq!(database.connection.execute(lease, [on_unknown]).unwrap(), 1);
        if is_open {
            database.connection.execute("UPDATE spool_rcpt SET state = 1, job = 1, unknown = 1", []).unwrap();
        }
        drop(database);
        let mut vault = bench.run();
        test(async { offered(&bench, &mut vault, &["y@example.org"], b"x\r\n").await });
        vault.abandon();
        let is = if is_open { "state = 0 AND held = 1" } else { "state = 2 AND held = 0" };
        assert_eq!(bench.count(&format!("SELECT count(*) FROM spool_rcpt WHERE rcpt = 'x@example.org' AND {is}")), 1);
        assert_eq!(bench.count("SELECT count(*) FROM spool_lease WHERE job = 1 AND on_unknown > 0"), 0);
    }
}

#[test]
fn rule_q4_nobody_waits_for_a_time_that_a_clock_which_was_ahead_has_given() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        for recipients in [&["tried@example.org"], &["scheduled@example.org"]] {
            assert!(matches!(edge.submit(1, recipients, b"x\r\n").await, Answer::Kept { .. }));
        }
    });
    vault.abandon();
    let year = 365 * 86_400_000_000_i64;
    let tried = "iif(rcpt LIKE 'tried%', 1, 0)";
    let ahead = format!("UPDATE spool_rcpt SET next_us = next_us + {year}, attempts = {tried}, tried = {tried}");
    Database::open(bench.home.path()).unwrap().connection.execute(&ahead, []).unwrap();
    bench.run().drain();
    let late = format!("SELECT count(*) FROM spool_rcpt WHERE next_us > {}", now_us() + 2 * 86_400_000_000);
    assert_eq!(bench.count(&format!("{late} AND attempts = 1")), 0);
    assert_eq!(bench.count(&format!("{late} AND attempts = 0")), 1, "who is scheduled waits as it was said");
}
