//! When those come back whom an attempt did not reach.

use super::courier::offered;
use super::*;
use crate::policy::OnUnknown;

#[test]
fn rule_u10_a_message_that_ends_sessions_waits_by_itself_and_that_of_another_makes_the_route_rest() {
    let mut bench = Bench::new();
    bench.slice.retry = vec![Duration::from_secs(3600)];
    let (key, password) = login::key::generate().unwrap();
    let secrets = vec![DeclaredSecret { key, hash: hashing::hash_here(&password).unwrap(), scram: None }];
    let till = Declared { id: "till".into(), secrets, ..bench.slice.credentials[0].clone() };
    bench.slice.credentials.push(till);
    let mut vault = bench.run();
    test(async {
        let (mut courier, job, poison) = offered(&bench, &mut vault, &["x@example.org"], b"x\r\n").await;
        courier.tell(Progress::BrokenOff { job, said: said(421) }).await;
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        edge.submit(1, &["y@example.org"], b"y\r\n").await;
        let (job, next, ..) = courier.message().await;
        assert_ne!(next, poison);
        courier.tell(Progress::BrokenOff { job, said: said(421) }).await;
        let capsule = bench.capsule(edge.instance, 1, "192.0.2.1");
        edge.ask(Ask::Open { slot: Slot(2), capsule, via: Via::Direct }).await;
        edge.password(2, "till", &password).await;
        edge.submit(2, &["z@example.org"], b"z\r\n").await;
        let (job, ..) = courier.message().await;
        courier.tell(Progress::BrokenOff { job, said: said(421) }).await;
        let rests = async {
            let mut names = Vec::new();
            while !names.contains(&"route.pause".to_owned()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let _ = query(&bench.home.path().join("audit"), &Filter::default(), |event| {
                    names.extend(event.get("event").map(str::to_owned));
                });
            }
        };
        tokio::time::timeout(Duration::from_secs(10), rests).await.expect("the route rests");
    });
    vault.drain();
    assert_eq!(bench.count("SELECT count(*) FROM spool_rcpt WHERE state = 0 AND attempts = 1"), 3);
    let pauses = bench.told("route.pause");
    assert_eq!(pauses, 1, "one credential alone makes no route rest");
}

#[test]
fn rule_q4_rule_q8_recipients_who_were_put_off_together_come_back_together() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let to = ["x@example.org", "y@example.org", "z@example.org"];
        let (mut courier, job, message) = offered(&bench, &mut vault, &to, b"x\r\n").await;
        courier.say(job, 0, Outcome::Deferred(said(451))).await;
        // So much later that who counted from here would come back much later too.
        tokio::time::sleep(Duration::from_millis(50)).await;
        courier.say(job, 1, Outcome::Failed(said(550))).await;
        courier.say(job, 2, Outcome::Unknown(said(421))).await;
        courier.settled(job).await;
        let mut again = courier.message().await;
        if again.1 != message {
            // The report about the second one was made first.
            again = courier.message().await;
        }
        let (_, same, recipients, _) = again;
        assert_eq!(same, message);
        assert_eq!(recipients.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 2]);
        vault.abandon();
    });
    assert_eq!(bench.count("SELECT count(DISTINCT next_us) FROM spool_rcpt WHERE n IN (0, 2) AND attempts = 1"), 1);
}

#[test]
fn rule_q7_an_unknown_outcome_is_held_or_given_up_where_the_credential_says_so() {
    for (on_unknown, held, failed, owed) in [(OnUnknown::Hold, 1, 0, 0), (OnUnknown::Drop, 0, 1, 1)] {
        let mut bench = Bench::new();
        bench.slice.credentials[0].policy.on_unknown = on_unknown;
        let mut vault = bench.run();
        test(async {
            let (mut courier, job, _) = offered(&bench, &mut vault, &["x@example.org"], b"x\r\n").await;
            courier.say(job, 0, Outcome::Unknown(said(421))).await;
            courier.settled(job).await;
            if owed == 1 {
                // Of the report nobody knows either: it is tried again, since nobody else tells its reader.
                let (job, _, recipients, _) = courier.message().await;
                courier.say(job, recipients[0].0, Outcome::Unknown(said(421))).await;
                courier.settled(job).await;
            } else {
                let quiet = tokio::time::timeout(Duration::from_millis(500), courier.offers.receive()).await;
                assert!(quiet.is_err(), "{quiet:?}");
            }
        });
        vault.drain();
        let first = "msg = (SELECT min(id) FROM spool_msg)";
        assert_eq!(
            bench.count(&format!("SELECT count(*) FROM spool_rcpt WHERE held = 1 AND state = 0 AND {first}")),
            held
        );
        assert_eq!(bench.count(&format!("SELECT count(*) FROM spool_rcpt WHERE state = 3 AND {first}")), failed);
        let later = "msg <> (SELECT min(id) FROM spool_msg) AND state = 0 AND held = 0 AND attempts = 1";
        assert_eq!(bench.count(&format!("SELECT count(*) FROM spool_rcpt WHERE {later}")), owed, "the report waits");
        assert_eq!(bench.count("SELECT count(*) FROM spool_msg WHERE hold = 2"), held, "it is the gate that holds it");
        let event = if on_unknown == OnUnknown::Hold { "queue.hold" } else { "queue.drop" };
        assert_eq!(bench.told(event), 1, "{event}");
    }
}

#[test]
fn rule_q4_a_clock_that_was_set_forward_makes_nobody_come_back_before_his_wait() {
    const YEAR_US: u64 = 365 * 86_400_000_000;
    let mut bench = Bench::new();
    bench.slice.retry = vec![HOUR];
    AHEAD_US.set(YEAR_US);
    let mut vault = bench.run();
    AHEAD_US.set(0);
    test(async {
        let set = vault.writer.run(|_| {
            AHEAD_US.set(YEAR_US);
            Ok(())
        });
        set.await.unwrap();
        let (mut courier, job, _) = offered(&bench, &mut vault, &["x@example.org"], b"x\r\n").await;
        courier.say(job, 0, Outcome::Deferred(said(451))).await;
        courier.settled(job).await;
        let quiet = tokio::time::timeout(Duration::from_millis(500), courier.offers.receive()).await;
        assert!(quiet.is_err(), "{quiet:?}");
    });
    vault.drain();
    assert_eq!(bench.count("SELECT count(*) FROM spool_rcpt WHERE state = 0 AND attempts = 1"), 1);
}
