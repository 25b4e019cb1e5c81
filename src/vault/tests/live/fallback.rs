//! `delivery = "fallback"`: what the upstream can't take now is kept, for all its recipients; it goes the one way or the other, and never
//! both.

mod content;
mod ending;

use super::*;

const LETTER: &[u8] = b"Subject: x\r\n\r\nx\r\n";

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.slice.credentials[0].policy.delivery = Some(Delivery::Fallback);
    bench
}

/// Content behind recipients who were all taken, and the dot. Gives the answer to that.
async fn send(edge: &mut Edge, content: &[u8]) -> Answer {
    let slot = Slot(1);
    let Answer::Credit { octets: mut credit, .. } = edge.ask(Ask::Content { slot }).await else { panic!("no credit") };
    for chunk in content.chunks(10_000) {
        while (credit as usize) < chunk.len() {
            let Answer::Credit { octets, .. } = edge.answer().await else { panic!("no credit") };
            credit += octets;
        }
        credit -= chunk.len() as u32;
        edge.asks.send(Ask::Chunk { slot, octets: Octets(chunk.to_vec()) }).await.unwrap();
    }
    dot(edge).await
}

async fn dot(edge: &mut Edge) -> Answer {
    let facts = Facts { authors: vec![address("a@example.net")], ..Facts::default() };
    edge.asks.send(Ask::Commit { slot: Slot(1), facts }).await.unwrap();
    loop {
        match edge.answer().await {
            Answer::Credit { .. } => {}
            other => return other,
        }
    }
}

fn kept(answer: Answer) -> MessageId {
    match answer {
        Answer::Kept { message, .. } => message,
        other => panic!("{other:?}"),
    }
}

/// What a courier is offered from the queue, in full; delivered then.
async fn from_queue(courier: &mut Courier) -> (MessageId, Vec<String>, Vec<u8>) {
    let (job, message, all, _) = courier.message().await;
    let content = courier.content(job).await;
    let mut names = Vec::new();
    for (number, to) in all {
        courier.say(job, number, Outcome::Delivered(said(250))).await;
        names.push(to.to_string());
    }
    courier.settled(job).await;
    (message, names, content)
}

async fn nothing_waits(courier: &mut Courier) {
    let quiet = tokio::time::timeout(Duration::from_millis(300), courier.offers.receive()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

/// Nothing of any message is left.
fn assert_clean(bench: &Bench) {
    assert_eq!(bench.count("SELECT count(*) FROM spool_rcpt WHERE state < 2"), 0, "nobody waits");
    assert_eq!((bench.bodies(), bench.count("SELECT count(*) FROM spool_key")), (0, 0));
    let files = std::fs::read_dir(bench.home.path().join("db")).unwrap();
    let bodies = files.filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().starts_with("body"));
    assert_eq!(bodies.count(), 0);
}

#[test]
fn as_long_as_the_upstream_takes_it_it_is_as_direct_and_nothing_is_left() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut stage = Stage::taken(&bench, &mut vault, "x@example.org").await;
        stage.ask("y@example.org").await;
        stage.courier.say(stage.job, 2, Outcome::Failed(said(550))).await;
        assert_eq!(code(word(stage.edge.answer().await)).0, 550);
        // More than what is kept as a row.
        let chunk = vec![b'x'; 10_000];
        stage.content(&chunk).await;
        for _ in 0..9 {
            stage.edge.asks.send(Ask::Chunk { slot: Slot(1), octets: Octets(chunk.clone()) }).await.unwrap();
            assert!(matches!(stage.courier.offer().await, Offer::Content { .. }));
        }
        stage.commit("a@example.net").await;
        stage.end().await;
        stage.courier.say(stage.job, 1, Outcome::Delivered(said(250))).await;
        stage.courier.settled(stage.job).await;
        assert_eq!(stage.spoken().await.code, 250);
        nothing_waits(&mut stage.courier).await;
    });
    vault.drain();
    assert_eq!((bench.told("msg.accept"), bench.told("deliver.success")), (0, 1));
    assert_clean(&bench);
}

#[test]
fn a_courier_that_ends_at_any_moment_before_the_end_leaves_one_message_and_the_next_delivers_it_once() {
    for moment in 0..4 {
        let bench = bench();
        let mut vault = bench.run();
        test(async {
            let Stage { mut edge, mut courier, job } = Stage::set(&bench, &mut vault, "x@example.org").await;
            let answer = match moment {
                // Before the recipient is answered.
                0 => {
                    drop(courier);
                    assert_eq!(word(edge.answer().await), Word::Taken);
                    send(&mut edge, LETTER).await
                }
                // Behind that.
                1 => {
                    courier.tell(Progress::Accepted { job, number: 1, is_answer: true }).await;
                    assert_eq!(word(edge.answer().await), Word::Taken);
                    drop(courier);
                    send(&mut edge, LETTER).await
                }
                // Within the content, and at its end.
                _ => {
                    courier.tell(Progress::Accepted { job, number: 1, is_answer: true }).await;
                    assert_eq!(word(edge.answer().await), Word::Taken);
                    assert!(matches!(edge.ask(Ask::Content { slot: Slot(1) }).await, Answer::Credit { .. }));
                    let (first, rest) = LETTER.split_at(if moment == 2 { 7 } else { LETTER.len() });
                    edge.asks.send(Ask::Chunk { slot: Slot(1), octets: Octets(first.to_vec()) }).await.unwrap();
                    assert!(matches!(courier.offer().await, Offer::Content { .. }));
                    drop(courier);
                    assert!(matches!(edge.answer().await, Answer::Credit { .. }), "the disk alone counts");
                    if moment == 2 {
                        edge.asks.send(Ask::Chunk { slot: Slot(1), octets: Octets(rest.to_vec()) }).await.unwrap();
                    }
                    dot(&mut edge).await
                }
            };
            let message = kept(answer);
            let mut next = vault.courier().await;
            assert_eq!(from_queue(&mut next).await, (message, vec!["x@example.org".into()], LETTER.to_vec()));
            nothing_waits(&mut next).await;
        });
        vault.drain();
        assert_eq!((bench.told("msg.accept"), bench.told("msg.intent")), (1, 0), "{moment}");
        assert_eq!((bench.told("deliver.success"), bench.told("deliver.unknown")), (1, 0), "{moment}");
        assert_clean(&bench);
    }
}

#[test]
fn without_an_upstream_each_recipient_is_taken_and_all_go_when_there_is_one() {
    let bench = with_other_route(bench());
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        assert!(matches!(edge.mail(1, "a@example.net").await, Answer::Reserved { live: true, .. }));
        for to in ["x@example.org", "y@example.org", "z@other.example"] {
            ask_for(&mut edge, to).await;
            assert_eq!(word(edge.answer().await), Word::Taken);
        }
        let content = b"0123456789abcde\r\n".repeat(30_000);
        let message = kept(send(&mut edge, &content).await);
        let mut first = vault.courier().await;
        let to = vec!["x@example.org".into(), "y@example.org".into()];
        assert_eq!(from_queue(&mut first).await, (message, to, content.clone()));
        let mut second = vault.courier_of("second").await;
        assert_eq!(from_queue(&mut second).await, (message, vec!["z@other.example".into()], content));
    });
    vault.drain();
    assert_clean(&bench);
}

#[test]
fn who_is_put_off_has_it_kept_for_all_and_who_is_refused_is_told_so() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let Stage { mut edge, mut courier, job } = Stage::taken(&bench, &mut vault, "x@example.org").await;
        for (number, to, outcome) in
            [(2, "no@example.org", Outcome::Failed(said(550))), (3, "grey@example.org", Outcome::Deferred(said(450)))]
        {
            ask_for(&mut edge, to).await;
            assert!(matches!(courier.offer().await, Offer::Recipients { .. }));
            courier.say(job, number, outcome).await;
            match number {
                2 => assert_eq!(code(word(edge.answer().await)).0, 550),
                _ => assert_eq!(word(edge.answer().await), Word::Taken),
            }
        }
        // Nobody gets it by this way, so that nobody gets it twice.
        assert!(matches!(courier.offer().await, Offer::Withdraw { .. }));
        courier.tell(Progress::GivenUp { job }).await;
        ask_for(&mut edge, "later@example.org").await;
        assert_eq!(word(edge.answer().await), Word::Taken, "and nobody is asked for any more");
        let message = kept(send(&mut edge, LETTER).await);
        let all = ["x@example.org", "grey@example.org", "later@example.org"].map(str::to_owned).to_vec();
        assert_eq!(from_queue(&mut courier).await, (message, all, LETTER.to_vec()));
    });
    vault.drain();
    assert_eq!(bench.count("SELECT sum(rcpts) FROM rl_quota WHERE rcpts > 0 AND key = 'shop'"), 4, "each once");
    assert_clean(&bench);
}

#[test]
fn a_recipient_of_another_route_has_it_kept_for_all() {
    let bench = with_other_route(bench());
    let mut vault = bench.run();
    test(async {
        let Stage { mut edge, mut courier, job } = Stage::taken(&bench, &mut vault, "x@example.org").await;
        ask_for(&mut edge, "y@other.example").await;
        assert_eq!(word(edge.answer().await), Word::Taken);
        assert!(matches!(courier.offer().await, Offer::Withdraw { .. }));
        courier.tell(Progress::GivenUp { job }).await;
        let message = kept(send(&mut edge, LETTER).await);
        assert_eq!(from_queue(&mut courier).await, (message, vec!["x@example.org".into()], LETTER.to_vec()));
        let mut second = vault.courier_of("second").await;
        assert_eq!(from_queue(&mut second).await.1, ["y@other.example"]);
    });
    vault.drain();
    assert_clean(&bench);
}

#[test]
fn what_is_to_be_held_and_what_comes_by_http_is_kept_at_once() {
    let mut bench = bench();
    bench.slice.listeners[0].future_release = Some(Duration::from_secs(3600));
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let manner = Manner { release_us: Some(now_us() + 1_000_000), ..Manner::default() };
        let held = edge.mail_as(1, "a@example.net", manner).await;
        assert!(matches!(held, Answer::Reserved { live: false, .. }), "{held:?}");
        let capsule = bench.capsule(edge.instance, 4, "192.0.2.1");
        edge.ask(Ask::Open { slot: Slot(2), capsule, via: Via::Direct }).await;
        let (mechanism, user, password) = (Mechanism::Bearer, "shop".to_owned(), bench.password.clone());
        edge.ask(Ask::Login { slot: Slot(2), mechanism, user, password, tls: None }).await;
        let reserved = edge.mail(2, "a@example.net").await;
        assert!(matches!(reserved, Answer::Reserved { live: false, .. }), "{reserved:?}");
    });
    vault.drain();
}

#[test]
fn a_successor_says_of_what_was_kept_that_it_was() {
    let bench = bench();
    let mut vault = bench.run();
    let message = test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        assert!(matches!(edge.mail(1, "a@example.net").await, Answer::Reserved { live: true, .. }));
        ask_for(&mut edge, "x@example.org").await;
        assert_eq!(word(edge.answer().await), Word::Taken);
        kept(send(&mut edge, LETTER).await)
    });
    vault.abandon();
    let mut vault = bench.run();
    test(async {
        let was = vault.edge().ask(Ask::Was { message }).await;
        assert!(matches!(was, Answer::Was { committed: true, .. }), "{was:?}");
    });
    vault.drain();
}

#[test]
fn what_comes_to_nothing_leaves_nothing_on_the_disk_and_is_counted_when_the_upstream_was_asked() {
    for is_asked in [true, false] {
        let bench = bench();
        let mut vault = bench.run();
        test(async {
            let (mut edge, mut courier) = (vault.edge(), vault.courier().await);
            edge.login(&bench, 1).await;
            if is_asked {
                let mut stage = Stage::begin(edge, courier, "x@example.org").await;
                stage.accept(1).await;
                (edge, courier) = (stage.edge, stage.courier);
            } else {
                drop(courier);
                assert!(matches!(edge.mail(1, "a@example.net").await, Answer::Reserved { live: true, .. }));
                ask_for(&mut edge, "x@example.org").await;
                assert_eq!(word(edge.answer().await), Word::Taken);
                courier = vault.silent_courier("second");
            }
            assert!(matches!(edge.ask(Ask::Content { slot: Slot(1) }).await, Answer::Credit { .. }));
            for _ in 0..9 {
                let octets = Octets(vec![b'x'; 10_000]);
                edge.asks.send(Ask::Chunk { slot: Slot(1), octets }).await.unwrap();
            }
            let facts = Facts { authors: vec![address("ceo@example.com")], ..Facts::default() };
            edge.asks.send(Ask::Commit { slot: Slot(1), facts }).await.unwrap();
            loop {
                match edge.answer().await {
                    Answer::Credit { .. } => {}
                    Answer::Refused { refusal, .. } => break assert_eq!(refusal, Refusal::AuthorNotAllowed),
                    other => panic!("{other:?}"),
                }
            }
            drop(courier);
        });
        vault.drain();
        let rcpts = bench.count("SELECT coalesce(sum(rcpts), 0) FROM rl_quota WHERE rcpts > 0 AND key = 'shop'");
        assert_eq!((rcpts, bench.told("msg.accept")), (i64::from(is_asked), 0));
        assert_clean(&bench);
    }
}
