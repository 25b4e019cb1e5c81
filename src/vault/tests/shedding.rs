//! Load is shed, the heaviest first.

use super::fairness::with_till;
use super::*;
use crate::ipc::admin::load::{Obstacle, Readiness, Stage};

const fn from(heavy: u64, all: u64) -> Thresholds<u64> {
    Thresholds { heavy, all }
}

/// A bench whose credentials may send more than the shares that are tested.
fn bench(messages: Thresholds<u64>) -> (Bench, Secret<String>) {
    let mut bench = Bench::new();
    bench.slice.credentials[0].policy.limits.per_day = Some(1000);
    bench.slice.shedding.messages = messages;
    let till = with_till(&mut bench);
    (bench, till)
}

/// Sessions of the shop (1), the till (2), and a printer (3), which have nothing in the spool yet.
async fn sessions(bench: &Bench, vault: &mut Running, till: &Secret<String>) -> Edge {
    let mut edge = vault.edge();
    edge.login(bench, 1).await;
    for (slot, listener, peer) in [(2, 1, "192.0.2.2"), (3, 2, "10.1.2.3")] {
        let capsule = bench.capsule(edge.instance, listener, peer);
        edge.ask(Ask::Open { slot: Slot(slot), capsule, via: Via::Direct }).await;
    }
    edge.password(2, "till", till).await;
    edge
}

async fn is_kept(edge: &mut Edge, slot: u32) -> bool {
    match edge.submit(slot, &["x@example.org"], b"x").await {
        Answer::Kept { .. } => true,
        Answer::Refused { refusal: Refusal::Overloaded(60), .. } => false,
        other => panic!("{other:?}"),
    }
}

/// Whether MAIL is answered by a place.
async fn begins(edge: &mut Edge, slot: u32, sender: &str) -> bool {
    match edge.mail(slot, sender).await {
        Answer::Reserved { .. } => {
            edge.asks.send(Ask::Abort { slot: Slot(slot) }).await.unwrap();
            true
        }
        Answer::Refused { refusal: Refusal::Overloaded(60), .. } => false,
        other => panic!("{other:?}"),
    }
}

async fn readiness(vault: &mut Running) -> Readiness {
    let (asks, mut answers) = vault.administrator();
    asks.send(Request { behalf: None, command: Command::Ready }).await.unwrap();
    match answers.receive().await.unwrap() {
        Some(Response::Ready(readiness)) => *readiness,
        other => panic!("{other:?}"),
    }
}

async fn deliver(courier: &mut Courier) {
    let (job, _, recipients, _) = courier.message().await;
    for (number, _) in recipients {
        courier.say(job, number, Outcome::Delivered(said(250))).await;
    }
    courier.settled(job).await;
}

/// Waits until so much is held: an outcome is written before the body goes.
async fn held(vault: &Running, messages: u64) {
    until(async || vault.writer.load().told().figures[0].now == messages).await;
}

/// Waits until it is so.
async fn until(mut so: impl AsyncFnMut() -> bool) {
    for _ in 0..1000 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to that");
}

/// Of each event of a stage: its name, its reason and the stage.
fn stages(bench: &Bench) -> Vec<(String, Option<String>, String)> {
    let shed = |event: &Found| {
        let name = event.get("event").unwrap().to_owned();
        let data: serde_json::Value = serde_json::from_str(event.get("data").unwrap_or("{}")).unwrap();
        name.starts_with("shed.").then(|| {
            (name, event.get("reason").map(str::to_owned), data["stage"].as_str().unwrap_or_default().to_owned())
        })
    };
    bench.events(&Filter::default()).iter().filter_map(shed).collect()
}

fn stage(name: &str, reason: Option<&str>, stage: &str) -> (String, Option<String>, String) {
    (name.to_owned(), reason.map(str::to_owned), stage.to_owned())
}

#[test]
fn rule_q16_who_has_more_than_its_share_waits_first_and_is_taken_again_when_enough_has_left() {
    let (bench, till) = bench(from(4, 8));
    let mut vault = bench.run();
    test(async {
        let mut edge = sessions(&bench, &mut vault, &till).await;
        for slot in [1, 1, 1] {
            assert!(is_kept(&mut edge, slot).await);
        }
        // Begun while there was no such stage: at the dot there is.
        let reserved = edge.mail(1, "a@example.net").await;
        assert!(matches!(reserved, Answer::Reserved { .. }), "{reserved:?}");
        let batch = vec![address("x@example.org").into()];
        edge.asks.send(Ask::Recipients { slot: Slot(1), batch }).await.unwrap();
        assert!(matches!(edge.ask(Ask::Content { slot: Slot(1) }).await, Answer::Credit { .. }));
        assert!(is_kept(&mut edge, 2).await);
        let facts = Facts { authors: vec![address("a@example.net")], received: 1, ..Facts::default() };
        let refused = edge.ask(Ask::Commit { slot: Slot(1), facts }).await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::Overloaded(60), .. }), "{refused:?}");

        assert!(!begins(&mut edge, 1, "a@example.net").await, "three of four are more than its share");
        assert!(is_kept(&mut edge, 2).await, "one is not");
        assert!(!begins(&mut edge, 2, "a@example.net").await, "two are, by now");
        assert!(begins(&mut edge, 3, "printer@example.net").await, "who has nothing can send");
        let told = readiness(&mut vault).await;
        assert_eq!((told.load.stage, told.load.credentials, told.load.put_off), (Stage::Heavy, 2, 2));
        assert!(!told.obstacles.contains(&Obstacle::Load), "somebody's mail is taken");

        let mut courier = vault.courier().await;
        for left in [4, 3] {
            deliver(&mut courier).await;
            held(&vault, left).await;
            assert!(!begins(&mut edge, 1, "a@example.net").await, "{left}: a quarter is to be free");
        }
        deliver(&mut courier).await;
        held(&vault, 2).await;
        assert!(begins(&mut edge, 1, "a@example.net").await);
        deliver(&mut courier).await;
        deliver(&mut courier).await;
    });
    vault.drain();
    let expected = [stage("shed.begin", Some("messages"), "heavy"), stage("shed.end", None, "none")];
    assert_eq!(stages(&bench), expected, "once each, whatever was refused");
    assert_eq!(bench.count("SELECT count(*) FROM spool_rcpt WHERE state = 2"), 5, "what was accepted was delivered");
    let events = bench.events(&Filter::default());
    let refused = events.iter().filter(|event| event.get("reason") == Some("overloaded"));
    assert!(refused.clone().all(|event| event.get("event") == Some("msg.reject")) && refused.count() == 5);
}

#[test]
fn rule_q16_beyond_the_second_threshold_nobodys_mail_is_taken_but_reports_are_and_a_reload_changes_that() {
    let (mut bench, till) = bench(from(1, 2));
    let mut vault = bench.run();
    test(async {
        let mut edge = sessions(&bench, &mut vault, &till).await;
        assert!(is_kept(&mut edge, 1).await && is_kept(&mut edge, 2).await);
        for (slot, sender) in [(1, "a@example.net"), (2, "a@example.net"), (3, "printer@example.net")] {
            assert!(!begins(&mut edge, slot, sender).await, "{slot}");
        }
        let told = readiness(&mut vault).await;
        assert_eq!((told.load.stage, told.load.figures[0].now), (Stage::All, 2));
        assert!(told.obstacles.contains(&Obstacle::Load));
        let mut courier = vault.courier().await;
        let (first, _, _, _) = courier.message().await;
        courier.say(first, 0, Outcome::Failed(said(550))).await;
        courier.settled(first).await;
        // The other, and the report of that one, which came in meanwhile.
        let mut kinds = Vec::new();
        for _ in 0..2 {
            // Under way from here on, and held all the while.
            kinds.push(courier.message().await.2[0].1.to_string());
        }
        kinds.sort();
        assert_eq!(kinds, ["a@example.net", "x@example.org"]);
        assert!(!begins(&mut edge, 3, "printer@example.net").await);
        bench.slice.shedding.messages = from(10, 20);
        vault.switch(&bench.slice, Generation(2));
        vault.await_switch();
        // Looked at within a second.
        until(async || begins(&mut edge, 3, "printer@example.net").await).await;
        assert!(readiness(&mut vault).await.load.stage == Stage::Calm);
    });
    vault.abandon();
}

#[test]
fn rule_q16_a_slow_store_is_a_load_and_a_stage_that_a_stop_cut_off_is_told_of_when_it_is_over() {
    let (mut bench, till) = bench(NEVER);
    let minute = Duration::from_secs(60);
    bench.slice.shedding.latency = Thresholds { heavy: Duration::from_micros(1), all: HOUR };
    let mut vault = bench.run();
    test(async {
        let mut edge = sessions(&bench, &mut vault, &till).await;
        assert!(is_kept(&mut edge, 1).await);
        assert!(!begins(&mut edge, 1, "a@example.net").await && begins(&mut edge, 2, "a@example.net").await);
    });
    vault.drain();
    assert_eq!(stages(&bench), [stage("shed.begin", Some("latency"), "heavy")]);
    bench.slice.shedding.latency = Thresholds { heavy: minute, all: HOUR };
    let mut vault = bench.run();
    test(async {
        let mut edge = sessions(&bench, &mut vault, &till).await;
        assert!(begins(&mut edge, 1, "a@example.net").await);
    });
    vault.drain();
    let expected = [stage("shed.begin", Some("latency"), "heavy"), stage("shed.end", None, "none")];
    assert_eq!(stages(&bench), expected);
}

#[test]
fn rule_q16_what_is_held_by_order_and_octets_count_as_well() {
    let (mut bench, till) = bench(NEVER);
    bench.slice.shedding.octets = from(4000, 8000);
    let mut vault = bench.run();
    test(async {
        let mut edge = sessions(&bench, &mut vault, &till).await;
        assert!(is_kept(&mut edge, 2).await);
        let large = edge.submit(1, &["x@example.org"], &[b'x'; 4000]).await;
        assert!(matches!(large, Answer::Kept { .. }), "{large:?}");
        assert!(!begins(&mut edge, 1, "a@example.net").await && begins(&mut edge, 2, "a@example.net").await);
        let told = readiness(&mut vault).await;
        assert_eq!((told.load.figures[1].now, told.load.put_off), (4001, 1));
    });
    vault.abandon();
    let vault = bench.run();
    test(async {
        until(async || vault.writer.load().told().stage == Stage::Heavy).await;
        assert!(vault.writer.load().sheds("shop"), "as before the restart");
    });
    vault.abandon();
}

#[test]
fn without_room_the_vault_is_not_ready_and_says_so() {
    let (mut bench, _) = bench(NEVER);
    bench.slice.reserve = u64::MAX / 2;
    let mut vault = bench.run();
    test(async {
        // Looked at within a second.
        until(async || readiness(&mut vault).await.obstacles.contains(&Obstacle::Room)).await;
        let told = readiness(&mut vault).await;
        assert!(told.free.is_some_and(|free| free < told.reserve) && told.load.stage == Stage::Calm, "{told:?}");
    });
    vault.abandon();
}

#[test]
fn rule_q16_what_a_credential_may_not_do_is_told_for_ever_and_not_to_come_again() {
    let (bench, till) = bench(from(1, 2));
    let mut vault = bench.run();
    test(async {
        let mut edge = sessions(&bench, &mut vault, &till).await;
        assert!(is_kept(&mut edge, 1).await && is_kept(&mut edge, 2).await);
        assert!(!begins(&mut edge, 1, "a@example.net").await, "all mail waits");
        let refused = edge.mail(1, "a@elsewhere.example").await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::SenderNotAllowed, .. }), "{refused:?}");
    });
    vault.abandon();
}

#[test]
fn rule_q16_while_the_store_stands_still_nobody_uploads_and_the_vault_says_why() {
    let (mut bench, till) = bench(NEVER);
    let second = Duration::from_secs(1);
    bench.slice.shedding.latency = Thresholds { heavy: second / 2, all: second };
    let mut vault = bench.run();
    test(async {
        let mut edge = sessions(&bench, &mut vault, &till).await;
        assert!(begins(&mut edge, 3, "printer@example.net").await);
        let (go, stop) = std::sync::mpsc::channel::<()>();
        let stuck = vault.writer.queue(0, move |_| Ok(stop.recv().is_err())).await.unwrap();
        until(async || !begins(&mut edge, 3, "printer@example.net").await).await;
        let told = vault.writer.load().told();
        assert!(told.stage == Stage::All && told.figures[2].now >= 1_000_000, "{told:?}");
        assert!(readiness(&mut vault).await.obstacles.contains(&Obstacle::Load));
        drop(go);
        assert!(stuck.answer().await.unwrap());
        until(async || begins(&mut edge, 3, "printer@example.net").await).await;
    });
    vault.abandon();
}
