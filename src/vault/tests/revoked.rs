//! What waits of a credential that ends otherwise than by a command.

use super::queue::order;
use super::reports::report;
use super::*;
use crate::ipc::admin::queue::Deed;

/// Nothing is offered for longer than two looks take.
async fn quiet(courier: &mut Courier) {
    let quiet = tokio::time::timeout(Duration::from_millis(2500), courier.offers.receive()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

async fn deliver(courier: &mut Courier, outcome: Outcome) {
    let (job, ..) = courier.message().await;
    courier.say(job, 0, outcome).await;
    courier.settled(job).await;
}

/// Why something was held, in their order.
fn holds(bench: &Bench) -> Vec<(String, String)> {
    let filter = Filter { event: Some("queue.hold".to_owned()), ..Filter::default() };
    let word = |event: &Found, field: &str| event.get(field).unwrap_or_default().to_owned();
    bench.events(&filter).iter().map(|event| (word(event, "reason"), word(event, "account"))).collect()
}

fn held(reason: &str) -> Vec<(String, String)> {
    vec![(reason.to_owned(), "shop".to_owned())]
}

#[test]
fn rule_q9_what_waits_of_a_credential_that_a_reload_ends_is_held_and_the_gates_own_reports_are_not() {
    for is_removed in [false, true] {
        let mut bench = Bench::new();
        bench.slice.retry = vec![Duration::from_secs(3600)];
        let mut vault = bench.run();
        test(async {
            let mut edge = vault.edge();
            edge.login(&bench, 1).await;
            let mut courier = vault.courier().await;
            edge.submit(1, &["x@example.org"], b"x\r\n").await;
            deliver(&mut courier, Outcome::Failed(said(550))).await;
            // The report waits as well.
            deliver(&mut courier, Outcome::Deferred(said(450))).await;
            edge.submit(1, &["y@example.org"], b"y\r\n").await;
            deliver(&mut courier, Outcome::Deferred(said(450))).await;
            let mut slice = bench.slice.clone();
            match is_removed {
                true => drop(slice.credentials.remove(0)),
                false => slice.credentials[0].enabled = false,
            }
            vault.switch(&slice, Generation(2));
            order(&mut vault, Deed::Retry).await;
            report(&mut courier).await;
            quiet(&mut courier).await;
            assert_eq!(order(&mut vault, Deed::Release).await.messages, 1);
            order(&mut vault, Deed::Retry).await;
            let (job, _, recipients, _) = courier.message().await;
            assert_eq!(recipients[0].1, address("y@example.org"));
            courier.say(job, 0, Outcome::Delivered(said(250))).await;
            courier.settled(job).await;
        });
        vault.drain();
        assert_eq!(holds(&bench), held("revoked"));
        assert_eq!(bench.bodies(), 0);
    }
}

#[test]
fn rule_q9_what_waits_of_a_credential_that_went_while_nobody_was_here_is_held_at_the_start_and_once() {
    let mut bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        edge.submit(1, &["x@example.org"], b"x\r\n").await;
    });
    vault.drain();
    bench.slice.credentials.remove(0);
    let mut vault = bench.run();
    test(async {
        let mut courier = vault.courier().await;
        quiet(&mut courier).await;
        drop(courier);
        assert_eq!(order(&mut vault, Deed::Release).await.messages, 1);
    });
    vault.drain();
    let mut vault = bench.run();
    test(async { deliver(&mut vault.courier().await, Outcome::Delivered(said(250))).await });
    vault.drain();
    assert_eq!(holds(&bench), held("revoked"));
}

#[test]
fn rule_q9_a_clock_that_is_ahead_of_an_end_keeps_what_waits_and_holds_none_of_it() {
    const HOUR_US: u64 = 3_600_000_000;
    let mut bench = Bench::new();
    bench.slice.credentials[0].policy.expires_us = Some(crate::vault::audit::ledger::now_us() + HOUR_US);
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        edge.submit(1, &["x@example.org"], b"x\r\n").await;
    });
    vault.drain();
    AHEAD_US.set(2 * HOUR_US);
    let mut vault = bench.run();
    test(async { quiet(&mut vault.courier().await).await });
    vault.drain();
    AHEAD_US.set(0);
    assert_eq!((holds(&bench), bench.told("credential.expire")), (Vec::new(), 0));
    let mut vault = bench.run();
    test(async { deliver(&mut vault.courier().await, Outcome::Delivered(said(250))).await });
    vault.drain();
}

#[test]
fn rule_q9_an_end_that_is_moved_on_and_back_to_the_same_time_is_an_end_again() {
    let mut bench = Bench::new();
    // A login takes a second, and more on a busy machine.
    let end_us = crate::vault::audit::ledger::now_us() + 8_000_000;
    let until = |end_us| {
        let mut slice = bench.slice.clone();
        slice.credentials[0].policy.expires_us = end_us;
        slice
    };
    let (over, prolonged) = (until(Some(end_us)), until(None));
    bench.slice = over.clone();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        edge.submit(1, &["x@example.org"], b"x\r\n").await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        vault.switch(&prolonged, Generation(2));
        assert_eq!(order(&mut vault, Deed::Release).await.messages, 1);
        tokio::time::sleep(Duration::from_secs(2)).await;
        vault.switch(&over, Generation(3));
        quiet(&mut vault.courier().await).await;
    });
    vault.drain();
    let expired = held("expired");
    assert_eq!((holds(&bench), bench.told("credential.expire")), ([expired.clone(), expired].concat(), 2));
}

#[test]
fn rule_q9_what_waits_of_a_credential_whose_time_is_over_is_held_until_it_is_released() {
    let mut bench = Bench::new();
    bench.slice.retry = vec![Duration::from_secs(4)];
    bench.slice.credentials[0].policy.expires_us = Some(crate::vault::audit::ledger::now_us() + 3_000_000);
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        edge.submit(1, &["x@example.org"], b"x\r\n").await;
        let mut courier = vault.courier().await;
        deliver(&mut courier, Outcome::Deferred(said(450))).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        quiet(&mut courier).await;
        // What an order releases goes, although it is over.
        assert_eq!(order(&mut vault, Deed::Release).await.messages, 1);
        order(&mut vault, Deed::Retry).await;
        deliver(&mut courier, Outcome::Delivered(said(250))).await;
    });
    vault.drain();
    assert_eq!((holds(&bench), bench.told("credential.expire")), (held("expired"), 1));
}
