//! What the vault decides by itself, as if no edge had looked before it asked.

use std::rc::Rc;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::policy::Recipients;
use crate::vault::authority::{Stay, Visitor};
use crate::vault::limits::clock::Now;
use crate::vault::session::{News, Session};

/// One session without an edge between: what it is told has come to pass when it is asked the next thing.
struct Direct {
    house: House,
    session: Session,
    answers: Receiver<Answer>,
    news: UnboundedReceiver<(Slot, u64, News)>,
}

impl Direct {
    /// A session that has logged in.
    async fn new(bench: &Bench, house: House) -> Self {
        let (ours, theirs) = stream();
        let (tell, _): (Sender<Answer>, Receiver<Ask>) = channel::open(ours, &Sealed::for_tests()).unwrap();
        let (_, answers): (Sender<Ask>, Receiver<Answer>) = channel::open(theirs, &Sealed::for_tests()).unwrap();
        let (post, news) = unbounded_channel();
        let introduction = bench.capsule(Instance(1), 1, "192.0.2.1").introduction;
        let visitor = Visitor { introduction, listener: bench.slice.listeners[0].clone(), stay: Stay::default() };
        let session = Session::new(Slot(1), 1, visitor, Rc::clone(&house.vault), tell, post);
        let mut direct = Self { house, session, answers, news };
        let (user, password) = ("shop".to_owned(), bench.password.clone());
        let login = Ask::Login { slot: Slot(1), mechanism: Mechanism::Plain, user, password, tls: None };
        direct.session.hear(login).await.unwrap();
        let (_, number, checked) = direct.news.recv().await.unwrap();
        direct.session.learn(number, checked).await;
        assert!(matches!(direct.answer().await, Answer::Granted { .. }));
        direct
    }

    async fn answer(&mut self) -> Answer {
        let answer = tokio::time::timeout(Duration::from_secs(10), self.answers.receive()).await;
        answer.expect("an answer in time").unwrap().expect("an open channel")
    }

    async fn ask(&mut self, ask: Ask) -> Answer {
        self.session.hear(ask).await.unwrap();
        self.answer().await
    }

    async fn mail(&mut self) -> Answer {
        let (sender, helo) = (Some(address("a@example.net")), "client.example.net".to_owned());
        self.ask(Ask::Mail {
            slot: Slot(1),
            sender,
            size: None,
            manner: Manner::default(),
            helo,
            tls: None,
            once: None,
        })
        .await
    }

    /// From MAIL to where the dot would follow.
    async fn content(&mut self) {
        assert!(matches!(self.mail().await, Answer::Reserved { .. }));
        let batch = vec![address("x@example.org").into()];
        self.session.hear(Ask::Recipients { slot: Slot(1), batch }).await.unwrap();
        assert!(matches!(self.ask(Ask::Content { slot: Slot(1) }).await, Answer::Credit { .. }));
    }

    async fn commit(&mut self) -> Answer {
        let facts = Facts { authors: vec![address("a@example.net")], ..Facts::default() };
        self.ask(Ask::Commit { slot: Slot(1), facts }).await
    }
}

fn refused(answer: &Answer, expected: Refusal) {
    assert!(matches!(answer, Answer::Refused { refusal, .. } if *refusal == expected), "{expected:?}: {answer:?}");
}

/// Before there is a runtime: it waits for its store.
fn open(bench: &Bench) -> House {
    House::open(bench.home.path(), bench.slice.clone(), Generation(1), vec![master(1)]).unwrap()
}

fn local<F: Future>(future: F) -> F::Output {
    test(async { LocalSet::new().run_until(future).await })
}

#[test]
fn a_recipient_that_is_denied_is_refused_at_the_dot_whatever_the_edge_let_pass() {
    let mut bench = Bench::new();
    let policy = &mut bench.slice.credentials[0].policy;
    policy.recipients = Recipients { deny: vec!["@denied.example".parse().unwrap()], ..Recipients::default() };
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let both = ["rosa@example.org", "rosa@denied.example"];
        refused(&edge.submit(1, &both, b"x\r\n").await, Refusal::RecipientNotAllowed);
        let kept = edge.submit(1, &both[..1], b"x\r\n").await;
        assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
    });
    vault.drain();
    let rejects = bench.events(&Filter { event: Some("msg.reject".into()), ..Filter::default() });
    let found: Vec<_> = rejects.iter().map(|event| (event.get("reason"), event.get("mail_from"))).collect();
    assert_eq!(found, [(Some("recipient-not-allowed"), Some("***@example.net"))]);
    assert_eq!(bench.count("SELECT count(*) FROM spool_msg"), 1);
}

#[test]
fn rule_p8_nobody_is_no_sender_for_the_vault_whatever_the_edge_let_pass() {
    let mut bench = Bench::new();
    bench.slice.credentials[0].policy.senders = vec!["*".parse().unwrap()];
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let (slot, helo, manner) = (Slot(1), "client.example.net".to_owned(), Manner::default());
        let mail = edge.ask(Ask::Mail { slot, sender: None, size: None, manner, helo, tls: None, once: None }).await;
        let Answer::Reserved { .. } = mail else { return refused(&mail, Refusal::SenderNotAllowed) };
        let batch = vec![address("x@example.org").into()];
        edge.asks.send(Ask::Recipients { slot, batch }).await.unwrap();
        assert!(matches!(edge.ask(Ask::Content { slot }).await, Answer::Credit { .. }));
        let facts = Facts { authors: vec![address("a@example.net")], received: 1, ..Facts::default() };
        refused(&edge.ask(Ask::Commit { slot, facts }).await, Refusal::SenderNotAllowed);
    });
    vault.drain();
    assert_eq!(bench.count("SELECT count(*) FROM spool_msg"), 0);
}

#[test]
fn a_sender_is_held_to_what_the_credential_may_at_the_dot() {
    let bench = Bench::new();
    let house = open(&bench);
    local(async {
        let direct = Direct::new(&bench, house).await;
        let (vault, facts) =
            (&direct.house.vault, Facts { authors: vec![address("a@example.net")], ..Facts::default() });
        let from = |slice: &VaultSlice| {
            let credentials = login::credentials::Credentials::new(&slice.credentials, &[]);
            let (session, listener) = (Uuid::now_v7(), Rc::new(slice.listeners[0].clone()));
            let credential = Rc::clone(credentials.get("shop").unwrap());
            crate::vault::sender::Sender {
                session,
                address: "192.0.2.1".parse().unwrap(),
                listener,
                credential,
                passed: None,
                actor: None,
            }
        };
        let shop = from(&bench.slice);
        let origin = Authority::origin(&bench.slice, &shop.credential, &shop.listener, shop.address);
        let reservation = vault.authority.borrow_mut().limits.reserve(&origin, Now::at(now_us())).unwrap();
        let sender = Some(address("a@example.net"));
        let taken = (reservation, vault.incoming.share("shop"));
        let mut transaction = transaction::Transaction::new(sender, Manner::default(), String::new(), None, taken);
        transaction.add(vec![address("x@example.org").into()], 1);
        assert_eq!(transaction.decide(vault, &shop, &facts), Ok(()));
        let mut slice = bench.slice.clone();
        // The author in the header is still the credential's own.
        slice.credentials[0].policy.senders = vec!["@example.com".parse().unwrap()];
        let facts = Facts { authors: vec![address("a@example.com")], ..facts };
        let decided = transaction.decide(vault, &from(&slice), &facts);
        assert_eq!(decided, Err(Refusal::SenderNotAllowed.into()));
    });
}

#[test]
fn what_was_revoked_this_instant_is_refused_at_mail_and_at_the_dot() {
    let bench = Bench::new();
    let house = open(&bench);
    local(async {
        let mut direct = Direct::new(&bench, house).await;
        direct.content().await;
        let mut slice = bench.slice.clone();
        slice.credentials[0].policy.senders = vec!["@example.com".parse().unwrap()];
        direct.house.vault.authority.borrow_mut().switch(Generation(2), slice);
        // Nobody has told the session; it is told by the way.
        let told = direct.commit().await;
        assert!(matches!(told, Answer::Revoked { .. }), "{told:?}");
        refused(&direct.answer().await, Refusal::Changed);
        refused(&direct.mail().await, Refusal::Changed);
    });
    let bench = Bench::new();
    let house = open(&bench);
    local(async {
        let mut direct = Direct::new(&bench, house).await;
        let mut slice = bench.slice.clone();
        slice.credentials.remove(0);
        direct.house.vault.authority.borrow_mut().switch(Generation(2), slice);
        assert!(matches!(direct.mail().await, Answer::Revoked { .. }));
        refused(&direct.answer().await, Refusal::Revoked);
    });
}

#[test]
fn places_that_are_held_are_places_and_none_is_refused_at_the_dot() {
    let mut bench = Bench::new();
    bench.slice.credentials[0].policy.limits = Rules { per_minute: Some(1), burst: Some(3), ..Rules::default() };
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        for slot in 1..=5 {
            edge.login(&bench, slot).await;
            let reserved = edge.mail(slot, "a@example.net").await;
            if slot > 3 {
                assert!(
                    matches!(reserved, Answer::Refused { refusal: Refusal::RateLimited(54..=66), .. }),
                    "{reserved:?}"
                );
                continue;
            }
            assert!(matches!(reserved, Answer::Reserved { .. }));
            let batch = vec![address("x@example.org").into()];
            edge.asks.send(Ask::Recipients { slot: Slot(slot), batch }).await.unwrap();
            edge.ask(Ask::Content { slot: Slot(slot) }).await;
        }
        let facts = Facts { authors: vec![address("a@example.net")], ..Facts::default() };
        for slot in 1..=3 {
            let kept = edge.ask(Ask::Commit { slot: Slot(slot), facts: facts.clone() }).await;
            assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
        }
        assert!(matches!(edge.mail(1, "a@example.net").await, Answer::Refused { .. }));
    });
    vault.drain();
    // Once, and with the number of the rest when the run ends.
    let limited = bench.events(&Filter { event: Some("rate.limited".into()), ..Filter::default() });
    let data: Vec<_> = limited.iter().map(|event| (event.get("account"), event.get("data").unwrap())).collect();
    let expected = [
        (Some("shop"), r#"{"limit":"per_minute","tier":"credential"}"#),
        (Some("shop"), r#"{"limit":"per_minute","refused":2,"tier":"credential"}"#),
    ];
    assert_eq!(data, expected);
}

#[test]
fn a_hundred_received_fields_pass_and_one_more_is_a_loop() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        // Ours is one of them.
        refused(&edge.submit_with(1, &["x@example.org"], b"x\r\n", 101).await, Refusal::Loop);
        let kept = edge.submit_with(1, &["x@example.org"], b"x\r\n", 100).await;
        assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
    });
    vault.drain();
}

#[test]
fn an_address_stands_for_a_login_only_where_the_listener_says_so() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        for (slot, listener) in [(1, 1), (3, 3)] {
            let capsule = bench.capsule(edge.instance, listener, "10.1.2.3");
            let opened = edge.ask(Ask::Open { slot: Slot(slot), capsule, via: Via::Direct }).await;
            assert!(matches!(opened, Answer::Opened { network: None, .. }), "{opened:?}");
            let ended = edge.mail(slot, "printer@example.net").await;
            assert!(matches!(ended, Answer::Ended { .. }), "{ended:?}");
        }
    });
    vault.drain();
    let violations = bench.events(&Filter { event: Some("ipc.violation".into()), ..Filter::default() });
    assert_eq!(violations.len(), 2);
    assert!(violations.iter().all(|event| event.get("reason") == Some("mail-without-login")));
}

#[test]
fn nothing_new_is_taken_while_it_drains() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        assert!(matches!(edge.mail(1, "a@example.net").await, Answer::Reserved { .. }));
        edge.asks.send(Ask::Abort { slot: Slot(1) }).await.unwrap();
        vault.parent.send(&Order::Drain, None).unwrap();
        // The order and the question come by different ways.
        let mut answer = edge.mail(1, "a@example.net").await;
        for _ in 0..200 {
            if !matches!(answer, Answer::Reserved { .. }) {
                break;
            }
            edge.asks.send(Ask::Abort { slot: Slot(1) }).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
            answer = edge.mail(1, "a@example.net").await;
        }
        refused(&answer, Refusal::StoreUnavailable);
    });
    vault.end();
}
