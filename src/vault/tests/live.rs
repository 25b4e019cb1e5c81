//! Messages whose senders wait: the intent is on the disk before the courier may end one, its outcome before its sender hears it, and no
//! body ever is.

mod between;
mod fallback;
mod passed;
mod places;
mod refused;
mod told;

use super::courier::Courier;
use super::*;
use crate::ipc::session::Word;
use crate::mail::spoken::Spoken;
use crate::policy::Delivery;

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.slice.credentials[0].policy.delivery = Some(Delivery::Direct);
    bench
}

/// With another upstream that nothing goes to yet.
fn with_second(mut bench: Bench) -> Bench {
    bench.slice.upstreams.push("second".into());
    bench
}

/// The same, that is the way of a domain of its own.
fn with_other_route(bench: Bench) -> Bench {
    let mut bench = with_second(bench);
    let other = Route { to: "@other.example".parse().unwrap(), via: vec![1], ..bench.slice.routes[0].clone() };
    bench.slice.routes.insert(0, other);
    bench
}

/// A session, and the courier that has its message.
struct Stage {
    edge: Edge,
    courier: Courier,
    job: Job,
}

impl Stage {
    /// Up to the offer, with the first recipient asked for.
    async fn set(bench: &Bench, vault: &mut Running, to: &str) -> Self {
        let mut edge = vault.edge();
        let courier = vault.courier().await;
        edge.login(bench, 1).await;
        Self::begin(edge, courier, to).await
    }

    /// Up to the word that the first recipient is taken.
    async fn taken(bench: &Bench, vault: &mut Running, to: &str) -> Self {
        let mut stage = Self::set(bench, vault, to).await;
        stage.accept(1).await;
        stage
    }

    async fn begin(mut edge: Edge, mut courier: Courier, to: &str) -> Self {
        let reserved = edge.mail(1, "a@example.net").await;
        assert!(matches!(reserved, Answer::Reserved { live: true, .. }), "{reserved:?}");
        ask_for(&mut edge, to).await;
        let Offer::Live { job, size: None, .. } = courier.offer().await else { panic!("no live message") };
        assert!(matches!(courier.offer().await, Offer::Recipients { .. }));
        courier.tell(Progress::Want { job, octets: 100_000 }).await;
        Self { edge, courier, job }
    }

    /// One more recipient, who is the courier's to answer for.
    async fn ask(&mut self, to: &str) {
        ask_for(&mut self.edge, to).await;
        assert!(matches!(self.courier.offer().await, Offer::Recipients { .. }));
    }

    /// It goes to the upstream no more.
    async fn withdrawn(&mut self) {
        let offer = self.courier.offer().await;
        assert!(matches!(offer, Offer::Withdraw { .. }), "{offer:?}");
        self.courier.tell(Progress::GivenUp { job: self.job }).await;
    }

    async fn accept(&mut self, number: u32) {
        self.courier.tell(Progress::Accepted { job: self.job, number, is_answer: true }).await;
        assert_eq!(word(self.edge.answer().await), Word::Taken);
    }

    /// The content, as far as the courier.
    async fn content(&mut self, octets: &[u8]) {
        let credit = self.edge.ask(Ask::Content { slot: Slot(1) }).await;
        assert!(matches!(credit, Answer::Credit { octets: 100_000, .. }), "{credit:?}");
        self.edge.asks.send(Ask::Chunk { slot: Slot(1), octets: Octets(octets.to_vec()) }).await.unwrap();
        let Offer::Content { octets: passed, .. } = self.courier.offer().await else { panic!("no content") };
        assert_eq!(passed.0, octets);
    }

    async fn commit(&self, author: &str) {
        let facts = Facts { authors: vec![address(author)], ..Facts::default() };
        self.edge.asks.send(Ask::Commit { slot: Slot(1), facts }).await.unwrap();
    }

    /// Waits until it may be ended.
    async fn end(&mut self) {
        let offer = self.courier.offer().await;
        assert!(matches!(offer, Offer::End { .. }), "{offer:?}");
    }

    async fn spoken(&mut self) -> Spoken {
        match self.edge.answer().await {
            Answer::Passed { spoken, .. } => spoken,
            other => panic!("{other:?}"),
        }
    }
}

async fn ask_for(edge: &mut Edge, to: &str) {
    edge.asks.send(Ask::Recipient { slot: Slot(1), addressee: address(to).into() }).await.unwrap();
}

fn word(answer: Answer) -> Word {
    match answer {
        Answer::Recipient { word, .. } => word,
        other => panic!("{other:?}"),
    }
}

fn code(word: Word) -> (u16, [u16; 3]) {
    match word {
        Word::Said(spoken) => (spoken.code, spoken.status),
        other => panic!("{other:?}"),
    }
}

/// Leases that a vault which ended now would find, with the marks of those who may have their message.
async fn intents(vault: &Running) -> usize {
    vault.writer.run(|store| store.leases.interrupted()).await.unwrap().len()
}

#[test]
fn the_intent_is_on_the_disk_before_the_end_and_the_outcome_before_it_is_told_and_no_body_is() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut stage = Stage::taken(&bench, &mut vault, "x@example.org").await;
        stage.ask("y@example.org").await;
        let refused = Outcome::Failed(Said { enhanced: Some("5.1.1".into()), ..said(550) });
        stage.courier.say(stage.job, 2, refused).await;
        assert_eq!(code(word(stage.edge.answer().await)), (550, [5, 1, 1]));
        stage.content(b"Subject: x\r\n\r\nx\r\n").await;
        assert_eq!(intents(&vault).await, 0);
        stage.commit("a@example.net").await;
        stage.end().await;
        assert_eq!(intents(&vault).await, 1, "it is there when the courier hears that it may end it");
        stage.courier.say(stage.job, 1, Outcome::Delivered(said(250))).await;
        stage.courier.settled(stage.job).await;
        let spoken = stage.spoken().await;
        assert_eq!((spoken.code, spoken.status), (250, [2, 0, 0]));
        assert!(spoken.text.ends_with("words of rosa@example.org"), "{spoken:?}");
        assert_eq!(intents(&vault).await, 0);
        // The place is free again, and so is the session.
        Stage::begin(stage.edge, stage.courier, "z@example.org").await;
    });
    vault.drain();
    let names = bench.names();
    let of_it = ["deliver.bounce", "msg.intent", "deliver.success"];
    let seen: Vec<&str> = names.iter().map(String::as_str).filter(|name| of_it.contains(name)).collect();
    assert_eq!(seen, of_it);
    assert!(!names.iter().any(|name| name == "msg.accept"), "{names:?}");
    let count = |sql: &str| bench.count(sql);
    assert_eq!((count("SELECT count(*) FROM spool_body"), count("SELECT count(*) FROM spool_key")), (0, 0));
    assert_eq!(count("SELECT count(*) FROM spool_msg WHERE live = 1 AND done_us IS NOT NULL"), 1);
    assert_eq!(count("SELECT sum(msgs) FROM rl_quota WHERE msgs > 0 AND key = 'shop'"), 1, "it has used its limit");
}

#[test]
fn what_is_refused_at_the_dot_is_never_ended() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut stage = Stage::taken(&bench, &mut vault, "x@example.org").await;
        stage.content(b"x\r\n").await;
        stage.commit("ceo@example.com").await;
        let refused = stage.edge.answer().await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::AuthorNotAllowed, .. }), "{refused:?}");
        let offer = stage.courier.offer().await;
        assert!(matches!(offer, Offer::Withdraw { .. }), "{offer:?}");
    });
    vault.drain();
    assert!(!bench.names().iter().any(|name| name == "msg.intent"));
}

#[test]
fn a_sender_that_is_gone_takes_its_message_with_it_whatever_the_moment() {
    let bench = bench();
    for ask in [Ask::Abort { slot: Slot(1) }, Ask::Close { slot: Slot(1) }] {
        for moment in 0..3 {
            let mut vault = bench.run();
            test(async {
                let mut stage = Stage::set(&bench, &mut vault, "x@example.org").await;
                if moment > 0 {
                    stage.accept(1).await;
                }
                if moment > 1 {
                    stage.content(b"x\r\n").await;
                }
                stage.edge.asks.send(ask.clone()).await.unwrap();
                let offer = stage.courier.offer().await;
                assert!(matches!(offer, Offer::Withdraw { .. }), "{moment} {offer:?}");
            });
            vault.drain();
        }
    }
}

#[test]
fn a_courier_that_ends_before_the_end_has_delivered_nothing_and_behind_it_nobody_knows() {
    for (moment, expected) in [(0, [4, 4, 1]), (1, [4, 4, 1]), (2, [4, 4, 2])] {
        let bench = bench();
        let mut vault = bench.run();
        test(async {
            let mut stage = Stage::set(&bench, &mut vault, "x@example.org").await;
            if moment == 0 {
                drop(stage.courier);
                assert_eq!(code(word(stage.edge.answer().await)), (451, expected));
                return;
            }
            stage.accept(1).await;
            stage.content(b"x\r\n").await;
            if moment == 2 {
                stage.commit("a@example.net").await;
                stage.end().await;
                let Stage { courier, .. } = &mut stage;
                let (progress, offers) = unused();
                drop(std::mem::replace(
                    courier,
                    Courier { progress, offers, numbers: Default::default(), ahead: Default::default() },
                ));
            } else {
                let (progress, offers) = unused();
                drop(std::mem::replace(
                    &mut stage.courier,
                    Courier { progress, offers, numbers: Default::default(), ahead: Default::default() },
                ));
                // What is still to come is read to its end.
                assert!(matches!(stage.edge.answer().await, Answer::Credit { .. }));
                stage.commit("a@example.net").await;
            }
            let spoken = stage.spoken().await;
            assert_eq!((spoken.code, spoken.status), (451, expected), "{spoken:?}");
        });
        vault.drain();
        let count = |name: &str| bench.told(name);
        let is_unknown = usize::from(moment == 2);
        assert_eq!(
            (count("msg.intent"), count("deliver.unknown"), count("queue.drop")),
            (is_unknown, is_unknown, is_unknown)
        );
        assert_eq!(bench.count("SELECT count(*) FROM spool_rcpt WHERE state < 2"), 0, "nobody waits");
    }
}

fn unused() -> (Sender<Progress>, Receiver<Offer>) {
    let (ours, _) = stream();
    channel::open(ours, &Sealed::for_tests()).unwrap()
}

#[test]
fn a_vault_that_ends_between_intent_and_outcome_tells_at_its_next_start_that_nobody_knows() {
    for on_unknown in [crate::policy::OnUnknown::Retry, crate::policy::OnUnknown::Hold] {
        let mut bench = bench();
        bench.slice.credentials[0].policy.on_unknown = on_unknown;
        let mut vault = bench.run();
        test(async {
            let mut stage = Stage::taken(&bench, &mut vault, "x@example.org").await;
            stage.content(b"x\r\n").await;
            stage.commit("a@example.net").await;
            stage.end().await;
            vault.abandon();
        });
        let mut vault = bench.run();
        test(async {
            let mut courier = vault.courier().await;
            let quiet = tokio::time::timeout(Duration::from_millis(300), courier.offers.receive()).await;
            assert!(quiet.is_err(), "there is nothing to try again with: {quiet:?}");
        });
        vault.drain();
        let names = bench.names();
        let count = |name: &str| names.iter().filter(|event| *event == name).count();
        assert_eq!((count("deliver.unknown"), count("queue.drop"), count("queue.hold")), (1, 1, 0), "{names:?}");
        assert_eq!(bench.count("SELECT count(*) FROM spool_msg WHERE done_us IS NULL"), 0);
    }
}

#[test]
fn its_successor_never_says_that_it_was_kept() {
    let bench = bench();
    let mut vault = bench.run();
    let message = test(async {
        let mut stage = Stage::taken(&bench, &mut vault, "x@example.org").await;
        stage.content(b"x\r\n").await;
        stage.commit("a@example.net").await;
        stage.end().await;
        let found = vault.writer.run(|store| {
            let all = store.leases.interrupted()?;
            store.spool.leased(all[0].job, all[0].row, "", all[0].delivery).map(|leased| leased.message)
        });
        found.await.unwrap()
    });
    vault.abandon();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        let was = edge.ask(Ask::Was { message }).await;
        assert!(matches!(was, Answer::Was { committed: false, .. }), "{was:?}");
    });
    vault.drain();
}

#[test]
fn without_a_way_it_is_not_now_and_the_next_upstream_of_the_route_is_tried() {
    let mut bench = with_second(bench());
    bench.slice.routes[0].via = vec![0, 1];
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        assert!(matches!(edge.mail(1, "a@example.net").await, Answer::Reserved { live: true, .. }));
        ask_for(&mut edge, "x@example.org").await;
        assert_eq!(code(word(edge.answer().await)), (451, [4, 4, 1]), "there is no courier");
        edge.asks.send(Ask::Close { slot: Slot(1) }).await.unwrap();
        let mut first = vault.courier().await;
        let mut second = vault.courier_of("second").await;
        edge.login(&bench, 1).await;
        assert!(matches!(edge.mail(1, "a@example.net").await, Answer::Reserved { live: true, .. }));
        ask_for(&mut edge, "x@example.org").await;
        let Offer::Live { job, .. } = first.offer().await else { panic!() };
        first.tell(Progress::RouteFailed { job, reason: "no host".into(), rest: None }).await;
        assert!(matches!(first.offer().await, Offer::Recipients { .. }));
        let Offer::Live { job, .. } = second.offer().await else { panic!() };
        second.tell(Progress::LoginRefused { job, reason: "535".into() }).await;
        assert_eq!(code(word(edge.answer().await)), (451, [4, 7, 0]));
    });
    vault.drain();
    let names = bench.names();
    assert_eq!(names.iter().filter(|name| *name == "route.pause").count(), 2, "{names:?}");
}

#[test]
fn a_recipient_of_another_route_is_for_another_message() {
    let bench = with_other_route(bench());
    let mut vault = bench.run();
    test(async {
        let mut stage = Stage::taken(&bench, &mut vault, "x@example.org").await;
        ask_for(&mut stage.edge, "y@other.example").await;
        assert_eq!(word(stage.edge.answer().await), Word::Refused(Refusal::TooManyRecipients));
    });
    vault.drain();
}

#[test]
fn a_sender_that_says_nothing_behind_its_recipients_gives_its_place_to_others() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut stage = Stage::taken(&bench, &mut vault, "x@example.org").await;
        let offer = stage.courier.offer().await;
        assert!(matches!(offer, Offer::Withdraw { .. }), "{offer:?}");
        // It is told at the end, which it may come to.
        assert!(matches!(stage.edge.ask(Ask::Content { slot: Slot(1) }).await, Answer::Credit { .. }));
        stage.edge.asks.send(Ask::Chunk { slot: Slot(1), octets: Octets(b"x\r\n".to_vec()) }).await.unwrap();
        assert!(matches!(stage.edge.answer().await, Answer::Credit { octets: 3, .. }));
        stage.commit("a@example.net").await;
        let spoken = stage.spoken().await;
        assert_eq!((spoken.code, spoken.status), (451, [4, 4, 1]), "{spoken:?}");
    });
    vault.drain();
}
