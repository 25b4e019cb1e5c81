//! What a client says of its message beside it: told to that credential, and looked for by it.

use super::*;
use crate::ipc::inquiry::{Listed, Page};
use crate::ipc::label::{Dialect, Label, Tag};

fn label(tags: &[(&str, Option<&str>)]) -> Label {
    Label {
        dialect: Dialect::Resend,
        tags: tags.iter().map(|(name, value)| Tag { name: (*name).into(), value: value.map(str::to_owned) }).collect(),
        metadata: vec![("order".into(), "17".into())],
        message_id: Some("a@example.net".into()),
        subject: Some("an offer".into()),
        shown: Some((1, 0)),
    }
}

async fn listed(edge: &mut Edge, slot: u32, page: Page) -> Listed {
    let finding = edge.inquire(slot, Inquiry::List(page)).await;
    let Finding::Listed(listed) = finding else { panic!("{finding:?}") };
    listed
}

#[test]
fn what_was_said_is_told_with_the_message_and_of_the_subject_no_more_than_of_addresses() {
    for (mask, subject, from) in
        [(Mask::None, Some("an offer"), "a@example.net"), (Mask::LocalPart, None, "***@example.net")]
    {
        let mut bench = Bench::new();
        bench.slice.retry = vec![HOUR];
        bench.slice.credentials[0].policy.mask = Some(mask);
        let mut vault = bench.run();
        let mut message = MessageId::now();
        test(async {
            let mut edge = vault.edge();
            edge.login(&bench, 1).await;
            message = kept(edge.submit_labelled(1, &["rosa@example.org"], label(&[("kind", Some("offer"))])).await);
        });
        vault.drain();
        assert_eq!(bench.count("SELECT count(*) FROM spool_msg WHERE label LIKE '%offer%'"), 1);
        let kept = bench.count("SELECT count(*) FROM spool_msg WHERE label LIKE '%an offer%'");
        assert_eq!(kept, i64::from(subject.is_some()), "what nobody is told isn't kept");
        // Over a restart, and where its mask was changed since.
        for (mask, subject) in [(mask, subject), (Mask::Full, None)] {
            bench.slice.credentials[0].policy.mask = Some(mask);
            let mut vault = bench.run();
            test(async {
                let mut edge = vault.edge();
                edge.login(&bench, 1).await;
                let found = edge.look(1, message).await.expect("its own");
                let expected = Label { subject: subject.map(str::to_owned), ..label(&[("kind", Some("offer"))]) };
                assert_eq!(found.label.as_deref(), Some(&expected));
                assert_eq!(found.from.as_deref(), Some(if mask == Mask::Full { "***" } else { from }));
                let listed = listed(&mut edge, 1, Page { limit: 9, with_recipients: true, ..Page::default() }).await;
                assert_eq!(listed.all[0].label, found.label);
                assert_eq!(listed.all[0].recipients[0].address, found.recipients[0].address);
            });
            vault.drain();
        }
    }
}

#[test]
fn messages_are_found_by_a_tag_and_by_a_recipient_and_a_page_never_outgrows_its_frame() {
    let mut bench = Bench::new();
    bench.slice.retry = vec![HOUR];
    bench.slice.credentials[0].policy.limits.per_day = Some(50);
    let senders = Policy { senders: vec!["@example.net".parse().unwrap()], ..Policy::default() };
    let other = beside(&mut bench, senders);
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        edge.enter(&bench, 2, "other", &other).await;
        let mut ids = Vec::new();
        for tags in [&[("kind", Some("offer"))][..], &[("kind", Some("bill"))], &[("beta", None)], &[]] {
            ids.push(kept(edge.submit_labelled(1, &["rosa@example.org"], label(tags)).await));
        }
        let plain = kept(edge.submit(1, &["emil@example.com"], b"x\r\n").await);
        for (tag, expected) in
            [("kind", vec![ids[1], ids[0]]), ("kind:bill", vec![ids[1]]), ("beta", vec![ids[2]]), ("x", vec![])]
        {
            let page = Page { limit: 9, tag: Some(tag.into()), ..Page::default() };
            let found: Vec<_> = listed(&mut edge, 1, page.clone()).await.all.iter().map(|one| one.message).collect();
            assert_eq!(found, expected, "{tag}");
            assert!(listed(&mut edge, 2, page).await.all.is_empty(), "another credential's");
        }
        let page = |to: &str| Page { limit: 9, recipient: Some(address(to)), ..Page::default() };
        assert_eq!(listed(&mut edge, 1, page("emil@example.com")).await.all[0].message, plain);
        assert_eq!(listed(&mut edge, 1, page("rosa@example.org")).await.all.len(), 4);
        assert!(listed(&mut edge, 2, page("rosa@example.org")).await.all.is_empty());

        let long = Label { metadata: vec![("a".into(), "x".repeat(4000))], ..label(&[]) };
        for _ in 0..4 {
            kept(edge.submit_labelled(1, &["rosa@example.org"], long.clone()).await);
        }
        let (mut count, mut from, mut pages) = (0, None, 0);
        loop {
            let page = Page { limit: 100, from, with_recipients: true, ..Page::default() };
            let listed = listed(&mut edge, 1, page).await;
            assert!(listed.all.iter().all(|one| one.recipients.len() == 1));
            (count, pages) = (count + listed.all.len(), pages + 1);
            from = listed.next.map(crate::ipc::inquiry::Cursor::After);
            if from.is_none() {
                break;
            }
        }
        assert_eq!(count, 9);
        assert!((2..6).contains(&pages), "{pages}");
    });
    vault.drain();
}

#[test]
fn a_webhook_is_told_it_too() {
    let mut bench = Bench::new();
    let webhook = crate::config::slice::Webhook {
        name: "app".into(),
        events: crate::policy::feedback::Told::WORDS.map(|(_, told)| told).to_vec(),
        mask: Mask::None,
        lifetime: Duration::from_secs(3600),
    };
    bench.slice.webhooks = vec![webhook];
    bench.slice.credentials[0].policy.webhook = Some("app".into());
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let message = kept(
            edge.submit_labelled(1, &["rosa@example.org"], label(&[("kind", Some("offer")), ("beta", None)])).await,
        );
        let mut courier = vault.courier().await;
        let (job, ..) = courier.message().await;
        courier.say(job, 0, Outcome::Delivered(said(250))).await;
        courier.settled(job).await;
        edge.look_until(1, message, Status::Accepted).await;
    });
    vault.drain();
    let told = "SELECT count(*) FROM webhook_event WHERE json_extract(body, '$.data.tags') = '{\"beta\":\"\",\"kind\":\"offer\"}' \
                AND json_extract(body, '$.data.metadata.order') = '17' AND json_extract(body, '$.data.message_id') = '<a@example.net>'";
    assert_eq!(bench.count(told), 1);
}

#[test]
fn what_may_not_be_said_ends_the_session() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        for (slot, case) in [(1, "before"), (2, "twice"), (3, "unsound")] {
            edge.login(&bench, slot).await;
            let ask = |label| Ask::Label { slot: Slot(slot), label: Box::new(label) };
            if case != "before" {
                edge.mail(slot, "a@example.net").await;
            }
            if case == "twice" {
                edge.say(ask(label(&[]))).await;
            }
            let answer = edge.ask(ask(if case == "unsound" { label(&[("a\nb", None)]) } else { label(&[]) })).await;
            assert!(matches!(answer, Answer::Ended { .. }), "{case}: {answer:?}");
        }
    });
    vault.drain();
}
