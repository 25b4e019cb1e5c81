//! Webhooks: what became of mail is told to them, once it is on the disk and until it was taken, and mail never waits for them.

mod instead;
mod outbox;

use super::courier::offered;
use super::*;
use crate::config::slice::{Bounce, Webhook};
use crate::ipc::admin::{Command, webhook as admin};
use crate::ipc::feedback::{self as talk, Ask as Post, Reply};
use crate::ipc::happening::Kind;
use crate::mail::dsn::{Notify, Wish};
use crate::policy::OnUnknown;
use crate::policy::feedback::Told;
use crate::policy::mask::Mask;
use crate::policy::reports::Reports;
use serde_json::Value;

/// The test as the courier of the webhook.
struct Receiving {
    asks: Receiver<Post>,
    replies: Sender<Reply>,
}

impl Receiving {
    fn attach(vault: &mut Running) -> Self {
        let (ours, theirs) = stream();
        vault.introduce(Talk::Feedback, End::Asks, Role::Courier, "webhook/app", theirs);
        let (replies, asks) = channel::open(ours, &Sealed::for_tests()).unwrap();
        Self { asks, replies }
    }

    /// The next event: its ticket, its id and its body.
    async fn event(&mut self) -> (u64, String, Value) {
        let asked = tokio::time::timeout(Duration::from_secs(30), self.asks.receive()).await;
        let Post::Post { ticket, id, body } = asked.expect("an event in time").unwrap().expect("an open channel");
        (ticket, id, serde_json::from_str(&body).unwrap())
    }

    async fn answer(&self, ticket: u64, code: u16) {
        self.say(ticket, talk::Answer::Status { code, wait: None }).await;
    }

    async fn say(&self, ticket: u64, answer: talk::Answer) {
        self.replies.send(Reply { ticket, answer }).await.unwrap();
    }

    /// Takes the next event.
    async fn take(&mut self) -> Value {
        let (ticket, _, body) = self.event().await;
        self.answer(ticket, 204).await;
        body
    }

    /// Nothing comes, by the time that something else would have.
    async fn nothing(&mut self) {
        let asked = tokio::time::timeout(Duration::from_millis(300), self.asks.receive()).await;
        assert!(asked.is_err(), "{asked:?}");
    }
}

fn hook(events: &[Told]) -> Webhook {
    Webhook { name: "app".into(), events: events.to_vec(), mask: Mask::None, lifetime: Duration::from_secs(3600) }
}

fn all() -> Vec<Told> {
    Told::WORDS.map(|(_, told)| told).to_vec()
}

/// The shop has the webhook.
fn bench(events: &[Told], reports: Reports) -> Bench {
    let mut bench = Bench::new();
    bench.slice.webhooks = vec![hook(events)];
    let policy = &mut bench.slice.credentials[0].policy;
    (policy.webhook, policy.reports) = (Some("app".into()), reports);
    policy.limits.per_day = Some(50);
    bench
}

fn failed() -> Outcome {
    Outcome::Failed(Said { enhanced: Some("5.1.1".into()), ..said(550) })
}

/// One message, and how its recipients come out.
async fn deliver(bench: &Bench, vault: &mut Running, outcomes: &[Outcome]) -> MessageId {
    let to: Vec<String> = (0..outcomes.len()).map(|n| format!("r{n}@example.org")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let (mut courier, job, message) = offered(bench, vault, &to, b"Subject: offer\r\n\r\nthe body\r\n").await;
    for (number, outcome) in (0..).zip(outcomes) {
        courier.say(job, number, outcome.clone()).await;
    }
    courier.settled(job).await;
    message
}

async fn states(vault: &mut Running) -> Vec<admin::State> {
    let (asks, mut answers) = vault.administrator();
    asks.send(Request { behalf: None, command: Command::Webhook(admin::Command::Status) }).await.unwrap();
    let mut states = Vec::new();
    loop {
        match answers.receive().await.unwrap().expect("an answer") {
            Response::Webhook(admin::Response::State(state)) => states.push(*state),
            Response::Done => return states,
            other => panic!("{other:?}"),
        }
    }
}

/// Waits until the one webhook stands like that.
async fn stands(vault: &mut Running, standing: admin::Standing, waiting: u64) -> admin::State {
    for _ in 0..400 {
        let state = states(vault).await.pop().expect("one webhook");
        if (state.standing, state.waiting) == (standing, waiting) {
            return state;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never {standing:?} with {waiting}: {:?}", states(vault).await);
}

fn named(bench: &Bench, prefix: &str) -> Vec<(String, Option<String>)> {
    let events = bench.events(&Filter::default());
    let events = events.iter().filter(|event| event.get("event").unwrap().starts_with(prefix));
    events.map(|event| (event.get("event").unwrap().to_owned(), event.get("reason").map(str::to_owned))).collect()
}

#[test]
fn a_webhook_is_told_what_became_of_each_recipient_in_a_body_that_says_which() {
    let bench = bench(&all(), Reports::Mail);
    let mut vault = bench.run();
    let mut kinds = Vec::new();
    test(async {
        let mut app = Receiving::attach(&mut vault);
        let outcomes = [
            Outcome::Delivered(said(250)),
            failed(),
            Outcome::Deferred(said(451)),
            Outcome::Unsendable(Said::default()),
        ];
        let message = deliver(&bench, &mut vault, &outcomes).await;
        let mut told = Vec::new();
        for _ in 0..4 {
            told.push(app.take().await);
        }
        let of = |n: usize| {
            let to = format!("r{n}@example.org");
            told.iter().find(|body| body["data"]["to"] == serde_json::json!([to])).unwrap().clone()
        };
        let sent = of(0);
        assert_eq!((&sent["type"], &sent["version"]), (&"email.sent".into(), &1.into()), "{sent}");
        let data = &sent["data"];
        assert_eq!((&data["email_id"], &data["credential"]), (&message.to_string().into(), &"shop".into()));
        assert_eq!((&data["from"], &data["upstream"]), (&"a@example.net".into(), &"smarthost".into()));
        assert_eq!((&data["attempts"], &data["next_attempt_at"]), (&1.into(), &Value::Null));
        let reply = serde_json::json!({
            "host": "mx.example.org", "code": 250, "enhanced": null, "text": "words of rosa@example.org",
        });
        assert_eq!((&data["reply"], &data["reason"]), (&reply, &"accepted-upstream".into()));
        assert_eq!(sent["timestamp"], sent["created_at"]);
        for key in ["created_at", "expires_at"] {
            data[key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        }
        let (bounced, deferred, unsent) = (of(1), of(2), of(3));
        assert_eq!(
            (&bounced["type"], &bounced["data"]["reason"]),
            (&"email.bounced".into(), &"refused-upstream".into())
        );
        assert_eq!(bounced["data"]["reply"]["enhanced"], "5.1.1");
        assert_eq!(deferred["type"], "email.delivery_delayed");
        assert!(deferred["data"]["next_attempt_at"].is_string(), "{deferred}");
        assert_eq!((&unsent["type"], &unsent["data"]["reason"]), (&"email.failed".into(), &"not-sendable".into()));
        assert_eq!(unsent["data"]["reply"], Value::Null);
        for n in 0..4 {
            kinds.push(of(n)["type"].as_str().unwrap().to_owned());
        }
        stands(&mut vault, admin::Standing::Up, 0).await;
    });
    vault.drain();
    assert_eq!(bench.count("SELECT count(*) FROM webhook_event"), 0);
    assert!(named(&bench, "webhook.").is_empty());
    // Whoever asks is told the same.
    for (n, word) in kinds.iter().enumerate() {
        let kind = bench.count(&format!("SELECT kind FROM feed WHERE n = {n}"));
        let named = Kind::ALL.iter().find(|(_, number)| i64::from(*number) == kind).unwrap();
        assert_eq!(named.0.word(), word, "{n}");
    }
}

#[test]
fn a_webhook_is_told_of_what_it_wants_to_be_told_of_and_no_more_of_addresses_than_its_mask_shows() {
    for (mask, to, from) in [(Mask::LocalPart, "***@example.org", "***@example.net"), (Mask::Full, "***", "***")] {
        let mut bench = bench(&[Told::Sent], Reports::None);
        bench.slice.webhooks[0].mask = mask;
        let mut vault = bench.run();
        test(async {
            let mut app = Receiving::attach(&mut vault);
            deliver(&bench, &mut vault, &[failed(), Outcome::Delivered(said(250))]).await;
            let body = app.take().await;
            assert_eq!((&body["type"], &body["data"]["to"]), (&"email.sent".into(), &serde_json::json!([to])));
            assert_eq!((&body["data"]["from"], &body["data"]["reply"]["text"]), (&from.into(), &Value::Null));
            assert!(!body.to_string().contains("rosa"), "{body}");
            app.nothing().await;
        });
        vault.drain();
    }
}

#[test]
fn a_webhook_is_told_nothing_of_whom_the_sender_wants_to_hear_nothing_of() {
    let bench = bench(&all(), Reports::Mail);
    let mut vault = bench.run();
    test(async {
        let mut app = Receiving::attach(&mut vault);
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let wish = Wish { notify: Some(Notify::never()), orcpt: None };
        let to = vec![Addressee { address: address("x@example.org"), wish }, address("y@example.org").into()];
        edge.transact(1, Manner::default(), to, b"Subject: offer\r\n\r\n", 1).await;
        let mut courier = vault.courier().await;
        let (job, ..) = courier.message().await;
        courier.say(job, 0, failed()).await;
        courier.say(job, 1, Outcome::Delivered(said(250))).await;
        courier.settled(job).await;
        assert_eq!(app.take().await["data"]["to"], serde_json::json!(["y@example.org"]));
        app.nothing().await;
    });
    vault.drain();
}

#[test]
fn rule_q13_a_failure_that_is_reported_by_webhook_has_no_report_by_mail_and_is_told_whatever_else_is() {
    let bench = bench(&[Told::Sent], Reports::Webhook);
    let mut vault = bench.run();
    test(async {
        let mut app = Receiving::attach(&mut vault);
        deliver(&bench, &mut vault, &[failed(), Outcome::Delivered(said(250)), Outcome::Deferred(said(451))]).await;
        let kinds = [app.take().await, app.take().await].map(|body| body["type"].clone());
        assert_eq!(kinds, ["email.bounced", "email.sent"]);
        app.nothing().await;
    });
    vault.drain();
    assert!(named(&bench, "dsn.").is_empty());
    assert_eq!(bench.count("SELECT count(*) FROM spool_msg WHERE report = 1"), 0);
    let bounced = bench.events(&Filter::default());
    let bounced = bounced.iter().find(|event| event.get("event") == Some("deliver.bounce")).unwrap();
    assert_eq!(bounced.get("data"), Some("{\"report\":\"webhook\"}"));
}

#[test]
fn rule_q13_a_webhook_of_bounce_is_told_in_the_place_of_reports() {
    let mut bench = bench(&[], Reports::Mail);
    bench.slice.credentials[0].policy.webhook = None;
    let webhook = Some("app".into());
    bench.slice.bounces = vec![Bounce { upstream: 0, from: None, via: None, requiretls: false, webhook }];
    let mut vault = bench.run();
    test(async {
        let mut app = Receiving::attach(&mut vault);
        let message = deliver(&bench, &mut vault, &[failed(), Outcome::Delivered(said(250))]).await;
        let body = app.take().await;
        assert_eq!((&body["type"], &body["data"]["email_id"]), (&"email.bounced".into(), &message.to_string().into()));
        assert_eq!((&body["data"]["attempts"], &body["data"]["upstream"]), (&Value::Null, &Value::Null));
        assert_eq!(body["data"]["reply"]["code"], 550);
        app.nothing().await;
    });
    vault.drain();
    assert_eq!(named(&bench, "dsn."), [("dsn.sent".to_owned(), Some("by-webhook".to_owned()))]);
    let events = bench.events(&Filter::default());
    let told = events.iter().find(|event| event.get("event") == Some("dsn.sent")).unwrap();
    let data: Value = serde_json::from_str(told.get("data").unwrap()).unwrap();
    assert_eq!((&data["webhook"], &data["events"], told.get("outcome")), (&"app".into(), &1.into(), Some("info")));
    assert_eq!(bench.count("SELECT count(*) FROM spool_msg WHERE report = 1"), 0);
    assert_eq!(bench.count("SELECT count(*) FROM spool_body"), 0);
}

#[test]
fn what_nobody_knows_and_what_is_over_is_told_by_its_reason() {
    for (on_unknown, kind, reason) in [
        (OnUnknown::Hold, "email.delivery_delayed", "held"),
        (OnUnknown::Drop, "email.failed", "unknown"),
        (OnUnknown::Retry, "email.delivery_delayed", "unknown"),
    ] {
        let mut bench = bench(&all(), Reports::Webhook);
        bench.slice.retry = vec![Duration::from_secs(3600)];
        bench.slice.credentials[0].policy.on_unknown = on_unknown;
        let mut vault = bench.run();
        test(async {
            let mut app = Receiving::attach(&mut vault);
            deliver(&bench, &mut vault, &[Outcome::Unknown(said(421))]).await;
            let body = app.take().await;
            assert_eq!((&body["type"], &body["data"]["reason"]), (&kind.into(), &reason.into()), "{body}");
            assert_eq!(body["data"]["next_attempt_at"].is_null(), on_unknown != OnUnknown::Retry, "{body}");
            stands(&mut vault, admin::Standing::Up, 0).await;
        });
        vault.drain();
    }
    let mut bench = bench(&all(), Reports::Webhook);
    bench.slice.credentials[0].policy.ttl_seconds = Some(0);
    let mut vault = bench.run();
    test(async {
        let mut app = Receiving::attach(&mut vault);
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        edge.submit(1, &["x@example.org"], b"x\r\n").await;
        let _courier = vault.courier().await;
        let body = app.take().await;
        assert_eq!((&body["type"], &body["data"]["reason"]), (&"email.failed".into(), &"lifetime".into()), "{body}");
        assert_eq!((&body["data"]["attempts"], &body["data"]["reply"]), (&0.into(), &Value::Null), "{body}");
    });
    vault.drain();
    assert!(named(&bench, "dsn.").is_empty());
}

#[test]
fn what_a_vault_finds_at_its_start_that_its_end_has_interrupted_is_told_too() {
    let mut bench = bench(&all(), Reports::Webhook);
    bench.slice.credentials[0].policy.on_unknown = OnUnknown::Drop;
    let mut vault = bench.run();
    test(async {
        let (mut courier, job, _) = offered(&bench, &mut vault, &["x@example.org"], b"x\r\n").await;
        assert_eq!(courier.content(job).await, b"x\r\n");
        vault.abandon();
    });
    let mut vault = bench.run();
    test(async {
        let mut app = Receiving::attach(&mut vault);
        let body = app.take().await;
        assert_eq!((&body["type"], &body["data"]["reason"]), (&"email.failed".into(), &"unknown".into()), "{body}");
        assert_eq!(body["data"]["upstream"], "smarthost");
    });
    vault.drain();
}

#[test]
fn rule_q13_a_report_that_was_owed_by_mail_is_made_although_its_credential_has_a_webhook_by_now() {
    let mut bench = bench(&[], Reports::Mail);
    let mut vault = bench.run();
    test(async {
        let (mut courier, job, _) = offered(&bench, &mut vault, &["x@example.org"], b"x\r\n").await;
        bench.slice.credentials[0].policy.reports = Reports::Webhook;
        vault.switch(&bench.slice, Generation(2));
        // In force when the next order is obeyed.
        stands(&mut vault, admin::Standing::Absent, 0).await;
        courier.say(job, 0, failed()).await;
        courier.settled(job).await;
        super::reports::report(&mut courier).await;
    });
    vault.drain();
}

#[test]
fn a_webhook_is_tested_by_an_event_that_tells_of_nothing() {
    let bench = bench(&all(), Reports::None);
    let mut vault = bench.run();
    test(async {
        let (asks, mut answers) = vault.administrator();
        let ask = |name: &str| {
            let command = Command::Webhook(admin::Command::Test { webhook: name.to_owned() });
            Request { behalf: None, command }
        };
        for (name, why) in [("other", "known here: app"), ("app", "no courier serves")] {
            asks.send(ask(name)).await.unwrap();
            match answers.receive().await.unwrap().expect("an answer") {
                Response::Refused { reason } => assert!(reason.contains(why), "{reason}"),
                other => panic!("{other:?}"),
            }
        }
        let mut app = Receiving::attach(&mut vault);
        // It is attached when it is asked.
        stands(&mut vault, admin::Standing::Up, 0).await;
        asks.send(ask("app")).await.unwrap();
        let (ticket, _, body) = app.event().await;
        assert_eq!((&body["type"], &body["data"]["webhook"]), (&"gatepost.test".into(), &"app".into()));
        app.answer(ticket, 401).await;
        let Some(Response::Webhook(admin::Response::Tested(said))) = answers.receive().await.unwrap() else {
            panic!("no answer")
        };
        assert_eq!(said, talk::Answer::Status { code: 401, wait: None });
        assert!(matches!(answers.receive().await.unwrap(), Some(Response::Done)));
        stands(&mut vault, admin::Standing::Up, 0).await;
    });
    vault.drain();
    assert_eq!(named(&bench, "webhook."), [("webhook.test".to_owned(), None)]);
}
