//! A message from the capsule to its last outcome.

use super::*;
use crate::vault::limits::notices::ONE_BY_ONE;

fn request(command: Command) -> Request {
    Request { behalf: None, command }
}

#[test]
fn rule_q19_a_submission_is_kept_delivered_logged_sealed_and_its_body_destroyed() {
    let bench = Bench::new();
    let mut vault = bench.run();
    let verifier = vault.verifier.clone();
    test(async {
        vault.parent.send(&Order::Record(started()), None).unwrap();
        let mut edge = vault.edge();
        let granted = edge.login(&bench, 7).await;
        let Answer::Granted { grant, .. } = granted else { panic!("{granted:?}") };
        assert_eq!((grant.principal.as_str(), grant.max_recipients), ("shop", 100));
        let content = b"From: a@example.net\r\n\r\nhello\r\n".repeat(10);
        let kept = edge.submit(7, &["rosa@example.org", "emil@example.com"], &content).await;
        let Answer::Kept { message, .. } = kept else { panic!("{kept:?}") };
        let was = edge.ask(Ask::Was { message }).await;
        assert!(matches!(was, Answer::Was { committed: true, .. }), "{was:?}");
        let was = edge.ask(Ask::Was { message: MessageId::now() }).await;
        assert!(matches!(was, Answer::Was { committed: false, .. }), "{was:?}");

        let mut courier = vault.courier().await;
        let (job, offered, recipients, size) = courier.message().await;
        assert_eq!((offered, size), (message, content.len() as u64));
        assert_eq!(recipients, [(0, address("rosa@example.org")), (1, address("emil@example.com"))]);
        assert_eq!(courier.content(job).await, content);
        courier.say(job, 0, Outcome::Delivered(said(250))).await;
        courier.say(job, 1, Outcome::Failed(said(550))).await;
        courier.settled(job).await;

        // A command by the control socket: everything is published and sealed.
        let (ours, theirs) = stream();
        vault.parent.send(&Order::File(Handed::Administrator(0)), Some(theirs.as_fd())).unwrap();
        let (commands, mut responses): (Sender<Request>, Receiver<Response>) =
            channel::open(ours, &Sealed::for_tests()).unwrap();
        commands.send(request(Command::Audit(audit::Command::Publish))).await.unwrap();
        let response = responses.receive().await.unwrap().unwrap();
        assert!(
            matches!(response, Response::Audit(audit::Response::Published { size, events, .. }) if size >= 5 && size >= events),
            "{response:?}"
        );
        let policy = Box::new(Policy::default());
        let add = |id: &str| {
            request(Command::Credential(credential::Command::Add {
                id: id.into(),
                policy: policy.clone(),
                scram: false,
            }))
        };
        commands.send(add("shop")).await.unwrap();
        assert!(matches!(responses.receive().await.unwrap().unwrap(), Response::Refused { .. }));
        commands.send(add("new")).await.unwrap();
        let Response::Credential(credential::Response::Secret { secret, .. }) =
            responses.receive().await.unwrap().unwrap()
        else {
            panic!("no secret")
        };
        let granted = edge.password(7, "new", &secret).await;
        assert!(matches!(granted, Answer::Granted { .. }), "{granted:?}");
        vault.parent.send(&Order::Record(Happening::Stopping), None).unwrap();
    });
    vault.drain();

    let names = bench.names();
    for name in [
        "daemon.start",
        "auth.success",
        "msg.accept",
        "deliver.success",
        "deliver.bounce",
        "credential.create",
        "daemon.stop",
    ] {
        assert_eq!(
            names.iter().filter(|found| *found == name).count(),
            if name == "auth.success" { 2 } else { 1 },
            "{name}: {names:?}"
        );
    }
    let accepts =
        bench.events(&Filter { account: Some("shop".into()), event: Some("msg.accept".into()), ..Filter::default() });
    assert_eq!(accepts[0].get("client_ip"), Some("192.0.2.0/24"));
    assert_eq!(accepts[0].get("rcpt_to"), Some("***@example.org ***@example.com"));
    assert_eq!(accepts[0].get("rcpt_count"), Some("2"));
    let summary = verify(&bench.home.path().join("audit"), &verifier, &Known::default(), |_| {}).unwrap();
    assert_eq!((summary.first, summary.size, summary.sealed), (0, names.len() as u64, names.len() as u64));
    assert_eq!(bench.bodies(), 0);
    assert_eq!(bench.count("SELECT count(*) FROM spool_lease"), 0);
    assert_eq!(bench.count("SELECT count(*) FROM spool_msg WHERE done_us IS NOT NULL"), 1);
    assert_eq!(bench.count("SELECT count(*) FROM audit_event"), 0);
    let clear = fs::read(bench.home.path().join("audit/audit.db")).unwrap();
    assert!(!clear.windows(4).any(|window| window == b"rosa"), "an address reached the auditors' file");
}

#[test]
fn rule_q6_a_large_message_survives_a_deferral_a_lost_courier_and_a_restart() {
    let bench = Bench::new();
    let content: Vec<u8> = (0..700_000u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    let segments = || {
        let names = fs::read_dir(bench.home.path().join("db")).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().starts_with("body-")).count()
    };
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        // One that is given up leaves nothing behind.
        edge.mail(1, "a@example.net").await;
        edge.asks.send(Ask::Recipients { slot: Slot(1), batch: vec![address("x@example.org").into()] }).await.unwrap();
        edge.ask(Ask::Content { slot: Slot(1) }).await;
        for _ in 0..8 {
            edge.asks.send(Ask::Chunk { slot: Slot(1), octets: Octets(vec![1; 10_000]) }).await.unwrap();
        }
        let Answer::Credit { .. } = edge.answer().await else { panic!("no credit came back") };
        edge.asks.send(Ask::Abort { slot: Slot(1) }).await.unwrap();
        let kept = edge.submit(1, &["rosa@example.org"], &content).await;
        assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
        assert_eq!(segments(), 1);

        let mut courier = vault.courier().await;
        let (job, ..) = courier.message().await;
        assert_eq!(courier.content(job).await, content);
        courier.say(job, 0, Outcome::Deferred(said(451))).await;
        courier.settled(job).await;
        // It comes again; this time the courier dies with it.
        let (again, ..) = courier.message().await;
        assert_ne!(again, job);
        drop(courier);
        let mut courier = vault.courier().await;
        courier.message().await;
        // The next one dies with the vault.
        vault.abandon();
    });
    assert_eq!(segments(), 1);
    let mut vault = bench.run();
    test(async {
        let mut courier = vault.courier().await;
        let (job, ..) = courier.message().await;
        assert_eq!(courier.content(job).await, content);
        courier.say(job, 0, Outcome::Delivered(said(250))).await;
        courier.settled(job).await;
    });
    vault.drain();
    assert_eq!(segments(), 0);
    assert_eq!(bench.count("SELECT attempts FROM spool_rcpt"), 2);
}

#[test]
fn rule_q1_rule_q2_a_route_that_fails_rests_and_the_message_is_not_charged() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        edge.submit(1, &["x@example.org"], b"x\r\n").await;
        let mut courier = vault.courier().await;
        let (job, ..) = courier.message().await;
        courier
            .progress
            .send(Progress::RouteFailed { job, reason: "no route to host".into(), rest: None })
            .await
            .unwrap();
        let early = tokio::time::timeout(Duration::from_millis(1500), courier.offers.receive()).await;
        assert!(early.is_err(), "{early:?}");
        let (job, ..) = courier.message().await;
        courier.say(job, 0, Outcome::Delivered(said(250))).await;
        courier.settled(job).await;
        // A courier that says what it may not is let go.
        courier.say(job, 9, Outcome::Delivered(said(250))).await;
    });
    vault.drain();
    assert_eq!(bench.count("SELECT attempts FROM spool_rcpt"), 1);
    let names = bench.names();
    for name in ["route.pause", "route.resume", "deliver.success"] {
        assert_eq!(names.iter().filter(|found| *found == name).count(), 1, "{name}: {names:?}");
    }
}

#[test]
fn rule_q2_what_is_refused_before_it_is_sent_ends_no_rest_and_is_no_upstreams_word() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        edge.submit(1, &["x@example.org"], b"x\r\n").await;
        edge.submit(1, &["y@example.org"], b"x\r\n").await;
        let mut courier = vault.courier().await;
        let (first, ..) = courier.message().await;
        let (second, ..) = courier.message().await;
        courier.tell(Progress::RouteFailed { job: first, reason: "no route to host".into(), rest: None }).await;
        let why = Said { enhanced: Some("5.3.4".into()), text: "it is too long".into(), ..Said::default() };
        courier.say(second, 0, Outcome::Unsendable(why)).await;
        courier.settled(second).await;
        let early = tokio::time::timeout(Duration::from_millis(1500), courier.message()).await;
        // The report may go only when the rest is over.
        assert!(early.is_err(), "{early:?}");
    });
    vault.drain();
    let events = bench.events(&Filter { event: Some("deliver.bounce".into()), ..Filter::default() });
    assert_eq!((events[0].get("reason"), events[0].get("mx")), (Some("not-sendable"), None));
    assert!(!bench.names().iter().any(|name| name == "route.resume"), "{:?}", bench.names());
}

#[test]
fn a_route_that_rests_is_tried_at_once_with_a_new_configuration() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        edge.submit(1, &["x@example.org"], b"x\r\n").await;
        let mut courier = vault.courier().await;
        let (job, ..) = courier.message().await;
        courier.tell(Progress::RouteFailed { job, reason: "no route to host".into(), rest: None }).await;
        let rests = tokio::time::timeout(Duration::from_millis(1500), courier.offers.receive()).await;
        assert!(rests.is_err(), "{rests:?}");
        vault.switch(&bench.slice, Generation(2));
        // It would rest for three seconds more.
        let soon = tokio::time::timeout(Duration::from_millis(2500), courier.message()).await;
        let (job, ..) = soon.expect("an offer before the pause is over");
        courier.say(job, 0, Outcome::Delivered(said(250))).await;
        courier.settled(job).await;
    });
    vault.drain();
    let resumed = bench.events(&Filter { event: Some("route.resume".into()), ..Filter::default() });
    let reasons: Vec<_> = resumed.iter().map(|event| event.get("reason")).collect();
    assert_eq!(reasons, [Some("config")], "once, and not again when it works");
}

#[test]
fn many_recipients_are_several_leaves_and_several_offers() {
    let mut bench = Bench::new();
    bench.slice.credentials[0].policy.max_recipients = Some(250);
    let recipients: Vec<String> = (0..250).map(|n| format!("rosa{n}@example.org")).collect();
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let kept = edge.submit(1, &recipients, b"x\r\n").await;
        assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
        let refused = edge.submit(1, &[recipients.as_slice(), &["one@example.org"]].concat(), b"x\r\n").await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::TooManyRecipients, .. }), "{refused:?}");
        let mut courier = vault.courier().await;
        let mut offered = Vec::new();
        while offered.len() < recipients.len() {
            let (job, _, some, _) = courier.message().await;
            assert!(some.len() <= 100);
            for (number, address) in some {
                courier.say(job, number, Outcome::Delivered(said(250))).await;
                offered.push(address.to_string());
            }
            courier.settled(job).await;
        }
        assert_eq!(offered, recipients);
    });
    vault.drain();
    let names = bench.names();
    for (name, count) in [("msg.accept", 1), ("msg.recipients", 2), ("msg.reject", 1), ("deliver.success", 250)] {
        assert_eq!(names.iter().filter(|found| *found == name).count(), count, "{name}");
    }
    assert_eq!(bench.count("SELECT count(*) FROM spool_body"), 0);
}

/// Something for the writer that begins and then waits to be let go.
pub async fn hold(writer: &Writer) -> (std::sync::mpsc::Sender<()>, tokio::sync::oneshot::Receiver<()>) {
    let ((gate, wait), (begun, begin)) = (std::sync::mpsc::channel(), tokio::sync::oneshot::channel());
    let work = move |_: &mut store::Store<'_>| {
        let _ = begun.send(());
        // A gate that is gone is open: a test that fails must not hang.
        let _ = wait.recv();
        Ok(())
    };
    drop(writer.queue(0, work).await.unwrap());
    (gate, begin)
}

#[test]
fn nothing_is_kept_before_its_transaction_is_committed() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let (before, begun) = hold(&vault.writer).await;
        begun.await.unwrap();
        let mut submitting = std::pin::pin!(edge.submit(1, &["x@example.org"], b"x\r\n"));
        let moment = Duration::from_millis(300);
        let early = tokio::time::timeout(moment, submitting.as_mut()).await;
        assert!(early.is_err(), "kept while it waited to be written: {early:?}");
        // Behind the message, in the same transaction: the rows are written, the commit is yet to come.
        let (behind, begun) = hold(&vault.writer).await;
        before.send(()).unwrap();
        begun.await.unwrap();
        let early = tokio::time::timeout(moment, submitting.as_mut()).await;
        assert!(early.is_err(), "kept before the commit: {early:?}");
        behind.send(()).unwrap();
        let kept = submitting.await;
        assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
    });
    vault.drain();
    assert_eq!(bench.count("SELECT count(*) FROM spool_msg"), 1);
}

#[test]
fn an_administrator_who_is_refused_again_and_again_fills_no_log() {
    use crate::ipc::admin::submit::{Command as Submit, Response as Told};
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let (asks, mut answers) = vault.administrator();
        for _ in 0..ONE_BY_ONE + 10 {
            let (credential, recipients) = ("shop".to_owned(), vec![address("b@example.org")]);
            let begin = Submit::Begin { credential, sender: address("ceo@example.com"), recipients };
            asks.send(Request { behalf: None, command: Command::Submit(begin) }).await.unwrap();
            let told = answers.receive().await.unwrap();
            let Some(Response::Submit(Told::Refused { word, .. })) = told else { panic!("{told:?}") };
            assert_eq!(word, "sender-not-allowed");
            assert!(matches!(answers.receive().await.unwrap(), Some(Response::Done)));
        }
    });
    vault.drain();
    let refused = bench.events(&Filter { event: Some("msg.reject".into()), ..Filter::default() });
    let told = u64::try_from(refused.len()).unwrap();
    assert!((1..=ONE_BY_ONE + 1).contains(&told), "{told}");
}
