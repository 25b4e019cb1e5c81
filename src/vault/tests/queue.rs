//! Orders over the queue of a vault that runs.

use super::*;
use crate::ipc::admin::backup;
use crate::ipc::admin::queue::{Command as Order, Counts, Deed, Response as Told, Which};

pub async fn order(vault: &mut Running, deed: Deed) -> Counts {
    let (asks, mut answers) = vault.administrator();
    let command = Command::Queue(Order::Do { deed, which: Which::All, note: None });
    asks.send(Request { behalf: None, command }).await.unwrap();
    let mut counts = Counts::default();
    loop {
        match answers.receive().await.unwrap().expect("an answer") {
            Response::Queue(Told::Counted(sum)) => counts = sum,
            Response::Done => return counts,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn rule_q17_held_mail_waits_released_mail_is_offered_at_once_and_dropped_mail_is_gone() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let large = vec![b'x'; 200_000];
        for content in [b"small\r\n".as_slice(), &large] {
            edge.submit(1, &["a@example.org"], content).await;
        }
        assert_eq!(order(&mut vault, Deed::Hold).await, Counts { messages: 2, recipients: 2, under_way: 0 });
        let mut courier = vault.courier().await;
        // What comes now is not held, and all that is offered.
        edge.submit(1, &["b@example.org"], b"later\r\n").await;
        let (job, _, recipients, _) = courier.message().await;
        assert_eq!(recipients[0].1, address("b@example.org"));
        courier.say(job, 0, Outcome::Delivered(said(250))).await;
        courier.settled(job).await;
        let quiet = tokio::time::timeout(Duration::from_millis(1500), courier.offers.receive()).await;
        assert!(quiet.is_err(), "{quiet:?}");

        assert_eq!(order(&mut vault, Deed::Release).await.messages, 2);
        let (job, _, _, size) = courier.message().await;
        assert_eq!(size, 7);
        courier.say(job, 0, Outcome::Delivered(said(250))).await;
        courier.settled(job).await;
        let (job, ..) = courier.message().await;
        // Too late for this one to be only dropped: the courier has it, and says how it ended.
        assert_eq!(order(&mut vault, Deed::Drop).await, Counts { messages: 1, recipients: 0, under_way: 1 });
        courier.say(job, 0, Outcome::Deferred(said(451))).await;
        courier.settled(job).await;
        let quiet = tokio::time::timeout(Duration::from_millis(1500), courier.offers.receive()).await;
        assert!(quiet.is_err(), "{quiet:?}");
    });
    vault.drain();
    assert_eq!(bench.count("SELECT count(*) FROM spool_body"), 0);
    let segments = fs::read_dir(bench.home.path().join("db")).unwrap();
    let left: Vec<_> = segments
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().starts_with("body-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let names = bench.names();
    for name in ["queue.hold", "queue.release", "queue.drop"] {
        assert_eq!(names.iter().filter(|event| *event == name).count(), 1, "{name} in {names:?}");
    }
}

#[test]
fn a_backup_that_nobody_takes_is_given_up_and_bodies_leave_the_disk_again() {
    let bench = Bench::new();
    let mut vault = bench.run();
    let bodies = || {
        let entries = fs::read_dir(bench.home.path().join("db")).unwrap().map(|entry| entry.unwrap().file_name());
        entries.filter(|name| name.to_string_lossy().starts_with("body-")).count()
    };
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        edge.submit(1, &["a@example.org"], &[b'x'; 200_000]).await;
        let (asks, mut answers) = vault.administrator();
        let ask = |command| Request { behalf: None, command: Command::Backup(command) };
        asks.send(ask(backup::Command::Begin)).await.unwrap();
        while !matches!(answers.receive().await.unwrap().expect("an answer"), Response::Done) {}
        let mut courier = vault.courier().await;
        let (job, ..) = courier.message().await;
        courier.say(job, 0, Outcome::Delivered(said(250))).await;
        courier.settled(job).await;
        // The connection stays, and nothing is asked on it.
        let mut looks = 0;
        while bodies() > 0 {
            looks += 1;
            assert!(looks < 200, "the body is kept for ever");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        asks.send(ask(backup::Command::Next)).await.unwrap();
        let said = answers.receive().await.unwrap();
        assert!(matches!(said, Some(Response::Refused { .. })), "{said:?}");
    });
    vault.drain();
}
