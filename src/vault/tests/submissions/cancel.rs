//! A message is taken back by its own sender while nobody has it and no courier is at it, and by nobody else.

use super::*;
use crate::ipc::admin::queue::{Command as Order, Deed, Which};
use crate::ipc::inquiry::Canceled;

impl Edge {
    /// What becomes of a message that is taken back: whether that was done, and how it stands.
    async fn cancel(&mut self, slot: u32, message: MessageId) -> Option<(bool, Submission)> {
        let finding = self.inquire(slot, Inquiry::Cancel { message }).await;
        let Finding::Canceled(canceled) = finding else { panic!("{finding:?}") };
        canceled.map(|canceled| match canceled {
            Canceled::Done(found) => (true, *found),
            Canceled::Not(found) => (false, *found),
        })
    }
}

fn bodies(bench: &Bench) -> i64 {
    let database = Database::open(bench.home.path()).unwrap();
    database.connection.query_row("SELECT count(*) FROM spool_body", [], |row| row.get(0)).unwrap()
}

#[test]
fn what_is_queued_is_taken_back_once_and_for_all_and_nobody_else_can() {
    let mut bench = Bench::new();
    bench.slice.credentials[0].policy.always_bcc = vec![address("archive@example.net")];
    let other = beside(&mut bench, Policy::default());
    let mut vault = bench.run();
    let mut message = MessageId::now();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        edge.enter(&bench, 2, "other", &other).await;
        message = kept(edge.submit(1, &["rosa@example.org", "emil@example.com"], b"x\r\n").await);
        assert_eq!(edge.cancel(2, message).await, None, "another's");
        assert_eq!(edge.cancel(1, MessageId::now()).await, None);
        let (done, found) = edge.cancel(1, message).await.expect("its own");
        assert_eq!((done, found.status, states(&found)), (true, Status::Canceled, vec![Status::Canceled; 2]));
        assert!(found.ended_us.is_some());
        let again = edge.cancel(1, message).await;
        assert_eq!(again, Some((true, found)), "the same answer, and nothing more is done");
        // Whoever is there to take it gets nothing of it, but what comes later.
        let later = kept(edge.submit(1, &["ines@example.org"], b"x\r\n").await);
        let mut courier = vault.courier().await;
        let (_, offered, ..) = courier.message().await;
        assert_eq!(offered, later);
    });
    vault.drain();
    assert_eq!(bodies(&bench), 1, "the body of the other one alone is left");
    let drops = bench.events(&Filter { event: Some("queue.drop".into()), ..Filter::default() });
    let [drop] = drops.as_slice() else { panic!("{drops:?}") };
    assert_eq!((drop.get("reason"), drop.get("rcpt_count")), (Some("canceled"), Some("3")), "the copy with them");
    assert!(drop.get("session_id").is_some() && drop.get("listener").is_some(), "{drop:?}");
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        assert!(edge.cancel(1, message).await.is_some_and(|(done, _)| done), "after a restart, too");
    });
    vault.drain();
}

#[test]
fn what_is_under_way_had_or_held_is_not_taken_back_and_goes_on_as_it_was() {
    let mut bench = Bench::new();
    bench.slice.retry = vec![HOUR];
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let message = kept(edge.submit(1, &["rosa@example.org", "emil@example.org"], b"x\r\n").await);
        let mut courier = vault.courier().await;
        let (job, ..) = courier.message().await;
        let (done, found) = edge.cancel(1, message).await.expect("its own");
        assert_eq!((done, found.status), (false, Status::Started));
        courier.say(job, 0, Outcome::Deferred(said(451))).await;
        courier.say(job, 1, Outcome::Delivered(said(250))).await;
        courier.settled(job).await;
        edge.look_until(1, message, Status::Deferred).await;
        let (done, found) = edge.cancel(1, message).await.expect("its own");
        assert_eq!((done, states(&found)), (false, vec![Status::Deferred, Status::Accepted]), "somebody has it");

        let message = kept(edge.submit(1, &["rosa@example.org"], b"x\r\n").await);
        let (job, ..) = courier.message().await;
        courier.say(job, 0, Outcome::Deferred(said(451))).await;
        courier.settled(job).await;
        edge.look_until(1, message, Status::Deferred).await;
        let (commands, mut responses) = vault.administrator();
        for (deed, is_done) in [(Deed::Hold, false), (Deed::Release, true)] {
            let order = Order::Do { deed, which: Which::Message(message), note: None };
            commands.send(Request { behalf: None, command: Command::Queue(order) }).await.unwrap();
            responses.receive().await.unwrap().unwrap();
            let (done, found) = edge.cancel(1, message).await.expect("its own");
            let status = if is_done { Status::Canceled } else { Status::Held };
            assert_eq!((done, found.status), (is_done, status), "an operator's hold is his");
        }
    });
    vault.drain();
}

#[test]
fn what_a_copy_of_has_gone_out_is_not_taken_back_either() {
    let mut bench = Bench::new();
    bench.slice.retry = vec![HOUR];
    bench.slice.credentials[0].policy.always_bcc = vec![address("archive@example.net")];
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let message = kept(edge.submit(1, &["rosa@example.org"], b"x\r\n").await);
        let mut courier = vault.courier().await;
        let (job, ..) = courier.message().await;
        courier.say(job, 0, Outcome::Deferred(said(451))).await;
        courier.say(job, 1, Outcome::Delivered(said(250))).await;
        courier.settled(job).await;
        edge.look_until(1, message, Status::Deferred).await;
        let (done, found) = edge.cancel(1, message).await.expect("its own");
        assert_eq!((done, states(&found)), (false, vec![Status::Deferred]), "the archive has it");
    });
    vault.drain();
    assert_eq!(bodies(&bench), 1);
}

#[test]
fn of_a_cancel_and_a_lease_exactly_one_wins() {
    let mut bench = Bench::new();
    bench.slice.credentials[0].policy.limits = Rules::default();
    bench.slice.retry = vec![HOUR];
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let mut courier = vault.courier().await;
        let (mut canceled, mut offered) = (0, 0);
        for round in 0..24u64 {
            let message = kept(edge.submit(1, &["rosa@example.org"], b"x\r\n").await);
            tokio::time::sleep(Duration::from_micros(round * 50)).await;
            let (done, found) = edge.cancel(1, message).await.expect("its own");
            if done {
                canceled += 1;
                assert_eq!(found.status, Status::Canceled);
                continue;
            }
            let (job, taken, ..) = courier.message().await;
            assert_eq!((taken, found.status), (message, Status::Started), "what was taken back is never offered");
            offered += 1;
            courier.say(job, 0, Outcome::Delivered(said(250))).await;
            courier.settled(job).await;
            edge.look_until(1, message, Status::Accepted).await;
        }
        assert_eq!(canceled + offered, 24);
    });
    vault.drain();
    assert_eq!(bodies(&bench), 0);
}
