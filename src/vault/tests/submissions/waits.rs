//! Who waits for the end of a message hears of it when it is there, and is let go in time.

use std::time::Instant;

use super::*;
use crate::ipc::inquiry::Over;

fn waits(message: MessageId, within_ms: u32) -> Inquiry {
    Inquiry::Wait { message, within_ms }
}

fn waited(answer: Answer) -> (Option<Status>, Over) {
    let Answer::Found { finding: Finding::Waited(found, over), .. } = answer else { panic!("{answer:?}") };
    (found.map(|found| found.status), over)
}

#[test]
fn a_wait_ends_with_the_message_with_its_time_or_with_who_waits() {
    let mut bench = Bench::new();
    bench.slice.retry = vec![HOUR];
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        edge.login(&bench, 2).await;
        let message = kept(edge.submit(1, &["rosa@example.org"], b"x\r\n").await);
        let begun = Instant::now();
        let over = waited(edge.ask(Ask::Inquire { slot: Slot(1), inquiry: waits(message, 50) }).await);
        assert_eq!(over, (Some(Status::Received), Over::Elapsed));
        assert!(begun.elapsed() >= Duration::from_millis(50));
        edge.say(Ask::Inquire { slot: Slot(1), inquiry: waits(message, u32::MAX) }).await;
        edge.say(Ask::Inquire { slot: Slot(2), inquiry: waits(message, u32::MAX) }).await;
        edge.say(Ask::Abort { slot: Slot(2) }).await;
        assert_eq!(waited(edge.answer().await), (Some(Status::Received), Over::Left));
        assert!(edge.look(2, message).await.is_some(), "the session goes on");

        let mut courier = vault.courier().await;
        let (job, ..) = courier.message().await;
        courier.say(job, 0, Outcome::Delivered(said(250))).await;
        courier.settled(job).await;
        assert_eq!(waited(edge.answer().await), (Some(Status::Accepted), Over::Ended));
        assert!(begun.elapsed() < Duration::from_secs(25), "it was not the end of its time");
        for (message, status) in [(message, Some(Status::Accepted)), (MessageId::now(), None)] {
            let over = waited(edge.ask(Ask::Inquire { slot: Slot(1), inquiry: waits(message, u32::MAX) }).await);
            assert_eq!(over, (status, Over::Ended), "what is over, or not there, is not waited for");
        }
    });
    vault.drain();
}

impl Edge {
    /// Waits shortly, again and again, until that is so why it ends.
    async fn waits_until(&mut self, message: MessageId, wanted: Over) -> bool {
        for _ in 0..40 {
            let answer = self.ask(Ask::Inquire { slot: Slot(17), inquiry: waits(message, 20) }).await;
            if matches!(answer, Answer::Found { .. }) && waited(answer).1 == wanted {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        false
    }
}

#[test]
fn so_many_wait_and_no_more_and_who_leaves_makes_room() {
    let mut bench = Bench::new();
    bench.slice.retry = vec![HOUR];
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        for slot in 1..=18 {
            edge.login(&bench, slot).await;
        }
        let message = kept(edge.submit(1, &["rosa@example.org"], b"x\r\n").await);
        for slot in 1..=16 {
            edge.say(Ask::Inquire { slot: Slot(slot), inquiry: waits(message, u32::MAX) }).await;
        }
        // They have their places when their first looks are over; until then it may ask too much at a time.
        assert!(edge.waits_until(message, Over::Crowded).await);
        edge.say(Ask::Close { slot: Slot(3) }).await;
        assert!(edge.waits_until(message, Over::Elapsed).await, "there is a place again");
    });
    vault.drain();
}
