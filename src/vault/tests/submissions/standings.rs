//! Where a message stands, why it ended, and whose it is.

use super::*;
use crate::ipc::admin::queue::{Command as Order, Deed, Which};
use crate::ipc::inquiry::{Cause, Counts};
use crate::policy::OnUnknown;

/// Sends one message to these, and has the courier say this of each in turn.
async fn deliver(edge: &mut Edge, vault: &mut Running, to: &[&str], outcomes: Vec<Outcome>) -> MessageId {
    let message = kept(edge.submit(1, to, b"x\r\n").await);
    let mut courier = vault.courier().await;
    let (job, ..) = courier.message().await;
    for (number, outcome) in (0u32..).zip(outcomes) {
        courier.say(job, number, outcome).await;
    }
    courier.settled(job).await;
    message
}

#[test]
fn why_it_ended_is_told_by_its_cause_and_what_is_held_is_not_called_on_its_way() {
    let unknown = || Outcome::Unknown(said(421));
    for (on_unknown, outcome, status, cause, doubt) in [
        (OnUnknown::Hold, unknown(), Status::Held, None, true),
        (OnUnknown::Drop, unknown(), Status::Failed, Some(Cause::Unknown), true),
        (OnUnknown::Retry, unknown(), Status::Deferred, None, true),
        (OnUnknown::Retry, Outcome::Failed(said(550)), Status::Failed, Some(Cause::Rejected), false),
        (OnUnknown::Retry, Outcome::Failed(Said::default()), Status::Failed, Some(Cause::Withheld), false),
        (OnUnknown::Retry, Outcome::Delivered(said(250)), Status::Accepted, None, false),
    ] {
        let mut bench = Bench::new();
        bench.slice.retry = vec![HOUR];
        bench.slice.credentials[0].policy.on_unknown = on_unknown;
        let mut vault = bench.run();
        test(async {
            let mut edge = vault.edge();
            edge.login(&bench, 1).await;
            let message = deliver(&mut edge, &mut vault, &["rosa@example.org"], vec![outcome]).await;
            let found = edge.look_until(1, message, status).await;
            assert_eq!((states(&found), found.cause, found.doubt), (vec![status], cause, doubt));
            assert_eq!(found.recipients[0].next_us.is_some(), status == Status::Deferred);
            assert_eq!(found.ended_us.is_some(), status.is_final(), "{found:?}");
        });
        vault.drain();
    }
}

#[test]
fn a_message_that_an_operator_holds_is_held_until_he_releases_it() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let message = kept(edge.submit(1, &["rosa@example.org"], b"x\r\n").await);
        let (commands, mut responses) = vault.administrator();
        for (deed, status) in [(Deed::Hold, Status::Held), (Deed::Release, Status::Received)] {
            let order = Order::Do { deed, which: Which::Message(message), note: None };
            commands.send(Request { behalf: None, command: Command::Queue(order) }).await.unwrap();
            responses.receive().await.unwrap().unwrap();
            let found = edge.look(1, message).await.expect("its own");
            assert_eq!((found.status, states(&found)), (status, vec![status]));
            assert_eq!(found.recipients[0].next_us.is_some(), status == Status::Received);
        }
    });
    vault.drain();
}

#[test]
fn nobody_is_told_of_a_copy_by_when_it_ends() {
    let mut bench = Bench::new();
    bench.slice.retry = vec![HOUR];
    bench.slice.credentials[0].policy.always_bcc = vec![address("archive@example.net")];
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let outcomes = vec![Outcome::Delivered(said(250)), Outcome::Deferred(said(451))];
        let message = deliver(&mut edge, &mut vault, &["rosa@example.org"], outcomes).await;
        let found = edge.look_until(1, message, Status::Accepted).await;
        assert!(found.ended_us.is_some(), "{found:?}");
        assert_eq!(found.counts, Some(Counts { accepted: 1, ..Counts::default() }));
    });
    vault.drain();
}

#[test]
fn of_many_recipients_those_are_told_of_who_do_not_have_it() {
    let mut bench = Bench::new();
    bench.slice.credentials[0].policy.max_recipients = Some(100);
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let to: Vec<String> = (0..60).map(|n| format!("{n}@example.org")).collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        let mut outcomes = vec![Outcome::Delivered(said(250)); 60];
        outcomes[58] = Outcome::Failed(said(550));
        let message = deliver(&mut edge, &mut vault, &to, outcomes).await;
        let found = edge.look_until(1, message, Status::Failed).await;
        assert_eq!((found.count, found.recipients.len()), (Some(60), MOST_RECIPIENTS));
        assert_eq!(found.counts, Some(Counts { accepted: 59, failed: 1, ..Counts::default() }));
        let last = found.recipients.last().unwrap();
        assert_eq!((last.number, last.status), (58, Status::Failed));
    });
    vault.drain();
}

#[test]
fn what_another_credential_of_the_name_sent_or_is_too_old_is_not_there_and_where_nobody_knows_the_time_decides() {
    let bench = Bench::new();
    let mut vault = bench.run();
    let mut message = MessageId::now();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        message = deliver(&mut edge, &mut vault, &["rosa@example.org"], vec![Outcome::Delivered(said(250))]).await;
        edge.look_until(1, message, Status::Accepted).await;
    });
    vault.drain();
    let days = 86_400_000_000i64;
    for (change, is_there) in [
        ("SET owner = 7".to_owned(), false),
        ("SET owner = NULL".to_owned(), true),
        (format!("SET done_us = done_us - {}", 6 * days), true),
        (format!("SET done_us = done_us - {}", 2 * days), false),
    ] {
        let database = Database::open(bench.home.path()).unwrap();
        assert_eq!(database.connection.execute(&format!("UPDATE spool_msg {change}"), []).unwrap(), 1);
        drop(database);
        let mut vault = bench.run();
        test(async {
            let mut edge = vault.edge();
            edge.login(&bench, 1).await;
            assert_eq!(edge.look(1, message).await.is_some(), is_there, "{change}");
        });
        vault.drain();
    }
}

#[test]
fn who_asks_without_end_is_told_to_wait_and_others_are_answered() {
    let mut bench = Bench::new();
    let other = beside(&mut bench, Policy::default());
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        edge.enter(&bench, 2, "other", &other).await;
        let ask = |slot| Ask::Inquire { slot: Slot(slot), inquiry: Inquiry::Submission { message: MessageId::now() } };
        let mut refused = false;
        for _ in 0..100_000 {
            if let Answer::Refused { refusal: Refusal::RateLimited(1), .. } = edge.ask(ask(1)).await {
                refused = true;
                break;
            }
        }
        assert!(refused);
        let answered = edge.ask(ask(2)).await;
        assert!(matches!(answered, Answer::Found { .. }), "{answered:?}");
    });
    vault.drain();
}
