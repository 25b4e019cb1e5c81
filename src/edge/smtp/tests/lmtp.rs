//! LMTP (RFC 2033): what is not in its dialogue.

use super::*;
use crate::policy::refusal::Refusal;

const LMTP: &str = "
    S: 220 gate.example.net LMTP
    C: LHLO client.example
    @offers
    S: 250 AUTH PLAIN LOGIN
    C: AUTH PLAIN AGJpbGxpbmcAczNjcmV0
    S: 235 2.7.0 *
    C: MAIL FROM:<a@example.net>
    S: 250 2.1.0 *
    C: RCPT TO:<b@example.org>
    S: 250 2.1.5 *
    C: RCPT TO:<c@example.org>
    S: 250 2.1.5 *
";

fn room(ways: Ways) -> Room {
    Room::with(ways, |desk| {
        desk.plain_login = true;
        desk.dialect.lmtp = true;
    })
}

#[tokio::test]
async fn row_14_what_the_vault_says_of_a_message_is_said_for_each_recipient() {
    let ways = || Ways { at_commit: Some(Refusal::QuotaExceeded(7)), ..Ways::default() };
    let end = "C: From: a@example.net\nC: .\nS: 452 4.7.1 *\nS: 452 4.7.1 *\nC: NOOP\nS: 250 2.0.0 ok";
    room(ways()).run(&format!("{LMTP}\nC: DATA\nS: 354 *\n{end}")).await;
}

#[tokio::test]
async fn row_14_a_chunk_that_ends_the_transaction_before_the_last_has_one_reply() {
    let long = "x".repeat(1100);
    let chunk = format!("C~ BDAT 1102\\r\\n{long}\\r\\nBDAT 3 LAST\\r\\n\\r\\nx");
    let script = format!("{LMTP}\n{chunk}\nS: 554 5.6.0 *\nS: 503 5.5.1 *\nC: NOOP\nS: 250 2.0.0 ok");
    room(Ways::default()).run(&script).await;
}

#[tokio::test]
async fn row_14_a_recipient_that_is_named_again_and_again_costs_no_more_replies_than_there_may_be_recipients() {
    let room = room(Ways::default());
    let mut client = room.run(LMTP).await;
    client.send("RCPT TO:<b@example.org>\r\n".repeat(99)).await;
    for _ in 0..98 {
        client.expect("250 2.1.5").await;
    }
    client.expect("452 4.5.3").await;
    client.run("C: DATA\nS: 354 *\nC: From: a@example.net\nC: .").await;
    for _ in 0..100 {
        client.expect("250 2.0.0 kept").await;
    }
    client.run("C: NOOP\nS: 250 2.0.0 ok").await;
    assert_eq!(room.seen().kept[0].recipients, ["b@example.org", "c@example.org"]);
}

#[tokio::test]
async fn rule_t10_received_says_lmtp_and_smtp_has_no_lhlo() {
    let room = room(Ways::default());
    room.run(&format!("{LMTP}\nC: DATA\nS: 354 *\nC: From: a@example.net\nC: .\nS: 250 *\nS: 250 *")).await;
    let kept = room.seen().kept.remove(0);
    assert!(kept.content.contains("\twith LMTPA id ") && !kept.content.contains("\tfor <"), "{}", kept.content);
    Room::plain().run("S: 220 gate.example.net ESMTP\nC: LHLO x\nS: 502 5.5.1 *\nC: LHLO\nS: 502 5.5.1 *").await;
}
