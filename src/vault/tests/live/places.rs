//! Places at an upstream: whose they are, and until when.

use super::*;
use crate::policy::limits::Pace as UpstreamPace;
use crate::vault::tests::fairness::with_till;

/// A further session with a message that asks for somebody.
async fn asks(edge: &mut Edge, bench: &Bench, slot: u32) {
    edge.login(bench, slot).await;
    let reserved = edge.mail(slot, "a@example.net").await;
    assert!(matches!(reserved, Answer::Reserved { live: true, .. }), "{reserved:?}");
    let addressee = address("x@example.org").into();
    edge.asks.send(Ask::Recipient { slot: Slot(slot), addressee }).await.unwrap();
}

async fn with_slots(vault: &mut Running, upstream: &str, slots: u16) -> Courier {
    let mut courier = vault.silent_courier(upstream);
    courier.tell(Progress::Slots(slots)).await;
    courier
}

#[test]
fn a_place_that_was_taken_back_is_free_when_its_courier_has_said_its_last_word() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        let courier = with_slots(&mut vault, "smarthost", 1).await;
        edge.login(&bench, 1).await;
        let Stage { mut edge, mut courier, job } = Stage::begin(edge, courier, "x@example.org").await;
        edge.asks.send(Ask::Abort { slot: Slot(1) }).await.unwrap();
        assert!(matches!(courier.offer().await, Offer::Withdraw { .. }));
        // Its session with the upstream may stand still.
        asks(&mut edge, &bench, 2).await;
        assert_eq!(code(word(edge.answer().await)), (451, [4, 4, 5]), "there is no other place");
        courier.tell(Progress::Accepted { job, number: 1, is_answer: true }).await;
        courier.tell(Progress::GivenUp { job }).await;
        edge.asks.send(Ask::Close { slot: Slot(2) }).await.unwrap();
        asks(&mut edge, &bench, 3).await;
        let offer = courier.offer().await;
        assert!(matches!(offer, Offer::Live { .. }), "{offer:?}");
    });
    vault.drain();
}

#[test]
fn a_busy_upstream_is_not_one_that_fails() {
    let mut bench = with_second(bench());
    bench.slice.routes[0].via = vec![0, 1];
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        let mut first = with_slots(&mut vault, "smarthost", 1).await;
        let mut second = vault.courier_of("second").await;
        asks(&mut edge, &bench, 1).await;
        assert!(matches!(first.offer().await, Offer::Live { .. }));
        asks(&mut edge, &bench, 2).await;
        assert_eq!(code(word(edge.answer().await)), (451, [4, 4, 5]));
        let quiet = tokio::time::timeout(Duration::from_millis(100), second.offers.receive()).await;
        assert!(quiet.is_err(), "the next one is for when it fails: {quiet:?}");
    });
    vault.drain();
}

#[test]
fn who_only_asks_takes_nothing_of_the_pace() {
    let mut bench = bench();
    bench.slice.paces = vec![("smarthost".into(), UpstreamPace { per_day: Some(1), ..UpstreamPace::default() })];
    let mut vault = bench.run();
    test(async {
        let mut stage = Stage::taken(&bench, &mut vault, "x@example.org").await;
        stage.edge.asks.send(Ask::Abort { slot: Slot(1) }).await.unwrap();
        assert!(matches!(stage.courier.offer().await, Offer::Withdraw { .. }));
        stage.courier.tell(Progress::GivenUp { job: stage.job }).await;
        let mut stage = Stage::begin(stage.edge, stage.courier, "x@example.org").await;
        stage.accept(1).await;
        stage.content(b"x\r\n").await;
        stage.commit("a@example.net").await;
        stage.end().await;
        stage.courier.say(stage.job, 1, Outcome::Delivered(said(250))).await;
        stage.courier.settled(stage.job).await;
        assert_eq!(stage.spoken().await.code, 250);
        asks(&mut stage.edge, &bench, 2).await;
        assert_eq!(code(word(stage.edge.answer().await)), (451, [4, 4, 1]), "it has had its day");
    });
    vault.drain();
}

#[test]
fn a_live_message_that_may_have_ended_its_courier_accuses_none_of_the_queue() {
    for had_content in [false, true] {
        let mut bench = bench();
        let password = with_till(&mut bench);
        bench.slice.credentials[2].policy.delivery = None;
        let mut vault = bench.run();
        test(async {
            let mut edge = vault.edge();
            let capsule = bench.capsule(edge.instance, 1, "192.0.2.1");
            edge.ask(Ask::Open { slot: Slot(2), capsule, via: Via::Direct }).await;
            edge.password(2, "till", &password).await;
            let kept = edge.submit(2, &["z@example.org"], b"z\r\n").await;
            assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
            let mut courier = vault.courier().await;
            courier.message().await;
            edge.login(&bench, 1).await;
            let mut stage = Stage::begin(edge, courier, "x@example.org").await;
            stage.accept(1).await;
            if had_content {
                stage.content(b"x\r\n").await;
            }
            drop(stage.courier);
            // Its successor has what waits.
            let mut courier = vault.courier().await;
            courier.message().await;
            vault.abandon();
        });
        let blamed = bench.count("SELECT count(*) FROM spool_msg WHERE live = 0 AND ended > 0");
        assert_eq!(blamed, i64::from(!had_content), "{had_content}");
    }
}

#[test]
fn what_a_courier_says_of_its_own_is_no_sign_that_the_upstream_works() {
    for is_answer in [false, true] {
        let bench = bench();
        let mut vault = bench.run();
        test(async {
            let mut edge = vault.edge();
            let mut courier = vault.courier().await;
            let mut jobs = Vec::new();
            for slot in 1..=2 {
                asks(&mut edge, &bench, slot).await;
                let Offer::Live { job, .. } = courier.offer().await else { panic!() };
                assert!(matches!(courier.offer().await, Offer::Recipients { .. }));
                jobs.push(job);
            }
            courier.tell(Progress::RouteFailed { job: jobs[0], reason: "no host".into(), rest: None }).await;
            assert_eq!(code(word(edge.answer().await)), (451, [4, 4, 1]));
            courier.tell(Progress::Accepted { job: jobs[1], number: 1, is_answer }).await;
            assert_eq!(word(edge.answer().await), Word::Taken);
        });
        vault.drain();
        let names = bench.names();
        let resumed = names.iter().any(|name| name == "route.resume");
        assert_eq!((names.iter().any(|name| name == "route.pause"), resumed), (true, is_answer));
    }
}
