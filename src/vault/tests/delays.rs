//! Mail that waits for long: its sender is told once, of each recipient, however often the vault begins.

use super::queue::order;
use super::reports::report;
use super::*;
use crate::ipc::admin::queue::Deed;
use crate::mail::dsn::{Notify, Wish};
use crate::policy::reports::Reports;

/// What is put off waits longer than any test, and is late at once.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.slice.retry = vec![Duration::from_secs(3600)];
    bench.slice.delay_report = Some(Duration::from_millis(1));
    bench
}

/// Takes the next message, which is no report, and puts all of it off.
async fn put_off(courier: &mut Courier, expected: &str) -> MessageId {
    let (job, message, recipients, _) = courier.message().await;
    assert_eq!(recipients[0].1, address(expected));
    for (number, _) in &recipients {
        let said = Said { enhanced: Some("4.2.2".into()), ..said(451) };
        courier.say(job, *number, Outcome::Deferred(said)).await;
    }
    courier.settled(job).await;
    message
}

async fn submit(edge: &mut Edge, to: &str, notify: Option<&str>) {
    let wish = Wish { notify: notify.map(|text| Notify::parse(text).unwrap()), orcpt: None };
    let to = vec![Addressee { address: address(to), wish }];
    let kept = edge.transact(1, Manner::default(), to, b"Subject: offer\r\n\r\nthe body\r\n", 1).await;
    assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
}

/// The data of each report that was sent because of a delay.
fn told(bench: &Bench) -> Vec<String> {
    let sent = bench.events(&Filter::default());
    let sent = sent.iter().filter(|event| event.get("event") == Some("dsn.sent"));
    sent.inspect(|event| assert_eq!((event.get("outcome"), event.get("reason")), (Some("success"), Some("delayed"))))
        .map(|event| event.get("data").unwrap().to_owned())
        .collect()
}

#[test]
fn rule_q14_a_delay_is_told_once_over_restarts_and_the_message_is_tried_as_before() {
    let mut bench = bench();
    let late = bench.slice.delay_report.take();
    let mut vault = bench.run();
    let message = test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let to = ["x@example.org", "y@example.org"];
        edge.submit(1, &to, b"Subject: offer\r\n\r\nthe body\r\n").await;
        let mut courier = vault.courier().await;
        put_off(&mut courier, "x@example.org").await
    });
    vault.drain();
    assert_eq!(told(&bench).len(), 0);
    bench.slice.delay_report = late;
    let mut vault = bench.run();
    let text = test(async {
        let mut courier = vault.courier().await;
        report(&mut courier).await.1
    });
    vault.drain();
    for expected in [
        "Subject: Your message is delayed\r\n",
        "Auto-Submitted: auto-replied\r\n",
        "Final-Recipient: rfc822; x@example.org\r\nAction: delayed\r\nStatus: 4.2.2\r\n",
        "Final-Recipient: rfc822; y@example.org\r\nAction: delayed\r\n",
        "\r\nWill-Retry-Until: ",
        "\r\nSubject: offer\r\n",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    // Another one shows that the next vault has looked.
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        submit(&mut edge, "z@example.org", None).await;
        let mut courier = vault.courier().await;
        put_off(&mut courier, "z@example.org").await;
        let text = report(&mut courier).await.1;
        assert!(text.contains("rfc822; z@example.org\r\n") && !text.contains("x@example.org"), "{text}");
    });
    vault.drain();
    let told = told(&bench);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains(&message.to_string()) && told[0].contains("\"recipients\":2"), "{told:?}");
    assert_eq!(bench.bodies(), 2, "both are still tried");
    assert_eq!(bench.count("SELECT count(*) FROM spool_rcpt WHERE since_us IS NOT NULL"), 0);
}

#[test]
fn rule_q14_only_who_wants_it_is_told_of_a_delay() {
    let network = vec!["10.9.0.0/16".parse().unwrap()];
    let by_mail = Policy::default();
    let device = Policy { identified_by: network, ..Policy::default() };
    let none = Policy { reports: Reports::None, ..Policy::default() };
    for (policy, notify, is_told) in [
        (&by_mail, None, true),
        (&by_mail, Some("FAILURE"), false),
        (&by_mail, Some("NEVER"), false),
        (&device, None, false),
        (&device, Some("DELAY"), true),
        (&none, Some("DELAY"), false),
    ] {
        let mut bench = bench();
        let own = &mut bench.slice.credentials[0].policy;
        (own.identified_by, own.reports) = (policy.identified_by.clone(), policy.reports);
        let mut vault = bench.run();
        test(async {
            let mut edge = vault.edge();
            edge.login(&bench, 1).await;
            submit(&mut edge, "x@example.org", notify).await;
            let mut courier = vault.courier().await;
            put_off(&mut courier, "x@example.org").await;
            if is_told {
                report(&mut courier).await;
            }
        });
        // Where there is nothing to tell, no later look finds anything either.
        vault.drain();
        assert_eq!(told(&bench).len(), usize::from(is_told), "{notify:?}");
        assert_eq!(bench.count("SELECT count(*) FROM spool_rcpt WHERE since_us IS NOT NULL"), 0, "{notify:?}");
    }
}

#[test]
fn rule_q14_what_rests_is_late_and_what_is_held_is_not_until_it_is_released() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        submit(&mut edge, "held@example.org", None).await;
        order(&mut vault, Deed::Hold).await;
        submit(&mut edge, "rests@example.org", None).await;
        // Nothing is offered to anybody: the report waits as its message does.
        let size = vault.writer.size();
        while vault.writer.size() == size {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    vault.drain();
    assert_eq!(told(&bench).len(), 1);
    assert_eq!(bench.count("SELECT since_us IS NULL FROM spool_rcpt WHERE rcpt = 'rests@example.org'"), 1);
    let since = "SELECT since_us FROM spool_rcpt WHERE rcpt = 'held@example.org'";
    let before = bench.count(since);

    let mut bench = bench;
    bench.slice.delay_report = None;
    let mut vault = bench.run();
    test(async { assert_eq!(order(&mut vault, Deed::Release).await.recipients, 1) });
    vault.drain();
    assert!(bench.count(since) > before, "it begins to wait when it is released");

    bench.slice.delay_report = Some(Duration::from_millis(1));
    let mut vault = bench.run();
    test(async {
        // One at a time, or a message would come within a report.
        let mut courier = vault.silent_courier("smarthost");
        courier.tell(Progress::Slots(1)).await;
        let mut texts = Vec::new();
        while texts.len() < 2 {
            let Offer::Message { job, sender, .. } = courier.offer().await else { panic!("no message") };
            let Offer::Recipients { .. } = courier.offer().await else { panic!("no recipients") };
            if sender.is_none() {
                texts.push(String::from_utf8(courier.content(job).await).unwrap());
            }
            let outcome = if sender.is_none() { Outcome::Delivered(said(250)) } else { Outcome::Deferred(said(451)) };
            courier.say(job, 0, outcome).await;
            courier.settled(job).await;
        }
        assert!(texts.iter().any(|text| text.contains("rfc822; held@example.org\r\nAction: delayed")), "{texts:?}");
    });
    vault.drain();
    assert_eq!(told(&bench).len(), 2);
}

#[test]
fn rule_q14_rule_x7_a_report_that_is_late_is_not_reported_and_is_over_with_its_message() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        submit(&mut edge, "x@example.org", None).await;
        let mut courier = vault.courier().await;
        put_off(&mut courier, "x@example.org").await;
        put_off(&mut courier, "a@example.net").await;
        submit(&mut edge, "y@example.org", None).await;
        put_off(&mut courier, "y@example.org").await;
        put_off(&mut courier, "a@example.net").await;
    });
    vault.drain();
    assert_eq!(told(&bench).len(), 2);
    assert_eq!(bench.count("SELECT count(*) FROM spool_msg WHERE report = 1"), 2);
    let over = "SELECT count(DISTINCT expires_us) FROM spool_msg";
    assert_eq!(bench.count(over), 2, "each report and its message");
}
