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
