//! Mail to addresses that nothing is sent to, in a vault that runs.

use super::*;
use crate::config::slice::CountBounces;
use crate::ipc::admin::suppress::{Command as List, Entry, Response as Told};
use crate::policy::suppression::Reason;

/// What a command of the list's answers: how many it changed, and what it shows.
async fn ask(vault: &mut Running, command: List) -> (u64, Vec<Entry>) {
    let (asks, mut answers) = vault.administrator();
    asks.send(Request { behalf: None, command: Command::Suppress(command) }).await.unwrap();
    let (mut changed, mut entries) = (0, Vec::new());
    loop {
        match answers.receive().await.unwrap().expect("an answer") {
            Response::Suppress(Told::Changed(count) | Told::Added { added: count, .. }) => changed = count,
            Response::Suppress(Told::Entry(entry)) => entries.push(*entry),
            Response::Suppress(Told::Next(_)) => {}
            Response::Done => return (changed, entries),
            other => panic!("{other:?}"),
        }
    }
}

pub async fn suppress(vault: &mut Running, to: &str, scope: Option<&str>) {
    let entries = vec![(address(to), Reason::Manual)];
    let add = List::Add { entries, scope: scope.map(str::to_owned), expires_us: None, note: None, replace: false };
    assert_eq!(ask(vault, add).await.0, 1);
}

async fn listed(vault: &mut Running) -> Vec<Entry> {
    ask(vault, List::List { after: None, scope: None, address: None }).await.1
}

#[test]
fn who_is_suppressed_gets_nothing_and_the_sender_hears_it_at_the_dot_or_by_a_report() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        suppress(&mut vault, "Gone@Example.org", None).await;
        suppress(&mut vault, "other@example.org", Some("printer")).await;
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let alone = edge.submit(1, &["gone@example.org"], b"x\r\n").await;
        assert!(matches!(alone, Answer::Refused { refusal: Refusal::Suppressed, .. }), "{alone:?}");
        // What is there for one credential concerns no other; and with others it is the message's and not the recipient's dot.
        let kept = edge.submit(1, &["gone@example.org", "other@example.org"], b"x\r\n").await;
        let Answer::Kept { message, .. } = kept else { panic!("{kept:?}") };
        let mut courier = vault.courier().await;
        let (job, offered, recipients, _) = courier.message().await;
        assert_eq!((offered, recipients), (message, vec![(1, address("other@example.org"))]));
        courier.content(job).await;
        courier.say(job, 1, Outcome::Delivered(said(250))).await;
        courier.settled(job).await;
        let (_, _, to, _) = courier.message().await;
        assert_eq!(to[0].1, address("a@example.net"), "its sender is told of the one who failed");
    });
    vault.drain();
    let refused = bench.events(&Filter { event: Some("msg.reject".into()), ..Filter::default() });
    assert_eq!((refused.len(), refused[0].get("reason")), (1, Some("suppressed")));
    let failed = bench.events(&Filter { event: Some("deliver.bounce".into()), ..Filter::default() });
    assert_eq!(
        (failed.len(), failed[0].get("reason"), failed[0].get("enhanced")),
        (1, Some("suppressed"), Some("5.7.1"))
    );
    assert_eq!(bench.count("SELECT count(*) FROM spool_rcpt WHERE state = 3 AND enhanced = '5.7.1'"), 1);
}

#[test]
fn who_is_suppressed_while_mail_waits_is_not_offered_and_a_refusal_takes_nothing_of_the_limits() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let kept = edge.submit(1, &["late@example.org"], b"x\r\n").await;
        assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
        suppress(&mut vault, "late@example.org", Some("shop")).await;
        let mut courier = vault.courier().await;
        let (job, _, to, _) = courier.message().await;
        assert_eq!(to[0].1, address("a@example.net"), "nothing but the report leaves");
        courier.content(job).await;
        courier.say(job, to[0].0, Outcome::Delivered(said(250))).await;
        courier.settled(job).await;
        // Five in a day: what is refused is none of them.
        for _ in 0..6 {
            let refused = edge.submit(1, &["late@example.org"], b"x\r\n").await;
            assert!(matches!(refused, Answer::Refused { refusal: Refusal::Suppressed, .. }), "{refused:?}");
        }
        let (removed, _) = ask(
            &mut vault,
            List::Remove { addresses: vec![address("late@example.org")], scope: Some("shop".into()), note: None },
        )
        .await;
        assert_eq!(removed, 1);
        let kept = edge.submit(1, &["late@example.org"], b"x\r\n").await;
        assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
        let (_, _, to, _) = courier.message().await;
        assert_eq!(to[0].1, address("late@example.org"));
    });
    vault.drain();
}

#[test]
fn hard_bounces_in_a_row_put_an_address_there_and_nothing_else_does() {
    let mut bench = Bench::new();
    bench.slice.suppression = Some(CountBounces { after: 2, lifetime: Duration::from_secs(3600) });
    bench.slice.retry = vec![Duration::from_secs(3600)];
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let mut courier = vault.courier().await;
        let gone = |of_recipient: bool, enhanced: &str| {
            Outcome::Failed(Said { enhanced: Some(enhanced.into()), of_recipient, ..said(550) })
        };
        let all = [
            ("gone@example.org", gone(true, "5.1.1")),
            ("policy@example.org", gone(true, "5.7.1")),
            ("content@example.org", gone(false, "5.1.1")),
            ("there@example.org", gone(true, "5.1.1")),
        ];
        for round in 0..2 {
            let names: Vec<&str> = all.iter().map(|one| one.0).collect();
            let kept = edge.submit(1, &names, b"x\r\n").await;
            assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
            let (job, _, to, _) = courier.message().await;
            courier.content(job).await;
            for (number, _) in &to {
                courier.say(job, *number, all[*number as usize].1.clone()).await;
            }
            courier.settled(job).await;
            // The report, which tells nothing of a mailbox.
            let (report, _, to, _) = courier.message().await;
            assert_eq!(to[0].1, address("a@example.net"));
            courier.content(report).await;
            courier.say(report, to[0].0, Outcome::Delivered(said(250))).await;
            courier.settled(report).await;
            if round == 0 {
                assert_eq!(listed(&mut vault).await, [], "once is not enough");
                let kept = edge.submit(1, &["there@example.org"], b"x\r\n").await;
                assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
                let (job, ..) = courier.message().await;
                courier.content(job).await;
                courier.say(job, 0, Outcome::Delivered(said(250))).await;
                courier.settled(job).await;
            }
        }
        let listed = listed(&mut vault).await;
        assert_eq!(listed.len(), 1, "{listed:?}");
        let one = &listed[0];
        assert_eq!((one.address.as_deref(), one.reason), (Some("gone@example.org"), Reason::Bounce));
        assert!(one.scope.as_deref() == Some("shop") && one.expires_us.is_some(), "{one:?}");
        let refused = edge.submit(1, &["gone@example.org"], b"x\r\n").await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::Suppressed, .. }), "{refused:?}");
    });
    vault.drain();
    let added = bench.events(&Filter { event: Some("suppress.add".into()), ..Filter::default() });
    assert_eq!((added.len(), added[0].get("reason"), added[0].get("actor")), (1, Some("bounce"), None));
}

#[test]
fn whom_the_configuration_names_is_not_counted() {
    let mut bench = Bench::new();
    bench.slice.suppression = Some(CountBounces { after: 1, lifetime: Duration::from_secs(3600) });
    bench.slice.credentials[0].policy.always_bcc = vec![address("Journal@example.org")];
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let mut courier = vault.courier().await;
        let kept = edge.submit(1, &["gone@example.org"], b"x\r\n").await;
        assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
        let mut told = 0;
        while told < 2 {
            let (job, _, to, _) = courier.message().await;
            courier.content(job).await;
            for (number, to) in to {
                let is_report = to == address("a@example.net");
                let gone = Said { enhanced: Some("5.1.1".into()), of_recipient: true, ..said(550) };
                courier
                    .say(job, number, if is_report { Outcome::Delivered(said(250)) } else { Outcome::Failed(gone) })
                    .await;
                told += usize::from(!is_report);
            }
            courier.settled(job).await;
        }
        let listed = listed(&mut vault).await;
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert_eq!(listed[0].address.as_deref(), Some("gone@example.org"), "and not the journal");
    });
    vault.drain();
}

#[test]
fn an_address_that_is_erased_is_suppressed_still_and_named_nowhere() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        suppress(&mut vault, "ann@example.org", None).await;
        let (asks, mut answers) = vault.administrator();
        let target = audit::Target::Address("Ann@example.org".into());
        let redact = audit::Command::Redact { target, fields: Vec::new(), ground: "GDPR 17".into() };
        asks.send(Request { behalf: None, command: Command::Audit(redact) }).await.unwrap();
        let told = answers.receive().await.unwrap();
        assert!(told.is_some(), "{told:?}");
        let listed = listed(&mut vault).await;
        assert_eq!((listed.len(), &listed[0].address), (1, &None));
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let refused = edge.submit(1, &["ann@example.org"], b"x\r\n").await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::Suppressed, .. }), "{refused:?}");
    });
    vault.drain();
    assert_eq!(bench.count("SELECT count(*) FROM suppression WHERE address IS NOT NULL"), 0);
}

#[test]
fn who_sends_over_http_hears_at_once_to_whom_of_several_nothing_is_sent() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        suppress(&mut vault, "gone@example.org", None).await;
        suppress(&mut vault, "left@example.org", Some("shop")).await;
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let capsule = bench.capsule(edge.instance, 4, "192.0.2.1");
        edge.ask(Ask::Open { slot: Slot(2), capsule, via: Via::Direct }).await;
        let (mechanism, password) = (Mechanism::Bearer, bench.password.clone());
        let login = Ask::Login { slot: Slot(2), mechanism, user: String::new(), password, tls: None };
        let granted = edge.ask(login).await;
        assert!(matches!(granted, Answer::Granted { .. }), "{granted:?}");
        let to = ["a@example.org", "gone@example.org", "b@example.org", "left@example.org"];
        for (slot, expected) in [(1, vec![]), (2, vec![1, 3])] {
            let mut kept = edge.submit(slot, &to, b"x\r\n").await;
            if let Answer::Allowance { .. } = kept {
                kept = edge.answer().await;
            }
            let Answer::Kept { suppressed, .. } = kept else { panic!("{kept:?}") };
            assert_eq!(suppressed, expected, "{slot}");
        }
    });
    vault.drain();
}
