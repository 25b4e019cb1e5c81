//! Limits in the vault as it runs: what a volume beyond history leads to, and what a restart knows of it.

use super::credentials::Admin;
use super::*;
use crate::ipc::inquiry::{Batch, Finding, Inquiry};

/// A history of twenty days with this many recipients.
fn history(bench: &Bench, recipients: i64) {
    let database = Database::open(bench.home.path()).unwrap();
    let today = i64::try_from(now_us() / 86_400_000_000).unwrap();
    for day in today - 20..today {
        let row = "INSERT INTO rl_quota(scope, key, day, msgs, rcpts, bytes, hour, hour_rcpts, peak) \
                   VALUES(0, 'shop', ?1, 1, ?2, 1, ?1 * 24, ?2, ?2)";
        database.connection.execute(row, [day, recipients]).unwrap();
    }
}

fn day() -> u64 {
    now_us() / 86_400_000_000
}

#[test]
fn who_sends_far_beyond_its_history_is_told_of_and_suspended_also_after_a_restart() {
    let mut bench = Bench::new();
    bench.slice.credentials[0].policy.limits = Rules::default();
    bench.slice.limits.anomaly = Anomaly { factor: 2, minimum: 3, action: Action::Suspend };
    history(&bench, 1);
    let begun = day();
    let mut vault = bench.run();
    let kept = test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let mut kept = 0;
        while let Answer::Kept { .. } = edge.submit(1, &["x@example.org"], b"x\r\n").await {
            kept += 1;
        }
        kept
    });
    vault.abandon();
    let mut vault = bench.run();
    let (refused, shown) = test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let refused = edge.mail(1, "a@example.net").await;
        let show = credential::Command::Show { id: "shop".into() };
        (refused, Admin::new(&vault).ask(show).await)
    });
    vault.drain();
    if day() != begun {
        return; // Midnight ends a suspension.
    }
    assert_eq!(kept, 4, "the one that passes the mark is kept");
    assert!(matches!(refused, Answer::Refused { refusal: Refusal::Suspended(1..), .. }), "{refused:?}");
    let Response::Credential(credential::Response::Entry(entry)) = shown else { panic!("{shown:?}") };
    // To the second: that is what clients are told.
    let until = entry.suspended_us.map(|until_us| until_us / 1_000_000);
    assert_eq!(until, Some((begun + 1) * 86_400), "administrators see it");
    let alarms = bench.events(&Filter { event: Some("anomaly.volume".into()), ..Filter::default() });
    let words: Vec<_> = alarms.iter().map(|event| (event.get("account"), event.get("reason"))).collect();
    // One for the day and one for the hour, unless an hour ended in between.
    assert!((1..=2).contains(&words.len()), "{words:?}");
    assert!(words.iter().all(|word| *word == (Some("shop"), Some("suspended"))), "{words:?}");
    let refusals = bench.events(&Filter { event: Some("msg.reject".into()), ..Filter::default() });
    let reasons: Vec<_> = refusals.iter().map(|event| event.get("reason")).collect();
    assert_eq!(reasons, [Some("suspended"), Some("suspended")], "once in each run");
}

#[test]
fn rule_p18_a_message_has_no_more_recipients_than_a_limit_could_ever_let_through() {
    let mut bench = Bench::new();
    bench.slice.credentials[0].policy.limits =
        Rules { recipients_per_minute: Some(1), recipients_burst: Some(3), ..Rules::default() };
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        let Answer::Granted { grant, .. } = edge.login(&bench, 1).await else { panic!("no grant") };
        assert_eq!(grant.max_recipients, 3, "the edge answers 452 from the fourth on");
        let to = ["a@example.org", "b@example.org", "c@example.org", "d@example.org"];
        let refused = edge.submit(1, &to, b"x\r\n").await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::TooManyRecipients, .. }), "{refused:?}");
        assert!(matches!(edge.submit(1, &to[..3], b"x\r\n").await, Answer::Kept { .. }));
        let refused = edge.submit(1, &to[..1], b"x\r\n").await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::RateLimited(1..=60), .. }), "{refused:?}");
    });
    vault.drain();
}

/// The vault counts by itself: an edge that was taken over, or forgot to, gets no further, in whatever portions.
#[test]
fn rule_p16_recipients_beyond_the_cap_are_not_taken_from_an_edge_either() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        for portions in [1, 50, 101] {
            assert!(matches!(edge.mail(1, "a@example.net").await, Answer::Reserved { .. }));
            let all: Vec<Addressee> = (0..101).map(|n| address(&format!("r{n}@example.org")).into()).collect();
            for batch in all.chunks(101_usize.div_ceil(portions)) {
                let (slot, batch) = (Slot(1), batch.to_vec());
                edge.asks.send(Ask::Recipients { slot, batch }).await.unwrap();
            }
            assert!(matches!(edge.ask(Ask::Content { slot: Slot(1) }).await, Answer::Credit { .. }));
            let facts = Facts { authors: vec![address("a@example.net")], received: 1, ..Facts::default() };
            let refused = edge.ask(Ask::Commit { slot: Slot(1), facts }).await;
            let many = Refusal::TooManyRecipients;
            assert!(matches!(refused, Answer::Refused { refusal, .. } if refusal == many), "{portions}: {refused:?}");
        }
    });
    vault.drain();
    assert_eq!(bench.count("SELECT count(*) FROM spool_msg"), 0);
}

#[test]
fn what_never_comes_to_its_end_takes_no_more_than_a_days_octets() {
    let mut bench = Bench::new();
    bench.slice.credentials[0].policy.limits = Rules { bytes_per_day: Some(1_100_000), ..Rules::default() };
    let mut vault = bench.run();
    test(async {
        let (mut stuck, mut other) = (vault.edge(), vault.edge());
        stuck.login(&bench, 1).await;
        other.login(&bench, 1).await;
        stuck.mail(1, "a@example.net").await;
        stuck.asks.send(Ask::Recipients { slot: Slot(1), batch: vec![address("x@example.org").into()] }).await.unwrap();
        let Answer::Credit { octets, .. } = stuck.ask(Ask::Content { slot: Slot(1) }).await else {
            panic!("no credit")
        };
        assert!(octets >= 120_000);
        for _ in 0..12 {
            stuck.asks.send(Ask::Chunk { slot: Slot(1), octets: Octets(vec![b'x'; 10_000]) }).await.unwrap();
        }
        // It was taken: that comes back when it is on the disk.
        let Answer::Credit { .. } = stuck.answer().await else { panic!("no credit came back") };
        let large = vec![b'x'; 1_000_000];
        let begin = Ask::Mail {
            slot: Slot(1),
            sender: Some(address("a@example.net")),
            size: Some(1_000_000),
            manner: Manner::default(),
            helo: "client".into(),
            tls: None,
            once: None,
        };
        let refused = other.ask(begin).await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::RateLimited(60), .. }), "{refused:?}");
        let refused = other.submit(1, &["x@example.org"], &large).await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::RateLimited(60), .. }), "{refused:?}");
        stuck.asks.send(Ask::Abort { slot: Slot(1) }).await.unwrap();
        // A question of the same channel, so that it has been heard.
        stuck.mail(1, "a@example.net").await;
        let kept = other.submit(1, &["x@example.org"], &large).await;
        assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
    });
    vault.drain();
    let told = bench.events(&Filter { event: Some("rate.limited".into()), ..Filter::default() });
    let data: Vec<_> = told.iter().map(|event| event.get("data").unwrap()).collect();
    assert!(
        !data.is_empty() && data.iter().all(|data| data.contains("credential") && data.contains("incoming")),
        "{data:?}"
    );
}

/// Whether there is room for a batch of so many messages, each to one.
async fn room(edge: &mut Edge, messages: u32) -> Answer {
    let batch = Batch { messages, recipients: messages, octets: 100, ..Batch::default() };
    edge.ask(Ask::Inquire { slot: Slot(1), inquiry: Inquiry::Room(Box::new(batch)) }).await
}

#[test]
fn a_batch_is_refused_whole_or_none_of_it_is() {
    let mut bench = Bench::new();
    bench.slice.credentials[0].policy.limits = Rules { per_hour: Some(1), burst: Some(3), ..Rules::default() };
    let mut vault = bench.run();
    test(async {
        let (mut edge, mut other) = (vault.edge(), vault.edge());
        edge.login(&bench, 1).await;
        other.login(&bench, 1).await;
        let refused = room(&mut edge, 4).await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::TooManyRecipients, .. }), "{refused:?}");
        let found = room(&mut edge, 3).await;
        assert!(matches!(found, Answer::Found { finding: Finding::Room, .. }), "{found:?}");
        let refused = other.mail(1, "a@example.net").await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::RateLimited(_), .. }), "{refused:?}");
        for _ in 0..2 {
            let kept = edge.submit(1, &["x@example.org"], b"x\r\n").await;
            assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
        }
        // The third is given back, by the word for it and by the end of the session that asked for it alike.
        edge.asks.send(Ask::Abort { slot: Slot(1) }).await.unwrap();
        assert!(matches!(room(&mut edge, 1).await, Answer::Found { .. }));
        edge.asks.send(Ask::Close { slot: Slot(1) }).await.unwrap();
        edge.login(&bench, 1).await;
        let refused = room(&mut edge, 2).await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::RateLimited(1..), .. }), "{refused:?}");
        assert!(matches!(other.submit(1, &["x@example.org"], b"x\r\n").await, Answer::Kept { .. }));
    });
    vault.drain();
}
