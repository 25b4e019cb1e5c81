//! Reports to senders: who is told, of what, and once.

use super::courier::offered;
use super::*;
use crate::mail::dsn::{Notify, Report, Ret, Wish};

fn failed() -> Outcome {
    Outcome::Failed(Said { enhanced: Some("5.1.1".into()), ..said(550) })
}

/// The next message is a report to the sender of all these tests; its id and its text.
pub async fn report(courier: &mut Courier) -> (MessageId, String) {
    let Offer::Message { job, message, sender, recipients: 1, .. } = courier.offer().await else { panic!("no report") };
    assert_eq!(sender, None);
    let Offer::Recipients { batch, .. } = courier.offer().await else { panic!("no recipients") };
    assert_eq!(batch, [(0, address("a@example.net").into())]);
    let content = courier.content(job).await;
    courier.say(job, 0, Outcome::Delivered(said(250))).await;
    courier.settled(job).await;
    (message, String::from_utf8(content).unwrap())
}

fn deliveries(bench: &Bench) -> Vec<String> {
    bench.names().into_iter().filter(|name| name.starts_with("deliver.") || name.starts_with("dsn.")).collect()
}

#[test]
fn rule_d6_rule_x7_rule_q13_who_fails_later_is_reported_once_to_the_sender_from_nobody() {
    let bench = Bench::new();
    let mut vault = bench.run();
    let (message, told) = test(async {
        let to = ["x@example.org", "y@example.org", "z@example.org"];
        let content = b"Subject: offer\r\nX-Key: k\r\n\r\nthe body\r\n";
        let (mut courier, job, message) = offered(&bench, &mut vault, &to, content).await;
        courier.say(job, 0, failed()).await;
        courier.say(job, 1, Outcome::Delivered(said(250))).await;
        courier.say(job, 2, failed()).await;
        courier.settled(job).await;
        (message, report(&mut courier).await)
    });
    vault.drain();
    let (id, text) = told;
    for expected in [
        "To: <a@example.net>\r\n",
        "Final-Recipient: rfc822; x@example.org\r\n",
        "Final-Recipient: rfc822; z@example.org\r\n",
        "Diagnostic-Code: smtp; 550 5.1.1 words of rosa@example.org\r\n",
        "\r\nSubject: offer\r\nX-Key: k\r\n\r\n--",
        &message.to_string(),
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains("y@example.org") && !text.contains("the body"), "{text}");
    let expected = ["deliver.bounce", "deliver.success", "deliver.bounce", "dsn.sent", "deliver.success"];
    assert_eq!(deliveries(&bench), expected);
    let sent = bench.events(&Filter { message: Some(id.to_string()), ..Filter::default() });
    let sent = sent.iter().find(|event| event.get("event") == Some("dsn.sent")).unwrap();
    assert_eq!(sent.get("reason"), Some("failed"));
    assert!(sent.get("data").unwrap().contains(&message.to_string()));
    assert_eq!(bench.count("SELECT count(*) FROM spool_body"), 0);
    assert_eq!(bench.count("SELECT count(*) FROM spool_msg WHERE done_us IS NOT NULL"), 2);
}

#[test]
fn rule_q13_what_does_not_fit_into_one_report_makes_another_and_everybody_is_told_of_once() {
    let long = |n: u32| {
        let label = |length| "d".repeat(length);
        format!("r{n:03}{}@{}.{}.{}.example.org", "x".repeat(60), label(60), label(60), label(50))
    };
    let to: Vec<String> = (0..100).map(long).collect();
    let bench = Bench::new();
    let mut vault = bench.run();
    let reports = test(async {
        let names: Vec<&str> = to.iter().map(String::as_str).collect();
        let (mut courier, job, _) = offered(&bench, &mut vault, &names, b"Subject: offer\r\n\r\nx\r\n").await;
        for number in 0..100 {
            courier.say(job, number, failed()).await;
        }
        courier.settled(job).await;
        let mut reports = Vec::new();
        let told =
            |reports: &[String]| reports.iter().map(|text| text.matches("Final-Recipient:").count()).sum::<usize>();
        while told(&reports) < to.len() {
            reports.push(report(&mut courier).await.1);
        }
        reports
    });
    vault.drain();
    assert!(reports.len() > 1 && reports.iter().all(|text| text.len() <= 50_000), "{}", reports.len());
    for recipient in &to {
        let named = format!("Final-Recipient: rfc822; {recipient}\r\n");
        assert_eq!(reports.iter().map(|text| text.matches(&named).count()).sum::<usize>(), 1, "{recipient}");
    }
    assert!(reports.iter().all(|text| text.contains("\r\nSubject: offer\r\n")));
    assert_eq!(deliveries(&bench).iter().filter(|name| *name == "dsn.sent").count(), reports.len());
    assert_eq!(bench.count("SELECT count(*) FROM spool_msg WHERE done_us IS NULL"), 0);
}

#[test]
fn rule_x7_nothing_is_reported_of_a_report() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let (mut courier, job, _) = offered(&bench, &mut vault, &["x@example.org"], b"x\r\n").await;
        courier.say(job, 0, failed()).await;
        courier.settled(job).await;
        let (job, ..) = courier.message().await;
        courier.say(job, 0, failed()).await;
        courier.settled(job).await;
    });
    vault.drain();
    assert_eq!(deliveries(&bench), ["deliver.bounce", "dsn.sent", "deliver.bounce"]);
    assert_eq!(bench.count("SELECT count(*) FROM spool_msg WHERE done_us IS NULL"), 0);
}

#[test]
fn rule_x5_rule_x6_the_sender_is_told_what_it_wants_to_be_told() {
    let delivered = |reports| Outcome::Delivered(Said { reports, ..said(250) });
    let cases = [
        (None, failed(), true),
        (Some("NEVER"), failed(), false),
        (Some("SUCCESS"), failed(), false),
        (Some("DELAY,FAILURE"), failed(), true),
        (None, delivered(false), false),
        (Some("FAILURE"), delivered(false), false),
        (Some("SUCCESS"), delivered(false), true),
        // The next host will do it.
        (Some("SUCCESS"), delivered(true), false),
    ];
    for (notify, outcome, is_told) in cases {
        let bench = Bench::new();
        let mut vault = bench.run();
        test(async {
            let mut edge = vault.edge();
            edge.login(&bench, 1).await;
            let wish = Wish { notify: notify.map(|text| Notify::parse(text).unwrap()), orcpt: None };
            let manner = Manner { report: Report { ret: Some(Ret::Full), envid: None }, ..Manner::default() };
            let to = Addressee { address: address("x@example.org"), wish };
            edge.transact(1, manner, vec![to], b"Subject: offer\r\n\r\nthe body\r\n", 1).await;
            let mut courier = vault.courier().await;
            let (job, ..) = courier.message().await;
            courier.say(job, 0, outcome.clone()).await;
            courier.settled(job).await;
            if is_told {
                let (_, text) = report(&mut courier).await;
                let action = if matches!(outcome, Outcome::Failed(_)) { "failed" } else { "relayed" };
                assert!(text.contains(&format!("\r\nAction: {action}\r\n")), "{text}");
                // What isn't of a failure brings back the header alone (RFC 3461 section 4.3).
                let original = match action {
                    "failed" => "message/rfc822\r\n\r\nSubject: offer\r\n\r\nthe body\r\n\r\n--",
                    _ => "text/rfc822-headers\r\n\r\nSubject: offer\r\n\r\n--",
                };
                assert!(text.contains(&format!("\r\nContent-Type: {original}")), "{text}");
            }
        });
        vault.drain();
        let sent = deliveries(&bench).iter().filter(|name| *name == "dsn.sent").count();
        assert_eq!(sent, usize::from(is_told), "{notify:?} {outcome:?}");
        assert_eq!(bench.count("SELECT count(*) FROM spool_body"), 0);
    }
}

#[test]
fn rule_x7_rule_x8_a_report_is_under_tls_like_its_message_or_tells_nothing_of_it() {
    for keeps_tls in [true, false] {
        let mut bench = Bench::new();
        bench.slice.routes[0].requiretls = true;
        if !keeps_tls {
            let back =
                Route { to: "@example.net".parse().unwrap(), requiretls: false, ..bench.slice.routes[0].clone() };
            bench.slice.routes.insert(0, back);
        }
        let mut vault = bench.run();
        test(async {
            let mut edge = vault.edge();
            edge.login(&bench, 1).await;
            let manner = Manner { require_tls: true, ..Manner::default() };
            let to = vec![address("x@example.org").into()];
            let kept = edge.transact(1, manner, to, b"Subject: offer\r\n\r\nthe body\r\n", 1).await;
            assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
            let mut courier = vault.courier().await;
            let (job, ..) = courier.message().await;
            courier.say(job, 0, failed()).await;
            courier.settled(job).await;
            let (job, .., manner) = courier.envelope().await;
            let text = String::from_utf8(courier.content(job).await).unwrap();
            assert_eq!((manner.require_tls, text.contains("Subject: offer")), (keeps_tls, keeps_tls), "{text}");
        });
        vault.drain();
    }
}

#[test]
fn rule_d6_a_report_that_was_owed_when_the_vault_fell_is_made_by_the_next_one() {
    let bench = Bench::new();
    let mut vault = bench.run();
    let content = [b"Subject: large\r\n\r\n".to_vec(), b"0123456789\r\n".repeat(10_000)].concat();
    test(async {
        let (mut courier, job, _) = offered(&bench, &mut vault, &["x@example.org", "y@example.org"], &content).await;
        let before = vault.writer.size();
        courier.say(job, 0, failed()).await;
        while vault.writer.size() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The courier had the other one still, so nothing was said yet.
        vault.abandon();
    });
    assert_eq!(bench.count("SELECT count(*) FROM spool_rcpt WHERE owed = 1"), 1);
    let mut vault = bench.run();
    test(async {
        let mut courier = vault.courier().await;
        let (mut texts, mut again) = (Vec::new(), 0);
        for _ in 0..2 {
            let Offer::Message { job, sender, .. } = courier.offer().await else { panic!("no message") };
            let Offer::Recipients { batch, .. } = courier.offer().await else { panic!("no recipients") };
            if sender.is_some() {
                assert_eq!(batch, [(1, address("y@example.org").into())]);
                again += 1;
            } else {
                texts.push(String::from_utf8(courier.content(job).await).unwrap());
            }
            courier.say(job, batch[0].0, Outcome::Delivered(said(250))).await;
            courier.settled(job).await;
        }
        assert_eq!((texts.len(), again), (1, 1));
        assert!(texts[0].contains("rfc822; x@example.org\r\n") && texts[0].contains("\r\nSubject: large\r\n\r\n--"));
        assert!(!texts[0].contains("0123456789"));
    });
    vault.drain();
    assert_eq!(bench.count("SELECT count(*) FROM spool_rcpt WHERE owed = 1"), 0);
    assert_eq!(bench.count("SELECT count(*) FROM spool_body"), 0);
    let left = fs::read_dir(bench.home.path().join("db")).unwrap().flatten();
    assert!(!left.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("body-")));
}

#[test]
fn a_report_that_no_route_takes_is_written_down_and_owed_no_more() {
    let mut bench = Bench::new();
    bench.slice.routes[0].to = "@example.org".parse().unwrap();
    let mut vault = bench.run();
    test(async {
        let (mut courier, job, _) = offered(&bench, &mut vault, &["x@example.org"], b"x\r\n").await;
        courier.say(job, 0, failed()).await;
        courier.settled(job).await;
    });
    vault.drain();
    let sent: Vec<_> = bench.events(&Filter::default());
    let sent = sent.iter().find(|event| event.get("event") == Some("dsn.sent")).unwrap();
    assert_eq!((sent.get("outcome"), sent.get("reason")), (Some("failure"), Some("no-route")));
    assert_eq!(bench.count("SELECT count(*) FROM spool_msg WHERE done_us IS NULL"), 0);
}

#[test]
fn rule_p12_rule_x7_a_report_is_no_way_around_the_rules_for_recipients() {
    for (senders, is_sent) in [("*", false), ("@example.net", true)] {
        let mut bench = Bench::new();
        bench.slice.credentials[0].policy.senders = vec![senders.parse().unwrap()];
        bench.slice.credentials[0].policy.recipients.allow = vec!["@example.org".parse().unwrap()];
        let mut vault = bench.run();
        test(async {
            let content = b"Subject: offer\r\n\r\nthe body\r\n";
            let (mut courier, job, _) = offered(&bench, &mut vault, &["x@example.org"], content).await;
            courier.say(job, 0, failed()).await;
            courier.settled(job).await;
            if is_sent {
                let (_, text) = report(&mut courier).await;
                assert!(text.contains("rfc822; x@example.org\r\n") && !text.contains("offer"), "{text}");
            }
        });
        vault.drain();
        let all: Vec<_> = bench.events(&Filter::default());
        let told = all.iter().find(|event| event.get("event") == Some("dsn.sent")).unwrap();
        let expected = if is_sent { ("success", "failed") } else { ("failure", "recipient-not-allowed") };
        assert_eq!((told.get("outcome"), told.get("reason")), (Some(expected.0), Some(expected.1)), "{senders}");
        assert_eq!(bench.count("SELECT count(*) FROM spool_msg WHERE done_us IS NULL"), 0);
    }
}
