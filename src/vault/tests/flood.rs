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
