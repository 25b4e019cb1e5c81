//! What is asked before a message goes, and what is told of it: to the log, to a webhook, and by the limits.

use super::*;
use crate::config::slice::Webhook;
use crate::policy::feedback::Told;
use crate::policy::mask::Mask;
use crate::policy::reports::Reports;
use crate::vault::tests::suppression::suppress;

fn named(bench: &Bench, name: &str) -> Vec<Found> {
    bench.events(&Filter { event: Some(name.into()), ..Filter::default() })
}

#[test]
fn who_is_suppressed_is_not_asked_for_and_has_nothing_at_the_dot() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        suppress(&mut vault, "gone@example.org", None).await;
        let mut stage = Stage::taken(&bench, &mut vault, "x@example.org").await;
        ask_for(&mut stage.edge, "gone@example.org").await;
        assert_eq!(word(stage.edge.answer().await), Word::Refused(Refusal::Suppressed));
        ask_for(&mut stage.edge, "y@example.org").await;
        let Offer::Recipients { batch, .. } = stage.courier.offer().await else { panic!() };
        assert_eq!((batch.len(), &batch[0].1.address), (1, &address("y@example.org")));
        stage.accept(2).await;
        stage.content(b"x\r\n").await;
        // One of the two, and then both: while the message comes.
        suppress(&mut vault, "x@example.org", None).await;
        stage.commit("a@example.net").await;
        let refused = stage.edge.answer().await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::StoreUnavailable, .. }), "{refused:?}");
        assert!(matches!(stage.courier.offer().await, Offer::Withdraw { .. }));
        stage.courier.tell(Progress::GivenUp { job: stage.job }).await;
        let mut stage = Stage::begin(stage.edge, stage.courier, "y@example.org").await;
        stage.accept(1).await;
        stage.content(b"x\r\n").await;
        suppress(&mut vault, "y@example.org", Some("shop")).await;
        stage.commit("a@example.net").await;
        let refused = stage.edge.answer().await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::Suppressed, .. }), "{refused:?}");
        assert!(matches!(stage.courier.offer().await, Offer::Withdraw { .. }));
    });
    vault.drain();
    assert_eq!(named(&bench, "msg.intent").len(), 0);
    let reasons: Vec<_> =
        named(&bench, "msg.reject").iter().map(|event| event.get("reason").map(str::to_owned)).collect();
    assert!(reasons.contains(&Some("suppressed".into())), "{reasons:?}");
}

#[test]
fn a_webhook_is_told_what_became_of_it_and_hard_bounces_are_counted() {
    let mut bench = bench();
    let events = Told::WORDS.map(|(_, told)| told).to_vec();
    bench.slice.webhooks =
        vec![Webhook { name: "app".into(), events, mask: Mask::None, lifetime: Duration::from_secs(3600) }];
    let policy = &mut bench.slice.credentials[0].policy;
    (policy.webhook, policy.reports) = (Some("app".into()), Reports::Webhook);
    bench.slice.suppression =
        Some(crate::config::slice::CountBounces { after: 1, lifetime: Duration::from_secs(86_400) });
    let mut vault = bench.run();
    test(async {
        let mut stage = Stage::taken(&bench, &mut vault, "x@example.org").await;
        stage.ask("y@example.org").await;
        let unknown = Said { enhanced: Some("5.1.1".into()), of_recipient: true, ..said(550) };
        stage.courier.say(stage.job, 2, Outcome::Failed(unknown)).await;
        assert_eq!(code(word(stage.edge.answer().await)), (550, [5, 1, 1]));
        stage.content(b"x\r\n").await;
        stage.commit("a@example.net").await;
        stage.end().await;
        stage.courier.say(stage.job, 1, Outcome::Deferred(said(451))).await;
        stage.courier.settled(stage.job).await;
        assert_eq!(stage.spoken().await.code, 451);
    });
    vault.drain();
    let kinds = bench.count("SELECT count(*) FROM webhook_event WHERE kind = 'email.delivery_delayed' AND instead = 0");
    assert_eq!((kinds, bench.count("SELECT count(*) FROM webhook_event")), (1, 1));
    assert_eq!(bench.count("SELECT kind FROM feed"), 2, "whoever asks is told the same");
    assert_eq!(bench.count("SELECT count(*) FROM suppression WHERE reason = 1"), 1);
}

#[test]
fn each_who_was_accepted_and_had_nothing_is_in_the_log_and_so_is_each_kind_of_refusal() {
    // More than what is told one by one.
    let many = 253;
    let mut bench = bench();
    let policy = &mut bench.slice.credentials[0].policy;
    (policy.limits.per_day, policy.max_recipients) = (Some(50), Some(2 * many));
    let mut vault = bench.run();
    test(async {
        let mut stage = Stage::set(&bench, &mut vault, "x@example.org").await;
        for number in 1..=2 * many + 1 {
            if number > 1 {
                stage.ask("y@example.org").await;
            }
            if number > many + 1 {
                stage.accept(number).await;
                continue;
            }
            let code = if number == many + 1 { 553 } else { 550 };
            stage.courier.say(stage.job, number, Outcome::Failed(said(code))).await;
            assert!(matches!(word(stage.edge.answer().await), Word::Said(_)));
        }
        stage.courier.tell(Progress::BrokenOff { job: stage.job, said: Said { code: None, ..said(0) } }).await;
        // Behind it all is written.
        assert!(matches!(stage.edge.ask(Ask::Content { slot: Slot(1) }).await, Answer::Credit { .. }));
    });
    vault.drain();
    let codes = named(&bench, "deliver.bounce").iter().filter(|event| event.get("smtp_code") == Some("553")).count();
    assert_eq!((codes, named(&bench, "deliver.defer").len()), (1, many as usize));
}

#[test]
fn whom_the_upstream_was_asked_for_is_counted_whatever_comes_of_the_message() {
    let mut bench = bench();
    let limits = &mut bench.slice.credentials[0].policy.limits;
    (limits.per_day, limits.recipients_per_day) = (Some(50), Some(3));
    let mut vault = bench.run();
    test(async {
        let mut stage = Stage::set(&bench, &mut vault, "x@example.org").await;
        stage.courier.say(stage.job, 1, Outcome::Failed(said(550))).await;
        assert_eq!(code(word(stage.edge.answer().await)).0, 550);
        stage.ask("y@example.org").await;
        stage.courier.say(stage.job, 2, Outcome::Failed(said(550))).await;
        assert_eq!(code(word(stage.edge.answer().await)).0, 550);
        stage.edge.asks.send(Ask::Abort { slot: Slot(1) }).await.unwrap();
        assert!(matches!(stage.courier.offer().await, Offer::Withdraw { .. }));
        stage.courier.tell(Progress::GivenUp { job: stage.job }).await;
        let mut stage = Stage::begin(stage.edge, stage.courier, "z@example.org").await;
        stage.accept(1).await;
        ask_for(&mut stage.edge, "w@example.org").await;
        let refused = word(stage.edge.answer().await);
        assert!(matches!(refused, Word::Refused(Refusal::QuotaExceeded(_))), "{refused:?}");
        // Who is on the message is counted once.
        stage.content(b"x\r\n").await;
        stage.commit("a@example.net").await;
        stage.end().await;
    });
    vault.abandon();
    assert_eq!(bench.count("SELECT sum(rcpts) FROM rl_quota WHERE rcpts > 0 AND key = 'shop'"), 3);
}

#[test]
fn who_was_asked_for_is_counted_where_the_intent_is_refused_too() {
    let mut bench = bench();
    bench.slice.credentials[0].policy.limits.recipients_per_day = Some(1);
    let mut vault = bench.run();
    test(async {
        let mut stage = Stage::taken(&bench, &mut vault, "x@example.org").await;
        stage.content(b"x\r\n").await;
        suppress(&mut vault, "x@example.org", None).await;
        stage.commit("a@example.net").await;
        let refused = stage.edge.answer().await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::Suppressed, .. }), "{refused:?}");
        assert!(matches!(stage.courier.offer().await, Offer::Withdraw { .. }));
        let reserved = stage.edge.mail(1, "a@example.net").await;
        if matches!(reserved, Answer::Reserved { .. }) {
            ask_for(&mut stage.edge, "y@example.org").await;
            let refused = word(stage.edge.answer().await);
            assert!(matches!(refused, Word::Refused(Refusal::QuotaExceeded(_))), "{refused:?}");
        }
    });
    vault.drain();
    assert_eq!(bench.count("SELECT sum(rcpts) FROM rl_quota WHERE rcpts > 0 AND key = 'shop'"), 1);
}

#[test]
fn the_log_says_when_nobody_was_there_to_hear_that_it_was_delivered() {
    for is_there in [false, true] {
        let bench = bench();
        let mut vault = bench.run();
        test(async {
            let mut stage = Stage::taken(&bench, &mut vault, "x@example.org").await;
            stage.content(b"x\r\n").await;
            stage.commit("a@example.net").await;
            stage.end().await;
            if !is_there {
                stage.edge.asks.send(Ask::Close { slot: Slot(1) }).await.unwrap();
                // Behind it the vault has heard that.
                stage.edge.login(&bench, 2).await;
            }
            stage.courier.say(stage.job, 1, Outcome::Delivered(said(250))).await;
            stage.courier.settled(stage.job).await;
            if is_there {
                assert_eq!(stage.spoken().await.code, 250);
            }
        });
        vault.drain();
        let data = named(&bench, "deliver.success").pop().expect("it is there");
        assert_eq!(data.get("data").is_some_and(|data| data.contains("not-told")), !is_there);
    }
}
