//! What a login costs and what it is worth: nothing is hashed for who has failed too often, and it is one session's alone.

use super::*;

#[test]
fn rule_a11_who_has_failed_too_often_is_told_to_wait_before_anything_is_hashed() {
    let mut bench = Bench::new();
    bench.slice.limits.failed_logins.address = [3, 100];
    for known in [false, true] {
        let mut vault = bench.run();
        let start = vault.pace.answers();
        test(async {
            let mut edge = vault.edge();
            let capsule = bench.capsule(edge.instance, 1, "203.0.113.9");
            edge.ask(Ask::Open { slot: Slot(1), capsule, via: Via::Direct }).await;
            let guess = Secret::new("guess".to_owned());
            let mut denials = Vec::new();
            for n in 0..4 {
                match edge.password(1, &format!("name{n}"), &guess).await {
                    Answer::Denied { denial, .. } => denials.push(denial),
                    other => panic!("{other:?}"),
                }
            }
            // A vault that was restarted knows it from the first on.
            let judged = denials.iter().take_while(|denial| **denial == Denial::Invalid).count();
            assert_eq!(judged, if known { 0 } else { 3 }, "{denials:?}");
            assert!(denials[judged..].iter().all(|denial| matches!(denial, Denial::Wait(1..))), "{denials:?}");
            let before = vault.pace.answers();
            assert_eq!(before, start + judged);
            for user in ["nobody", "shop", "printer"] {
                let answer = edge.password(1, user, &bench.password).await;
                let waits = matches!(answer, Answer::Denied { denial: Denial::Wait(1..), .. });
                assert!(waits, "the right password, too: {user}: {answer:?}");
            }
            assert_eq!(vault.pace.answers(), before, "nothing was hashed");
        });
        vault.drain();
    }
}

#[test]
fn rule_a13_a_login_is_worth_nothing_to_another_session_from_the_same_place() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let (mut edge, mut other) = (vault.edge(), vault.edge());
        assert!(matches!(edge.login(&bench, 1).await, Answer::Granted { .. }));
        for (edge, slot) in [(&mut edge, 2), (&mut other, 1)] {
            let capsule = bench.capsule(edge.instance, 1, "192.0.2.1");
            let opened = edge.ask(Ask::Open { slot: Slot(slot), capsule, via: Via::Direct }).await;
            assert!(matches!(opened, Answer::Opened { network: None, .. }), "{opened:?}");
            let wrong = edge.password(slot, "shop", &Secret::new("guess".to_owned())).await;
            assert!(matches!(wrong, Answer::Denied { denial: Denial::Invalid, .. }), "{wrong:?}");
            // An edge that asks all the same is out of its mind, or not itself any more.
            let (sender, helo, manner) = (Some(address("a@example.net")), "client".to_owned(), Manner::default());
            let mail = Ask::Mail { slot: Slot(slot), sender, size: None, manner, helo, tls: None, once: None };
            edge.asks.send(mail).await.unwrap();
            let answer = tokio::time::timeout(Duration::from_secs(10), edge.answers.receive()).await.expect("an end");
            assert!(!matches!(answer, Ok(Some(Answer::Reserved { .. }))), "{answer:?}");
        }
    });
    vault.drain();
    let violations = bench.events(&Filter { event: Some("ipc.violation".into()), ..Filter::default() });
    let reasons: Vec<_> = violations.iter().map(|event| event.get("reason")).collect();
    assert_eq!(reasons, [Some("mail-without-login"); 2]);
    assert_eq!(bench.count("SELECT count(*) FROM spool_msg"), 0);
}
