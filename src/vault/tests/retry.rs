//! When those come back whom an attempt did not reach.

use super::courier::offered;
use super::*;

#[test]
fn recipients_who_were_put_off_together_come_back_together() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let to = ["x@example.org", "y@example.org", "z@example.org"];
        let (mut courier, job, message) = offered(&bench, &mut vault, &to, b"x\r\n").await;
        courier.say(job, 0, Outcome::Deferred(said(451))).await;
        // So much later that who counted from here would come back much later too.
        tokio::time::sleep(Duration::from_millis(50)).await;
        courier.say(job, 1, Outcome::Failed(said(550))).await;
        courier.say(job, 2, Outcome::Unknown(said(421))).await;
        courier.settled(job).await;
        let mut again = courier.message().await;
        if again.1 != message {
            // The report about the second one was made first.
            again = courier.message().await;
        }
        let (_, same, recipients, _) = again;
        assert_eq!(same, message);
        assert_eq!(recipients.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 2]);
    });
    vault.abandon();
    assert_eq!(bench.count("SELECT count(DISTINCT next_us) FROM spool_rcpt WHERE n IN (0, 2) AND attempts = 1"), 1);
}
