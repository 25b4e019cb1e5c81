//! Section D: content by BDAT. Its octets are counted, and none of them is ever a command.

use super::*;
use crate::edge::stand_in::Kept;

/// The content that was kept, behind what the gate adds.
fn passed(kept: &Kept) -> &str {
    kept.content.split_once("\r\nFrom: ").unwrap().1
}

const FIELDS: &str = "Date: x\\r\\nMessage-ID: <1@x>";

#[tokio::test]
async fn rule_d8_rule_x12_a_message_in_chunks_is_kept_as_it_was_and_dots_mean_nothing() {
    let room = Room::plain();
    let head = format!("From: a@example.net\\r\\n{FIELDS}\\r\\n\\r\\n");
    let octets = octets(&head).len();
    room.run(&format!(
        "@mail
        C: BDAT {octets}
        C~ {head}
        S: 250 2.0.0 *
        C: BDAT 10
        C~ .\\r\\n..x\\r\\n.\\r
        C: BDAT 1
        C~ \\n
        C: BDAT 6 LAST
        C~ QUIT\\r\\n
        S: 250 2.0.0 *
        S: 250 2.0.0 *
        S: 250 2.0.0 kept as *
        @again
        C: DATA
        S: 354 *
        C: From: a@example.net
        C: .
        S: 250 2.0.0 kept as *",
    ))
    .await;
    let seen = room.seen();
    assert_eq!(passed(&seen.kept[0]), "a@example.net\r\nDate: x\r\nMessage-ID: <1@x>\r\n\r\n.\r\n..x\r\n.\r\nQUIT\r\n");
    assert_eq!(seen.kept.len(), 2);
}

#[tokio::test]
async fn rule_d4_rule_d9_an_end_without_octets_is_legal_and_a_last_line_gets_its_end() {
    let room = Room::plain();
    room.run("@mail\nC: BDAT 22\nC~ From: a@example.net\\r\\nx\nS: 250 *\nC: RSET\nS: 250 *").await;
    room.run("@mail\nC: BDAT 19\nC~ From: a@example.net\nS: 250 *\nC: BDAT 0 LAST\nS: 250 2.0.0 kept as *").await;
    let kept = room.seen().kept;
    assert!(kept.len() == 1 && kept[0].content.contains("\r\nFrom: a@example.net\r\n"), "{kept:?}");
}

#[tokio::test]
async fn rule_d9_vector_v12_octets_of_a_chunk_out_of_place_are_read_before_it_is_refused() {
    let room = Room::plain();
    room.run(
        "@hello
        C: BDAT 4
        C~ QUIT
        S: 503 5.5.1 *
        C: NOOP
        S: 250 *",
    )
    .await;
    room.run(
        "@login
        C: MAIL FROM:<a@example.net>
        C: RCPT TO:<x@denied.example>
        C: BDAT 6 LAST
        C: QUIT
        C: NOOP
        S: 250 *
        S: 550 5.7.1 *
        S: 554 5.5.1 *
        S: 250 2.0.0 ok",
    )
    .await;
    let secured = Room::with(Ways::default(), |desk| desk.tls = TlsMode::Starttls);
    secured.run("S: 220 *\nC: BDAT 10 LAST\nC~ MAIL FROM:\nS: 530 5.7.0 *\nC: NOOP\nS: 250 2.0.0 ok").await;
}

#[tokio::test]
async fn rule_d9_rule_d13_between_two_chunks_there_is_nothing_but_chunks_and_the_content_stays_whole() {
    let room = Room::plain();
    room.run(
        "@mail
        C: BDAT 21
        C~ From: a@example.net\\r\\n
        C: DATA
        S: 250 2.0.0 *
        S: 503 5.5.1 *
        C: RCPT TO:<c@example.org>
        C: MAIL FROM:<a@example.net>
        C: AUTH PLAIN AGJpbGxpbmcAczNjcmV0
        C: STARTTLS
        S: 503 5.5.1 *
        S: 503 5.5.1 *
        S: 503 5.5.1 *
        S: 502 5.5.1 *
        C: NOOP
        C: BDAT 5 LAST
        C~ \\r\\nx\\r\\n
        S: 250 2.0.0 ok
        S: 250 2.0.0 kept as *
        C: BDAT 3 LAST
        C~ abc
        S: 503 5.5.1 *",
    )
    .await;
    let kept = room.seen().kept;
    assert!(kept.len() == 1 && kept[0].content.ends_with("\r\n\r\nx\r\n"), "{kept:?}");
    assert_eq!(kept[0].recipients.len(), 1);
}

#[tokio::test]
async fn rule_d9_reset_forgets_what_came_in_chunks() {
    let room = Room::plain();
    room.run(
        "@mail
        C: BDAT 21
        C~ From: a@example.net\\r\\n
        C: RSET
        S: 250 2.0.0 *
        S: 250 2.0.0 forgotten
        C: BDAT 0 LAST
        S: 503 5.5.1 *",
    )
    .await;
    let seen = room.seen();
    assert!(seen.kept.is_empty() && seen.aborted == 1, "{seen:?}");
}

#[tokio::test]
async fn rule_d9_a_refused_chunk_ends_the_transaction_and_those_behind_it_are_read_and_refused() {
    let room = Room::plain();
    room.run(
        "@mail
        C: BDAT 26
        C~ From: x@elsewhere.net\\r\\n\\r\\na
        C: BDAT 6
        C: QUIT
        C: BDAT 6 LAST
        C: QUIT
        C: NOOP
        S: 550 5.7.1 *
        S: 503 5.5.1 *
        S: 503 5.5.1 *
        S: 250 2.0.0 ok",
    )
    .await;
    assert!(room.seen().kept.is_empty());
}

#[tokio::test]
async fn rule_d11_rule_l4_rule_l6_vector_v11_bad_octets_are_read_to_the_end_of_their_chunk_and_close_the_session() {
    for (first, second, octets) in
        [("abc\\r", "\\nd\\n", 3), ("abc\\r", "d\\r\\n", 3), ("abcd", "\\n.\\r\\n", 4), ("abcd", "\\0x", 2)]
    {
        let room = Room::plain();
        let script = format!(
            "@mail
            C: BDAT 23
            C~ From: a@example.net\\r\\n\\r\\n
            C: BDAT 4
            C~ {first}
            S: 250 2.0.0 *
            S: 250 2.0.0 *
            C: BDAT {octets} LAST
            C~ {second}RSET\\r\\n
            S: 550 5.5.2 *
            S: 421 4.7.0 *
            --"
        );
        room.run(&script).await;
        let seen = room.house.until(|seen| seen.closed == 1).await;
        assert!(seen.kept.is_empty() && seen.turned.len() == 1, "{first} {second}");
    }
}

#[tokio::test]
async fn rule_d7_vector_v9_vector_v10_nothing_is_read_behind_a_chunk_of_which_nobody_knows_the_end() {
    for bad in ["BDAT 10 LA\\xc5\\xbfT", "BDAT 99999999999999999999", "BDAT", "BDAT -1", "BDAT 5 LAST NOW"] {
        let room = Room::plain();
        room.run(&format!("@mail\nC: {bad}\nC: RSET\nS: 501 5.5.4 *\n--")).await;
    }
    let room = Room::plain();
    let mut client = room.run("@mail").await;
    client.send(format!("BDAT 10 {:600}LAST\r\nRSET\r\n", "")).await;
    client.expect("500 5.5.2").await;
    client.closed().await;
    Room::plain().run("@mail\nC: BDAT 4294967296\nC: RSET\nS: 552 5.3.4 *\n--").await;
}

#[tokio::test]
async fn rule_d7_rule_d12_too_much_in_chunks_is_read_and_refused_and_far_too_much_closes_the_session() {
    let room = Room::plain();
    let mut client = room.run("@mail").await;
    let most = usize::try_from(MAX_SIZE).unwrap();
    let lines = |octets: usize| {
        [b"x".repeat(octets % 80).as_slice(), b"\r\n", &[&b"y".repeat(78)[..], b"\r\n"].concat().repeat(octets / 80)]
            .concat()
    };
    let chunk = lines(most - 40);
    client.send(format!("BDAT 23\r\nFrom: a@example.net\r\n\r\nBDAT {}\r\n", chunk.len())).await;
    client.send(&chunk).await;
    client.expect("250").await;
    client.expect("250").await;
    client.send("BDAT 42\r\n").await;
    client.send([b"z".repeat(40).as_slice(), b"\r\n"].concat()).await;
    client.expect("552 5.3.4").await;
    client.send("BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n").await;
    client.expect("503").await;
    client.expect("250 2.0.0 ok").await;
    assert!(room.seen().kept.is_empty());
    client.send(format!("BDAT {}\r\n", 2 * most + 1)).await;
    client.expect("552 5.3.4").await;
    client.closed().await;
}

#[tokio::test]
async fn rule_c16_chunks_that_carry_nothing_are_charged_for() {
    let room = Room::plain();
    let mut client = room.run("@mail").await;
    client.send("BDAT 0\r\n".repeat(10_000)).await;
    let mut taken = 0;
    while let Some(line) = client.line().await {
        if line.starts_with("421 4.7.0") {
            break;
        }
        taken += 1;
    }
    assert!((50..200).contains(&taken), "{taken}");
    client.closed().await;
}
