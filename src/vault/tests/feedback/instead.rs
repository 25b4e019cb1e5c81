//! What a webhook is told in the place of a report, and what it was told already: each failure once, and never nobody.

use super::*;

/// The shop has the webhook, and its upstream gives it what would be reported.
fn both(events: &[Told]) -> Bench {
    let mut bench = bench(events, Reports::Mail);
    let webhook = Some("app".into());
    bench.slice.bounces = vec![Bounce { upstream: 0, from: None, via: None, requiretls: false, webhook }];
    bench
}

#[test]
fn rule_q13_a_webhook_is_told_of_each_failure_once_whatever_it_wants_to_be_told_of() {
    let unsent = ("email.failed", "not-sendable", Outcome::Unsendable(Said::default()));
    let refused = ("email.bounced", "refused-upstream", failed());
    for events in [vec![], vec![Told::Bounced], vec![Told::Failed], all()] {
        for (kind, reason, outcome) in [&unsent, &refused] {
            let bench = both(&events);
            let mut vault = bench.run();
            test(async {
                let mut app = Receiving::attach(&mut vault);
                deliver(&bench, &mut vault, std::slice::from_ref(outcome)).await;
                let body = app.take().await;
                let told = (&body["type"], &body["data"]["reason"]);
                assert_eq!(told, (&Value::from(*kind), &Value::from(*reason)), "{events:?}");
                app.nothing().await;
            });
            vault.drain();
            assert!(named(&bench, "webhook.").is_empty(), "{events:?}");
            assert_eq!(named(&bench, "dsn."), [("dsn.sent".to_owned(), Some("by-webhook".to_owned()))]);
        }
    }
}

#[test]
fn rule_q13_an_event_that_stands_for_a_report_is_the_last_to_go_and_never_without_its_message() {
    let bench = both(&all());
    let mut vault = bench.run();
    test(async {
        // Nobody serves the webhook.
        deliver(&bench, &mut vault, &[failed()]).await;
    });
    vault.drain();
    assert_eq!(bench.count("SELECT count(*) FROM webhook_event"), 1);
    assert_eq!(bench.count("SELECT instead FROM webhook_event"), 1);
}

#[test]
fn rule_q13_a_webhook_of_another_upstream_takes_no_reports_that_the_first_one_takes() {
    let mut bench = bench(&all(), Reports::Mail);
    bench.slice.credentials[0].policy.webhook = None;
    bench.slice.upstreams.push("other".into());
    bench.slice.routes[0].via.push(1);
    let webhook = Some("app".into());
    bench.slice.bounces = vec![Bounce { upstream: 1, from: None, via: None, requiretls: false, webhook }];
    let mut vault = bench.run();
    test(async {
        let (mut courier, job, _) = offered(&bench, &mut vault, &["x@example.org"], b"x\r\n").await;
        courier.say(job, 0, failed()).await;
        courier.settled(job).await;
        super::super::reports::report(&mut courier).await;
    });
    vault.drain();
    assert_eq!(bench.count("SELECT count(*) FROM webhook_event"), 0);
}
