//! What a credential has sent, a page at a time, and nothing of what others have.

use super::*;
use crate::ipc::inquiry::{Cursor, Listed, Page};

impl Edge {
    async fn list(&mut self, slot: u32, page: Page) -> Listed {
        let finding = self.inquire(slot, Inquiry::List(page)).await;
        let Finding::Listed(listed) = finding else { panic!("{finding:?}") };
        listed
    }
}

fn ids(listed: &Listed) -> Vec<MessageId> {
    listed.all.iter().map(|one| one.message).collect()
}

fn page(limit: u32) -> Page {
    Page { limit, ..Page::default() }
}

#[test]
fn pages_have_all_of_its_own_newest_first_and_nothing_of_others_whatever_cursor_they_bring() {
    let mut bench = Bench::new();
    bench.slice.retry = vec![HOUR];
    let senders = Policy { senders: vec!["@example.net".parse().unwrap()], ..Policy::default() };
    let other = beside(&mut bench, senders);
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        edge.enter(&bench, 2, "other", &other).await;
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            own.insert(0, kept(edge.submit(1, &["rosa@example.org"], b"x\r\n").await));
            others.insert(0, kept(edge.submit(2, &["emil@example.org"], b"x\r\n").await));
        }
        let all = edge.list(1, page(100)).await;
        assert_eq!((ids(&all), all.next), (own.clone(), None));
        assert!(all.all.iter().all(|one| one.recipients.is_empty() && one.count == Some(1)));
        let first = edge.list(1, page(2)).await;
        assert_eq!((ids(&first), first.next), (own[..2].to_vec(), Some(own[1])));
        let from = first.next.map(Cursor::After);
        let second = edge.list(1, Page { from, ..page(3) }).await;
        assert_eq!((ids(&second), second.next), (own[2..].to_vec(), None));
        let newer = |id| Page { from: Some(Cursor::Before(id)), ..page(2) };
        let up = edge.list(1, newer(own[4])).await;
        assert_eq!((ids(&up), up.next), (own[2..4].to_vec(), Some(own[2])));
        let up = edge.list(1, newer(own[2])).await;
        assert_eq!((ids(&up), up.next), (own[..2].to_vec(), None));

        // A cursor is a place: another's id tells what any id between would.
        let from = Some(Cursor::After(others[2]));
        let foreign = edge.list(1, Page { from, ..page(100) }).await;
        assert_eq!(ids(&foreign), own[2..]);
        assert_eq!(ids(&edge.list(2, page(100)).await), others);

        let (ms, day) = (own[2].time_ms().unwrap(), 86_400_000);
        for (since_ms, until_ms, count) in [
            (Some(ms + day), None, 0),
            (Some(ms - day), Some(ms + day), 5),
            (None, Some(ms - day), 0),
            (Some(u64::MAX), None, 0),
        ] {
            assert_eq!(edge.list(1, Page { since_ms, until_ms, ..page(100) }).await.all.len(), count, "{since_ms:?}");
        }
        let since = edge.list(1, Page { since_ms: Some(ms), ..page(100) }).await;
        assert!(ids(&since).contains(&own[2]) && ids(&since)[0] == own[0]);
    });
    vault.drain();
}

#[test]
fn those_that_stand_so_are_found_in_bounded_steps() {
    let mut bench = Bench::new();
    bench.slice.retry = vec![HOUR];
    let mut vault = bench.run();
    let mut oldest = MessageId::now();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        oldest = kept(edge.submit(1, &["rosa@example.org"], b"x\r\n").await);
    });
    vault.drain();
    // Many that were dropped since, in the order of their ids.
    let copies = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 450) \
                  INSERT INTO spool_msg(msg_id, accept_seq, session_id, principal, bytes, sha256, accepted_us, expires_us, \
                                        named, owner, done_us) \
                  SELECT unhex(format('%s%010x', substr(hex(msg_id), 1, 22), 1099511000000 + n)), accept_seq, session_id, \
                         principal, bytes, sha256, accepted_us, expires_us, 1, owner, accepted_us FROM spool_msg, n";
    let database = Database::open(bench.home.path()).unwrap();
    let sql = |sql: &str| database.connection.execute(sql, []).unwrap();
    sql("UPDATE spool_msg SET msg_id = unhex(substr(hex(msg_id), 1, 22) || '0000000001')");
    assert_eq!(sql(copies), 450);
    sql("INSERT INTO spool_rcpt(msg, n, rcpt, lane, state, next_us, said) \
         SELECT id, 0, 'a@example.org', 'relay', 3, 1, 'dropped' FROM spool_msg WHERE done_us IS NOT NULL");
    drop(database);
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let (mut found, mut from, mut steps) = (Vec::new(), None, 0);
        loop {
            let listed = edge.list(1, Page { from, status: vec![Status::Received], ..page(100) }).await;
            steps += 1;
            found.extend(listed.all);
            from = listed.next.map(Cursor::After);
            if from.is_none() {
                break;
            }
        }
        assert_eq!((found.len(), steps), (1, 3), "each looks at so many and no more");
        assert_eq!(found[0].status, Status::Received);
        let page = edge.list(1, Page { status: vec![Status::Canceled], ..page(100) }).await;
        assert_eq!(page.all.len(), 100, "a page of the largest size fits into its frame");
    });
    vault.drain();
}

#[test]
fn what_is_listed_is_what_is_found() {
    let bench = Bench::new();
    let mut vault = bench.run();
    let mut message = MessageId::now();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        message = kept(edge.submit(1, &["rosa@example.org"], b"x\r\n").await);
        let mut courier = vault.courier().await;
        let (job, ..) = courier.message().await;
        courier.say(job, 0, Outcome::Delivered(said(250))).await;
        courier.settled(job).await;
        edge.look_until(1, message, Status::Accepted).await;
    });
    vault.drain();
    let days = 86_400_000_000i64;
    for (change, is_there) in [
        ("SET owner = 7".to_owned(), false),
        ("SET owner = NULL".to_owned(), true),
        (format!("SET done_us = done_us - {}", 8 * days), false),
    ] {
        let database = Database::open(bench.home.path()).unwrap();
        assert_eq!(database.connection.execute(&format!("UPDATE spool_msg {change}"), []).unwrap(), 1);
        drop(database);
        let mut vault = bench.run();
        test(async {
            let mut edge = vault.edge();
            edge.login(&bench, 1).await;
            let found = edge.look(1, message).await.map(|found| Submission { recipients: Vec::new(), ..found });
            assert_eq!(found.is_some(), is_there, "{change}");
            assert_eq!(edge.list(1, page(1)).await.all, found.into_iter().collect::<Vec<_>>(), "{change}");
        });
        vault.drain();
    }
}
