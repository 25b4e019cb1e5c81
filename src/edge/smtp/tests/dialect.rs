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
