//! Logins by SCRAM that begin and say no more.

use super::*;

/// One begins in each of these slots under the owner's name, and stays silent.
async fn fall_silent(bench: &Bench, edge: &mut Edge, slots: std::ops::Range<u32>) {
    for slot in slots {
        edge.opened(bench, slot, "192.0.2.1").await;
        let (mechanism, message) = (Mechanism::ScramSha256, Secret::new(USUAL.as_bytes().to_vec()));
        let begun = edge.ask(Ask::Scram { slot: Slot(slot), mechanism, message, exported: None, tls: None }).await;
        assert!(matches!(begun, Answer::Challenge { .. }), "{slot}: {begun:?}");
    }
}

#[test]
fn rule_a17_who_begins_without_end_and_is_silent_keeps_the_owner_out_nowhere() {
    let (mut bench, _) = bench();
    let rules = &mut bench.slice.limits.failed_logins;
    (rules.address, rules.prefix, rules.credential) = ([1000, 1000], [1000, 1000], [1000, 1000]);
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        // It is not at home there, and then it is.
        for slots in [1001..1201, 2001..2201] {
            fall_silent(&bench, &mut edge, slots.clone()).await;
            edge.opened(&bench, 1, "192.0.2.1").await;
            let (answer, _) = edge.prove("shop", &bench.password).await;
            assert!(granted(&answer), "{slots:?}: {answer:?}");
            edge.asks.send(Ask::Close { slot: Slot(1) }).await.unwrap();
        }
        // Whoever was ended hears of it when it speaks, and may try again.
        let slot = Slot(1001);
        let answer = edge.ask(Ask::Respond { slot, message: Secret::new(b"c=biws,r=abc,p=AAAA".to_vec()) }).await;
        assert!(matches!(answer, Answer::Denied { denial: Denial::Busy, .. }), "{answer:?}");
        assert!(granted(&edge.password(1001, "shop", &bench.password).await));
    });
    vault.drain();
    assert!(failures(&bench).iter().any(|(reason, _)| reason == "too-many-exchanges"));
}
