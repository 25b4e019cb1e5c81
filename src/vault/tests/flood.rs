//! A login while the threads that hash have all the guesses they can hold.

use super::credentials::{Admin, add, policy};
use super::*;

#[test]
fn rule_a10_a_generated_key_waits_behind_no_guesses() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let (_, key) = Admin::new(&vault).secret(add("monitor", policy())).await;
        let mut edge = vault.edge();
        let mechanism = Mechanism::Plain;
        for slot in 0..40 {
            // Nobody near any of them has failed before.
            let capsule = bench.capsule(edge.instance, 1, &format!("10.{slot}.0.1"));
            edge.ask(Ask::Open { slot: Slot(slot), capsule, via: Via::Direct }).await;
        }
        for slot in 0..39 {
            let (user, password) = (format!("name{slot}"), Secret::new("guess".to_owned()));
            edge.asks.send(Ask::Login { slot: Slot(slot), mechanism, user, password, tls: None }).await.unwrap();
        }
        let (slot, user) = (Slot(39), "monitor".to_owned());
        edge.asks.send(Ask::Login { slot, mechanism, user, password: key, tls: None }).await.unwrap();
        let (mut busy, mut wrong) = (0, 0);
        loop {
            match edge.answer().await {
                Answer::Denied { slot: Slot(0..39), denial: Denial::Busy } => busy += 1,
                Answer::Denied { slot: Slot(0..39), denial: Denial::Invalid } => wrong += 1,
                Answer::Granted { slot: Slot(39), .. } => break,
                other => panic!("{other:?}"),
            }
        }
        assert!(busy > 0 && wrong <= 3, "{busy} {wrong}");
    });
    vault.drain();
}

#[test]
fn rule_a10_who_has_a_key_leaves_room_for_other_keys_and_for_the_administrator() {
    let mut bench = Bench::new();
    bench.slice.hash_queue = 64;
    let mut vault = bench.run();
    test(async {
        let mut admin = Admin::new(&vault);
        let (_, low) = admin.secret(add("low", policy())).await;
        let (_, good) = admin.secret(add("good", policy())).await;
        let mut edge = vault.edge();
        let mechanism = Mechanism::Plain;
        for slot in 0..100 {
            let capsule = bench.capsule(edge.instance, 1, &format!("10.{slot}.0.1"));
            edge.ask(Ask::Open { slot: Slot(slot), capsule, via: Via::Direct }).await;
        }
        for slot in 0..99 {
            let (user, password) = ("low".to_owned(), low.clone());
            edge.asks.send(Ask::Login { slot: Slot(slot), mechanism, user, password, tls: None }).await.unwrap();
        }
        let (slot, user) = (Slot(99), "good".to_owned());
        edge.asks.send(Ask::Login { slot, mechanism, user, password: good, tls: None }).await.unwrap();
        let (mut busy, mut granted) = (0, 0);
        loop {
            match edge.answer().await {
                Answer::Denied { slot: Slot(0..99), denial: Denial::Busy } => busy += 1,
                Answer::Granted { slot: Slot(0..99), .. } => granted += 1,
                Answer::Granted { slot: Slot(99), .. } => break,
                other => panic!("{other:?}"),
            }
        }
        // It stood behind those few of the other key's, and every fourth of the rest.
        assert!(busy > 0 && granted <= 10, "{busy} {granted}");
        admin.secret(add("another", policy())).await;
    });
    vault.abandon();
}
