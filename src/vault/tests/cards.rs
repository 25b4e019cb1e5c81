//! What a credential may and what is left to it is told to whoever has it; what others may, to those alone who may see it.

use super::*;
use crate::ipc::allowance::{Allowance, Left, Limit, Shared};
use crate::ipc::card::{Card, MOST_KEYS, Which};
use crate::ipc::inquiry::{Finding, Inquiry};
use crate::policy::limits::Rates;
use crate::policy::scope::{Scope, Scopes};

impl Edge {
    /// Opens a session of the HTTP listener, and logs in.
    async fn http(&mut self, bench: &Bench, slot: u32, password: &Secret<String>) {
        let capsule = bench.capsule(self.instance, 4, "192.0.2.1");
        self.ask(Ask::Open { slot: Slot(slot), capsule, via: Via::Direct }).await;
        let (mechanism, user, password) = (Mechanism::Bearer, String::new(), password.clone());
        let granted = self.ask(Ask::Login { slot: Slot(slot), mechanism, user, password, tls: None }).await;
        assert!(matches!(granted, Answer::Granted { .. }), "{granted:?}");
    }

    async fn asks(&mut self, slot: u32, inquiry: Inquiry) -> Result<Finding, Refusal> {
        self.asks.send(Ask::Inquire { slot: Slot(slot), inquiry }).await.unwrap();
        loop {
            match self.answer().await {
                Answer::Allowance { .. } => {}
                Answer::Found { finding, .. } => return Ok(finding),
                Answer::Refused { refusal, .. } => return Err(refusal),
                other => panic!("{other:?}"),
            }
        }
    }

    async fn left(&mut self, slot: u32) -> Allowance {
        let Ok(Finding::Allowance(allowance)) = self.asks(slot, Inquiry::Allowance).await else { panic!("none") };
        *allowance
    }

    async fn cards(&mut self, slot: u32, which: Which) -> (Vec<Card>, bool) {
        let found = self.asks(slot, Inquiry::Cards(which)).await;
        let Ok(Finding::Cards { cards, more }) = found else { panic!("{found:?}") };
        (cards, more)
    }

    /// What is said before the word for a message, and the word.
    async fn told(&mut self, slot: u32) -> (Option<Allowance>, Answer) {
        match self.submit(slot, &["b@example.org", "c@example.org"], b"x\r\n").await {
            Answer::Allowance { allowance, .. } => (Some(*allowance), self.answer().await),
            other => (None, other),
        }
    }
}

fn of(allowance: &Allowance, limit: Limit) -> Left {
    *allowance.own.iter().find(|left| left.limit == limit).unwrap()
}

fn declared(id: &str, policy: Policy, keys: usize) -> (Declared, Secret<String>) {
    let (key, password) = login::key::generate().unwrap();
    let hash = hashing::hash_here(&password).unwrap();
    let further = (1..keys).map(|n| DeclaredSecret { key: format!("{id}{n:04}"), hash: hash.clone(), scram: None });
    let secrets = [DeclaredSecret { key, hash: hash.clone(), scram: None }].into_iter().chain(further).collect();
    (Declared { id: id.into(), secrets, policy, certificates: vec![], enabled: true }, password)
}

fn admin() -> Policy {
    Policy { scopes: Scopes([Scope::Admin].into()), ..Policy::default() }
}

#[test]
fn rule_p18_every_decision_over_http_says_before_what_it_left_and_a_look_takes_nothing() {
    let mut bench = Bench::new();
    let hourly = Rates { per_hour: Some(1), burst: Some(1), ..Rates::default() };
    let limits = Rules {
        per_day: Some(3),
        recipients_per_hour: Some(2),
        recipients_burst: Some(5),
        per_recipient_domain: Some(Rates { per_day: Some(100), ..Rates::default() }),
        ..Rules::default()
    };
    bench.slice.credentials[0].policy.limits = limits;
    bench.slice.limits.tiers.global = Rates { per_hour: Some(1000), burst: Some(1000), ..hourly };
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.http(&bench, 1, &bench.password).await;
        edge.login(&bench, 2).await;
        let first = edge.left(1).await;
        assert_eq!(first, edge.left(1).await, "a look takes nothing");
        assert_eq!(first.shared, [Shared::RecipientDomain, Shared::Global]);
        let day = of(&first, Limit::PerDay);
        assert_eq!((first.own.len(), day.quota, day.left), (2, 3, 3));
        assert!((1..=86_400).contains(&day.seconds));
        let hour = of(&first, Limit::RecipientsPerHour);
        assert_eq!((hour.quota, hour.left, hour.seconds), (2, 5, 1800));

        let (told, kept) = edge.told(1).await;
        assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
        let told = told.expect("it stands before the word");
        assert_eq!((of(&told, Limit::PerDay).left, of(&told, Limit::RecipientsPerHour).left), (2, 3));
        let (none, kept) = edge.told(2).await;
        assert!(none.is_none() && matches!(kept, Answer::Kept { .. }), "SMTP has no place for it: {kept:?}");
        assert_eq!(of(&edge.left(1).await, Limit::PerDay).left, 1, "what came by SMTP counts");

        // A place that is held is no more there for others, and comes back.
        let reserved = edge.mail(2, "a@example.net").await;
        assert!(matches!(reserved, Answer::Reserved { .. }), "{reserved:?}");
        assert_eq!(of(&edge.left(1).await, Limit::PerDay).left, 0);
        edge.asks.send(Ask::Abort { slot: Slot(2) }).await.unwrap();
        assert_eq!(of(&edge.left(1).await, Limit::PerDay).left, 1);

        // Two recipients are more than are left.
        let (told, refused) = edge.told(1).await;
        let Answer::Refused { refusal: Refusal::RateLimited(seconds), .. } = refused else { panic!("{refused:?}") };
        let told = of(&told.expect("before a refusal too"), Limit::RecipientsPerHour);
        assert_eq!(told.left, 1);
        // They were counted one after the other, and a second may have begun between.
        assert!(told.seconds <= seconds + 1, "{told:?} {seconds}");
    });
    vault.drain();
}

#[test]
fn a_card_is_its_own_for_each_and_those_of_others_are_for_who_may_see_them() {
    let mut bench = Bench::new();
    let (mut viewer, password) = declared("viewer", admin(), 3);
    viewer.policy.description = "internal".into();
    viewer.policy.always_bcc = vec![address("archive@example.net")];
    bench.slice.credentials.push(viewer);
    bench.slice.credentials[1].policy.scopes = Scopes([Scope::Smtp, Scope::Admin].into());
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.http(&bench, 1, &bench.password).await;
        edge.http(&bench, 2, &password).await;
        let Ok(Finding::Card(own)) = edge.asks(1, Inquiry::Card).await else { panic!("no card") };
        assert_eq!((own.id.as_str(), own.keys.len(), own.max_recipients), ("shop", 1, 100));
        let Ok(Finding::Card(other)) = edge.asks(2, Inquiry::Card).await else { panic!("no card") };
        assert_eq!((other.id.as_str(), other.keys.len()), ("viewer", 1), "the key that asks, and no other of its");
        assert_eq!(other.keys[0].id, login::key::id(password.expose()).unwrap());
        for which in [Which::One("shop".into()), Which::One("nobody".into()), Which::After(None, 20)] {
            assert_eq!(edge.asks(1, Inquiry::Cards(which)).await, Err(Refusal::Scope));
        }
        let (all, more) = edge.cards(2, Which::After(None, 20)).await;
        let ids: Vec<&str> = all.iter().map(|card| card.id.as_str()).collect();
        assert_eq!((ids, more), (vec!["printer", "shop", "viewer"], false));
        assert_eq!((all[2].keys.len(), all[0].keys.len()), (3, 0));
        assert_eq!(edge.cards(2, Which::One("nobody".into())).await, (vec![], false));
        // Nothing can be sent with that alone.
        let refused = edge.mail(2, "a@example.net").await;
        assert!(matches!(refused, Answer::Allowance { .. }), "{refused:?}");
        assert!(matches!(edge.answer().await, Answer::Refused { refusal: Refusal::Scope, .. }));

        // An address has shown no key, whatever the scopes of its credential say.
        let capsule = bench.capsule(edge.instance, 2, "10.1.2.3");
        edge.ask(Ask::Open { slot: Slot(3), capsule, via: Via::Direct }).await;
        let Ok(Finding::Card(device)) = edge.asks(3, Inquiry::Card).await else { panic!("no card") };
        assert_eq!((device.id.as_str(), device.keys.len()), ("printer", 0));
        assert_eq!(edge.asks(3, Inquiry::Cards(Which::After(None, 1))).await, Err(Refusal::Scope));
        let capsule = bench.capsule(edge.instance, 4, "192.0.2.1");
        edge.ask(Ask::Open { slot: Slot(4), capsule, via: Via::Direct }).await;
        let nobody = edge.ask(Ask::Inquire { slot: Slot(4), inquiry: Inquiry::Cards(Which::After(None, 1)) }).await;
        assert!(matches!(nobody, Answer::Ended { .. }), "{nobody:?}");
    });
    vault.drain();
    let looks = bench.events(&Filter { event: Some("credential.view".into()), ..Filter::default() });
    let data: Vec<_> = looks.iter().map(|event| event.get("data").unwrap().to_owned()).collect();
    assert_eq!(data.len(), 2, "those that were answered: {data:?}");
    assert!(data[0].contains("\"most\":20") && data[1].contains("\"credential\":\"nobody\""), "{data:?}");
    assert!(looks.iter().all(|event| event.get("account") == Some("viewer")));
}

#[test]
fn a_long_list_comes_in_pages_that_fit_and_looks_are_bounded() {
    let mut bench = Bench::new();
    let (viewer, password) = declared("viewer", admin(), 1);
    bench.slice.credentials.push(viewer);
    // The rules of each take as much as they may, and it has more keys than are shown.
    let long = |n: u32| format!("@{n}.{}.example.net", "x".repeat(50)).parse().unwrap();
    let policy = Policy { senders: (0..170).map(long).collect(), ..Policy::default() };
    let (model, _) = declared("c00", policy, MOST_KEYS + 4);
    for n in 0..30 {
        let secrets = model.secrets.iter().enumerate();
        let secrets =
            secrets.map(|(k, one)| DeclaredSecret { key: format!("key{n}x{k:028}"), ..one.clone() }).collect();
        bench.slice.credentials.push(Declared { id: format!("c{n:02}"), secrets, ..model.clone() });
    }
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.http(&bench, 1, &password).await;
        let mut forwards = Vec::new();
        loop {
            let after = forwards.last().map(|card: &Card| card.id.clone());
            let (cards, more) = edge.cards(1, Which::After(after, 100)).await;
            assert!(!cards.is_empty() && cards.iter().all(|card| card.keys.len() <= MOST_KEYS));
            forwards.extend(cards);
            if !more {
                break;
            }
        }
        let ids: Vec<&str> = forwards.iter().map(|card| card.id.as_str()).collect();
        assert_eq!((ids.len(), ids.is_sorted(), ids[0], ids[32]), (33, true, "c00", "viewer"));
        let (last, more) = edge.cards(1, Which::Before("zzz".into(), 2)).await;
        assert_eq!(
            (last.iter().map(|card| card.id.as_str()).collect::<Vec<_>>(), more),
            (vec!["shop", "viewer"], true)
        );
        let (first, more) = edge.cards(1, Which::Before("c01".into(), 5)).await;
        assert_eq!((first.len(), first[0].id.as_str(), more), (1, "c00", false));
        // A hundred at once, and then one in 50 ms: however slow the machine is, never more.
        let (begun, mut answered) = (std::time::Instant::now(), 0);
        for _ in 0..200 {
            let asked = edge.asks(1, Inquiry::Cards(Which::One("shop".into()))).await;
            assert!(asked.is_ok() || asked == Err(Refusal::RateLimited(1)), "{asked:?}");
            answered += u128::from(asked.is_ok());
        }
        assert!(answered <= 101 + begun.elapsed().as_millis() / 50, "{answered} in {:?}", begun.elapsed());
    });
    vault.drain();
}
