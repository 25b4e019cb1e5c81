//! Upstreams that take no more than so many messages.

use super::fairness::with_till;
use super::*;
use crate::policy::limits::Pace as UpstreamPace;
use crate::policy::route::BackedUp;

fn per_day(most: u32) -> UpstreamPace {
    UpstreamPace { per_day: Some(most), ..UpstreamPace::default() }
}

/// Takes the next message that is offered.
async fn deliver(courier: &mut Courier) -> MessageId {
    let (job, message, recipients, _) = courier.message().await;
    for (number, _) in recipients {
        courier.say(job, number, Outcome::Delivered(said(250))).await;
    }
    courier.settled(job).await;
    message
}

fn kept(answer: Answer) -> MessageId {
    let Answer::Kept { message, .. } = answer else { panic!("{answer:?}") };
    message
}

#[test]
fn rule_q12_beyond_its_day_mail_goes_to_the_next_upstream_also_after_a_restart_and_a_reload_counts_on() {
    let mut bench = Bench::new();
    bench.slice.upstreams.push("second".into());
    bench.slice.routes[0].via = vec![0, 1];
    bench.slice.paces = vec![("smarthost".into(), per_day(2))];
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let (mut first, mut second) = (vault.courier().await, vault.courier_of("second").await);
        for (courier, word) in [(1, "a"), (1, "b"), (2, "c")] {
            let message = kept(edge.submit(1, &["x@example.org"], word.as_bytes()).await);
            let courier = if courier == 1 { &mut first } else { &mut second };
            assert_eq!(deliver(courier).await, message, "{word}");
        }
    });
    vault.drain();
    assert_eq!(bench.count("SELECT sum(messages) FROM upstream_pace WHERE upstream = 'smarthost'"), 2);
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let (mut first, mut second) = (vault.courier().await, vault.courier_of("second").await);
        let message = kept(edge.submit(1, &["x@example.org"], b"d").await);
        assert_eq!(deliver(&mut second).await, message, "what the run before gave it counts");
        bench.slice.paces = vec![("smarthost".into(), per_day(3))];
        vault.switch(&bench.slice, Generation(2));
        vault.await_switch();
        let message = kept(edge.submit(1, &["x@example.org"], b"e").await);
        assert_eq!(deliver(&mut first).await, message, "there is one more by the new pace");
    });
    vault.drain();
    assert_eq!(bench.count("SELECT sum(messages) FROM upstream_pace WHERE upstream = 'smarthost'"), 3);
    assert_eq!(bench.count("SELECT count(*) FROM spool_rcpt WHERE attempts <> 1"), 0, "nobody is charged for waiting");
}

#[test]
fn rule_q12_a_route_that_fails_costs_no_pace() {
    let mut bench = Bench::new();
    bench.slice.upstreams.push("second".into());
    bench.slice.routes[0].via = vec![0, 1];
    bench.slice.paces = vec![("smarthost".into(), per_day(1))];
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let mut first = vault.courier().await;
        let message = kept(edge.submit(1, &["x@example.org"], b"a").await);
        let (job, ..) = first.message().await;
        first.tell(Progress::RouteFailed { job, reason: "gone".into(), rest: None }).await;
        // The same configuration again: what rested is tried at once.
        vault.switch(&bench.slice, Generation(2));
        assert_eq!(deliver(&mut first).await, message);
    });
    vault.drain();
    assert_eq!(bench.count("SELECT sum(messages) FROM upstream_pace"), 1);
}

#[test]
fn rule_q12_what_came_back_from_a_route_that_failed_costs_nothing_after_a_restart_either() {
    let mut bench = Bench::new();
    bench.slice.upstreams.push("second".into());
    bench.slice.routes[0].via = vec![0, 1];
    bench.slice.paces = vec![("smarthost".into(), per_day(1))];
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let (mut first, mut second) = (vault.courier().await, vault.courier_of("second").await);
        let message = kept(edge.submit(1, &["x@example.org"], b"a").await);
        let (job, ..) = first.message().await;
        first.tell(Progress::RouteFailed { job, reason: "gone".into(), rest: None }).await;
        assert_eq!(deliver(&mut second).await, message);
    });
    vault.drain();
    assert_eq!(bench.count("SELECT sum(messages) FROM upstream_pace"), 0);
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let mut first = vault.courier().await;
        let message = kept(edge.submit(1, &["x@example.org"], b"b").await);
        assert_eq!(deliver(&mut first).await, message);
    });
    vault.drain();
    assert_eq!(bench.count("SELECT sum(messages) FROM upstream_pace"), 1);
}

#[test]
fn rule_q12_what_a_clock_that_was_ahead_wrote_is_counted_once() {
    let mut bench = Bench::new();
    bench.slice.paces = vec![("smarthost".into(), per_day(3))];
    bench.run().drain();
    // And of an upstream of long ago.
    let ahead =
        "INSERT INTO upstream_pace VALUES('smarthost', 90000000, 1), ('smarthost', 90000001, 1), ('gone', 7, 9)";
    Database::open(bench.home.path()).unwrap().connection.execute(ahead, []).unwrap();
    for rows in [2, 3] {
        let mut vault = bench.run();
        test(async {
            let mut edge = vault.edge();
            edge.login(&bench, 1).await;
            let mut courier = vault.courier().await;
            if rows == 3 {
                let message = kept(edge.submit(1, &["x@example.org"], b"a").await);
                assert_eq!(deliver(&mut courier).await, message);
            }
        });
        vault.drain();
        assert_eq!(bench.count("SELECT sum(messages) FROM upstream_pace"), rows);
        assert_eq!(bench.count("SELECT count(*) FROM upstream_pace WHERE slot >= 90000000"), 0);
    }
}

#[test]
fn rule_q12_the_sender_is_told_when_more_waits_than_leaves_in_time_and_who_has_little_is_not() {
    let mut bench = Bench::new();
    let password = with_till(&mut bench);
    bench.slice.lifetime = Duration::from_secs(120);
    bench.slice.paces = vec![("smarthost".into(), UpstreamPace { per_minute: Some(1), ..UpstreamPace::default() })];
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        for _ in 0..2 {
            kept(edge.submit(1, &["x@example.org"], b"x").await);
        }
        let Answer::Reserved { backed_up, .. } = edge.mail(1, "a@example.net").await else { panic!("not reserved") };
        assert!(matches!(&backed_up[..], [BackedUp { via, seconds: 60.. }] if *via == [0]), "{backed_up:?}");
        edge.asks.send(Ask::Abort { slot: Slot(1) }).await.unwrap();
        let refused = edge.submit(1, &["x@example.org"], b"x").await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::BackedUp(60..), .. }), "{refused:?}");
        let capsule = bench.capsule(edge.instance, 1, "192.0.2.1");
        edge.ask(Ask::Open { slot: Slot(2), capsule, via: Via::Direct }).await;
        edge.password(2, "till", &password).await;
        kept(edge.submit(2, &["z@example.org"], b"z").await);
    });
    vault.drain();
    let events = bench.events(&Filter::default());
    let reasons = events.iter().filter(|event| event.get("reason") == Some("backed-up"));
    assert_eq!(reasons.map(|event| event.get("event").unwrap()).collect::<Vec<_>>(), ["msg.reject"]);
}

#[test]
fn rule_q12_what_waited_before_a_restart_counts_and_sessions_of_an_older_configuration_learn_it_at_the_dot() {
    let mut bench = Bench::new();
    bench.slice.lifetime = Duration::from_secs(60);
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        for _ in 0..2 {
            kept(edge.submit(1, &["x@example.org"], b"x").await);
        }
    });
    vault.drain();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        bench.slice.paces = vec![("smarthost".into(), UpstreamPace { per_minute: Some(1), ..UpstreamPace::default() })];
        vault.switch(&bench.slice, Generation(2));
        vault.await_switch();
        // Counted within a second; what comes before that is taken.
        loop {
            let Answer::Reserved { backed_up, .. } = edge.mail(1, "a@example.net").await else { panic!("refused") };
            assert_eq!(backed_up, [], "its numbers may mean other upstreams");
            edge.asks.send(Ask::Abort { slot: Slot(1) }).await.unwrap();
            match edge.submit(1, &["x@example.org"], b"x").await {
                Answer::Refused { refusal: Refusal::BackedUp(_), .. } => break,
                Answer::Kept { .. } => tokio::time::sleep(Duration::from_millis(300)).await,
                other => panic!("{other:?}"),
            }
        }
    });
    vault.abandon();
}

#[test]
fn rule_q12_what_is_scheduled_for_later_is_in_nobodys_way() {
    let mut bench = Bench::new();
    let password = with_till(&mut bench);
    bench.slice.listeners[0].future_release = Some(Duration::from_secs(86_400));
    bench.slice.lifetime = Duration::from_secs(60);
    bench.slice.paces = vec![("smarthost".into(), UpstreamPace { per_minute: Some(1), ..UpstreamPace::default() })];
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let release_us = Some(now_us() + 3_600_000_000);
        let later = Manner { release_us, ..Manner::default() };
        for _ in 0..2 {
            kept(edge.transact(1, later.clone(), vec![address("x@example.org").into()], b"x", 1).await);
        }
        let capsule = bench.capsule(edge.instance, 1, "192.0.2.1");
        edge.ask(Ask::Open { slot: Slot(2), capsule, via: Via::Direct }).await;
        edge.password(2, "till", &password).await;
        // Also when it was counted anew.
        for seconds in [0, 2] {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            let Answer::Reserved { backed_up, .. } = edge.mail(2, "a@example.net").await else { panic!("refused") };
            assert_eq!(backed_up, []);
            edge.asks.send(Ask::Abort { slot: Slot(2) }).await.unwrap();
        }
        kept(edge.submit(2, &["z@example.org"], b"z").await);
        let Answer::Reserved { backed_up, .. } = edge.mail(2, "a@example.net").await else { panic!("refused") };
        assert!(!backed_up.is_empty(), "there is one that waits now");
    });
    vault.abandon();
}

#[test]
fn rule_q12_a_copy_that_would_wait_too_long_is_refused_at_mail_and_the_log_names_what_it_waits_for() {
    let mut bench = Bench::new();
    bench.slice.upstreams.push("slow".into());
    bench
        .slice
        .routes
        .insert(0, Route { to: "@archive.example".parse().unwrap(), via: vec![1], ..bench.slice.routes[0].clone() });
    bench.slice.credentials[0].policy.always_bcc = vec![address("all@archive.example")];
    bench.slice.lifetime = Duration::from_secs(60);
    bench.slice.paces = vec![("slow".into(), UpstreamPace { per_minute: Some(1), ..UpstreamPace::default() })];
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        kept(edge.submit(1, &["x@example.org"], b"x").await);
        let refused = edge.mail(1, "a@example.net").await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::BackedUp(_), .. }), "{refused:?}");
        let (sender, recipient) = (Some(address("a@example.net")), Some(address("all@archive.example")));
        let refusal = Refusal::BackedUp(60);
        edge.asks
            .send(Ask::Turned { slot: Slot(1), sender, recipient, further: 0, refusal, flaw: None })
            .await
            .unwrap();
        // What its rules don't allow is never a matter of time.
        let refused = edge.mail(1, "a@elsewhere.example").await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::SenderNotAllowed, .. }), "{refused:?}");
    });
    vault.drain();
    let events = bench.events(&Filter::default());
    let refused = events.iter().filter(|event| event.get("reason") == Some("backed-up"));
    assert_eq!(refused.map(|event| event.get("upstream")).collect::<Vec<_>>(), [Some("slow"), Some("slow")]);
}

#[test]
fn a_copy_without_a_route_is_for_the_operator_and_nobodys_mail_comes_back_for_it() {
    let mut bench = Bench::new();
    bench.slice.routes[0].to = "@example.org".parse().unwrap();
    bench.slice.credentials[0].policy.always_bcc = vec![address("all@archive.example")];
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let refused = edge.mail(1, "a@example.net").await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::CopyNoRoute, .. }), "{refused:?}");
        assert!(Refusal::CopyNoRoute.is_temporary());
    });
    vault.abandon();
}
