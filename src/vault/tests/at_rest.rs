//! What of a message is on the disk, and under which key.

use super::*;
use crate::vault::master::Master;

const WORDS: &[u8] = b"words that only their reader may see ";

/// Everything in the vault's own directory has been read through.
fn is_anywhere(bench: &Bench, words: &[u8]) -> bool {
    fs::read_dir(bench.home.path().join("db")).unwrap().any(|entry| {
        let octets = fs::read(entry.unwrap().path()).unwrap();
        octets.windows(words.len()).any(|part| part == words)
    })
}

pub async fn deliver(courier: &mut Courier) -> Vec<u8> {
    let (job, _, _, size) = courier.message().await;
    let content = courier.content(job).await;
    assert_eq!(u64::try_from(content.len()), Ok(size));
    courier.say(job, 0, Outcome::Delivered(said(250))).await;
    courier.settled(job).await;
    content
}

#[test]
fn no_file_of_the_vault_holds_a_word_of_a_body_and_what_arrives_is_what_was_sent() {
    let mut bench = Bench::new();
    bench.slice.credentials[0].policy.limits.per_day = None;
    let mut vault = bench.run();
    // Inline, at the border and beyond it, where whole chunks are and where they are not.
    let lengths = [0, 3 * WORDS.len(), 65_536, 65_537, 131_072, 400_000];
    test(async {
        let mut edge = vault.edge();
        let login = edge.login(&bench, 1).await;
        assert!(matches!(login, Answer::Granted { .. }), "{login:?}");
        let mut courier = vault.courier().await;
        for length in lengths {
            let body: Vec<u8> = WORDS.iter().copied().cycle().take(length).collect();
            let kept = edge.submit(1, &["x@example.org"], &body).await;
            assert!(matches!(kept, Answer::Kept { .. }), "{length}: {kept:?}");
            assert!(!is_anywhere(&bench, WORDS), "{length}");
            assert!(deliver(&mut courier).await == body, "{length}");
        }
    });
    vault.drain();
    assert_eq!(bench.count("SELECT (SELECT count(*) FROM spool_key) + (SELECT count(*) FROM spool_body)"), 0);
}

#[test]
fn a_message_of_an_older_gatepost_is_delivered_and_one_whose_master_key_is_away_is_held() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        for body in [b"old\r\n", b"new\r\n"] {
            edge.submit(1, &["x@example.org"], body).await;
        }
    });
    vault.drain();
    {
        let database = Database::open(bench.home.path()).unwrap();
        let as_it_was = "UPDATE spool_body SET content = CAST('old' || char(13) || char(10) AS BLOB) WHERE msg = 1; \
                         DELETE FROM spool_key WHERE msg = 1;";
        database.connection.execute_batch(as_it_was).unwrap();
    }
    let mut vault = bench.run_with(vec![master(2)]);
    test(async {
        let mut courier = vault.courier().await;
        assert_eq!(deliver(&mut courier).await, b"old\r\n");
        let quiet = tokio::time::timeout(Duration::from_millis(1200), courier.offers.receive()).await;
        assert!(quiet.is_err(), "{quiet:?}");
    });
    vault.drain();
    let found = bench.events(&Filter { event: Some("integrity.failure".into()), ..Filter::default() });
    assert_eq!(found.len(), 1);
    // The key is back. What was held for want of it is released by order.
    let mut vault = bench.run();
    test(async {
        assert_eq!(queue::order(&mut vault, crate::ipc::admin::queue::Deed::Release).await.messages, 1);
        let mut courier = vault.courier().await;
        assert_eq!(deliver(&mut courier).await, b"new\r\n");
    });
    vault.drain();
}

#[test]
fn a_body_that_was_changed_on_disk_is_not_sent_and_given_up_when_its_time_is_over() {
    for lifetime in [Duration::from_secs(3600), Duration::ZERO] {
        let mut bench = Bench::new();
        bench.slice.lifetime = lifetime;
        let mut vault = bench.run();
        test(async {
            let mut edge = vault.edge();
            edge.login(&bench, 1).await;
            edge.submit(1, &["x@example.org"], b"true\r\n").await;
        });
        vault.drain();
        {
            let database = Database::open(bench.home.path()).unwrap();
            database.connection.execute("UPDATE spool_body SET content = zeroblob(length(content))", []).unwrap();
        }
        let mut vault = bench.run();
        test(async {
            let mut courier = vault.courier().await;
            let (job, ..) = courier.message().await;
            let said = courier.offer().await;
            assert!(matches!(said, Offer::Withdraw { job: same } if same == job), "{said:?}");
        });
        vault.drain();
        assert!(bench.names().contains(&"integrity.failure".to_owned()));
        let is_over = bench.names().contains(&"deliver.expire".to_owned());
        assert_eq!(
            (is_over, bench.bodies()),
            match lifetime {
                Duration::ZERO => (true, 0),
                _ => (false, 1),
            }
        );
    }
}

#[test]
fn a_body_whose_key_was_taken_away_is_never_sent_for_one_that_was_not_sealed() {
    // What is put in the place of the body is as long as the body was.
    let deeds = [
        "DELETE FROM spool_key",
        "DELETE FROM spool_key; UPDATE spool_body SET content = CAST('false' || char(10) AS BLOB) \
         WHERE content IS NOT NULL",
    ];
    for deed in deeds {
        let bench = Bench::new();
        let mut vault = bench.run();
        test(async {
            let mut edge = vault.edge();
            edge.login(&bench, 1).await;
            edge.submit(1, &["x@example.org"], b"true\r\n").await;
            edge.submit(1, &["x@example.org"], &[b'x'; 100_000]).await;
        });
        vault.drain();
        Database::open(bench.home.path()).unwrap().connection.execute_batch(deed).unwrap();
        let mut vault = bench.run();
        test(async {
            let mut courier = vault.courier().await;
            let mut withdrawn = 0;
            while withdrawn < 2 {
                match courier.offer().await {
                    Offer::Message { job, .. } => courier.tell(Progress::Want { job, octets: 200_000 }).await,
                    Offer::Withdraw { .. } => withdrawn += 1,
                    Offer::Content { octets, .. } => assert_eq!(octets.0, b"false\n", "{deed}"),
                    other => assert!(matches!(other, Offer::Recipients { .. }), "{deed}: {other:?}"),
                }
            }
        });
        vault.drain();
        let found = bench.events(&Filter { event: Some("integrity.failure".into()), ..Filter::default() });
        // On a busy machine one is tried again before the end.
        let messages: std::collections::BTreeSet<_> = found.iter().map(|event| event.get("msg_id")).collect();
        assert_eq!(messages.len(), 2, "{deed}");
    }
}

#[test]
fn keys_are_wrapped_anew_in_slices_and_an_old_master_key_opens_nothing_more() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        edge.submit(1, &["x@example.org"], b"one\r\n").await;
        edge.submit(1, &["x@example.org"], &[b'x'; 100_000]).await;
    });
    vault.drain();
    // A change that was broken off before anything was wrapped: both keys are handed over.
    let vault = bench.run_with(vec![master(2), master(1)]);
    test(async {
        while vault.writer.run(|store| Ok(store.keys.rewrap(0, 1)?.is_some())).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    vault.drain();
    let other: Vec<Master> = vec![master(2)];
    let mut vault = bench.run_with(other);
    test(async {
        let mut courier = vault.courier().await;
        // Both are offered at once.
        let ((first, ..), (second, ..)) = (courier.message().await, courier.message().await);
        assert_eq!(courier.content(first).await, b"one\r\n");
        assert_eq!(courier.content(second).await.len(), 100_000);
    });
    vault.drain();
}
