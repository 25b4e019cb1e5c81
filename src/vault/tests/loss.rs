//! A part of the state is missing or older than the rest: what only the newer part knows stays.

use super::at_rest::deliver;
use super::*;

/// The bodies in `db/`, by the names that begin like that.
fn bodies(bench: &Bench, start: &str) -> usize {
    let names = fs::read_dir(bench.home.path().join("db")).unwrap();
    names.filter(|name| name.as_ref().unwrap().file_name().to_string_lossy().starts_with(start)).count()
}

#[test]
fn an_older_database_destroys_no_body_that_the_newer_one_needs() {
    let bench = Bench::new();
    let path = bench.home.path().join("db/vault.db");
    bench.run().drain_after(2);
    let old = fs::read(&path).unwrap();
    let body = vec![b'x'; 100_000];
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let kept = edge.submit(1, &["x@example.org"], &body).await;
        assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
    });
    vault.drain();
    let new = fs::read(&path).unwrap();
    fs::write(&path, old).unwrap();
    // Twice: the second time nothing shows any more that it was behind.
    for _ in 0..2 {
        bench.run().drain();
        assert_eq!((bodies(&bench, segment::PREFIX), bodies(&bench, segment::ASIDE)), (0, 1));
    }
    fs::write(&path, new).unwrap();
    let mut vault = bench.run();
    assert_eq!((bodies(&bench, segment::PREFIX), bodies(&bench, segment::ASIDE)), (1, 0));
    test(async {
        let mut courier = vault.courier().await;
        assert!(deliver(&mut courier).await == body);
    });
    vault.abandon();
}

#[test]
fn files_of_the_log_that_are_gone_at_a_start_are_an_event() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let kept = edge.submit(1, &["x@example.org"], b"x\r\n").await;
        assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
    });
    vault.drain();
    bench.run().drain();
    assert!(!bench.names().contains(&"integrity.failure".to_owned()), "{:?}", bench.names());
    let personal = fs::read_dir(bench.home.path().join("db")).unwrap().map(|entry| entry.unwrap().path());
    let personal: Vec<_> = personal.filter(|path| path.to_string_lossy().contains("personal-")).collect();
    assert!(!personal.is_empty());
    personal.iter().for_each(|path| fs::remove_file(path).unwrap());
    let told = |reason: &str| {
        bench.run().drain();
        let found = bench.events(&Filter { event: Some("integrity.failure".into()), ..Filter::default() });
        assert_eq!(found.iter().map(|event| event.get("reason")).collect::<Vec<_>>(), [Some(reason)]);
    };
    told("personal-missing");
    // With it goes the event of before.
    fs::remove_file(bench.home.path().join("audit/audit.db")).unwrap();
    told("events-missing");
}
