//! What sessions may ask, and what becomes of those that ask otherwise.

use super::*;
use crate::mail::flaw::{Flaw, Named};
use crate::policy::mask::Mask;

#[test]
fn what_is_forged_repeated_or_out_of_its_moment_ends_that_session_alone() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        let mut other = vault.edge();
        assert!(matches!(edge.login(&bench, 1).await, Answer::Granted { .. }));
        let ended = |answer: Answer, slot: u32| {
            assert!(matches!(answer, Answer::Ended { slot: Slot(n) } if n == slot), "{answer:?}")
        };

        let capsule = bench.capsule(edge.instance, 1, "192.0.2.1");
        assert!(matches!(
            edge.ask(Ask::Open { slot: Slot(2), capsule: capsule.clone(), via: Via::Direct }).await,
            Answer::Opened { .. }
        ));
        ended(edge.ask(Ask::Open { slot: Slot(3), capsule: capsule.clone(), via: Via::Direct }).await, 3);
        ended(other.ask(Ask::Open { slot: Slot(1), capsule, via: Via::Direct }).await, 1);
        let mut forged = bench.capsule(edge.instance, 1, "192.0.2.1");
        forged.introduction.peer = "198.51.100.1:1".parse().unwrap();
        ended(edge.ask(Ask::Open { slot: Slot(4), capsule: forged, via: Via::Direct }).await, 4);
        let unknown = bench.capsule(edge.instance, 9, "192.0.2.1");
        ended(edge.ask(Ask::Open { slot: Slot(5), capsule: unknown, via: Via::Direct }).await, 5);
        let mut early = bench.capsule(edge.instance, 1, "192.0.2.1").introduction;
        early.accepted_us += 120_000_000;
        ended(
            edge.ask(Ask::Open { slot: Slot(6), capsule: Capsule::seal(early, &Secret::new(KEY)), via: Via::Direct })
                .await,
            6,
        );

        // One that asked nothing for long is no lie; a machine that has just started has none.
        let mut old = bench.capsule(edge.instance, 1, "192.0.2.1").introduction;
        if let Some(accepted_us) = old.accepted_us.checked_sub(601_000_000) {
            old.accepted_us = accepted_us;
            ended(
                edge.ask(Ask::Open { slot: Slot(7), capsule: Capsule::seal(old, &Secret::new(KEY)), via: Via::Direct })
                    .await,
                7,
            );
        }

        // Mail before a login, content before an envelope, more than the credit.
        ended(edge.mail(2, "a@example.net").await, 2);
        ended(edge.ask(Ask::Content { slot: Slot(1) }).await, 1);
        edge.asks.send(Ask::Close { slot: Slot(1) }).await.unwrap();
        assert!(matches!(edge.login(&bench, 1).await, Answer::Granted { .. }));
        assert!(matches!(edge.mail(1, "a@example.net").await, Answer::Reserved { .. }));
        edge.asks.send(Ask::Recipients { slot: Slot(1), batch: vec![address("x@example.org").into()] }).await.unwrap();
        edge.ask(Ask::Content { slot: Slot(1) }).await;
        for _ in 0..13 {
            edge.asks.send(Ask::Chunk { slot: Slot(1), octets: Octets(vec![1; 15_000]) }).await.unwrap();
        }
        loop {
            match edge.answer().await {
                Answer::Credit { .. } => {}
                answer => break ended(answer, 1),
            }
        }
        assert!(matches!(edge.login(&bench, 20).await, Answer::Granted { .. }), "the edge itself goes on");
    });
    vault.drain();
    let violations = bench.events(&Filter { event: Some("ipc.violation".into()), ..Filter::default() });
    let mut reasons: Vec<_> = violations.iter().map(|event| event.get("reason").unwrap()).collect();
    reasons.sort_unstable();
    assert_eq!(
        reasons,
        [
            "capsule-forged",
            "capsule-of-another-edge",
            "capsule-of-the-future",
            "capsule-shown-before",
            "content-beyond-credit",
            "content-out-of-order",
            "listener-unknown",
            "mail-without-login",
        ]
    );
}

#[test]
fn logins_are_held_to_their_listener_and_failures_to_their_address() {
    let bench = Bench::new();
    let mut vault = bench.run();
    let mut tries = 0;
    test(async {
        let mut edge = vault.edge();
        let wrong = Secret::new("hunter2".to_owned());
        let capsule = bench.capsule(edge.instance, 2, "10.1.2.3");
        let opened = edge.ask(Ask::Open { slot: Slot(1), capsule, via: Via::Direct }).await;
        let Answer::Opened { network: Some(grant), .. } = opened else { panic!("{opened:?}") };
        assert_eq!(grant.principal, "printer");
        let invalid =
            |answer: Answer| assert!(matches!(answer, Answer::Denied { denial: Denial::Invalid, .. }), "{answer:?}");
        invalid(edge.password(1, "shop", &bench.password).await);
        assert!(matches!(edge.mail(1, "printer@example.net").await, Answer::Reserved { .. }));
        edge.asks.send(Ask::Abort { slot: Slot(1) }).await.unwrap();
        assert!(matches!(
            edge.mail(1, "boss@example.net").await,
            Answer::Refused { refusal: Refusal::SenderNotAllowed, .. }
        ));

        let capsule = bench.capsule(edge.instance, 3, "192.0.2.1");
        edge.ask(Ask::Open { slot: Slot(2), capsule, via: Via::Direct }).await;
        invalid(edge.password(2, "shop", &bench.password).await);

        let capsule = bench.capsule(edge.instance, 1, "192.0.2.1");
        edge.ask(Ask::Open { slot: Slot(3), capsule, via: Via::Direct }).await;
        assert!(matches!(edge.password(3, "shop", &bench.password).await, Answer::Granted { .. }));
        for _ in 0..19 {
            invalid(edge.password(3, "nobody", &wrong).await);
        }
        // On a machine so slow that some of them are forgotten meanwhile, it takes a few more.
        let locked = loop {
            match edge.password(3, "nobody", &wrong).await {
                Answer::Denied { denial: Denial::Invalid, .. } if tries < 40 => tries += 1,
                other => break other,
            }
        };
        assert!(matches!(locked, Answer::Denied { denial: Denial::Wait(1..=301), .. }), "{locked:?}");
        assert!(
            matches!(edge.password(3, "shop", &bench.password).await, Answer::Granted { .. }),
            "known by the cache"
        );
        // It is at home there, where the failures of others are not its own.
        invalid(edge.password(3, "shop", &wrong).await);
    });
    vault.drain();
    let failures = bench.events(&Filter { event: Some("auth.failure".into()), ..Filter::default() });
    assert_eq!(failures.len(), 22 + tries);
    let log = fs::read(bench.home.path().join("audit/audit.db")).unwrap();
    assert!(!log.windows(7).any(|window| window == b"hunter2"));
    assert_eq!(bench.events(&Filter { event: Some("auth.locked".into()), ..Filter::default() }).len(), 1);
}

#[test]
fn a_new_configuration_revokes_what_it_changes_and_nothing_else() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let capsule = bench.capsule(edge.instance, 2, "10.1.2.3");
        edge.ask(Ask::Open { slot: Slot(2), capsule, via: Via::Direct }).await;
        edge.mail(1, "a@example.net").await;

        let mut slice = bench.slice.clone();
        slice.credentials[0].policy.senders.push("@example.com".parse().unwrap());
        vault.switch(&slice, Generation(2));
        assert!(matches!(edge.answer().await, Answer::Revoked { slot: Slot(1) }));
        // The message it was in the middle of is refused at the dot, and a new login makes it good.
        edge.asks.send(Ask::Recipients { slot: Slot(1), batch: vec![address("x@example.org").into()] }).await.unwrap();
        edge.ask(Ask::Content { slot: Slot(1) }).await;
        let facts = Facts { authors: vec![address("a@example.net")], ..Facts::default() };
        let refused = edge.ask(Ask::Commit { slot: Slot(1), facts }).await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::Changed, .. }), "{refused:?}");
        assert!(matches!(edge.password(1, "shop", &bench.password).await, Answer::Granted { .. }));
        assert!(matches!(edge.mail(1, "a@example.com").await, Answer::Reserved { .. }));
        assert!(matches!(edge.mail(2, "printer@example.net").await, Answer::Reserved { .. }));
    });
    let mut switched = false;
    while !switched {
        match vault.parent.receive().unwrap() {
            Arrival::Packet(packet) => switched = matches!(packet.message, Report::Switched(Generation(2))),
            other => panic!("{other:?}"),
        }
    }
    vault.abandon();
}

#[test]
fn a_new_configuration_changes_what_auditors_see_of_what_comes_after_it() {
    let mut bench = Bench::new();
    bench.slice.audit.mask = Mask::Full;
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let turned = |name: &str| {
            let (slot, refusal) = (Slot(1), Refusal::SenderNotAllowed);
            Ask::Turned { slot, sender: Some(address(name)), recipient: None, further: 0, refusal, flaw: None }
        };
        edge.asks.send(turned("rosa@evil.example")).await.unwrap();
        assert!(matches!(edge.mail(1, "a@example.net").await, Answer::Reserved { .. }), "it was heard");
        let mut slice = bench.slice.clone();
        slice.audit.mask = Mask::None;
        vault.switch(&slice, Generation(2));
        while !matches!(vault.parent.receive().unwrap(), Arrival::Packet(packet) if matches!(packet.message, Report::Switched(_)))
        {
        }
        edge.asks.send(turned("emil@evil.example")).await.unwrap();
        assert!(matches!(edge.mail(2, "a@example.net").await, Answer::Ended { .. }), "it was heard");
    });
    vault.drain();
    let rejects = bench.events(&Filter { event: Some("msg.reject".into()), ..Filter::default() });
    let found: Vec<_> = rejects.iter().map(|event| ["mail_from", "client_ip"].map(|key| event.get(key))).collect();
    assert_eq!(found, [[Some("***"), Some("***")], [Some("emil@evil.example"), Some("192.0.2.1")]]);
}

#[test]
fn an_edge_that_asks_out_of_turn_a_hundred_times_is_let_go() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        let mut other = vault.edge();
        for slot in 1..100 {
            let ended = edge.ask(Ask::Content { slot: Slot(slot) }).await;
            assert!(matches!(ended, Answer::Ended { slot: Slot(n) } if n == slot), "{ended:?}");
        }
        assert!(matches!(edge.login(&bench, 200).await, Answer::Granted { .. }), "ninety-nine are not a hundred");
        assert!(matches!(edge.ask(Ask::Content { slot: Slot(100) }).await, Answer::Ended { .. }));
        let over = tokio::time::timeout(Duration::from_secs(10), edge.answers.receive()).await.expect("an end");
        assert!(!matches!(over, Ok(Some(_))), "{over:?}");
        assert!(matches!(other.login(&bench, 1).await, Answer::Granted { .. }), "the other edge goes on");
        assert_eq!(let_go(&vault), edge.instance);
    });
    vault.drain();
}

/// Which process the parent is asked to replace.
pub fn let_go(vault: &Running) -> Instance {
    loop {
        match vault.parent.receive().unwrap() {
            Arrival::Packet(packet) if matches!(packet.message, Report::Alive) => {}
            Arrival::Packet(Packet { message: Report::LetGo(instance), .. }) => return instance,
            other => panic!("{other:?}"),
        }
    }
}

/// What was refused by one reason: how many one by one, and the number of the rest with its account.
fn rejected(bench: &Bench, reason: &str) -> (Vec<Found>, Vec<[Option<String>; 2]>) {
    let rejects = bench.events(&Filter { event: Some("msg.reject".into()), ..Filter::default() });
    let rejects = rejects.into_iter().filter(|event| event.get("reason") == Some(reason));
    let (rest, single): (Vec<_>, Vec<_>) = rejects.partition(|event| event.get("data").is_some());
    (single, rest.iter().map(|event| ["data", "account"].map(|key| event.get(key).map(str::to_owned))).collect())
}

#[test]
fn a_client_that_repeats_what_is_refused_neither_fills_the_log_nor_ends_its_edge() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        // A new connection starts no new count.
        for slot in 1..=3 {
            edge.login(&bench, slot).await;
            let (sender, recipient) = (Some(address("a@example.net")), Some(address("emil@denied.example")));
            let (slot, further, refusal) = (Slot(slot), 49, Refusal::RecipientNotAllowed);
            for _ in 0..2000 {
                let (sender, recipient) = (sender.clone(), recipient.clone());
                edge.asks.send(Ask::Turned { slot, sender, recipient, further, refusal, flaw: None }).await.unwrap();
            }
            assert!(matches!(edge.mail(slot.0, "a@example.net").await, Answer::Reserved { .. }), "it goes on");
            edge.asks.send(Ask::Close { slot }).await.unwrap();
        }
        assert!(matches!(edge.login(&bench, 4).await, Answer::Granted { .. }), "and so does the edge");
    });
    vault.drain();
    assert!(!bench.names().iter().any(|name| name == "ipc.violation"));
    let (single, rest) = rejected(&bench, "recipient-not-allowed");
    assert_eq!((single.len(), single[0].get("rcpt_count")), (250, Some("50")));
    assert_eq!(rest, [[Some(r#"{"refused":5750}"#.to_owned()), Some("shop".to_owned())]]);
}

#[test]
fn an_edge_that_asks_for_what_is_refused_over_and_over_does_not_fill_the_log() {
    let mut bench = Bench::new();
    bench.slice.credentials[0].policy.limits.burst = Some(1000);
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let slot = Slot(1);
        for _ in 0..400 {
            let refused = edge.mail(1, "a@evil.example").await;
            assert!(matches!(refused, Answer::Refused { refusal: Refusal::SenderNotAllowed, .. }), "{refused:?}");
            assert!(matches!(edge.mail(1, "a@example.net").await, Answer::Reserved { .. }));
            edge.asks.send(Ask::Recipients { slot, batch: vec![address("x@example.org").into()] }).await.unwrap();
            assert!(matches!(edge.ask(Ask::Content { slot }).await, Answer::Credit { .. }));
            let facts = Facts { authors: vec![address("b@evil.example")], ..Facts::default() };
            let refused = edge.ask(Ask::Commit { slot, facts }).await;
            assert!(matches!(refused, Answer::Refused { refusal: Refusal::AuthorNotAllowed, .. }), "{refused:?}");
        }
    });
    vault.drain();
    for reason in ["sender-not-allowed", "author-not-allowed"] {
        let (single, rest) = rejected(&bench, reason);
        let number = [Some(r#"{"refused":150}"#.to_owned()), Some("shop".to_owned())];
        assert_eq!((single.len(), rest), (250, vec![number]), "{reason}");
    }
}

#[test]
fn an_edge_that_asks_without_end_what_became_of_messages_waits_its_turn() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let edge = vault.edge();
        let (gate, begun) = super::submission::hold(&vault.writer).await;
        begun.await.unwrap();
        // More than sockets and queues hold: who takes all of them keeps a task for each.
        let flood = async {
            for _ in 0..100_000 {
                edge.asks.send(Ask::Was { message: MessageId::now() }).await.unwrap();
            }
        };
        let taken = tokio::time::timeout(Duration::from_secs(5), flood).await;
        assert!(taken.is_err(), "all of them were taken while the disk stood still");
        gate.send(()).unwrap();
    });
    vault.abandon();
}

#[test]
fn a_courier_says_once_how_much_it_takes_and_within_bounds() {
    for more in [MAX_SLOTS + 1, 4] {
        let bench = Bench::new();
        let mut vault = bench.run();
        test(async {
            // It has said four already, and that it takes none is always in order.
            let mut courier = vault.courier().await;
            courier.tell(Progress::Slots(0)).await;
            courier.tell(Progress::Slots(more)).await;
            let over = tokio::time::timeout(Duration::from_secs(10), courier.offers.receive()).await.expect("an end");
            assert!(!matches!(over, Ok(Some(_))), "{over:?}");
        });
        vault.drain();
        let violations = bench.events(&Filter { event: Some("ipc.violation".into()), ..Filter::default() });
        let reasons: Vec<_> = violations.iter().map(|event| event.get("reason")).collect();
        assert_eq!(reasons, [Some("slots-without-end")]);
    }
}

#[test]
fn what_was_wrong_with_a_message_is_in_the_log() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        for flaw in [Some(Flaw::Twice(Named::of("To"))), Some(Flaw::NoFrom), None] {
            let (slot, sender, refusal) = (Slot(1), Some(address("a@example.net")), Refusal::Header);
            edge.asks.send(Ask::Turned { slot, sender, recipient: None, further: 0, refusal, flaw }).await.unwrap();
        }
        assert!(matches!(edge.mail(1, "a@example.net").await, Answer::Reserved { .. }), "all of it was heard");
    });
    vault.drain();
    let rejects = bench.events(&Filter { event: Some("msg.reject".into()), ..Filter::default() });
    let faults: Vec<_> = rejects.iter().map(|event| (event.get("reason"), event.get("data"))).collect();
    let header = Some("header");
    let expected =
        [(header, Some("{\"fault\":\"twice: To\"}")), (header, Some("{\"fault\":\"no-from\"}")), (header, None)];
    assert_eq!(faults, expected);
}

#[test]
fn what_an_edge_refused_is_logged_with_its_sender_masked() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let (slot, refusal) = (Slot(1), Refusal::SenderNotAllowed);
        for sender in [Some(address("rosa@evil.example")), None] {
            edge.asks
                .send(Ask::Turned { slot, sender, recipient: None, further: 0, refusal, flaw: None })
                .await
                .unwrap();
        }
        let (sender, recipient) = (Some(address("a@example.net")), Some(address("emil@denied.example")));
        let refusal = Refusal::RecipientNotAllowed;
        edge.asks.send(Ask::Turned { slot, sender, recipient, further: 2, refusal, flaw: None }).await.unwrap();
        assert!(matches!(edge.mail(1, "a@example.net").await, Answer::Reserved { .. }), "all of it was heard");
    });
    vault.drain();
    let rejects = bench.events(&Filter { event: Some("msg.reject".into()), ..Filter::default() });
    let found: Vec<_> =
        rejects.iter().map(|event| ["account", "mail_from", "rcpt_to"].map(|key| event.get(key))).collect();
    let shop = Some("shop");
    let expected = [
        [shop, Some("***@evil.example"), None],
        [shop, Some("<>"), None],
        [shop, Some("***@example.net"), Some("***@denied.example")],
    ];
    assert_eq!(found, expected);
    let log = fs::read(bench.home.path().join("audit/audit.db")).unwrap();
    assert!(
        !log.windows(4).any(|window| window == b"rosa" || window == b"emil"),
        "an address reached the auditors' file"
    );
}
