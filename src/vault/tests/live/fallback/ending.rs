//! What the upstream says to the whole, or doesn't: with the body beside the intent.

use super::*;
use crate::policy::OnUnknown;
use crate::vault::tests::suppression::suppress;

/// Up to the moment in which the courier may end it, for these recipients.
async fn ending(bench: &Bench, vault: &mut Running, to: &[&str]) -> Stage {
    let mut stage = Stage::taken(bench, vault, to[0]).await;
    for (number, to) in (2..).zip(&to[1..]) {
        stage.ask(to).await;
        stage.accept(number).await;
    }
    stage.content(LETTER).await;
    stage.commit("a@example.net").await;
    stage.end().await;
    stage
}

#[test]
fn behind_the_end_nobody_knows_and_it_is_kept_for_nobody() {
    for on_unknown in [OnUnknown::Hold, OnUnknown::Drop] {
        let mut bench = bench();
        bench.slice.credentials[0].policy.on_unknown = on_unknown;
        let mut vault = bench.run();
        test(async {
            let Stage { mut edge, courier, .. } = ending(&bench, &mut vault, &["x@example.org"]).await;
            drop(courier);
            match edge.answer().await {
                Answer::Passed { spoken, .. } => assert_eq!((spoken.code, spoken.status), (451, [4, 4, 2])),
                other => panic!("{other:?}"),
            }
            let mut next = vault.courier().await;
            nothing_waits(&mut next).await;
        });
        vault.drain();
        assert_eq!((bench.told("deliver.unknown"), bench.told("queue.drop"), bench.told("queue.hold")), (1, 1, 0));
        assert_clean(&bench);
    }
}

#[test]
fn behind_the_end_it_is_tried_again_where_its_credential_wants_that() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let Stage { mut edge, courier, .. } = ending(&bench, &mut vault, &["x@example.org"]).await;
        drop(courier);
        let message = kept(edge.answer().await);
        let mut next = vault.courier().await;
        assert_eq!(from_queue(&mut next).await, (message, vec!["x@example.org".into()], LETTER.to_vec()));
        nothing_waits(&mut next).await;
    });
    vault.drain();
    let counts = ["msg.intent", "msg.accept", "deliver.unknown", "deliver.success"].map(|name| bench.told(name));
    assert_eq!(counts, [1, 1, 1, 1]);
    assert_clean(&bench);
}

#[test]
fn what_is_put_off_at_the_end_is_kept_for_those_and_who_failed_beside_others_is_reported() {
    for on_unknown in [OnUnknown::Retry, OnUnknown::Hold] {
        let mut bench = bench();
        bench.slice.credentials[0].policy.on_unknown = on_unknown;
        let mut vault = bench.run();
        test(async {
            let to = ["ok@example.org", "later@example.org", "no@example.org"];
            let Stage { mut edge, mut courier, job } = ending(&bench, &mut vault, &to).await;
            courier.say(job, 1, Outcome::Delivered(said(250))).await;
            courier.say(job, 2, Outcome::Deferred(said(451))).await;
            courier.say(job, 3, Outcome::Failed(said(550))).await;
            courier.settled(job).await;
            let message = kept(edge.answer().await);
            let was = edge.ask(Ask::Was { message }).await;
            assert!(matches!(was, Answer::Was { committed: true, .. }), "{was:?}");
            let (mut seen, mut reports) = (Vec::new(), 0);
            for _ in 0..2 {
                let (of, to, content) = from_queue(&mut courier).await;
                if of == message {
                    assert_eq!(content, LETTER);
                    seen.extend(to);
                } else {
                    assert_eq!(to, ["a@example.net"]);
                    assert!(String::from_utf8_lossy(&content).contains("no@example.org"));
                    reports += 1;
                }
            }
            assert_eq!((seen, reports), (vec!["later@example.org".to_owned()], 1));
            nothing_waits(&mut courier).await;
        });
        vault.drain();
        assert_eq!((bench.told("msg.intent"), bench.told("msg.accept")), (1, 1));
        assert_clean(&bench);
    }
}

#[test]
fn who_is_told_that_all_failed_has_no_report_and_nothing_is_left() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut stage = ending(&bench, &mut vault, &["x@example.org", "y@example.org"]).await;
        for number in [1, 2] {
            stage.courier.say(stage.job, number, Outcome::Failed(said(554))).await;
        }
        stage.courier.settled(stage.job).await;
        assert_eq!(stage.spoken().await.code, 554);
        nothing_waits(&mut stage.courier).await;
    });
    vault.drain();
    assert_eq!((bench.told("deliver.bounce"), bench.told("msg.accept")), (2, 0));
    assert_clean(&bench);
}

#[test]
fn a_vault_that_ends_between_intent_and_outcome_has_kept_what_its_credential_wants_tried_again_and_nothing_else() {
    for (on_unknown, is_kept) in [(OnUnknown::Retry, true), (OnUnknown::Hold, false), (OnUnknown::Drop, false)] {
        let mut bench = bench();
        bench.slice.credentials[0].policy.on_unknown = on_unknown;
        let mut vault = bench.run();
        let message = test(async {
            let _stage = ending(&bench, &mut vault, &["x@example.org"]).await;
            let found = vault.writer.run(|store| {
                // It is the first message of this store.
                store.spool.leased(1, 1, "", Uuid::nil()).map(|leased| leased.message)
            });
            let found = found.await.unwrap();
            // Nobody may say so as long as it can still be refused.
            let was = vault.edge().ask(Ask::Was { message: found }).await;
            assert!(matches!(was, Answer::Was { committed: false, .. }), "{was:?}");
            vault.abandon();
            found
        });
        let mut vault = bench.run();
        test(async {
            let mut edge = vault.edge();
            let was = edge.ask(Ask::Was { message }).await;
            assert!(matches!(was, Answer::Was { committed, .. } if committed == is_kept), "{on_unknown:?} {was:?}");
            let mut courier = vault.courier().await;
            if is_kept {
                assert_eq!(from_queue(&mut courier).await, (message, vec!["x@example.org".into()], LETTER.to_vec()));
            }
            nothing_waits(&mut courier).await;
        });
        vault.drain();
        let counts = ["queue.drop", "msg.intent", "msg.accept", "deliver.unknown"].map(|name| bench.told(name));
        assert_eq!(counts, [usize::from(!is_kept), 1, usize::from(is_kept), 1], "{on_unknown:?}");
        assert_clean(&bench);
    }
}

#[test]
fn what_was_passed_on_to_all_is_known_as_such_by_the_next_vault_and_nothing_else_is() {
    let (delivered, failed) = (Outcome::Delivered(said(250)), Outcome::Failed(said(550)));
    for (outcomes, is_done) in [
        (vec![delivered.clone(), delivered.clone()], true),
        (vec![failed.clone(), failed.clone()], false),
        (vec![delivered, failed], false),
    ] {
        let mut bench = bench();
        bench.slice.credentials[0].policy.delivery = Some(Delivery::Direct);
        let mut vault = bench.run();
        let message = test(async {
            let mut stage = ending(&bench, &mut vault, &["x@example.org", "y@example.org"]).await;
            let found =
                vault.writer.run(|store| store.spool.leased(1, 1, "", Uuid::nil()).map(|leased| leased.message));
            let message = found.await.unwrap();
            for (number, outcome) in (1..).zip(&outcomes) {
                stage.courier.say(stage.job, number, outcome.clone()).await;
            }
            stage.courier.settled(stage.job).await;
            // What the edge, which falls together with its vault, never sees.
            stage.spoken().await;
            message
        });
        vault.abandon();
        let mut vault = bench.run();
        test(async {
            let was = vault.edge().ask(Ask::Was { message }).await;
            assert!(matches!(was, Answer::Was { committed, .. } if committed == is_done), "{outcomes:?} {was:?}");
        });
        vault.drain();
        assert_clean(&bench);
    }
}

#[test]
fn an_upstream_that_breaks_off_at_the_end_is_behind_the_others_of_the_route_for_that_message() {
    let mut bench = with_second(bench());
    bench.slice.routes[0].via = vec![0, 1];
    let mut vault = bench.run();
    test(async {
        let mut stage = ending(&bench, &mut vault, &["x@example.org"]).await;
        let mut second = vault.courier_of("second").await;
        stage.courier.tell(Progress::BrokenOff { job: stage.job, said: said(421) }).await;
        let message = kept(stage.edge.answer().await);
        assert_eq!(from_queue(&mut second).await, (message, vec!["x@example.org".into()], LETTER.to_vec()));
        nothing_waits(&mut stage.courier).await;
    });
    vault.drain();
    assert_clean(&bench);
}

#[test]
fn what_is_kept_at_the_end_goes_by_the_routes_of_that_moment() {
    let bench = with_second(bench());
    let mut vault = bench.run();
    test(async {
        let mut stage = ending(&bench, &mut vault, &["x@example.org"]).await;
        let mut second = vault.courier_of("second").await;
        let mut slice = bench.slice.clone();
        slice.routes[0].via = vec![1];
        vault.switch(&slice, Generation(2));
        vault.await_switch();
        stage.courier.say(stage.job, 1, Outcome::Deferred(said(451))).await;
        stage.courier.settled(stage.job).await;
        let message = kept(stage.edge.answer().await);
        assert_eq!(from_queue(&mut second).await, (message, vec!["x@example.org".into()], LETTER.to_vec()));
        nothing_waits(&mut stage.courier).await;
    });
    vault.drain();
    assert_clean(&bench);
}

#[test]
fn who_is_suppressed_before_the_end_has_it_kept_for_the_others() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut stage = Stage::taken(&bench, &mut vault, "gone@example.org").await;
        stage.ask("y@example.org").await;
        stage.accept(2).await;
        stage.content(LETTER).await;
        suppress(&mut vault, "gone@example.org", None).await;
        stage.commit("a@example.net").await;
        stage.withdrawn().await;
        let message = kept(stage.edge.answer().await);
        assert_eq!(from_queue(&mut stage.courier).await, (message, vec!["y@example.org".into()], LETTER.to_vec()));
    });
    vault.drain();
    assert_eq!((bench.told("msg.intent"), bench.told("msg.accept"), bench.told("msg.reject")), (0, 1, 0));
}

#[test]
fn without_room_for_the_intent_nothing_is_delivered_and_nothing_is_kept() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut stage = Stage::taken(&bench, &mut vault, "x@example.org").await;
        stage.content(LETTER).await;
        // The disk is busy, and full for what is written next.
        let ((gate, shut), (begins, begun)) = (std::sync::mpsc::channel::<()>(), std::sync::mpsc::channel());
        let busy = vault.writer.queue(0, move |_| {
            begins.send(()).unwrap();
            shut.recv().unwrap();
            Ok(())
        });
        let busy = busy.await.unwrap();
        begun.recv().unwrap();
        let full = || rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL), None);
        let fails = vault.writer.queue(0, move |_| Err::<(), _>(full())).await.unwrap();
        stage.commit("a@example.net").await;
        // Behind some turns of the vault the intent waits for the disk, too.
        for number in 2..20 {
            let capsule = bench.capsule(stage.edge.instance, 1, "192.0.2.1");
            let opened = stage.edge.ask(Ask::Open { slot: Slot(number), capsule, via: Via::Direct }).await;
            assert!(matches!(opened, Answer::Opened { .. }), "{opened:?}");
        }
        gate.send(()).unwrap();
        busy.answer().await.unwrap();
        fails.answer().await.unwrap_err();
        let refused = stage.edge.answer().await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::StoreFull, .. }), "{refused:?}");
        assert!(matches!(stage.courier.offer().await, Offer::Withdraw { .. }), "and no end");
        stage.courier.tell(Progress::GivenUp { job: stage.job }).await;
        nothing_waits(&mut stage.courier).await;
    });
    vault.drain();
    assert_eq!(["msg.intent", "msg.accept"].map(|name| bench.told(name)), [0, 0]);
    assert_clean(&bench);
}
