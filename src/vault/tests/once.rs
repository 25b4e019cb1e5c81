//! Requests that are done once, by the vault that knows them.

use super::*;
use crate::ipc::once::Once;
use crate::vault::once::KEPT_US;

/// MAIL of a request that is done once, and what comes of it; a message is kept.
async fn ask(edge: &mut Edge, release_us: Option<u64>) -> Answer {
    let (slot, sender, helo) = (Slot(1), Some(address("a@example.net")), String::new());
    let manner = Manner { release_us, ..Manner::default() };
    let once = Some(Box::new(Once { key: [1; 32], fingerprint: [2; 32] }));
    let begun = edge.ask(Ask::Mail { slot, sender, size: None, manner, helo, tls: None, once }).await;
    if !matches!(begun, Answer::Reserved { .. }) {
        return begun;
    }
    edge.asks.send(Ask::Recipients { slot, batch: vec![address("b@example.org").into()] }).await.unwrap();
    edge.ask(Ask::Content { slot }).await;
    edge.asks.send(Ask::Chunk { slot, octets: Octets(b"From: a@example.net\r\n\r\nx\r\n".to_vec()) }).await.unwrap();
    let facts = Facts { authors: vec![address("a@example.net")], received: 1, ..Facts::default() };
    edge.asks.send(Ask::Commit { slot, facts }).await.unwrap();
    loop {
        match edge.answer().await {
            Answer::Credit { .. } => {}
            other => return other,
        }
    }
}

#[test]
fn what_is_to_leave_later_is_known_until_a_day_after_that_over_a_restart() {
    let mut bench = Bench::new();
    bench.slice.listeners[0].future_release = Some(72 * HOUR);
    let release_us = now_us() + 3 * KEPT_US - 60_000_000;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut vault = bench.run();
        test(async {
            let mut edge = vault.edge();
            edge.login(&bench, 1).await;
            ids.push(match ask(&mut edge, Some(release_us)).await {
                Answer::Kept { message, .. } | Answer::Repeated { message, .. } => message,
                other => panic!("{other:?}"),
            });
        });
        vault.drain();
    }
    assert_eq!(ids[0], ids[1]);
    let database = rusqlite::Connection::open(bench.home.path().join("db/vault.db")).unwrap();
    let until: i64 = database.query_row("SELECT expires_us FROM once", [], |row| row.get(0)).unwrap();
    assert_eq!(u64::try_from(until).unwrap(), release_us + KEPT_US);
}
