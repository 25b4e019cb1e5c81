//! Turnstile: a message of a credential that demands it is kept once its token is proven, and not sooner; whatever the edge does.

use super::*;
use crate::ipc::token::Token;
use crate::ipc::turnstile::{Answer as Heard, Ask as Asked, POST, Reply};
use crate::policy::scope::{Scope, Scopes};
use crate::policy::turnstile::Turnstile;

const TOKEN: &str = "0.a-token";

/// The courier's end.
struct Siteverify {
    answers: Sender<Reply>,
    asks: Receiver<Asked>,
}

impl Siteverify {
    fn join(vault: &mut Running) -> Self {
        let (ours, theirs) = stream();
        vault.introduce(Talk::Turnstile, End::Asks, Role::Courier, POST, theirs);
        let (answers, asks) = channel::open(ours, &Sealed::for_tests()).unwrap();
        Self { answers, asks }
    }

    async fn asked(&mut self) -> u64 {
        self.asked_of("192.0.2.1").await
    }

    async fn asked_of(&mut self, visitor: &str) -> u64 {
        let asked = tokio::time::timeout(Duration::from_secs(10), self.asks.receive()).await;
        let Asked::Verify { ticket, token, address } = asked.expect("a question in time").unwrap().expect("a vault");
        assert_eq!((token.expose(), address), (TOKEN, Some(visitor.parse().unwrap())));
        ticket
    }

    async fn say(&mut self, answer: Heard) {
        let ticket = self.asked().await;
        self.answers.send(Reply { ticket, answer }).await.unwrap();
    }
}

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.slice.turnstile = true;
    let policy = &mut bench.slice.credentials[0].policy;
    policy.scopes = Scopes([Scope::Send].into());
    policy.turnstile = Some(Turnstile { hostnames: vec!["www.example.net".into()], action: Some("contact".into()) });
    policy.limits.per_day = Some(100);
    bench
}

/// One who has logged in over HTTP.
async fn enter(bench: &Bench, vault: &mut Running) -> Edge {
    enter_from(bench, vault, "192.0.2.1").await
}

async fn enter_from(bench: &Bench, vault: &mut Running, address: &str) -> Edge {
    let mut edge = vault.edge();
    let capsule = bench.capsule(edge.instance, 4, address);
    edge.ask(Ask::Open { slot: Slot(1), capsule, via: Via::Direct }).await;
    let (user, password) = (String::new(), bench.password.clone());
    let login = Ask::Login { slot: Slot(1), mechanism: Mechanism::Bearer, user, password, tls: None };
    let answer = edge.ask(login).await;
    let Answer::Granted { grant, .. } = answer else { panic!("{answer:?}") };
    assert!(grant.turnstile);
    edge
}

/// MAIL to the dot, with a token or without; the answer is waited for by who wants it.
async fn submit(edge: &mut Edge, token: Option<&str>) -> Option<Answer> {
    let slot = Slot(1);
    let mut reserved = edge.mail(1, "a@example.net").await;
    while let Answer::Allowance { .. } = reserved {
        reserved = edge.answer().await;
    }
    if !matches!(reserved, Answer::Reserved { .. }) {
        return Some(reserved);
    }
    if let Some(token) = token {
        edge.asks.send(Ask::Prove { slot, token: Token::new(token).unwrap() }).await.unwrap();
    }
    edge.asks.send(Ask::Recipients { slot, batch: vec![address("b@example.org").into()] }).await.unwrap();
    edge.asks.send(Ask::Content { slot }).await.unwrap();
    edge.asks.send(Ask::Chunk { slot, octets: Octets(vec![b'x'; 9000]) }).await.unwrap();
    let facts = Facts { authors: vec![address("a@example.net")], ..Facts::default() };
    edge.asks.send(Ask::Commit { slot, facts }).await.unwrap();
    None
}

async fn verdict(edge: &mut Edge) -> Result<MessageId, Refusal> {
    loop {
        match edge.answer().await {
            Answer::Credit { .. } | Answer::Allowance { .. } | Answer::Revoked { .. } => {}
            Answer::Kept { message, .. } => return Ok(message),
            Answer::Refused { refusal, .. } => return Err(refusal),
            other => panic!("{other:?}"),
        }
    }
}

fn solved(hostname: &str, action: &str) -> Heard {
    Heard::Solved { hostname: hostname.into(), action: action.into() }
}

#[test]
fn a_message_is_kept_when_its_token_is_proven_and_every_other_word_keeps_nothing() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut site = Siteverify::join(&mut vault);
        let mut edge = enter(&bench, &mut vault).await;
        for (answer, refusal) in [
            (solved("evil.example", "contact"), Refusal::TurnstileHostname),
            (solved("www.example.net", "login"), Refusal::TurnstileAction),
            (Heard::Refused { codes: "timeout-or-duplicate".into() }, Refusal::TurnstileRefused),
            (Heard::Unknown { codes: "invalid-input-secret".into() }, Refusal::TurnstileUnavailable),
            (Heard::Failed { reason: "away".into() }, Refusal::TurnstileUnavailable),
        ] {
            assert!(submit(&mut edge, Some(TOKEN)).await.is_none());
            site.say(answer.clone()).await;
            assert_eq!(verdict(&mut edge).await, Err(refusal), "{answer:?}");
        }
        // Without one nobody is asked, and an edge that was taken over can't do without.
        submit(&mut edge, None).await;
        assert_eq!(verdict(&mut edge).await, Err(Refusal::TurnstileMissing));
        submit(&mut edge, Some(TOKEN)).await;
        // Nothing is said, and nothing kept, before the answer.
        let ticket = site.asked().await;
        assert!(tokio::time::timeout(Duration::from_millis(100), verdict(&mut edge)).await.is_err());
        site.answers.send(Reply { ticket, answer: solved("WWW.example.net", "contact") }).await.unwrap();
        verdict(&mut edge).await.unwrap();
        // It is believed of that one message alone.
        submit(&mut edge, Some(TOKEN)).await;
        site.say(Heard::Refused { codes: "timeout-or-duplicate".into() }).await;
        assert_eq!(verdict(&mut edge).await, Err(Refusal::TurnstileRefused));
    });
    vault.drain();
    assert_eq!((bench.count("SELECT count(*) FROM spool_msg"), bench.bodies()), (1, 1));
    let of = |event: &str| bench.events(&Filter { event: Some(event.into()), ..Filter::default() });
    let refused = of("msg.reject");
    let reasons: Vec<_> = refused.iter().map(|event| event.get("reason").unwrap_or_default()).collect();
    let expected = ["hostname", "action", "refused", "unavailable", "unavailable", "missing", "refused"];
    let expected = expected.map(|why| format!("turnstile-{why}"));
    assert_eq!(reasons, expected);
    let said: Vec<_> = refused.iter().map(|event| event.get("data").unwrap_or_default()).collect();
    assert!(said[0].contains("evil.example") && said[2].contains("timeout-or-duplicate"), "{said:?}");
    assert!(said[3].contains("invalid-input-secret") && !said.iter().any(|said| said.contains(TOKEN)), "{said:?}");
    let kept = of("msg.accept");
    assert!(kept[0].get("data").unwrap().contains("\"turnstile\":\"WWW.example.net\""), "{:?}", kept[0].get("data"));
}

#[test]
fn what_policy_or_a_limit_refuses_asks_nobody_and_what_is_refused_for_its_token_takes_nothing_of_a_limit() {
    let mut bench = bench();
    bench.slice.credentials[0].policy.limits.per_day = Some(1);
    bench.slice.credentials[0].policy.recipients.deny = vec!["@denied.example".parse().unwrap()];
    let mut vault = bench.run();
    test(async {
        let mut site = Siteverify::join(&mut vault);
        let mut edge = enter(&bench, &mut vault).await;
        let slot = Slot(1);
        edge.mail(1, "a@example.net").await;
        edge.asks.send(Ask::Prove { slot, token: Token::new(TOKEN).unwrap() }).await.unwrap();
        edge.asks.send(Ask::Recipients { slot, batch: vec![address("b@denied.example").into()] }).await.unwrap();
        edge.asks.send(Ask::Content { slot }).await.unwrap();
        let facts = Facts { authors: vec![address("a@example.net")], ..Facts::default() };
        edge.asks.send(Ask::Commit { slot, facts }).await.unwrap();
        assert_eq!(verdict(&mut edge).await, Err(Refusal::RecipientNotAllowed));
        for _ in 0..3 {
            submit(&mut edge, Some(TOKEN)).await;
            site.say(Heard::Refused { codes: "invalid-input-response".into() }).await;
            assert_eq!(verdict(&mut edge).await, Err(Refusal::TurnstileRefused));
        }
        submit(&mut edge, Some(TOKEN)).await;
        site.say(solved("www.example.net", "contact")).await;
        verdict(&mut edge).await.unwrap();
        let refused = submit(&mut edge, Some(TOKEN)).await;
        assert!(matches!(refused, Some(Answer::Refused { refusal: Refusal::QuotaExceeded(_), .. })), "{refused:?}");
        assert!(tokio::time::timeout(Duration::from_millis(100), site.asks.receive()).await.is_err());
    });
    vault.drain();
}

#[test]
fn without_a_courier_and_without_an_answer_nothing_is_kept_and_one_that_says_what_it_may_not_is_let_go() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut edge = enter(&bench, &mut vault).await;
        submit(&mut edge, Some(TOKEN)).await;
        assert_eq!(verdict(&mut edge).await, Err(Refusal::TurnstileUnavailable));
        // One that goes away over the question.
        let mut site = Siteverify::join(&mut vault);
        submit(&mut edge, Some(TOKEN)).await;
        site.asked().await;
        drop(site);
        assert_eq!(verdict(&mut edge).await, Err(Refusal::TurnstileUnavailable));
        // One that answers what nobody asked.
        let mut site = Siteverify::join(&mut vault);
        submit(&mut edge, Some(TOKEN)).await;
        let ticket = site.asked().await;
        let unasked = Reply { ticket: ticket + 1, answer: solved("www.example.net", "contact") };
        site.answers.send(unasked).await.unwrap();
        assert_eq!(verdict(&mut edge).await, Err(Refusal::TurnstileUnavailable));
        assert!(site.asks.receive().await.unwrap().is_none());
    });
    vault.drain();
    assert_eq!((bench.count("SELECT count(*) FROM spool_msg"), bench.told("msg.accept")), (0, 0));
}

#[test]
fn a_credential_that_changes_while_its_token_is_asked_of_sends_nothing_by_what_it_was() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut site = Siteverify::join(&mut vault);
        let mut edge = enter(&bench, &mut vault).await;
        submit(&mut edge, Some(TOKEN)).await;
        let ticket = site.asked().await;
        let mut slice = bench.slice.clone();
        slice.credentials[0].enabled = false;
        vault.switch(&slice, Generation(2));
        while !matches!(edge.answer().await, Answer::Revoked { .. }) {}
        site.answers.send(Reply { ticket, answer: solved("www.example.net", "contact") }).await.unwrap();
        assert_eq!(verdict(&mut edge).await, Err(Refusal::Revoked));
    });
    vault.drain();
    assert_eq!(bench.count("SELECT count(*) FROM spool_msg"), 0);
}

#[test]
fn questions_of_one_network_are_bounded_and_a_token_comes_once_and_before_the_content() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut site = Siteverify::join(&mut vault);
        let (mut edges, mut tickets) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            let mut edge = enter(&bench, &mut vault).await;
            submit(&mut edge, Some(TOKEN)).await;
            tickets.push(site.asked().await);
            edges.push(edge);
        }
        let mut fifth = enter(&bench, &mut vault).await;
        submit(&mut fifth, Some(TOKEN)).await;
        assert_eq!(verdict(&mut fifth).await, Err(Refusal::RateLimited(1)));
        // It waits a little, and has the place of one that is answered meanwhile.
        submit(&mut fifth, Some(TOKEN)).await;
        assert!(tokio::time::timeout(Duration::from_millis(300), site.asks.receive()).await.is_err());
        for (ticket, edge) in tickets.into_iter().zip(&mut edges) {
            site.answers.send(Reply { ticket, answer: solved("www.example.net", "contact") }).await.unwrap();
            verdict(edge).await.unwrap();
        }
        site.say(solved("www.example.net", "contact")).await;
        verdict(&mut fifth).await.unwrap();
        for is_late in [false, true] {
            let mut edge = enter(&bench, &mut vault).await;
            edge.mail(1, "a@example.net").await;
            let slot = Slot(1);
            let token = || Ask::Prove { slot, token: Token::new(TOKEN).unwrap() };
            edge.asks.send(token()).await.unwrap();
            if is_late {
                edge.asks.send(Ask::Recipients { slot, batch: vec![address("b@example.org").into()] }).await.unwrap();
                edge.asks.send(Ask::Content { slot }).await.unwrap();
            }
            edge.asks.send(token()).await.unwrap();
            while !matches!(edge.answer().await, Answer::Ended { .. }) {}
        }
    });
    vault.drain();
    assert_eq!(bench.told("ipc.violation"), 2);
    assert_eq!(limited(&bench), [r#"{"limit":"turnstile_at_once","tier":"address"}"#]);
}

#[test]
fn who_has_many_subnets_and_makes_tokens_up_keeps_nobody_elsewhere_out() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut site = Siteverify::join(&mut vault);
        let mut held = Vec::new();
        for subnet in 0..8 {
            let address = format!("2001:db8:0:{subnet:x}::1");
            let mut edge = enter_from(&bench, &mut vault, &address).await;
            submit(&mut edge, Some(TOKEN)).await;
            site.asked_of(&address).await;
            held.push(edge);
        }
        let mut ninth = enter_from(&bench, &mut vault, "2001:db8:0:ff::1").await;
        submit(&mut ninth, Some(TOKEN)).await;
        // While that one waits.
        for address in ["198.51.100.1", "203.0.113.1", "192.0.2.1", "2001:db8:1::1"] {
            let mut edge = enter_from(&bench, &mut vault, address).await;
            submit(&mut edge, Some(TOKEN)).await;
            let ticket = site.asked_of(address).await;
            site.answers.send(Reply { ticket, answer: solved("www.example.net", "contact") }).await.unwrap();
            verdict(&mut edge).await.unwrap();
        }
        assert_eq!(verdict(&mut ninth).await, Err(Refusal::RateLimited(1)));
    });
    vault.drain();
    assert_eq!(limited(&bench), [r#"{"limit":"turnstile_at_once","tier":"prefix"}"#]);
}

/// Whoever reads the page has the key, so that it is known proves nothing of who shows it.
#[test]
fn visitors_who_show_the_same_key_of_a_page_cost_one_hash_wherever_they_are_and_are_all_told() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let before = vault.pace.answers();
        for address in ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "192.0.2.1"] {
            enter_from(&bench, &mut vault, address).await;
        }
        assert_eq!(vault.pace.answers(), before + 1);
        // Another key is none of it, and is looked at.
        let mut edge = vault.edge();
        let capsule = bench.capsule(edge.instance, 4, "203.0.113.1");
        edge.ask(Ask::Open { slot: Slot(1), capsule, via: Via::Direct }).await;
        let (user, password) = (String::new(), Secret::new(format!("{}x", bench.password.expose())));
        let login = Ask::Login { slot: Slot(1), mechanism: Mechanism::Bearer, user, password, tls: None };
        let answer = edge.ask(login).await;
        assert!(matches!(answer, Answer::Denied { denial: Denial::Invalid, .. }), "{answer:?}");
    });
    vault.drain();
    assert_eq!(bench.told("auth.success"), 5, "what was hashed, and then each address once");
}

/// What the log says of limits.
fn limited(bench: &Bench) -> Vec<String> {
    let all = bench.events(&Filter { event: Some("rate.limited".into()), ..Filter::default() });
    all.iter().map(|event| event.get("data").unwrap_or_default().to_owned()).collect()
}

#[test]
fn who_makes_tokens_up_has_the_questions_of_his_network_alone_and_is_told_once() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut site = Siteverify::join(&mut vault);
        let mut edge = enter(&bench, &mut vault).await;
        let mut refused = 0;
        for _ in 0..30 {
            submit(&mut edge, Some(TOKEN)).await;
            tokio::select! {
                biased;
                refusal = verdict(&mut edge) => {
                    assert_eq!(refusal, Err(Refusal::RateLimited(1)));
                    refused += 1;
                }
                ticket = site.asked() => {
                    let answer = Heard::Refused { codes: "invalid-input-response".into() };
                    site.answers.send(Reply { ticket, answer }).await.unwrap();
                    assert_eq!(verdict(&mut edge).await, Err(Refusal::TurnstileRefused));
                }
            }
        }
        assert!((1..=10).contains(&refused), "{refused}");
        // Somebody elsewhere is asked of, by the same key.
        let mut other = vault.edge();
        let capsule = bench.capsule(other.instance, 4, "198.51.100.1");
        other.ask(Ask::Open { slot: Slot(1), capsule, via: Via::Direct }).await;
        let (user, password) = (String::new(), bench.password.clone());
        other.ask(Ask::Login { slot: Slot(1), mechanism: Mechanism::Bearer, user, password, tls: None }).await;
        submit(&mut other, Some(TOKEN)).await;
        let Ok(Ok(Some(Asked::Verify { ticket, .. }))) =
            tokio::time::timeout(Duration::from_secs(10), site.asks.receive()).await
        else {
            panic!("nobody was asked")
        };
        site.answers.send(Reply { ticket, answer: solved("www.example.net", "contact") }).await.unwrap();
        verdict(&mut other).await.unwrap();
    });
    vault.drain();
    let told = limited(&bench);
    assert_eq!(told[0], r#"{"limit":"turnstile_rate","tier":"address"}"#);
    assert!(told.len() <= 2 && told.iter().skip(1).all(|more| more.contains("refused")), "{told:?}");
}
