//! What a listener allows beside the rules that all keep to: it changes what it says, and nothing else.

use super::*;

fn repairing() -> Room {
    Room::with(Ways::default(), |desk| {
        desk.plain_login = true;
        desk.dialect.repair_bare_lf = true;
    })
}

#[tokio::test]
async fn rule_l5_repaired_content_is_one_message_with_its_header_and_canonical_lines() {
    for step in [1, 2, 3, 7, 4096] {
        let room = repairing();
        let mut client = room.run("@data").await;
        let content = b"From: a@example.net\nBcc: c@example.org\n\nhello\n.\nMAIL FROM:<a@example.net>\n.\r\n..end\n\r\n.\r\nQUIT\r\n";
        for part in content.chunks(step) {
            client.send(part).await;
        }
        client.run("S: 250 2.0.0 *\nS: 221 2.0.0 *\n--").await;
        let seen = room.seen();
        let [kept] = &seen.kept[..] else { panic!("{step}: one message: {:?}", seen.kept) };
        let (header, body) = kept.content.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "hello\r\n.\r\nMAIL FROM:<a@example.net>\r\n.\r\n.end\r\n\r\n", "{step}");
        assert!(header.contains("From: a@example.net\r\n") && !header.contains("Bcc"), "{header}");
        assert!(!kept.content.replace("\r\n", "").contains(['\r', '\n']));
    }
}

#[tokio::test]
async fn rule_l5_nothing_is_repaired_before_a_login() {
    let room = repairing();
    room.run(
        "@hello
        C: MAIL FROM:<a@example.net>
        S: 530 5.7.0 *
        C: DATA
        S: 503 5.5.1 *
        C~ a\\n.\\nNOOP\\n
        C:
        S: 500 5.5.2 *",
    )
    .await;
    assert!(room.seen().kept.is_empty());
}

#[tokio::test]
async fn rule_l5_rule_l4_elsewhere_a_bare_line_feed_is_refused_as_ever() {
    Room::plain().run("@data\nC: From: a@example.net\nC:\nC: a\\nb\nC: .\nS: 550 5.5.2 *\nS: 421 4.7.0 *\n--").await;
}

#[tokio::test]
async fn row_31_commands_that_are_turned_off_are_not_offered_and_the_others_are() {
    use crate::config::slice::Optional::{Expn, Helo, Help, Vrfy};
    let room = Room::with(Ways::default(), |desk| {
        desk.plain_login = true;
        desk.dialect.commands_off = vec![Helo, Help, Vrfy, Expn];
    });
    let off =
        "C: VRFY x\nS: 502 5.5.1 *\nC: HELP\nS: 502 5.5.1 *\nC: EXPN x\nS: 502 5.5.1 *\nC: HELO x\nS: 502 5.5.1 *";
    room.run(&format!("S: 220 *\n{off}\nC: NOOP\nS: 250 *\nC: RSET\nS: 250 *\nC: QUIT\nS: 221 *\n--")).await;
    room.run(&format!("@login\n{off}\n@again")).await;
    let usual = "S: 220 *\nC: VRFY x\nS: 252 *\nC: HELP\nS: 214 *\nC: EXPN x\nS: 502 *\nC: HELO x\nS: 250 *";
    Room::plain().run(usual).await;
}

#[tokio::test]
async fn row_15_each_extension_is_left_out_alone() {
    use crate::config::slice::Extension::{Chunking, Dsn, EightBit, Limits, Pipelining, Size, StatusCodes, Utf8};
    for (one, word, with_it) in [
        (Pipelining, "PIPELINING", None),
        (Size, "SIZE 100000", Some("MAIL FROM:<a@example.net> SIZE=1")),
        (EightBit, "8BITMIME", Some("MAIL FROM:<a@example.net> BODY=8BITMIME")),
        (Utf8, "SMTPUTF8", Some("MAIL FROM:<a@example.net> SMTPUTF8")),
        (StatusCodes, "ENHANCEDSTATUSCODES", None),
        (Chunking, "CHUNKING", None),
        (Dsn, "DSN", Some("MAIL FROM:<a@example.net> RET=HDRS")),
        (Limits, "LIMITS RCPTMAX=100", None),
    ] {
        let room = Room::with(Ways::default(), |desk| (desk.plain_login, desk.extensions_off) = (true, vec![one]));
        let mut client = room.run("S: 220 *\nC: EHLO x").await;
        client.expect("250").await;
        client.run("C: AUTH PLAIN AGJpbGxpbmcAczNjcmV0\nS: 235 *\nC: EHLO x").await;
        let offered = client.reply().await;
        let offers = |word: &str| offered.lines().any(|line| line.get(4..) == Some(word));
        assert!(!offers(word), "{word}: {offered}");
        // SMTPUTF8 can't be without 8BITMIME (RFC 6531 section 3.1).
        assert_eq!(offers("SMTPUTF8"), one != Utf8 && one != EightBit, "{offered}");
        assert_eq!(offered.lines().count(), if one == EightBit { 7 } else { 8 }, "{offered}");
        if let Some(command) = with_it {
            client.run(&format!("C: {command}\nS: 555 5.5.4 *\nC: MAIL FROM:<a@example.net>\nS: 250 *")).await;
        }
    }
}
