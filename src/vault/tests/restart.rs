//! What is remembered over a restart, by the vault and by the sealer.

use super::*;

#[test]
fn a_quota_outlives_a_restart_and_a_refusal_takes_nothing_of_it() {
    let bench = Bench::new();
    for round in 0..2 {
        let mut vault = bench.run();
        test(async {
            let mut edge = vault.edge();
            edge.login(&bench, 1).await;
            let not_ours = Facts { authors: vec![address("a@evil.example")], ..Facts::default() };
            for _ in 0..7 {
                // Refused at the dot.
                assert!(matches!(edge.mail(1, "a@example.net").await, Answer::Reserved { .. }));
                let batch = vec![address("x@example.org").into()];
                edge.asks.send(Ask::Recipients { slot: Slot(1), batch }).await.unwrap();
                edge.ask(Ask::Content { slot: Slot(1) }).await;
                let refused = edge.ask(Ask::Commit { slot: Slot(1), facts: not_ours.clone() }).await;
                assert!(matches!(refused, Answer::Refused { refusal: Refusal::AuthorNotAllowed, .. }), "{refused:?}");
            }
            let messages = if round == 0 { 3 } else { 2 };
            for _ in 0..messages {
                let kept = edge.submit(1, &["x@example.org"], b"x\r\n").await;
                assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
            }
            if round == 1 {
                let refused = edge.submit(1, &["x@example.org"], b"x\r\n").await;
                assert!(matches!(refused, Answer::Refused { refusal: Refusal::QuotaExceeded(_), .. }), "{refused:?}");
            }
        });
        vault.abandon();
    }
}

#[test]
fn a_sealer_that_remembers_more_is_reported_and_mail_goes_on() {
    let bench = Bench::new();
    bench.run().drain_after(5);
    // The vault's disk was restored to a state from before; the sealer's was not.
    fs::remove_dir_all(bench.home.path().join("db")).unwrap();
    fs::remove_dir_all(bench.home.path().join("audit")).unwrap();
    prepare(bench.home.path(), None, None).unwrap();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let kept = edge.submit(1, &["x@example.org"], b"x\r\n").await;
        assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
    });
    vault.drain();
    let refused = bench.events(&Filter { event: Some("sealer.refused".into()), ..Filter::default() });
    assert_eq!(refused.len(), 1, "{:?}", bench.names());
}

#[test]
fn a_sealer_that_has_forgotten_is_reported_and_signs_again() {
    let bench = Bench::new();
    bench.run().drain_after(2);
    let old = crate::sealer::state::SLOTS.map(|slot| fs::read(bench.home.path().join(slot)).unwrap());
    bench.run().drain_after(3);
    for (slot, old) in crate::sealer::state::SLOTS.iter().zip(old) {
        fs::write(bench.home.path().join(slot), old).unwrap();
    }
    let vault = bench.run();
    let verifier = vault.verifier.clone();
    vault.drain_after(1);
    let failures = bench.events(&Filter { event: Some("integrity.failure".into()), ..Filter::default() });
    assert_eq!(failures.len(), 1, "{:?}", bench.names());
    assert_eq!(failures[0].get("reason"), Some("sealer-forgot"));
    let summary = verify(&bench.home.path().join("audit"), &verifier, &Known::default(), |_| {}).unwrap();
    assert_eq!((summary.size, summary.sealed), (7, 7));
}

#[test]
fn why_the_last_vault_had_to_end_is_an_event_of_the_next_and_of_no_other() {
    let bench = Bench::new();
    bench.run().drain();
    fs::write(bench.home.path().join("db/failed"), "disk I/O error\n").unwrap();
    bench.run().drain();
    bench.run().drain();
    let found = bench.events(&Filter { event: Some("store.ioerror".into()), ..Filter::default() });
    let said: Vec<_> = found.iter().map(|event| event.get("data")).collect();
    assert_eq!(said, [Some(r#"{"said":"disk I/O error"}"#)]);
}
