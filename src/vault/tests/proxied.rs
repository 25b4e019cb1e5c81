//! Clients that a proxy named: what is believed of whom, and what their address counts for.

use super::*;
use crate::config::slice::Clients;

const PROXY: &str = "192.0.2.1";

/// Listeners 1 (logins) and 2 (devices of 10.1.0.0/16) with a proxy, which is such a device itself on 2.
fn bench() -> Bench {
    let mut bench = Bench::new();
    for listener in bench.slice.listeners.iter_mut().take(2) {
        listener.proxy_from = vec!["192.0.2.1/32".parse().unwrap(), "10.1.0.1/32".parse().unwrap()];
        listener.caps = Caps { address: 2, prefix: 3 };
    }
    bench
}

fn named(client: &str) -> Via {
    Via::Proxy(Some(SocketAddr::new(client.parse().unwrap(), 40_000)))
}

impl Edge {
    async fn through(&mut self, bench: &Bench, slot: u32, listener: u16, proxy: &str, via: Via) -> Answer {
        let capsule = bench.capsule(self.instance, listener, proxy);
        self.ask(Ask::Open { slot: Slot(slot), capsule, via }).await
    }
}

#[test]
fn rule_l16_a_device_is_known_by_the_address_in_the_header_and_never_by_the_proxys() {
    let mut bench = bench();
    bench.slice.listeners[1].caps = Caps { address: 10, prefix: 10 };
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        let cases = [
            (PROXY, named("10.1.2.3"), true),
            (PROXY, named("10.2.2.3"), false),
            ("10.1.0.1", named("10.2.2.3"), false),
            ("10.1.0.1", named("10.1.0.1"), false),
            ("10.1.0.1", named("::ffff:10.1.0.1"), false),
            ("10.1.0.1", Via::Proxy(None), false),
            ("10.1.0.1", named("10.1.2.4"), true),
        ];
        for (slot, (proxy, via, is_known)) in (1..).zip(cases) {
            let opened = edge.through(&bench, slot, 2, proxy, via).await;
            let Answer::Opened { network, .. } = opened else { panic!("{proxy} {via:?}: {opened:?}") };
            assert_eq!(network.is_some(), is_known, "{proxy} {via:?}");
        }
    });
    vault.drain();
}

#[test]
fn rule_l16_a_header_from_elsewhere_or_none_at_all_ends_the_session() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        // From who is no proxy; where none is expected; and left out where one is.
        let cases = [("10.1.2.3", 2, named("10.1.2.3")), (PROXY, 3, named("10.1.2.3")), (PROXY, 2, Via::Direct)];
        for (slot, (peer, listener, via)) in (1..).zip(cases) {
            let ended = edge.through(&bench, slot, listener, peer, via).await;
            assert!(matches!(ended, Answer::Ended { .. }), "{peer} {via:?}: {ended:?}");
        }
        assert!(matches!(edge.through(&bench, 9, 1, PROXY, named("198.51.100.9")).await, Answer::Opened { .. }));
    });
    vault.drain();
    let violations = bench.events(&Filter { event: Some("ipc.violation".into()), ..Filter::default() });
    let mut reasons: Vec<_> = violations.iter().map(|event| event.get("reason").unwrap()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["proxy-header-missing", "proxy-header-not-believed", "proxy-header-not-believed"]);
}

#[test]
fn rule_l16_rule_s4_sessions_are_counted_by_the_address_in_the_header() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let (mut edge, mut other) = (vault.edge(), vault.edge());
        let open = |answer: Answer| assert!(matches!(answer, Answer::Opened { .. }), "{answer:?}");
        let crowded = |answer: Answer| assert!(matches!(answer, Answer::Crowded { .. }), "{answer:?}");
        open(edge.through(&bench, 1, 1, PROXY, named("198.51.100.9")).await);
        open(other.through(&bench, 1, 1, PROXY, named("198.51.100.9")).await);
        crowded(edge.through(&bench, 2, 1, PROXY, named("198.51.100.9")).await);
        open(edge.through(&bench, 3, 1, PROXY, named("198.51.100.10")).await);
        crowded(edge.through(&bench, 4, 1, PROXY, named("198.51.100.11")).await);
        open(edge.through(&bench, 5, 1, PROXY, named("203.0.113.1")).await);
        edge.asks.send(Ask::Close { slot: Slot(1) }).await.unwrap();
        edge.asks.send(Ask::Close { slot: Slot(2) }).await.unwrap();
        open(edge.through(&bench, 2, 1, PROXY, named("198.51.100.9")).await);
        // An edge that falls gives back what it held.
        drop(other);
        for _ in 0..1000 {
            edge.asks.send(Ask::Close { slot: Slot(4) }).await.unwrap();
            if let Answer::Opened { .. } = edge.through(&bench, 4, 1, PROXY, named("198.51.100.9")).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the fallen edge's place was never free");
    });
    vault.drain();
}

#[test]
fn rule_l16_failed_logins_and_events_are_those_of_the_address_in_the_header() {
    let mut bench = bench();
    bench.slice.limits.failed_logins.address = [2, 100];
    bench.slice.audit.mask = crate::policy::mask::Mask::None;
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        let wrong = Secret::new("hunter2".to_owned());
        edge.through(&bench, 1, 1, PROXY, named("198.51.100.9")).await;
        edge.password(1, "nobody", &wrong).await;
        edge.password(1, "nobody", &wrong).await;
        let locked = edge.password(1, "nobody", &wrong).await;
        assert!(matches!(locked, Answer::Denied { denial: Denial::Wait(_), .. }), "{locked:?}");
        // Another client of the same proxy, and the proxy itself, are no worse for it.
        edge.through(&bench, 2, 1, PROXY, named("203.0.113.1")).await;
        assert!(matches!(edge.password(2, "shop", &bench.password).await, Answer::Granted { .. }));
        edge.through(&bench, 3, 1, PROXY, Via::Proxy(None)).await;
        let invalid = edge.password(3, "nobody", &wrong).await;
        assert!(matches!(invalid, Answer::Denied { denial: Denial::Invalid, .. }), "{invalid:?}");
    });
    vault.drain();
    let of = |name: &str| -> Vec<String> {
        let found = bench.events(&Filter { event: Some(name.into()), ..Filter::default() });
        found.iter().filter_map(|event| event.get("client_ip").map(str::to_owned)).collect()
    };
    assert_eq!(of("auth.locked"), ["198.51.100.9"]);
    assert_eq!(of("auth.success"), ["203.0.113.1"]);
    assert_eq!(of("auth.failure"), ["198.51.100.9", "198.51.100.9", PROXY]);
}

#[test]
fn rule_l16_whoever_the_proxy_does_not_name_is_in_no_network_of_a_credential() {
    let mut bench = bench();
    bench.slice.credentials[0].policy.networks = vec!["192.0.2.0/24".parse().unwrap()];
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        for (slot, via, is_in) in [(1, named("192.0.2.77"), true), (2, Via::Proxy(None), false)] {
            edge.through(&bench, slot, 1, PROXY, via).await;
            let answer = edge.password(slot, "shop", &bench.password).await;
            assert_eq!(matches!(answer, Answer::Granted { .. }), is_in, "{via:?}: {answer:?}");
        }
    });
    assert_eq!(bench.slice.listeners[0].clients, Clients::Known);
    vault.drain();
}

#[test]
fn guesses_through_a_proxy_and_remembered_logins_are_told_once_and_then_by_number() {
    let mut bench = Bench::new();
    bench.slice.listeners.iter_mut().for_each(|listener| listener.clients = Clients::Proxied);
    bench.slice.limits.failed_logins.wide_prefix[0] = 5;
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        for slot in 1..=40 {
            edge.login(&bench, slot).await;
        }
        for slot in 101..=140 {
            let capsule = bench.capsule(edge.instance, 1, "192.0.2.1");
            edge.ask(Ask::Open { slot: Slot(slot), capsule, via: Via::Direct }).await;
            let none = edge.password(slot, &format!("nobody{slot}"), &Secret::new("wrong".into())).await;
            assert!(matches!(none, Answer::Denied { .. }), "{none:?}");
        }
    });
    vault.drain();
    let said = |name: &str| -> Vec<String> {
        let found = bench.events(&Filter { event: Some(name.into()), ..Filter::default() });
        found.iter().filter_map(|event| event.get("data").map(str::to_owned)).collect()
    };
    let (failures, successes) = (said("auth.failure"), said("auth.success"));
    let told = |all: &[String], text: &str| all.iter().filter(|data| data.contains(text)).count();
    // An hour or a window may end on a slow machine.
    assert!((7..=12).contains(&failures.len()), "{failures:?}");
    assert!(told(&failures, "\"refused\":") >= 1, "{failures:?}");
    assert!((3..=6).contains(&successes.len()), "{successes:?}");
    assert_eq!(told(&successes, "\"remembered\":38"), 1, "{successes:?}");
}
