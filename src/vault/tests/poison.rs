//! Messages that end their courier, and those that were only beside one.

use super::queue::order;
use super::*;
use crate::ipc::admin::queue::Deed;

/// Nothing is offered for a while.
async fn quiet(courier: &mut Courier) {
    let quiet = tokio::time::timeout(Duration::from_millis(1500), courier.offers.receive()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

async fn delivered(courier: &mut Courier, job: Job) {
    courier.say(job, 0, Outcome::Delivered(said(250))).await;
    courier.settled(job).await;
}

/// So many messages, all of them under way with the first courier.
async fn under_way(bench: &Bench, vault: &mut Running, count: usize) -> (Edge, Courier, Vec<MessageId>) {
    let mut edge = vault.edge();
    edge.login(bench, 1).await;
    for _ in 0..count {
        edge.submit(1, &["x@example.org"], b"x\r\n").await;
    }
    let (mut courier, mut all) = (vault.courier().await, Vec::new());
    for _ in 0..count {
        all.push(courier.message().await.1);
    }
    (edge, courier, all)
}

fn aside(bench: &Bench) -> i64 {
    bench.count("SELECT count(*) FROM spool_msg JOIN spool_rcpt ON msg = id WHERE hold = 2 AND held = 1 AND state = 0")
}

#[test]
fn rule_q18_what_ends_its_courier_twice_is_set_aside_and_its_neighbours_are_delivered() {
    let mut bench = Bench::new();
    bench.slice.credentials.truncate(1);
    let mut vault = bench.run();
    let poison = test(async {
        let (mut edge, courier, all) = under_way(&bench, &mut vault, 3).await;
        drop(courier);
        let mut courier = vault.courier().await;
        let (job, innocent, ..) = courier.message().await;
        assert!(all.contains(&innocent));
        // It is alone: neither the other suspects nor what comes now are beside it.
        edge.submit(1, &["later@example.org"], b"x\r\n").await;
        quiet(&mut courier).await;
        delivered(&mut courier, job).await;
        let (_, poison, ..) = courier.message().await;
        assert!(all.contains(&poison) && poison != innocent);
        drop(courier);
        let mut courier = vault.courier().await;
        let mut rest = Vec::new();
        for _ in 0..2 {
            let (job, message, ..) = courier.message().await;
            rest.push(message);
            delivered(&mut courier, job).await;
        }
        assert!(
            !rest.contains(&poison) && all.iter().all(|one| *one == poison || *one == innocent || rest.contains(one))
        );
        quiet(&mut courier).await;
        poison
    });
    vault.drain();
    assert_eq!(aside(&bench), 1);
    let told = bench.events(&Filter { message: Some(poison.to_string()), ..Filter::default() });
    let told = told.iter().find(|event| event.get("event") == Some("queue.hold")).expect("an event");
    assert_eq!((told.get("reason"), told.get("upstream")), (Some("courier-ended"), Some("smarthost")));
    // A start doesn't forget it, and neither does whoever releases it.
    let mut vault = bench.run();
    test(async {
        let mut courier = vault.courier().await;
        quiet(&mut courier).await;
        order(&mut vault, Deed::Release).await;
        quiet(&mut courier).await;
    });
    vault.drain();
    assert_eq!(aside(&bench), 1, "an order for all doesn't release it");
}

#[test]
fn rule_q18_a_suspect_waits_until_its_courier_has_nothing_else_and_across_a_restart() {
    let mut bench = Bench::new();
    bench.slice.credentials.truncate(1);
    let mut vault = bench.run();
    test(async {
        let (_edge, courier, _) = under_way(&bench, &mut vault, 2).await;
        drop(courier);
        let mut courier = vault.courier().await;
        courier.message().await;
        // It is the vault that ends here, and no courier.
        vault.abandon();
    });
    let mut vault = bench.run();
    test(async {
        let mut courier = vault.courier().await;
        let (first, ..) = courier.message().await;
        quiet(&mut courier).await;
        courier.tell(Progress::RouteFailed { job: first, reason: "no route to host".into(), rest: None }).await;
    });
    vault.drain();
    assert_eq!((aside(&bench), bench.count("SELECT count(*) FROM spool_msg WHERE ended = 1")), (0, 2));
}

#[test]
fn rule_q18_a_courier_that_was_told_to_end_accuses_nobody() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let (_edge, mut courier, _) = under_way(&bench, &mut vault, 2).await;
        courier.tell(Progress::Slots(0)).await;
        drop(courier);
        let mut courier = vault.courier().await;
        for _ in 0..2 {
            courier.message().await;
        }
        // It is the vault that ends here: a courier that fell with two messages in hand would be accused.
        vault.abandon();
    });
    assert_eq!(bench.count("SELECT count(*) FROM spool_msg WHERE ended > 0"), 0);
}

#[test]
fn rule_q18_a_message_whose_task_fell_twice_is_set_aside_and_the_courier_goes_on() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let (mut edge, mut courier, all) = under_way(&bench, &mut vault, 1).await;
        courier.tell(Progress::Fell { job: Job(1) }).await;
        let (job, again, ..) = courier.message().await;
        assert_eq!(again, all[0]);
        courier.tell(Progress::Fell { job }).await;
        quiet(&mut courier).await;
        edge.submit(1, &["later@example.org"], b"x\r\n").await;
        let (job, ..) = courier.message().await;
        delivered(&mut courier, job).await;
    });
    vault.drain();
    assert_eq!(aside(&bench), 1);
}

/// One that was no suspect may take its time, too: it keeps neither the suspect nor, behind that, anybody else from the upstream.
#[test]
fn rule_q18_a_suspect_does_not_wait_for_one_that_takes_long() {
    let mut bench = Bench::new();
    bench.slice.credentials.truncate(1);
    let mut vault = bench.run();
    test(async {
        let (mut edge, mut courier, _) = under_way(&bench, &mut vault, 1).await;
        let slow = Job(1);
        edge.submit(1, &["suspect@example.org"], b"x\r\n").await;
        let (job, suspect, ..) = courier.message().await;
        courier.tell(Progress::Fell { job }).await;
        let (job, again, ..) = courier.message().await;
        assert_eq!(again, suspect, "nobody waits for the slow one any more");
        delivered(&mut courier, job).await;
        edge.submit(1, &["later@example.org"], b"x\r\n").await;
        let (job, ..) = courier.message().await;
        delivered(&mut courier, job).await;
        delivered(&mut courier, slow).await;
    });
    vault.drain();
    assert_eq!((aside(&bench), bench.count("SELECT count(*) FROM spool_msg WHERE ended > 0")), (0, 0));
}

/// What ends a courier ends it soon: who waits for a slow upstream keeps neither other suspects nor anybody else from it.
#[test]
fn rule_q18_a_suspect_that_waits_for_its_upstream_keeps_nobody_from_it() {
    let mut bench = Bench::new();
    bench.slice.credentials.truncate(1);
    let mut vault = bench.run();
    test(async {
        let (mut edge, courier, all) = under_way(&bench, &mut vault, 2).await;
        drop(courier);
        let mut courier = vault.courier().await;
        let (slow, first, ..) = courier.message().await;
        edge.submit(1, &["later@example.org"], b"x\r\n").await;
        quiet(&mut courier).await;
        // The other suspect has it to itself, but for the slow one; then all others go.
        let (job, second, ..) = courier.message().await;
        assert!(all.contains(&first) && all.contains(&second) && first != second);
        quiet(&mut courier).await;
        delivered(&mut courier, job).await;
        let (job, later, ..) = courier.message().await;
        assert!(!all.contains(&later));
        delivered(&mut courier, job).await;
        delivered(&mut courier, slow).await;
    });
    vault.drain();
    assert_eq!((aside(&bench), bench.count("SELECT count(*) FROM spool_msg WHERE ended > 0")), (0, 0));
}
