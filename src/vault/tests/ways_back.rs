//! Reports to senders whose mail goes by an upstream that takes none from nobody: by whom they are sent, and that they are
//! reports all the same.

use super::courier::offered;
use super::*;
use crate::config::slice::Bounce;
use crate::mail::dsn::{Notify, Wish};
use crate::policy::reports::Reports;

fn failed() -> Outcome {
    Outcome::Failed(Said { enhanced: Some("5.1.1".into()), ..said(550) })
}

/// Mail goes by the smart host, and there is a relay beside it.
fn bench(from: Option<&str>, via: Option<u16>) -> Bench {
    let mut bench = Bench::new();
    bench.slice.upstreams.push("relay".into());
    let from = from.map(address);
    bench.slice.bounces = vec![Bounce { upstream: 0, from, via, requiretls: false, webhook: None }];
    bench
}

/// The next message of a courier: whom it is from, and its text. One that has a sender asks for no reports.
async fn next(courier: &mut Courier, outcome: Outcome) -> (Option<Address>, String) {
    let Offer::Message { job, sender, .. } = courier.offer().await else { panic!("no message") };
    let Offer::Recipients { batch, .. } = courier.offer().await else { panic!("no recipients") };
    let wish = Wish { notify: sender.is_some().then(Notify::never), orcpt: None };
    assert_eq!(batch, [(0, Addressee { address: address("a@example.net"), wish })]);
    let content = courier.content(job).await;
    courier.say(job, 0, outcome).await;
    courier.settled(job).await;
    (sender, String::from_utf8(content).unwrap())
}

#[test]
fn rule_q13_rule_x7_a_report_with_a_sender_is_one_all_the_same_and_nothing_is_reported_of_it() {
    for outcome in [failed(), Outcome::Unknown(said(421))] {
        let mut bench = bench(Some("mailer-daemon@example.net"), None);
        // What nobody knows of a report is tried again, whatever the credential says of its mail.
        bench.slice.credentials[0].policy.on_unknown = crate::policy::OnUnknown::Drop;
        let mut vault = bench.run();
        test(async {
            let (mut courier, job, _) =
                offered(&bench, &mut vault, &["x@example.org"], b"Subject: offer\r\n\r\n").await;
            courier.say(job, 0, failed()).await;
            courier.settled(job).await;
            let (sender, text) = next(&mut courier, outcome.clone()).await;
            assert_eq!(sender, Some(address("mailer-daemon@example.net")));
            for expected in [
                "From: Mail Delivery System <mailer-daemon@example.net>\r\n",
                "Auto-Submitted: auto-replied\r\n",
                "Final-Recipient: rfc822; x@example.org\r\n",
            ] {
                assert!(text.starts_with(expected) || text.contains(&format!("\n{expected}")), "{expected}: {text}");
            }
            if matches!(outcome, Outcome::Unknown(_)) {
                next(&mut courier, failed()).await;
            }
        });
        vault.drain();
        let sent = bench.names().into_iter().filter(|name| name == "dsn.sent").count();
        assert_eq!(sent, 1);
        assert_eq!(bench.count("SELECT count(*) FROM spool_msg WHERE done_us IS NULL"), 0);
        assert_eq!(bench.count("SELECT count(*) FROM spool_msg WHERE report = 1 AND mail_from IS NOT NULL"), 1);
    }
}

#[test]
fn rule_q13_a_report_goes_by_the_upstream_that_is_named_for_it_also_after_the_routes_were_looked_at_again() {
    let bench = bench(None, Some(1));
    let mut vault = bench.run();
    test(async {
        let (mut courier, job, _) = offered(&bench, &mut vault, &["x@example.org"], b"x\r\n").await;
        let before = vault.writer.size();
        courier.say(job, 0, failed()).await;
        courier.settled(job).await;
        while vault.writer.size() < before + 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    vault.drain();
    let lanes = "SELECT count(*) FROM spool_rcpt WHERE rcpt = 'a@example.net' AND lane = 'relay'";
    assert_eq!(bench.count(lanes), 1);
    // At a start everybody who waits is looked at.
    let mut vault = bench.run();
    test(async {
        let mut relay = vault.courier_of("relay").await;
        let (sender, text) = next(&mut relay, Outcome::Delivered(said(250))).await;
        assert_eq!(sender, None);
        assert!(text.contains("<MAILER-DAEMON@gate.example.net>"), "{text}");
    });
    vault.drain();
    assert_eq!(bench.count(lanes), 1);
}

#[test]
fn rule_q13_a_credential_that_wants_no_reports_has_none_and_the_log_says_so() {
    let mut bench = Bench::new();
    bench.slice.credentials[0].policy.reports = Reports::None;
    let mut vault = bench.run();
    let submitted = async |vault: &mut Running, bench: &Bench| {
        let (mut courier, job, _) = offered(bench, vault, &["x@example.org", "y@example.org"], b"x\r\n").await;
        let before = vault.writer.size();
        courier.say(job, 0, failed()).await;
        while vault.writer.size() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        courier.say(job, 1, Outcome::Delivered(said(250))).await;
        courier.settled(job).await;
    };
    test(submitted(&mut vault, &bench));
    vault.drain();
    let events = bench.events(&Filter::default());
    let failure = events.iter().find(|event| event.get("event") == Some("deliver.bounce")).unwrap();
    assert_eq!(failure.get("data"), Some("{\"report\":\"none\"}"));
    assert!(!bench.names().contains(&"dsn.sent".to_owned()));
    assert_eq!(bench.count("SELECT count(*) FROM spool_msg WHERE done_us IS NULL"), 0);
    assert_eq!(bench.count("SELECT untold FROM spool_msg"), 1);

    // Whoever changes that before the report is made has none made.
    let mut bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let (mut courier, job, _) = offered(&bench, &mut vault, &["x@example.org", "y@example.org"], b"x\r\n").await;
        let before = vault.writer.size();
        courier.say(job, 0, failed()).await;
        while vault.writer.size() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        vault.abandon();
    });
    assert_eq!(bench.count("SELECT count(*) FROM spool_rcpt WHERE owed = 1"), 1);
    bench.slice.credentials[0].policy.reports = Reports::None;
    let mut vault = bench.run();
    test(async {
        let mut courier = vault.courier().await;
        let (job, _, recipients, _) = courier.message().await;
        assert_eq!(recipients, [(1, address("y@example.org"))]);
        courier.say(job, 1, Outcome::Delivered(said(250))).await;
        courier.settled(job).await;
    });
    vault.drain();
    let events = bench.events(&Filter::default());
    let sent = events.iter().find(|event| event.get("event") == Some("dsn.sent")).unwrap();
    assert_eq!((sent.get("outcome"), sent.get("reason")), (Some("info"), Some("not-wanted")));
    assert_eq!(bench.count("SELECT count(*) FROM spool_msg WHERE report = 1"), 0);
}

/// One message fails, and nothing is reported of it. The event that says why not.
fn silent(bench: Bench, facts: Facts) -> Vec<(String, Option<String>)> {
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let to = vec![Addressee::from(address("x@example.org"))];
        let kept = edge.transact_with(1, Manner::default(), to, b"x\r\n", facts).await;
        assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
        let mut courier = vault.courier().await;
        let (job, ..) = courier.message().await;
        courier.say(job, 0, failed()).await;
        courier.settled(job).await;
    });
    vault.drain();
    assert_eq!(bench.count("SELECT count(*) FROM spool_msg WHERE report = 1 OR done_us IS NULL"), 0);
    let told = bench.events(&Filter::default());
    let told = told.iter().filter(|event| matches!(event.get("event"), Some("dsn.sent" | "deliver.bounce")));
    told.map(|event| (event.get("event").unwrap().to_owned(), event.get("reason").map(str::to_owned))).collect()
}

#[test]
fn rule_q13_nothing_is_reported_of_another_hosts_report_although_it_has_a_sender() {
    let facts = Facts { authors: vec![address("a@example.net")], is_report: true, ..Facts::default() };
    let told = silent(bench(None, None), facts);
    assert_eq!(told, [("deliver.bounce".into(), Some("refused-upstream".into()))]);
}
