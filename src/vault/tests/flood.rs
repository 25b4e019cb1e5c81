//! A login while the threads that hash have all the guesses they can hold.

use super::credentials::{Admin, add, policy};
use super::*;

/// So many sessions, each from a network of its own, in which nobody has failed before; all but the last ask at once to be this
/// credential with this secret, or one of many names with a guess. The last asks behind them.
async fn crowd(
    bench: &Bench,
    edge: &mut Edge,
    sessions: u32,
    all: Option<(&str, &Secret<String>)>,
    last: (&str, Secret<String>),
) {
    let mechanism = Mechanism::Plain;
    for slot in 0..sessions {
        let capsule = bench.capsule(edge.instance, 1, &format!("10.{slot}.0.1"));
        edge.ask(Ask::Open { slot: Slot(slot), capsule, via: Via::Direct }).await;
    }
    for slot in 0..sessions {
        let (user, password) = match all {
            _ if slot == sessions - 1 => (last.0.to_owned(), last.1.clone()),
            Some((user, password)) => (user.to_owned(), password.clone()),
            None => (format!("name{slot}"), Secret::new("guess".to_owned())),
        };
        edge.asks.send(Ask::Login { slot: Slot(slot), mechanism, user, password, tls: None }).await.unwrap();
    }
}

#[test]
fn rule_a10_a_generated_key_waits_behind_no_guesses() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let (_, key) = Admin::new(&vault).secret(add("monitor", policy())).await;
        let mut edge = vault.edge();
        crowd(&bench, &mut edge, 40, None, ("monitor", key)).await;
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
        crowd(&bench, &mut edge, 100, Some(("low", &low)), ("good", good)).await;
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
