//! What a webhook doesn't take: it waits, and when it is given up the audit log says so.

use super::*;
use crate::vault::store::outbox::MOST;

#[test]
fn what_a_webhook_has_not_taken_waits_over_a_restart_and_comes_with_the_same_id_and_body() {
    let bench = bench(&all(), Reports::None);
    let mut vault = bench.run();
    let first = test(async {
        let mut app = Receiving::attach(&mut vault);
        deliver(&bench, &mut vault, &[Outcome::Delivered(said(250))]).await;
        let (ticket, id, body) = app.event().await;
        // Its courier ends over it: the next one is given the same, and no mail is suspected.
        drop((app, ticket));
        let mut next = Receiving::attach(&mut vault);
        let (_, again, same) = next.event().await;
        assert_eq!((&again, &same), (&id, &body));
        // This one only leaves, and is heard to.
        next.replies.send(Reply::leaving()).await.unwrap();
        stands(&mut vault, admin::Standing::Absent, 1).await;
        (id, body)
    });
    vault.drain();
    assert!(first.0.starts_with("evt_") && !first.0.contains('.'), "{first:?}");
    let mut vault = bench.run();
    test(async {
        let mut app = Receiving::attach(&mut vault);
        let (ticket, id, body) = app.event().await;
        assert_eq!((id, body), first);
        app.answer(ticket, 200).await;
        stands(&mut vault, admin::Standing::Up, 0).await;
    });
    vault.drain();
    assert_eq!(bench.count("SELECT count(*) FROM spool_msg WHERE ended > 0"), 0);
}

#[test]
fn couriers_that_fall_over_their_events_are_not_given_them_again_at_once_and_the_webhook_rests() {
    let bench = bench(&all(), Reports::None);
    let mut vault = bench.run();
    test(async {
        let mut app = Receiving::attach(&mut vault);
        deliver(&bench, &mut vault, &vec![Outcome::Delivered(said(250)); 3]).await;
        for _ in 0..3 {
            app.event().await;
        }
        drop(app);
        let mut next = Receiving::attach(&mut vault);
        let state = stands(&mut vault, admin::Standing::Resting, 3).await;
        assert_eq!(state.fault.as_deref(), Some("its courier ended"));
        next.nothing().await;
    });
    vault.drain();
    assert_eq!(bench.count("SELECT sum(attempts) FROM webhook_event"), 3);
}

#[test]
fn what_a_courier_that_leaves_has_not_looked_at_is_for_the_next_one_as_it_was() {
    let bench = bench(&all(), Reports::None);
    let mut vault = bench.run();
    test(async {
        let mut app = Receiving::attach(&mut vault);
        deliver(&bench, &mut vault, &vec![Outcome::Delivered(said(250)); 4]).await;
        for _ in 0..4 {
            app.event().await;
        }
        app.replies.send(Reply::leaving()).await.unwrap();
        stands(&mut vault, admin::Standing::Absent, 4).await;
        drop(app);
        let mut next = Receiving::attach(&mut vault);
        for _ in 0..4 {
            next.take().await;
        }
        stands(&mut vault, admin::Standing::Up, 0).await;
    });
    vault.drain();
    assert!(named(&bench, "webhook.").is_empty());
}

#[test]
fn a_reload_has_what_waits_by_itself_tried_at_once() {
    let bench = bench(&all(), Reports::None);
    let mut vault = bench.run();
    test(async {
        let mut app = Receiving::attach(&mut vault);
        deliver(&bench, &mut vault, &[Outcome::Delivered(said(250))]).await;
        for generation in 2..4 {
            let (ticket, ..) = app.event().await;
            app.answer(ticket, 502).await;
            while stands(&mut vault, admin::Standing::Up, 1).await.under_way > 0 {}
            // What became of it is on the disk.
            stands(&mut vault, admin::Standing::Up, 1).await;
            vault.switch(&bench.slice, Generation(generation));
        }
        // After the second one it would have been five minutes.
        app.take().await;
        stands(&mut vault, admin::Standing::Up, 0).await;
    });
    vault.drain();
}

#[test]
fn a_webhook_that_is_away_rests_and_nothing_else_waits_for_it() {
    let bench = bench(&all(), Reports::None);
    let mut vault = bench.run();
    test(async {
        let mut app = Receiving::attach(&mut vault);
        deliver(&bench, &mut vault, &[Outcome::Delivered(said(250))]).await;
        let (ticket, ..) = app.event().await;
        app.say(ticket, talk::Answer::Failed { sent: false, reason: "refused\u{1b}[31m".into() }).await;
        let state = stands(&mut vault, admin::Standing::Resting, 1).await;
        assert_eq!((state.failures, state.fault.as_deref()), (1, Some("refused[31m")));
        deliver(&bench, &mut vault, &[Outcome::Delivered(said(250))]).await;
        stands(&mut vault, admin::Standing::Resting, 2).await;
        // A reload has it tried at once.
        vault.switch(&bench.slice, Generation(2));
        assert_eq!([app.take().await, app.take().await].map(|body| body["type"].clone()), ["email.sent", "email.sent"]);
        stands(&mut vault, admin::Standing::Up, 0).await;
    });
    vault.drain();
    let names = named(&bench, "webhook.");
    let expected = [("webhook.pause", Some("failed")), ("webhook.resume", Some("config"))];
    assert_eq!(names, expected.map(|(name, reason)| (name.to_owned(), reason.map(str::to_owned))));
}

#[test]
fn an_event_that_is_refused_waits_by_itself_and_three_in_a_row_are_the_webhooks_affair() {
    let bench = bench(&all(), Reports::None);
    let mut vault = bench.run();
    test(async {
        let mut app = Receiving::attach(&mut vault);
        deliver(&bench, &mut vault, &[Outcome::Delivered(said(250)), Outcome::Delivered(said(250))]).await;
        for (code, standing) in [(500, admin::Standing::Up), (302, admin::Standing::Up)] {
            let (ticket, ..) = app.event().await;
            app.answer(ticket, code).await;
            stands(&mut vault, standing, 2).await;
        }
        // Both wait; another one is given at once, and shows that it isn't they.
        deliver(&bench, &mut vault, &[Outcome::Delivered(said(250))]).await;
        let (ticket, ..) = app.event().await;
        app.answer(ticket, 404).await;
        let state = stands(&mut vault, admin::Standing::Resting, 3).await;
        assert_eq!(state.fault.as_deref(), Some("HTTP 404"));
    });
    vault.drain();
    assert_eq!(bench.count("SELECT sum(attempts) FROM webhook_event"), 3);
}

async fn retry(vault: &mut Running, webhook: &str) -> Response {
    let (asks, mut answers) = vault.administrator();
    let command = Command::Webhook(admin::Command::Retry { webhook: webhook.to_owned() });
    asks.send(Request { behalf: None, command }).await.unwrap();
    answers.receive().await.unwrap().expect("an answer")
}

#[test]
fn rule_q13_what_waits_for_a_webhook_is_posted_now_by_order_and_the_log_says_whose() {
    let bench = bench(&all(), Reports::None);
    let mut vault = bench.run();
    test(async {
        let mut app = Receiving::attach(&mut vault);
        deliver(&bench, &mut vault, &vec![Outcome::Delivered(said(250)); 3]).await;
        for _ in 0..3 {
            let (ticket, ..) = app.event().await;
            app.answer(ticket, 500).await;
        }
        stands(&mut vault, admin::Standing::Resting, 3).await;
        let none = retry(&mut vault, "nap").await;
        assert!(matches!(&none, Response::Refused { reason } if reason.contains("no webhook \"nap\"")), "{none:?}");
        let waiting = retry(&mut vault, "app").await;
        assert!(matches!(waiting, Response::Webhook(admin::Response::Retried(3))), "{waiting:?}");
        for _ in 0..3 {
            app.take().await;
        }
        stands(&mut vault, admin::Standing::Up, 0).await;
    });
    vault.drain();
    let events = bench.events(&Filter::default());
    let resumed = events.iter().find(|event| event.get("event") == Some("webhook.resume")).unwrap();
    assert_eq!(resumed.get("reason"), Some("ordered"));
    assert!(resumed.get("actor").is_some());
}

#[test]
fn a_receiver_that_says_410_is_told_nothing_until_a_reload() {
    let bench = bench(&all(), Reports::None);
    let mut vault = bench.run();
    test(async {
        let mut app = Receiving::attach(&mut vault);
        deliver(&bench, &mut vault, &[Outcome::Delivered(said(250))]).await;
        let (ticket, ..) = app.event().await;
        app.answer(ticket, 410).await;
        stands(&mut vault, admin::Standing::Disabled, 1).await;
        app.nothing().await;
        vault.switch(&bench.slice, Generation(2));
        app.take().await;
        stands(&mut vault, admin::Standing::Up, 0).await;
    });
    vault.drain();
    assert_eq!(named(&bench, "webhook.")[0], ("webhook.pause".to_owned(), Some("gone".to_owned())));
}

#[test]
fn an_outbox_that_is_full_drops_the_oldest_and_last_what_nothing_else_tells_and_the_log_says_so() {
    let bench = bench(&all(), Reports::Webhook);
    let mut vault = bench.run();
    test(async {
        // Nobody serves the webhook.
        deliver(&bench, &mut vault, &[failed()]).await;
        let outcomes = vec![Outcome::Delivered(said(250)); usize::try_from(MOST).unwrap() + 1];
        deliver(&bench, &mut vault, &outcomes).await;
        stands(&mut vault, admin::Standing::Absent, u64::from(MOST)).await;
    });
    vault.drain();
    let dropped = ("webhook.drop".to_owned(), Some("outbox-full".to_owned()));
    assert_eq!(named(&bench, "webhook."), [dropped.clone(), dropped]);
    assert_eq!(bench.count("SELECT count(*) FROM webhook_event WHERE kind = 'email.bounced'"), 1);
}

#[test]
fn rule_q13_what_no_webhook_took_in_its_time_is_in_the_audit_log_with_its_message() {
    let mut bench = bench(&all(), Reports::Webhook);
    bench.slice.webhooks[0].lifetime = Duration::from_secs(5);
    let mut vault = bench.run();
    let message = test(async {
        let mut app = Receiving::attach(&mut vault);
        let message = deliver(&bench, &mut vault, &[failed()]).await;
        // Also one that is answered so late that its time is over.
        let (ticket, ..) = app.event().await;
        stands(&mut vault, admin::Standing::Up, 0).await;
        app.answer(ticket, 500).await;
        stands(&mut vault, admin::Standing::Up, 0).await;
        message
    });
    vault.drain();
    let events = bench.events(&Filter { message: Some(message.to_string()), ..Filter::default() });
    let dropped = events.iter().find(|event| event.get("event") == Some("webhook.drop")).unwrap();
    assert_eq!((dropped.get("reason"), dropped.get("outcome")), (Some("lifetime"), Some("failure")));
    let data: Value = serde_json::from_str(dropped.get("data").unwrap()).unwrap();
    assert_eq!((&data["webhook"], &data["type"]), (&"app".into(), &"email.bounced".into()));
}

#[test]
fn rule_q13_a_failure_for_a_webhook_that_is_gone_from_the_configuration_is_kept_for_it_and_then_in_the_log() {
    let mut bench = bench(&all(), Reports::Webhook);
    let mut vault = bench.run();
    test(async {
        let (mut courier, job, _) = offered(&bench, &mut vault, &["x@example.org", "y@example.org"], b"x\r\n").await;
        bench.slice.webhooks.clear();
        vault.switch(&bench.slice, Generation(2));
        courier.say(job, 0, Outcome::Delivered(said(250))).await;
        courier.say(job, 1, failed()).await;
        courier.settled(job).await;
        let state = stands(&mut vault, admin::Standing::Unconfigured, 1).await;
        assert_eq!((state.webhook.as_str(), state.credentials), ("app", vec!["shop".to_owned()]));
        // It comes back, and is told.
        bench.slice.webhooks = vec![hook(&all())];
        vault.switch(&bench.slice, Generation(3));
        let mut app = Receiving::attach(&mut vault);
        let body = app.take().await;
        assert_eq!((&body["type"], &body["data"]["to"][0]), (&"email.bounced".into(), &"***@example.org".into()));
    });
    vault.drain();
}

#[test]
fn a_new_courier_is_given_what_comes_next_and_the_one_before_answers_for_what_it_has() {
    let bench = bench(&all(), Reports::None);
    let mut vault = bench.run();
    test(async {
        let mut before = Receiving::attach(&mut vault);
        deliver(&bench, &mut vault, &[Outcome::Delivered(said(250))]).await;
        let (ticket, first, _) = before.event().await;
        let mut next = Receiving::attach(&mut vault);
        deliver(&bench, &mut vault, &[Outcome::Delivered(said(250))]).await;
        let (other, second, _) = next.event().await;
        assert_ne!(first, second);
        before.answer(ticket, 200).await;
        // Nobody posts through it any more.
        assert!(before.asks.receive().await.unwrap().is_none());
        next.answer(other, 200).await;
        stands(&mut vault, admin::Standing::Up, 0).await;
        next.nothing().await;
    });
    vault.drain();
}

#[test]
fn a_courier_that_answers_what_it_was_not_asked_is_let_go_of_and_what_it_had_is_given_to_the_next() {
    let bench = bench(&all(), Reports::None);
    let mut vault = bench.run();
    test(async {
        let mut app = Receiving::attach(&mut vault);
        deliver(&bench, &mut vault, &[Outcome::Delivered(said(250))]).await;
        let (ticket, id, _) = app.event().await;
        let instance = Instance(vault.peers - 2);
        app.answer(ticket + 1, 200).await;
        assert!(app.asks.receive().await.unwrap().is_none());
        assert_eq!(super::super::sessions::let_go(&vault), instance);
        stands(&mut vault, admin::Standing::Absent, 1).await;
        let mut next = Receiving::attach(&mut vault);
        let (ticket, again, _) = next.event().await;
        assert_eq!(id, again);
        next.answer(ticket, 200).await;
        stands(&mut vault, admin::Standing::Up, 0).await;
    });
    vault.drain();
    assert_eq!(named(&bench, "ipc."), [("ipc.violation".to_owned(), Some("answer-out-of-order".to_owned()))]);
}

#[test]
fn what_waits_for_a_webhook_goes_with_an_erasure_and_the_log_says_what_it_stood_for() {
    let bench = bench(&all(), Reports::Webhook);
    let mut vault = bench.run();
    let message = test(async {
        // Nobody serves the webhook.
        let message = deliver(&bench, &mut vault, &[failed(), Outcome::Delivered(said(250))]).await;
        deliver(&bench, &mut vault, &[Outcome::Delivered(said(250))]).await;
        stands(&mut vault, admin::Standing::Absent, 3).await;
        let (asks, mut answers) = vault.administrator();
        let target = audit::Target::Message(message);
        let redact = audit::Command::Redact { target, fields: Vec::new(), ground: "GDPR 17".into() };
        asks.send(Request { behalf: None, command: Command::Audit(redact) }).await.unwrap();
        answers.receive().await.unwrap().expect("an answer");
        stands(&mut vault, admin::Standing::Absent, 1).await;
        message
    });
    vault.drain();
    let events = bench.events(&Filter { event: Some("webhook.drop".into()), ..Filter::default() });
    assert!(events.iter().all(|event| event.get("reason") == Some("erased")));
    assert_eq!(events.iter().filter(|event| event.get("msg_id") == Some(&message.to_string())).count(), 1);
}
