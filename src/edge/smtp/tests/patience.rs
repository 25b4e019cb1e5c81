//! Section S: how long a client is waited for, in silence and in a trickle.

use tokio::time::Instant;

use super::*;

#[tokio::test(start_paused = true)]
async fn rule_s2_a_silent_stranger_is_told_to_go() {
    let room = Room::plain();
    let begun = Instant::now();
    let mut client = room.connect();
    client.expect("220").await;
    client.slow_line("421 4.4.2 nothing came for too long").await;
    assert!((30..31).contains(&begun.elapsed().as_secs()));
}

/// RFC 5321 section 4.5.3.2.7 wants five minutes: wherever a client that has logged in stands, and however often it has them.
#[tokio::test(start_paused = true)]
async fn rule_s2_whoever_has_logged_in_may_be_silent_for_five_minutes() {
    let room = Room::plain();
    let mail = "@login\nC: MAIL FROM:<a@example.net>\nS: 250 *";
    for stands in ["@login", mail, "@mail"] {
        let mut client = room.run(stands).await;
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(299)).await;
            client.run("C: NOOP\nS: 250 *").await;
        }
        let begun = Instant::now();
        client.slow_line("421 4.4.2 nothing came for too long").await;
        assert!((300..301).contains(&begun.elapsed().as_secs()), "{stands}: {:?}", begun.elapsed());
        client.closed().await;
    }
}

#[tokio::test(start_paused = true)]
async fn rule_s3_a_line_that_trickles_has_one_deadline() {
    let room = Room::plain();
    let mut client = room.connect();
    client.expect("220").await;
    let begun = Instant::now();
    let mut said = false;
    for _ in 0..40 {
        client.send("x").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        said = said || client.session.is_finished();
    }
    assert!(said && begun.elapsed().as_secs() >= 30);
    client.expect("421 4.4.2").await;
}

#[tokio::test(start_paused = true)]
async fn rule_s3_a_client_that_is_silent_inside_a_login_is_told_to_go() {
    let room = Room::plain();
    for asked in ["AUTH PLAIN", "AUTH LOGIN", "AUTH LOGIN YmlsbGluZw==", "AUTH LOGIN\nS: 334 *\nC: YmlsbGluZw=="] {
        let mut client = room.run(&format!("@hello\nC: {asked}\nS: 334 *")).await;
        let begun = Instant::now();
        client.slow_line("421 4.4.2").await;
        assert!((30..31).contains(&begun.elapsed().as_secs()), "{asked}");
    }
    assert!(room.seen().logins.is_empty());
}

#[tokio::test(start_paused = true)]
async fn rule_s3_a_stranger_that_keeps_talking_stays_a_stranger_for_five_minutes_only() {
    let room = Room::plain();
    let mut client = room.connect();
    client.expect("220").await;
    let begun = Instant::now();
    for _ in 0..14 {
        tokio::time::sleep(Duration::from_secs(20)).await;
        client.run("C: NOOP\nS: 250 *").await;
    }
    tokio::time::sleep(Duration::from_secs(15)).await;
    client.run("C: NOOP\nS: 250 *").await;
    client.slow_line("421 4.4.2 no login came for too long").await;
    assert_eq!(begun.elapsed().as_secs(), 300);
}

#[tokio::test]
async fn rule_s3_content_that_trickles_has_a_least_rate() {
    let room = Room::plain();
    let mut client = room.run("@data\nC: From: a@example.net\nC:\nC: x").await;
    tokio::time::pause();
    let begun = Instant::now();
    while !client.session.is_finished() && begun.elapsed().as_secs() < 1000 {
        client.send("x\r\n").await;
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert!((60..120).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    client.expect("421 4.4.2 the content comes too slowly").await;
    assert!(room.seen().kept.is_empty());
}

#[tokio::test]
async fn rule_s3_rule_d9_what_came_in_chunks_is_not_held_for_a_client_that_only_keeps_talking() {
    let room = Room::plain();
    let mut client = room.run("@mail\nC: BDAT 22\nC~ From: a@example.net\\r\\nx\nS: 250 *").await;
    tokio::time::pause();
    let begun = Instant::now();
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(25)).await;
        client.run("C: NOOP\nS: 250 *").await;
    }
    client.slow_line("421 4.4.2 the content comes too slowly").await;
    assert!((59..=60).contains(&begun.elapsed().as_secs()));
    assert!(room.seen().kept.is_empty());
}

#[tokio::test]
async fn rule_s3_rule_d9_the_time_between_chunks_is_counted_together() {
    let room = Room::plain();
    let mut client = room.run("@mail\nC: BDAT 23\nC~ From: a@example.net\\r\\n\\r\\n\nS: 250 *").await;
    tokio::time::pause();
    let line = format!("{}\r\n", "x".repeat(510));
    let begun = Instant::now();
    let chunk = format!("BDAT 512\r\n{line}");
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(25)).await;
        client.send(&chunk).await;
        client.expect("250 2.0.0").await;
    }
    client.slow_line("421 4.4.2").await;
    assert!((61..=62).contains(&begun.elapsed().as_secs()), "a minute, and a second for each 500 octets");
    assert!(room.seen().kept.is_empty());
}

#[tokio::test]
async fn rule_s3_rule_d9_a_chunk_that_comes_behind_what_was_answered_late_is_too_late() {
    let room = Room::plain();
    let mut client = room.run("@mail\nC: BDAT 22\nC~ From: a@example.net\\r\\nx\nS: 250 *").await;
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(59)).await;
    client.send("WIZ\r\n".repeat(15) + "BDAT 0 LAST\r\n").await;
    client.run(&"S: 500 5.5.2 *\n".repeat(15)).await;
    client.run("S: 421 4.4.2 *\n--").await;
    assert!(room.seen().kept.is_empty());
}
