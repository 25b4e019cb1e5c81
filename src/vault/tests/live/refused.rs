//! What may not be asked, answered or begun.

use super::*;

#[test]
fn what_a_session_may_not_ask_ends_it() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut stage = Stage::set(&bench, &mut vault, "x@example.org").await;
        // Its recipient is not answered yet.
        stage.edge.asks.send(Ask::Content { slot: Slot(1) }).await.unwrap();
        assert!(matches!(stage.edge.answer().await, Answer::Ended { .. }));
        assert!(matches!(stage.courier.offer().await, Offer::Withdraw { .. }));
        stage.edge.asks.send(Ask::Close { slot: Slot(1) }).await.unwrap();
        stage.edge.login(&bench, 1).await;
        let mut stage = Stage::begin(stage.edge, stage.courier, "x@example.org").await;
        stage.accept(1).await;
        stage.content(b"x\r\n").await;
        // More than the courier has asked for.
        for _ in 0..11 {
            stage.edge.asks.send(Ask::Chunk { slot: Slot(1), octets: Octets(vec![b'x'; 10_000]) }).await.unwrap();
        }
        assert!(matches!(stage.edge.answer().await, Answer::Ended { .. }));
    });
    vault.drain();
    assert_eq!(bench.told("ipc.violation"), 2);
}

#[test]
fn a_courier_may_not_answer_whom_it_was_not_asked_for() {
    let bench = bench();
    for wrong in [
        |job| Progress::Accepted { job, number: 7, is_answer: true },
        |job| Progress::Recipient { job, number: 7, outcome: Outcome::Delivered(said(250)) },
        |job| Progress::Settled { job },
        |job| Progress::Ending { job, turn: 1, numbers: vec![1] },
        // More of its content than anybody keeps.
        |job| Progress::Want { job, octets: 40_000 },
    ] {
        let mut vault = bench.run();
        test(async {
            let mut stage = Stage::set(&bench, &mut vault, "x@example.org").await;
            stage.courier.tell(wrong(stage.job)).await;
            assert_eq!(code(word(stage.edge.answer().await)), (451, [4, 4, 1]));
        });
        vault.drain();
    }
    assert_eq!(bench.told("ipc.violation"), 5);
}

#[test]
fn what_is_to_be_held_and_what_comes_by_http_is_not_for_who_waits() {
    let mut bench = bench();
    bench.slice.listeners[0].future_release = Some(Duration::from_secs(3600));
    bench.slice.listeners[3].future_release = Some(Duration::from_secs(3600));
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let manner = Manner { release_us: Some(now_us() + 1_000_000), ..Manner::default() };
        let held = edge.mail_as(1, "a@example.net", manner.clone()).await;
        assert!(matches!(held, Answer::Refused { refusal: Refusal::HeldTooLong, .. }), "{held:?}");
        let capsule = bench.capsule(edge.instance, 4, "192.0.2.1");
        edge.ask(Ask::Open { slot: Slot(2), capsule, via: Via::Direct }).await;
        let (mechanism, user, password) = (Mechanism::Bearer, "shop".to_owned(), bench.password.clone());
        edge.ask(Ask::Login { slot: Slot(2), mechanism, user, password, tls: None }).await;
        // Another time would help as little as none.
        for manner in [Manner::default(), manner] {
            // Over HTTP what is left of the limits is told beside it.
            let mut refused = edge.mail_as(2, "a@example.net", manner).await;
            if matches!(refused, Answer::Allowance { .. }) {
                refused = edge.answer().await;
            }
            assert!(matches!(refused, Answer::Refused { refusal: Refusal::OnlySmtp, .. }), "{refused:?}");
        }
    });
    vault.drain();
}
