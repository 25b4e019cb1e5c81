//! Keys of a provider for passwords: the provider says whether one is, and what it sends goes with it.

use super::*;
use crate::ipc::delivery::Verified;

const KEY: &str = "us_their-own-key";

/// Of `shop`, whose passwords are keys of `upstream`.
fn bench_of(upstream: &str) -> Bench {
    let mut bench = Bench::new();
    let shop = &mut bench.slice.credentials[0];
    shop.secrets.clear();
    shop.policy.pass_through = Some(upstream.to_owned());
    bench
}

async fn open(bench: &Bench, vault: &mut Running, slot: u32) -> Edge {
    let mut edge = vault.edge();
    let capsule = bench.capsule(edge.instance, 1, "192.0.2.1");
    edge.ask(Ask::Open { slot: Slot(slot), capsule, via: Via::Direct }).await;
    edge
}

async fn show(edge: &Edge, key: &str) {
    let (user, password) = ("shop".to_owned(), Secret::new(key.to_owned()));
    let ask = Ask::Login { slot: Slot(1), mechanism: Mechanism::Plain, user, password, tls: None };
    edge.asks.send(ask).await.unwrap();
}

async fn asked(courier: &mut Courier) -> (Job, String) {
    match courier.offer().await {
        Offer::Verify { job, key } => (job, key.expose().clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_is_what_its_provider_says_and_its_mail_goes_with_it_and_no_other() {
    let bench = bench_of("smarthost");
    let mut vault = bench.run();
    test(async {
        let mut courier = vault.courier().await;
        let mut edge = open(&bench, &mut vault, 1).await;
        for (verified, expected) in
            [(Verified::Refused, Denial::Invalid), (Verified::Unknown("away".into()), Denial::Away)]
        {
            show(&edge, KEY).await;
            let (job, key) = asked(&mut courier).await;
            assert_eq!(key, KEY);
            courier.tell(Progress::Verified { job, verified }).await;
            let answer = edge.answer().await;
            assert!(matches!(answer, Answer::Denied { denial, .. } if denial == expected), "{answer:?}");
        }
        show(&edge, KEY).await;
        let (job, _) = asked(&mut courier).await;
        courier.tell(Progress::Verified { job, verified: Verified::Taken }).await;
        assert!(matches!(edge.answer().await, Answer::Granted { .. }));

        // It is known for a while: the next session from there asks nobody, and another key is asked about.
        let mut second = open(&bench, &mut vault, 1).await;
        show(&second, KEY).await;
        assert!(matches!(second.answer().await, Answer::Granted { .. }));
        let mut third = open(&bench, &mut vault, 1).await;
        show(&third, "another").await;
        let (job, key) = asked(&mut courier).await;
        assert_eq!(key, "another");
        courier.tell(Progress::Verified { job, verified: Verified::Refused }).await;
        assert!(matches!(third.answer().await, Answer::Denied { .. }));

        for edge in [&mut edge, &mut second] {
            let reserved = edge.mail(1, "a@example.net").await;
            assert!(matches!(reserved, Answer::Reserved { live: true, .. }), "{reserved:?}");
            ask_for(edge, "b@example.org").await;
            let Offer::Live { key: Some(key), .. } = courier.offer().await else { panic!("no key") };
            assert_eq!(key.expose(), KEY);
            assert!(matches!(courier.offer().await, Offer::Recipients { .. }));
        }
    });
    vault.drain();
    let of = |event: &str| {
        let events = bench.events(&Filter { event: Some(event.into()), ..Filter::default() });
        events.into_iter().map(|event| event.get("reason").unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    // What is known asks nobody, and is told once an hour.
    assert_eq!(
        (of("auth.success").len(), of("auth.failure")),
        (2, ["wrong-name-or-password", "provider-away", "wrong-name-or-password"].map(Into::into).to_vec())
    );
}

#[test]
fn without_its_courier_a_login_is_put_off_and_a_key_goes_to_no_other_upstream() {
    let bench = bench_of("elsewhere");
    let mut vault = bench.run();
    test(async {
        let mut courier = vault.courier().await;
        let mut edge = open(&bench, &mut vault, 1).await;
        show(&edge, KEY).await;
        let answer = edge.answer().await;
        assert!(matches!(answer, Answer::Denied { denial: Denial::Away, .. }), "{answer:?}");
        // Whatever the configuration said of its routes: its mail is for that upstream alone.
        let mut other = vault.courier_of("elsewhere").await;
        show(&edge, KEY).await;
        let (job, _) = asked(&mut other).await;
        other.tell(Progress::Verified { job, verified: Verified::Taken }).await;
        assert!(matches!(edge.answer().await, Answer::Granted { .. }));
        assert!(matches!(edge.mail(1, "a@example.net").await, Answer::Reserved { live: true, .. }));
        ask_for(&mut edge, "b@example.org").await;
        assert_eq!(code(word(edge.answer().await)), (451, [4, 4, 1]));
        assert!(tokio::time::timeout(Duration::from_millis(50), courier.offer()).await.is_err());
    });
}
