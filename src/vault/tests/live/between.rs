//! What changes while a message of somebody who waits is under way.

use super::*;

#[test]
fn a_credential_that_changes_between_a_recipient_and_the_dot_has_nothing_delivered() {
    for mode in [Delivery::Direct, Delivery::Fallback] {
        let mut bench = bench();
        bench.slice.credentials[0].policy.delivery = Some(mode);
        let mut vault = bench.run();
        test(async {
            let mut stage = Stage::taken(&bench, &mut vault, "x@example.org").await;
            stage.content(b"x\r\n").await;
            let mut slice = bench.slice.clone();
            slice.credentials.remove(0);
            vault.switch(&slice, Generation(2));
            assert!(matches!(stage.edge.answer().await, Answer::Revoked { .. }));
            stage.commit("a@example.net").await;
            let refused = stage.edge.answer().await;
            assert!(matches!(refused, Answer::Refused { refusal: Refusal::Revoked, .. }), "{mode:?} {refused:?}");
            assert!(matches!(stage.courier.offer().await, Offer::Withdraw { .. }));
        });
        vault.drain();
        assert!(!bench.names().iter().any(|name| name == "msg.intent" || name == "msg.accept"));
        assert_eq!(bench.count("SELECT count(*) FROM spool_msg"), 0);
    }
}

#[test]
fn a_reload_lets_what_has_begun_come_to_its_end_at_the_courier_that_has_it() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut stage = Stage::taken(&bench, &mut vault, "x@example.org").await;
        stage.content(b"x\r\n").await;
        vault.switch(&bench.slice, Generation(2));
        // Its courier is replaced, and takes nothing new.
        stage.courier.tell(Progress::Slots(0)).await;
        let mut next = vault.courier().await;
        stage.commit("a@example.net").await;
        stage.end().await;
        stage.courier.say(stage.job, 1, Outcome::Delivered(said(250))).await;
        stage.courier.settled(stage.job).await;
        assert_eq!(stage.spoken().await.code, 250);
        assert!(matches!(stage.edge.mail(1, "a@example.net").await, Answer::Reserved { live: true, .. }));
        ask_for(&mut stage.edge, "y@example.org").await;
        assert!(matches!(next.offer().await, Offer::Live { .. }));
    });
    vault.drain();
    assert_eq!(bench.told("deliver.success"), 1);
}
