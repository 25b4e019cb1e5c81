//! A message that waits for the time its sender gave gets another one by him, and nothing else does.

use super::*;
use crate::ipc::admin::queue::{Command as Order, Deed, Which};
use crate::ipc::inquiry::Rescheduled;
use crate::ipc::once::Once;
use crate::vault::once::KEPT_US;

const SECOND_US: u64 = 1_000_000;
const HOUR_US: u64 = 3600 * SECOND_US;

impl Edge {
    /// What comes of another time for a message: whether it has it, and how it stands.
    async fn reschedule(&mut self, slot: u32, message: MessageId, release_us: u64) -> Option<(bool, Submission)> {
        let finding = self.inquire(slot, Inquiry::Reschedule { message, release_us }).await;
        let Finding::Rescheduled(rescheduled) = finding else { panic!("{finding:?}") };
        rescheduled.map(|rescheduled| match rescheduled {
            Rescheduled::Done(found) => (true, *found),
            Rescheduled::Not(found) | Rescheduled::TooOften(found) => (false, *found),
        })
    }

    async fn is_moved(&mut self, message: MessageId) -> (bool, Status) {
        let (done, found) = self.reschedule(1, message, now_us() + HOUR_US).await.expect("its own");
        (done, found.status)
    }

    async fn schedule(&mut self, recipients: &[&str], release_us: u64) -> MessageId {
        let manner = Manner { release_us: Some(release_us), ..Manner::default() };
        let recipients = recipients.iter().map(|recipient| address(recipient).into()).collect();
        kept(self.transact(1, manner, recipients, b"x\r\n", 1).await)
    }
}

/// A gate that holds messages for two days.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.slice.listeners[0].future_release = Some(48 * HOUR);
    bench.slice.retry = vec![HOUR];
    bench
}

/// A request that is done once, and what comes of it; a message is kept.
async fn request(edge: &mut Edge, release_us: u64) -> Answer {
    let (slot, sender, helo) = (Slot(1), Some(address("a@example.net")), String::new());
    let manner = Manner { release_us: Some(release_us), ..Manner::default() };
    let once = Some(Box::new(Once { key: [1; 32], fingerprint: [2; 32] }));
    let begun = edge.ask(Ask::Mail { slot, sender, size: None, manner, helo, tls: None, once }).await;
    if !matches!(begun, Answer::Reserved { .. }) {
        return begun;
    }
    edge.asks.send(Ask::Recipients { slot, batch: vec![address("b@example.org").into()] }).await.unwrap();
    edge.ask(Ask::Content { slot }).await;
    let facts = Facts { authors: vec![address("a@example.net")], received: 1, ..Facts::default() };
    edge.asks.send(Ask::Commit { slot, facts }).await.unwrap();
    edge.answer().await
}

#[test]
fn what_is_scheduled_gets_another_time_and_the_same_time_to_live_behind_it_over_a_restart() {
    let mut bench = bench();
    bench.slice.credentials[0].policy.always_bcc = vec![address("archive@example.net")];
    let other = beside(&mut bench, Policy::default());
    let (first_us, second_us) = (now_us() + HOUR_US, now_us() + 3 * HOUR_US);
    let mut vault = bench.run();
    let mut message = MessageId::now();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        edge.enter(&bench, 2, "other", &other).await;
        message = edge.schedule(&["rosa@example.org", "emil@example.com"], first_us).await;
        let before = edge.look(1, message).await.expect("its own");
        assert_eq!(edge.reschedule(2, message, second_us).await, None, "another's");
        assert_eq!(edge.reschedule(1, MessageId::now(), second_us).await, None);
        let (done, found) = edge.reschedule(1, message, second_us).await.expect("its own");
        assert_eq!((done, found.status, found.scheduled_us), (true, Status::Scheduled, Some(second_us)));
        assert_eq!(found.expires_us - second_us, before.expires_us - first_us, "it lives as long from then on");
        assert!(found.recipients.iter().all(|one| one.next_us == Some(second_us)), "{found:?}");
        let far = Inquiry::Reschedule { message, release_us: now_us() + 49 * HOUR_US };
        let refused = edge.ask(Ask::Inquire { slot: Slot(1), inquiry: far }).await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::HeldTooLong, .. }), "{refused:?}");
        assert_eq!(edge.look(1, message).await, Some(found));
    });
    vault.drain();
    let at = |when: u64| format!("SELECT count(*) FROM spool_rcpt WHERE state = 0 AND next_us = {when}");
    assert_eq!((bench.count(&at(second_us)), bench.count(&at(first_us))), (3, 0), "the copy with them");
    let late = format!("SELECT count(*) FROM spool_rcpt WHERE since_us IS NOT NULL AND since_us <> {second_us}");
    assert_eq!(bench.count(&late), 0, "nobody is late before that");
    let moves = bench.events(&Filter { event: Some("queue.reschedule".into()), ..Filter::default() });
    let [moved] = moves.as_slice() else { panic!("{moves:?}") };
    let data = format!(r#"{{"before_us":{first_us},"held_until_us":{second_us}}}"#);
    assert_eq!((moved.get("data"), moved.get("rcpt_count")), (Some(data.as_str()), Some("3")));
    assert!(moved.get("session_id").is_some() && moved.get("listener").is_some(), "{moved:?}");
    assert_eq!(moved.get("msg_id").map(str::to_owned), Some(message.uuid().to_string()));
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let found = edge.look(1, message).await.expect("its own");
        assert_eq!((found.status, found.scheduled_us), (Status::Scheduled, Some(second_us)));
        assert_eq!(edge.is_moved(message).await, (true, Status::Scheduled), "after a restart, too");
    });
    vault.drain();
}

#[test]
fn what_is_to_leave_earlier_leaves_then_and_what_is_to_leave_later_does_not_leave_before() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let mut courier = vault.courier().await;
        let message = edge.schedule(&["rosa@example.org"], now_us() + HOUR_US).await;
        // The lane knows of nothing before that.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let soon_us = now_us() + SECOND_US;
        assert!(edge.reschedule(1, message, soon_us).await.expect("its own").0);
        let (job, offered, ..) = courier.message().await;
        assert!(offered == message && now_us() >= soon_us);
        courier.say(job, 0, Outcome::Delivered(said(250))).await;
        courier.settled(job).await;

        let message = edge.schedule(&["rosa@example.org"], now_us() + SECOND_US).await;
        let other = edge.schedule(&["emil@example.org"], now_us() + 3 * SECOND_US).await;
        assert_eq!(edge.is_moved(message).await, (true, Status::Scheduled));
        let (job, offered, ..) = courier.message().await;
        assert_eq!(offered, other, "the first one's time is over, and was not its time any more");
        courier.say(job, 0, Outcome::Delivered(said(250))).await;
        courier.settled(job).await;
        // A time that is over is now.
        assert!(edge.reschedule(1, message, now_us() - SECOND_US).await.expect("its own").0);
        assert_eq!(courier.message().await.1, message);
    });
    vault.abandon();
}

#[test]
fn what_is_due_under_way_put_off_had_held_or_taken_back_gets_no_other_time() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let message = kept(edge.submit(1, &["rosa@example.org"], b"x\r\n").await);
        assert_eq!(edge.is_moved(message).await, (false, Status::Received));
        let mut courier = vault.courier().await;
        let (job, ..) = courier.message().await;
        assert_eq!(edge.is_moved(message).await, (false, Status::Started));
        courier.say(job, 0, Outcome::Deferred(said(451))).await;
        courier.settled(job).await;
        let put_off = edge.look_until(1, message, Status::Deferred).await;
        assert_eq!(edge.is_moved(message).await, (false, Status::Deferred));
        assert_eq!(edge.look(1, message).await, Some(put_off), "nothing was changed");

        let message = edge.schedule(&["emil@example.org"], now_us() + HOUR_US).await;
        let (commands, mut responses) = vault.administrator();
        for (deed, expected) in [(Deed::Hold, (false, Status::Held)), (Deed::Release, (true, Status::Scheduled))] {
            let order = Order::Do { deed, which: Which::Message(message), note: None };
            commands.send(Request { behalf: None, command: Command::Queue(order) }).await.unwrap();
            responses.receive().await.unwrap().unwrap();
            assert_eq!(edge.is_moved(message).await, expected, "an operator's hold is his");
        }
        edge.inquire(1, Inquiry::Cancel { message }).await;
        assert_eq!(edge.is_moved(message).await, (false, Status::Canceled));

        let message = kept(edge.submit(1, &["ines@example.org"], b"x\r\n").await);
        let (job, ..) = courier.message().await;
        courier.say(job, 0, Outcome::Delivered(said(250))).await;
        courier.settled(job).await;
        edge.look_until(1, message, Status::Accepted).await;
        assert_eq!(edge.is_moved(message).await, (false, Status::Accepted));
    });
    vault.drain();
    let moves = bench.events(&Filter { event: Some("queue.reschedule".into()), ..Filter::default() });
    assert_eq!(moves.len(), 1, "{moves:?}");
}

#[test]
fn what_a_copy_of_was_tried_or_held_or_a_courier_ended_over_gets_no_other_time_either() {
    for (sql, is_moved) in [
        ("UPDATE spool_rcpt SET tried = 1 WHERE n = 1", false),
        ("UPDATE spool_rcpt SET held = 1 WHERE n = 1", false),
        ("UPDATE spool_rcpt SET state = 2 WHERE n = 1", false),
        ("UPDATE spool_rcpt SET next_us = 1 WHERE n = 1", false),
        ("UPDATE spool_msg SET ended = 1", false),
        ("UPDATE spool_rcpt SET tried = 0", true),
    ] {
        let mut bench = bench();
        bench.slice.credentials[0].policy.always_bcc = vec![address("archive@example.net")];
        let mut message = MessageId::now();
        let mut vault = bench.run();
        test(async {
            let mut edge = vault.edge();
            edge.login(&bench, 1).await;
            message = edge.schedule(&["rosa@example.org"], now_us() + HOUR_US).await;
        });
        vault.drain();
        Database::open(bench.home.path()).unwrap().connection.execute_batch(sql).unwrap();
        let mut vault = bench.run();
        test(async {
            let mut edge = vault.edge();
            edge.login(&bench, 1).await;
            assert_eq!(edge.is_moved(message).await, (is_moved, Status::Scheduled), "{sql}");
        });
        vault.abandon();
    }
}

#[test]
fn its_request_is_known_until_a_day_after_its_other_time() {
    let bench = bench();
    let (first_us, second_us) = (now_us() + HOUR_US, now_us() + 40 * HOUR_US);
    let until = "SELECT expires_us FROM once";
    for is_again in [false, true] {
        let mut vault = bench.run();
        test(async {
            let mut edge = vault.edge();
            edge.login(&bench, 1).await;
            let message = match request(&mut edge, first_us).await {
                Answer::Kept { message, .. } if !is_again => message,
                Answer::Repeated { message, .. } if is_again => message,
                other => panic!("{other:?}"),
            };
            // Also by a vault that knows it from the disk alone.
            let time_us = if is_again { first_us } else { second_us };
            assert!(edge.reschedule(1, message, time_us).await.expect("its own").0);
        });
        vault.drain();
        let expected = if is_again { first_us } else { second_us } + KEPT_US;
        assert_eq!(u64::try_from(bench.count(until)).unwrap(), expected);
    }
}
