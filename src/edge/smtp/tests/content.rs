//! Sections D and H: content, its size, and its header.

use super::*;
use crate::edge::stand_in::Kept;
use crate::policy::refusal::Refusal;

/// Sends this content, and gives the reply and what was kept.
async fn deliver(content: &str) -> (String, Option<Kept>) {
    let room = Room::plain();
    let mut client = room.run("@data").await;
    client.send(format!("{content}.\r\n")).await;
    let reply = client.reply().await;
    (reply, room.seen().kept.pop())
}

#[tokio::test]
async fn rule_d1_vector_v22_no_354_without_a_recipient() {
    let room = Room::plain();
    room.run(
        "@login
        C: MAIL FROM:<a@example.net>
        C: RCPT TO:<x@denied.example>
        C: DATA
        S: 250 *
        S: 550 5.7.1 *
        S: 554 5.5.1 *
        C: RSET
        S: 250 *
        C: DATA
        S: 503 5.5.1 *",
    )
    .await;
}

#[tokio::test]
async fn rule_d2_rule_d3_vector_v2_content_arrives_without_its_dots_and_otherwise_as_it_was() {
    let (reply, kept) =
        deliver("From: a@example.net\r\nDate: x\r\nMessage-ID: <1@x>\r\n\r\n..x\r\n.y\r\n\r\n...\r\n \t\r\n").await;
    let content = kept.unwrap().content;
    assert!(reply.starts_with("250 2.0.0 kept as "), "{reply}");
    let passed = content.split_once("\r\nFrom: ").unwrap().1;
    assert_eq!(passed, "a@example.net\r\nDate: x\r\nMessage-ID: <1@x>\r\n\r\n.x\r\ny\r\n\r\n..\r\n \t\r\n");
}

#[tokio::test]
async fn rule_x2_eight_bits_of_content_pass_as_they_are() {
    let room = Room::plain();
    room.run(
        "@login
        C: MAIL FROM:<a@example.net> BODY=8BITMIME
        C: RCPT TO:<b@example.org>
        C: DATA
        S: 250 *
        S: 250 *
        S: 354 *
        C: From: a@example.net
        C:
        C: Grüße
        C: .
        S: 250 2.0.0 kept as *",
    )
    .await;
    assert!(room.seen().kept[0].content.ends_with("\r\n\r\nGrüße\r\n"));
}

#[tokio::test]
async fn rule_d5_the_reply_to_the_dot_is_the_vaults() {
    for (refusal, expected) in [
        (Refusal::AuthorNotAllowed, "550 5.7.1 an author in the header is not allowed for this login"),
        (Refusal::QuotaExceeded(60), "452 4.7.1 over the quota, try again in 60 seconds"),
        (Refusal::StoreFull, "452 4.3.1 no room to keep it"),
        (Refusal::StoreUnavailable, "451 4.3.1 it can't be kept now"),
    ] {
        let room = Room::with(Ways { at_commit: Some(refusal), ..Ways::default() }, |desk| desk.plain_login = true);
        room.run(&format!("@data\nC: From: a@example.net\nC: .\nS: {expected}\nC: DATA\nS: 503 5.5.1 *")).await;
        assert!(room.seen().kept.is_empty(), "{refusal:?}");
    }
}

/// As long as the vault has not said that it is kept, nothing is said of it.
#[tokio::test]
async fn rule_d5_nothing_is_acknowledged_before_it_is_kept() {
    let ways = Ways::default();
    let still = ways.still.clone();
    let room = Room::with(ways, |desk| desk.plain_login = true);
    for (begin, end) in
        [("C: DATA\nS: 354 *", "From: a@example.net\r\n\r\n.\r\n"), ("", "BDAT 23 LAST\r\nFrom: a@example.net\r\n\r\n")]
    {
        let mut client = room.run(&format!("@mail\n{begin}")).await;
        tokio::time::pause();
        let stands = still.write().await;
        let kept = room.house.seen.lock().unwrap().kept.len();
        client.send(end).await;
        let mut octet = [0];
        let said = tokio::time::timeout(Duration::from_secs(20), client.stream.read(&mut octet)).await;
        assert!(said.is_err(), "something was said of a message that nobody has");
        assert_eq!(room.house.seen.lock().unwrap().kept.len(), kept);
        drop(stands);
        client.expect("250 2.0.0 kept as ").await;
        assert_eq!(room.seen().kept.len(), kept + 1);
        tokio::time::resume();
    }
}

#[tokio::test]
async fn rule_d12_rule_s1_defect_x18_the_size_that_is_announced_is_enforced() {
    let room = Room::plain();
    room.run("@login\nC: MAIL FROM:<a@example.net> SIZE=100001\nS: 552 5.3.4 *\nC: MAIL FROM:<a@example.net> SIZE=100000\nS: 250 *").await;
    let line = format!("{}\r\n", "x".repeat(98));
    let head = "From: a@example.net\r\n\r\n";
    let (reply, kept) = deliver(&(head.to_owned() + &line.repeat(999))).await;
    assert!(reply.starts_with("250") && kept.is_some(), "{reply}");
    // A lie about the size changes nothing, and the session stays in step.
    let room = Room::plain();
    let mut client =
        room.run("@login\nC: MAIL FROM:<a@example.net> SIZE=10\nS: 250 *\nC: RCPT TO:<b@example.org>\nS: 250 *").await;
    client.run("C: DATA\nS: 354 *").await;
    client.send(format!("{head}{}.\r\n", line.repeat(1000))).await;
    client.run("S: 552 5.3.4 *\nC: NOOP\nS: 250 *").await;
    let seen = room.house.until(|seen| seen.aborted == 1).await;
    assert!(seen.kept.is_empty());
    // Beyond twice the size it is not read to its end.
    client.run("C: MAIL FROM:<a@example.net>\nS: 250 *\nC: RCPT TO:<b@example.org>\nS: 250 *\nC: DATA\nS: 354 *").await;
    client.send(format!("{head}{}", line.repeat(2100))).await;
    client.run("S: 552 5.3.4 *\n--").await;
}

#[tokio::test]
async fn rule_h1_rule_h2_rule_h4_rule_h6_the_fix_ups_and_nothing_else() {
    let (_, kept) =
        deliver("Received: from x\r\nBcc: c@example.org\r\nFROM:a@example.net\r\nX-Odd:  y \r\n\r\nbody\r\n").await;
    let kept = kept.unwrap();
    let (trace, rest) =
        kept.content.split_once("+0000\r\nReceived: from x\r\nFROM:a@example.net\r\nX-Odd:  y \r\nDate: ").unwrap();
    assert!(trace.starts_with(
        "Received: from client.example (address not shown)\r\n\tby gate.example.net (Gatepost submission)"
    ));
    assert!(trace.contains("with ESMTPA id ") && trace.contains("for <b@example.org>"), "{trace}");
    assert!(!kept.content.contains("192.0.2.7") && !kept.content.contains("c@example.org"));
    assert!(rest.contains("\r\nMessage-ID: <") && rest.ends_with("@gate.example.net>\r\n\r\nbody\r\n"), "{rest}");
    assert_eq!((kept.facts.received, kept.helo.as_str()), (2, "client.example"));
    assert!(kept.facts.message_id.ends_with("@gate.example.net"));
}

/// Who looks for a message by what its Received field says finds it by the id that the client was told and the audit log has.
#[tokio::test]
async fn rule_h1_received_has_the_id_that_the_client_is_told_and_names_a_recipient_only_when_it_is_the_only_one() {
    let more = "C: RCPT TO:<c@example.org>\nS: 250 *\n";
    for (others, named) in [("", true), ("C: RCPT TO:<b@EXAMPLE.org>\nS: 250 *\n", true), (more, false)] {
        for content in ["C: DATA\nS: 354 *\nC: From: a@example.net\nC: .", "C: BDAT 21 LAST\nC: From: a@example.net"] {
            let room = Room::plain();
            let mut client = room.run(&format!("@mail\n{others}{content}")).await;
            let reply = client.reply().await;
            let id = reply.trim_end().strip_prefix("250 2.0.0 kept as ").unwrap_or_else(|| panic!("{reply}"));
            let kept = room.seen().kept.pop().unwrap();
            let (trace, _) = kept.content.split_once("\r\nFrom: ").unwrap();
            assert!(trace.contains(&format!("\r\n\twith ESMTPA id {id}")), "{id} in {trace}");
            assert_eq!(trace.contains("for <b@example.org>"), named, "{trace}");
            assert!(named || !trace.contains("example.org"), "who else has it is nobody's to know: {trace}");
        }
    }
}

#[tokio::test]
async fn rule_h3_a_message_in_circles_is_refused() {
    let (reply, kept) = deliver(&("Received: x\r\n".repeat(100) + "From: a@example.net\r\n\r\n")).await;
    assert!(reply.starts_with("554 5.4.6") && kept.is_none(), "{reply}");
}

#[tokio::test]
async fn rule_p10_rule_p11_rule_h9_vector_v26_the_author_in_the_header_is_the_logins_own() {
    let cases = [
        ("From: a@example.net\r\n", "250"),
        ("From: a@example.net, b@example.net\r\n", "250"),
        ("From: a@example.net, b@evil.example\r\n", "550 5.7.1"),
        ("From: b@evil.example\r\n", "550 5.7.1"),
        ("From:\r\n b@evil.example\r\n", "550 5.7.1"),
        ("From: a@example.net\r\nSender: b@evil.example\r\n", "550 5.7.1"),
        ("From: team: a@example.net, b@evil.example;\r\n", "550 5.7.1"),
        ("From: nobody:;\r\n", "550 5.6.0"),
        ("From: \"CEO <ceo@bank.example>\":;\r\nSender: a@example.net\r\n", "550 5.6.0"),
        ("From: a@example.net\r\nFrom: b@evil.example\r\n", "550 5.6.0"),
        ("From: a@example.net\r\nfrom : b@evil.example\r\n", "550 5.6.0"),
        ("From: a@example.net <b@evil.example>\r\n", "550 5.6.0"),
        ("To: x@example.org\r\n", "550 5.6.0"),
        (" From: b@evil.example\r\nFrom: a@example.net\r\n", "550 5.6.0"),
        ("From: a@example.net\r\nnonsense\r\n", "550 5.6.0"),
        ("From: a@example.net\r\nSubject: gr\u{fc}n\r\n", "550 5.6.7"),
    ];
    for (header, expected) in cases {
        for content in
            [header.to_owned(), format!("{header}\r\nFrom: b@evil.example\r\n"), format!("{header}\r\nbody\r\n")]
        {
            let (reply, kept) = deliver(&content).await;
            assert!(reply.starts_with(expected), "{content:?}: {reply}");
            assert_eq!(kept.is_some(), expected == "250", "{content:?}");
        }
    }
}

#[tokio::test]
async fn a_refused_message_is_read_to_its_end_and_told_to_the_vault_once() {
    let room = Room::plain();
    let mut client = room.run("@data").await;
    client.send(format!("From: b@evil.example\r\n\r\n{}", "x\r\n".repeat(10_000))).await;
    client.run("C: .\nC: NOOP\nS: 550 5.7.1 *\nS: 250 *").await;
    let seen = room.house.until(|seen| seen.aborted == 1 && !seen.turned.is_empty()).await;
    assert_eq!(seen.turned, [(Some("a@example.net".to_owned()), None, Refusal::AuthorNotAllowed)]);
}

#[tokio::test]
async fn rule_h9_the_log_is_told_what_was_wrong_with_a_message_in_words_of_ours() {
    for (content, flaw) in [
        ("To: x@example.org\r\n", "no-from"),
        ("From: a@example.net\r\nto: x@example.org\r\nTO: y@example.org\r\n", "twice: To"),
        ("From: a@example.net <b@evil.example>\r\n", "unreadable: From"),
        ("From: a@example.net\r\nSubject: gr\u{fc}n\r\n", "not-ascii"),
        ("From: a@example.net\r\nBcc: x\r\nDKIM-Signature: h=from:bcc\r\n", "signed: Bcc"),
        ("From: a@example.net\r\nevil\r\n", "line-is-no-field"),
        (&format!("From: a@example.net\r\n\r\n{}\r\n", "x".repeat(1200)), "line-too-long"),
        ("From: a@example.net\r\n\r\nx\ny\r\n", "bare-cr-lf-or-nul"),
    ] {
        let room = Room::plain();
        let mut client = room.run("@data").await;
        client.send(format!("{content}.\r\n")).await;
        assert!(client.reply().await.starts_with("55"), "{content:?}");
        let seen = room.house.until(|seen| !seen.flaws.is_empty()).await;
        assert_eq!(seen.flaws, [flaw], "{content:?}");
    }
}

#[tokio::test]
async fn a_header_without_end_is_refused() {
    let room = Room::plain();
    let mut client = room.run("@data").await;
    client.send(format!("From: a@example.net\r\n{}.\r\n", "X: y\r\n".repeat(12_000))).await;
    client.run("S: 550 5.6.0 *\nC: NOOP\nS: 250 *").await;
}

#[tokio::test]
async fn without_the_vault_a_session_is_told_so_at_its_next_command_and_after_the_dot() {
    let mut room = Room::plain();
    let mut idle = room.run("@login").await;
    room.house.fall().await;
    idle.run("C: NOOP\nS: 421 4.3.2 *\n--").await;
    room.run("@hello\nC: AUTH PLAIN AGJpbGxpbmcAczNjcmV0\nS: 421 4.3.2 *\n--").await;
    room.house.replace(Ways { falls_at_chunk: true, ..Ways::default() });
    let mut client = room.run("@data\nC: From: a@example.net\nC:\nC: x").await;
    room.house.fallen().await;
    client.run("C: .\nS: 451 4.3.*\nC: NOOP\nS: 421 4.3.2 *\n--").await;
}

#[tokio::test]
async fn a_vault_that_falls_at_the_dot_and_comes_back_with_the_message_is_250() {
    let mut room = Room::with(Ways { falls_at_commit: Some(true), ..Ways::default() }, |desk| desk.plain_login = true);
    let mut client = room.run("@data\nC: From: a@example.net\nC: .").await;
    room.house.fallen().await;
    room.house.replace(Ways::default());
    client.run("S: 250 2.0.0 kept as *\nC: NOOP\nS: 421 4.3.2 *\n--").await;
    assert_eq!(room.seen().asked.len(), 1);
}
