//! What happened to a credential's mail, in order: told to it and to nobody else.

use super::*;
use crate::ipc::admin::queue::{Command as Order, Deed, Which};
use crate::ipc::happening::{Happened, Kind, Span};
use crate::ipc::label::{Label, Tag};

impl Edge {
    async fn happened(&mut self, slot: u32, span: Span) -> Happened {
        let finding = self.inquire(slot, Inquiry::Events(Span { limit: span.limit.max(1), ..span })).await;
        let Finding::Happened(happened) = finding else { panic!("{finding:?}") };
        happened
    }

    /// Asks until there are so many.
    async fn happened_until(&mut self, slot: u32, count: usize) -> Happened {
        for _ in 0..600 {
            let happened = self.happened(slot, Span { limit: 100, ..Span::default() }).await;
            if happened.all.len() >= count {
                return happened;
            }
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        panic!("there are never {count}")
    }
}

fn kinds(happened: &Happened) -> Vec<(Kind, u32)> {
    happened.all.iter().map(|one| (one.kind, one.recipient)).collect()
}

#[test]
fn all_that_happens_is_told_in_order_and_page_by_page_over_a_restart_and_to_nobody_else() {
    let mut bench = Bench::new();
    bench.slice.retry = vec![HOUR];
    bench.slice.credentials[0].policy.mask = Some(Mask::None);
    // Nobody is told what became of a copy.
    bench.slice.credentials[0].policy.always_bcc = vec![address("archive@example.net")];
    let senders = Policy { senders: vec!["@example.net".parse().unwrap()], ..Policy::default() };
    let other = beside(&mut bench, senders);
    let mut vault = bench.run();
    let mut message = MessageId::now();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        edge.enter(&bench, 2, "other", &other).await;
        let nothing = edge.happened(1, Span::default()).await;
        assert_eq!((nothing.all.len(), nothing.last, nothing.more), (0, None, false));
        let label = Label {
            tags: vec![Tag { name: "kind".into(), value: None }],
            message_id: Some("a@example.net".into()),
            ..Label::default()
        };
        let to = ["rosa@example.org", "emil@example.com", "ines@example.org"];
        message = kept(edge.submit_labelled(1, &to, label).await);
        let mut courier = vault.courier().await;
        let (job, ..) = courier.message().await;
        for (number, outcome) in [
            (0, Outcome::Delivered(said(250))),
            (1, Outcome::Failed(said(550))),
            (2, Outcome::Deferred(said(451))),
            (3, Outcome::Delivered(said(250))),
        ] {
            courier.say(job, number, outcome).await;
        }
        courier.settled(job).await;
        let happened = edge.happened_until(1, 3).await;
        let mut seen = kinds(&happened);
        seen.sort_by_key(|(_, number)| *number);
        assert_eq!(seen, [(Kind::Sent, 0), (Kind::Bounced, 1), (Kind::Deferred, 2)]);
        for one in &happened.all {
            assert_eq!((one.message, one.attempts, one.from.as_deref()), (message, 1, Some("a@example.net")));
            assert_eq!((one.address.as_str(), one.doubt), (to[one.recipient as usize], false));
            assert_eq!(one.label.as_ref().unwrap().tags[0].name, "kind");
            assert_eq!(one.next_us.is_some(), one.kind == Kind::Deferred);
        }
        let bounced = happened.all.iter().find(|one| one.kind == Kind::Bounced).unwrap();
        assert_eq!((bounced.code, bounced.reply.as_deref()), (Some(550), Some("words of rosa@example.org")));
        assert!(edge.happened(2, Span { limit: 100, ..Span::default() }).await.all.is_empty(), "another credential's");
        let foreign = Span { limit: 100, message: Some(message), ..Span::default() };
        assert!(edge.happened(2, foreign).await.all.is_empty(), "another credential's, by its message");
    });
    vault.drain();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        // Taken back by an operator.
        let order = Order::Do { deed: Deed::Drop, which: Which::Message(message), note: None };
        let (commands, mut responses) = vault.administrator();
        commands.send(Request { behalf: None, command: Command::Queue(order) }).await.unwrap();
        responses.receive().await.unwrap().unwrap();
        let all = edge.happened_until(1, 4).await;
        assert_eq!(kinds(&all)[3], (Kind::Canceled, 2), "{all:?}");
        assert!(all.all.is_sorted_by_key(|one| one.number));

        let (mut pages, mut after) = (Vec::new(), 0);
        loop {
            let page = edge.happened(1, Span { after, ..Span::default() }).await;
            assert_eq!(page.all.len(), 1);
            pages.extend(page.all);
            after = page.last.unwrap();
            if !page.more {
                break;
            }
        }
        assert_eq!(pages, all.all, "page by page it is the same");
        let end = edge.happened(1, Span { after, ..Span::default() }).await;
        assert_eq!((end.all.len(), end.last, end.more), (0, None, false));

        let sent = edge.happened(1, Span { limit: 9, kind: Some(Kind::Sent), ..Span::default() }).await;
        assert_eq!((kinds(&sent), sent.last), (vec![(Kind::Sent, 0)], all.last));
        let numbers: Vec<u64> = all.all.iter().map(|one| one.number).collect();
        let until = Span { limit: 9, after: numbers[0], until: Some(numbers[2]), ..Span::default() };
        assert_eq!(edge.happened(1, until).await.all, all.all[1..2]);
        let of = Span { limit: 9, message: Some(message), ..Span::default() };
        assert_eq!(edge.happened(1, of).await.all, all.all);
        let of = Span { limit: 9, message: Some(MessageId::now()), ..Span::default() };
        assert!(edge.happened(1, of).await.all.is_empty());
    });
    vault.drain();

    // What can't be read hides nothing that can be; and then all is gone with the message, and yet looked at.
    let age = "UPDATE spool_msg SET done_us = done_us - 8 * 86400000000";
    for (orders, left) in
        [(["UPDATE spool_msg SET label = '{'", "UPDATE feed SET kind = 1"], 4), ([age, "UPDATE feed SET kind = 1"], 0)]
    {
        let database = Database::open(bench.home.path()).unwrap();
        for sql in orders {
            database.connection.execute(sql, []).unwrap();
        }
        drop(database);
        let mut vault = bench.run();
        test(async {
            let mut edge = vault.edge();
            edge.login(&bench, 1).await;
            let happened = edge.happened(1, Span { limit: 100, ..Span::default() }).await;
            assert_eq!((happened.all.len(), happened.more), (left, false));
            assert!(happened.last.is_some() && happened.all.iter().all(|one| one.label.is_none()));
        });
        vault.drain();
    }
    let database = Database::open(bench.home.path()).unwrap();
    database.connection.execute("DELETE FROM spool_msg", []).unwrap();
    drop(database);
    assert_eq!(bench.count("SELECT count(*) FROM feed"), 0);
}

#[test]
fn what_another_credential_of_the_name_has_sent_is_not_told_and_numbers_rise_whatever_the_clock_does() {
    let bench = Bench::new();
    let mut vault = bench.run();
    let deliver = async |edge: &mut Edge, vault: &mut Running| {
        let message = kept(edge.submit(1, &["rosa@example.org"], b"x\r\n").await);
        let mut courier = vault.courier().await;
        let (job, ..) = courier.message().await;
        courier.say(job, 0, Outcome::Delivered(said(250))).await;
        courier.settled(job).await;
        edge.look_until(1, message, Status::Accepted).await;
    };
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        deliver(&mut edge, &mut vault).await;
    });
    vault.drain();
    // The clock was far ahead when that happened.
    let database = Database::open(bench.home.path()).unwrap();
    database.connection.execute("UPDATE feed SET id = 9000000000000000", []).unwrap();
    drop(database);
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        deliver(&mut edge, &mut vault).await;
        let happened = edge.happened_until(1, 2).await;
        assert_eq!(happened.all[1].number, 9_000_000_000_000_001);
    });
    vault.drain();
    let database = Database::open(bench.home.path()).unwrap();
    database.connection.execute("UPDATE feed SET owner = 7", []).unwrap();
    drop(database);
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        assert!(edge.happened(1, Span { limit: 9, ..Span::default() }).await.all.is_empty());
    });
    vault.drain();
}
