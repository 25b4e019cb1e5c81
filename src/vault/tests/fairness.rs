//! One credential's mail in the way of another's.

use super::courier::offered;
use super::*;

/// A second credential, and its password.
pub fn with_till(bench: &mut Bench) -> Secret<String> {
    let (key, password) = login::key::generate().unwrap();
    let secrets = vec![DeclaredSecret { key, hash: hashing::hash_here(&password).unwrap(), scram: None }];
    let till = Declared { id: "till".into(), secrets, ..bench.slice.credentials[0].clone() };
    bench.slice.credentials.push(till);
    password
}

#[test]
fn rule_q11_slow_messages_of_one_credential_leave_a_connection_to_the_others() {
    let mut bench = Bench::new();
    let password = with_till(&mut bench);
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        for _ in 0..5 {
            edge.submit(1, &["x@example.org"], b"x\r\n").await;
        }
        // Four at once.
        let mut courier = vault.courier().await;
        let mut slow = Vec::new();
        for _ in 0..3 {
            slow.push(courier.message().await.0);
        }
        let quiet = tokio::time::timeout(Duration::from_millis(1500), courier.offers.receive()).await;
        assert!(quiet.is_err(), "{quiet:?}");
        let capsule = bench.capsule(edge.instance, 1, "192.0.2.1");
        edge.ask(Ask::Open { slot: Slot(2), capsule, via: Via::Direct }).await;
        edge.password(2, "till", &password).await;
        let kept = edge.submit(2, &["z@example.org"], b"z\r\n").await;
        assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
        let (job, _, recipients, _) = courier.message().await;
        assert_eq!(recipients[0].1, address("z@example.org"));
        // One remains for whoever has none: when two have ended, the next may go.
        for job in [slow[0], job] {
            courier.say(job, 0, Outcome::Delivered(said(250))).await;
            courier.settled(job).await;
        }
        let (_, _, recipients, _) = courier.message().await;
        assert_eq!(recipients[0].1, address("x@example.org"));
    });
    vault.abandon();
}

#[test]
fn rule_u10_a_message_that_ended_a_session_goes_to_the_next_upstream_and_takes_nobody_with_it() {
    let mut bench = Bench::new();
    bench.slice.upstreams.push("second".into());
    bench.slice.routes[0].via = vec![0, 1];
    let mut vault = bench.run();
    test(async {
        let (mut first, job, odd) = offered(&bench, &mut vault, &["x@example.org", "y@example.org"], b"x\r\n").await;
        let mut second = vault.courier_of("second").await;
        first.say(job, 1, Outcome::Deferred(said(451))).await;
        first.tell(Progress::BrokenOff { job, said: said(421) }).await;
        let (_, message, recipients, _) = second.message().await;
        assert_eq!((message, recipients), (odd, vec![(0, address("x@example.org"))]));
        // Who was only put off, and whoever comes now, is for the first as before.
        let (_, message, recipients, _) = first.message().await;
        assert_eq!((message, recipients), (odd, vec![(1, address("y@example.org"))]));
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let kept = edge.submit(1, &["z@example.org"], b"z\r\n").await;
        let Answer::Kept { message, .. } = kept else { panic!("{kept:?}") };
        assert_eq!(first.message().await.1, message);
    });
    vault.abandon();
}
