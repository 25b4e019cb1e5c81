//! Section L: where a line ends, where content ends, and who may speak when.

use super::*;
use crate::policy::route::Route;

#[tokio::test]
async fn rule_l1_defect_x22_a_bare_line_feed_or_carriage_return_ends_no_command() {
    let room = Room::plain();
    room.run(
        "@login
        C: MAIL FROM:<a@example.net>\\nRCPT TO:<b@example.org>
        S: 500 5.5.2 *
        C: NOOP\\rRSET
        S: 500 5.5.2 *
        C: NOOP
        S: 250 2.0.0 *",
    )
    .await;
    assert!(room.seen().kept.is_empty());
}

#[tokio::test]
async fn rule_l2_vector_v3_vector_v4_no_false_end_lets_a_command_in() {
    for end in
        ["\\n.\\r\\n", "\\r\\n.\\n", "\\n.\\n", "\\r.\\r", "\\r.\\r\\n", "\\r\\n.\\r\\r\\n", "\\r\\n\\r\\n.\\n\\r\\n"]
    {
        let room = Room::plain();
        room.run(&format!(
            "@data
            C: From: a@example.net
            C:
            C~ hello{end}MAIL FROM:<a@example.net>\\r\\nRCPT TO:<evil@example.org>\\r\\nDATA\\r\\n
            C~ From: a@example.net\\r\\n\\r\\nsmuggled\\r\\n.\\r\\n
            S: 550 5.5.2 *
            S: 421 4.7.0 *
            --"
        ))
        .await;
        let seen = room.house.until(|seen| seen.closed == 1).await;
        assert!(seen.kept.is_empty() && seen.turned.len() == 1, "{end}");
    }
}

#[tokio::test]
async fn rule_l3_vector_v1_an_empty_message_ends_at_once_and_the_session_stays_in_step() {
    let room = Room::plain();
    room.run("@data\nC: .\nS: 550 5.6.0 *\nC: NOOP\nS: 250 2.0.0 *").await;
}

#[tokio::test]
async fn rule_l4_rule_l6_vector_v19_bad_octets_are_read_to_the_true_end_and_close_the_session() {
    for bad in ["a\\nb", "a\\rb", "a\\0b"] {
        let room = Room::plain();
        let script =
            format!("@data\nC: From: a@example.net\nC:\nC: {bad}\nC: .\nC: RSET\nS: 550 5.5.2 *\nS: 421 *\n--");
        room.run(&script).await;
        let seen = room.house.until(|seen| seen.closed == 1).await;
        assert!(seen.kept.is_empty() && seen.aborted == 1, "{bad}");
    }
}

#[tokio::test]
async fn rule_l6_vector_v19_nul_in_a_command_is_an_error() {
    let room = Room::plain();
    room.run("@login\nC: EHLO a\\0b\nS: 500 5.5.2 *\nC: MAIL FROM:<a\\0@example.net>\nS: 500 5.5.2 *").await;
}

#[tokio::test]
async fn rule_l7_vector_v18_a_line_that_is_too_long_is_refused_and_the_session_stays_in_step() {
    let room = Room::plain();
    let mut client = room.run("@login").await;
    let padded = |command: &str, length: usize| format!("{command:length$}\r\n");
    for (line, expected) in [
        (padded("NOOP", 510), "250 2.0.0"),
        (padded("NOOP", 511), "500 5.5.2"),
        (padded("MAIL FROM:<a@example.net>", 2047), "500 5.5.2"),
        (padded("MAIL FROM:<a@example.net>", 2046), "250 2.1.0"),
        (padded("RCPT TO:<b@example.org>", 5000), "500 5.5.2"),
        (padded("RCPT TO:<b@example.org>", 2046), "250 2.1.5"),
    ] {
        client.send(&line).await;
        client.expect(expected).await;
    }
}

#[tokio::test]
async fn rule_l8_vector_v18_a_line_without_end_closes_the_session() {
    let room = Room::plain();
    let mut client = room.run("@login").await;
    client.send(vec![b'x'; 100_000]).await;
    client.expect("500 5.5.2").await;
    client.closed().await;
}

/// What is said without an end is drained up to 64 KiB, and the session goes on behind its end; beyond them it is over, and
/// the end is not waited for.
#[tokio::test]
async fn rule_l8_a_line_has_64_kib_to_end_in() {
    let room = Room::plain();
    for (octets, ends) in [(60_000, true), (65_000, true), (70_000, false)] {
        let mut client = room.run("@login").await;
        for _ in 0..octets / 1000 {
            client.send([b'x'; 1000]).await;
        }
        if ends {
            client.run("C~ \\r\\nNOOP\\r\\n\nS: 500 5.5.2 *\nS: 250 2.0.0 *").await;
        } else {
            client.run("S: 500 5.5.2 *\n--").await;
        }
    }
}

#[tokio::test]
async fn rule_l9_a_content_line_beyond_a_thousand_octets_is_refused_and_never_split() {
    let room = Room::plain();
    let line = "x".repeat(999);
    let script = format!("@data\nC: From: a@example.net\nC:\nC: {line}\nC: .\nS: 554 5.6.0 *\nC: NOOP\nS: 250 *");
    room.run(&script).await;
    assert!(room.seen().kept.is_empty());
}

#[tokio::test]
async fn rule_l14_speaking_before_the_greeting_is_answered_with_554() {
    let room = Room::plain();
    let (mut ours, theirs) = tokio::io::duplex(4096);
    ours.write_all(b"EHLO client.example\r\n").await.unwrap();
    let session = Session::new(room.front.clone(), room.house.visit(), Uuid::nil());
    let mut client = Client { stream: ours, read: Vec::new(), session: spawn(session, theirs) };
    client.expect("554 ").await;
    client.closed().await;
}

#[tokio::test]
async fn rule_l14_nothing_may_stand_behind_ehlo_data_or_a_login_of_several_rounds() {
    let room = Room::plain();
    for ahead in [
        "S: 220 *\nC: EHLO client.example\nC: NOOP\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250 *\nS: 554 5.5.0 *\n--",
        "@mail\nC: DATA\nC: From: a@example.net\nS: 554 5.5.0 *\n--",
        "@hello\nC: AUTH LOGIN\nC: YmlsbGluZw==\nS: 554 5.5.0 *\n--",
        "@hello\nC: AUTH LOGIN\nS: 334 *\nC: YmlsbGluZw==\nC: czNjcmV0\nS: 554 5.5.0 *\n--",
        "@hello\nC: AUTH LOGIN YmlsbGluZw==\nC: czNjcmV0\nS: 554 5.5.0 *\n--",
        "@hello\nC: AUTH PLAIN\nC: AGJpbGxpbmcAczNjcmV0\nS: 554 5.5.0 *\n--",
    ] {
        room.run(ahead).await;
    }
    assert!(room.seen().kept.is_empty() && room.seen().logins.len() == 1);
}

#[tokio::test]
async fn rule_l14_commands_behind_the_final_dot_are_legal() {
    let room = Room::plain();
    room.run(
        "@data
        C: From: a@example.net
        C: .
        C: MAIL FROM:<a@example.net>
        C: RSET
        S: 250 2.0.0 kept as *
        S: 250 2.1.0 *
        S: 250 2.0.0 *",
    )
    .await;
}

#[tokio::test]
async fn rule_l15_vector_v20_other_protocols_are_left_without_a_word() {
    for foreign in [
        "GET / HTTP/1.1\\r\\n",
        "POST /x HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n",
        "CONNECT gate.example.net:25 HTTP/1.1\\r\\n",
        "PUT /x HTTP/1.1\\r\\n",
        "HEAD / HTTP/1.0\\r\\n",
        "OPTIONS * HTTP/1.1\\r\\n",
        "\\x16\\x03\\x01\\x02",
        "SSH-2.0-x\\r\\n",
    ] {
        let room = Room::plain();
        room.run(&format!("S: 220 *\nC~ {foreign}\n--")).await;
        room.run(&format!("@login\nC~ {foreign}\n--")).await;
    }
}

#[tokio::test]
async fn rule_l15_what_was_answered_before_another_protocol_began_is_still_said() {
    let room = Room::plain();
    room.run(
        "@data
        C: From: a@example.net
        C: .
        C: NOOP
        C: GET / HTTP/1.1
        S: 250 2.0.0 kept as *
        S: 250 2.0.0 *
        --",
    )
    .await;
    assert_eq!(room.seen().kept.len(), 1);
}

#[tokio::test]
async fn rule_l13_nothing_that_was_sent_comes_back() {
    let room = Room::plain();
    let mut client = room.run("S: 220 *").await;
    for line in
        ["EHLO canary.example", "canary", "MAIL FROM:<canary@example.net> CANARY=1", "VRFY canary", "AUTH CANARY"]
    {
        client.send(format!("{line}\r\n")).await;
        let reply = client.reply().await;
        assert!(!reply.to_ascii_lowercase().contains("canary"), "{reply}");
    }
}

/// Beside this, every line that a client of these tests gets is held to the rule as it comes.
#[tokio::test]
async fn rule_l13_an_answer_to_ehlo_is_short_printable_and_of_few_lines() {
    let routes = vec![Route { credential: None, from: None, to: "*".parse().unwrap(), via: vec![0], requiretls: true }];
    let mut ways = Ways::default();
    ways.login.2.routes = routes;
    let mut room = Room::with(ways, |desk| {
        (desk.plain_login, desk.tls) = (true, TlsMode::Starttls);
        desk.mechanisms = Mechanism::SASL.to_vec();
        desk.future_release = Some(Duration::from_secs(u64::from(u32::MAX)));
    });
    let front = Arc::get_mut(&mut room.front).unwrap();
    (front.hostname, front.max_size) = ("h".repeat(255), u64::MAX);
    let mut client = room.connect();
    client.expect("220").await;
    client.run("C: EHLO a").await;
    let answer = client.reply().await;
    assert!((10..=24).contains(&answer.lines().count()), "{answer}");
}
