//! Section T, as far as the session goes; handshakes themselves are in `edge::tls`.

use super::*;

fn room() -> Room {
    Room::with(Ways::default(), |desk| desk.tls = TlsMode::Starttls)
}

const HELLO_CLEAR: &str = "
    C: EHLO client.example
    @offers
    S: 250 STARTTLS
";

#[tokio::test]
async fn rule_t1_what_was_said_before_tls_is_forgotten() {
    let room = room();
    let client = room.run(&format!("S: 220 *\n{HELLO_CLEAR}\nC: STARTTLS\nS: 220 2.0.0 *")).await;
    let mut client = client.secured(&room.front).await;
    client
        .run("C: MAIL FROM:<a@example.net>\nS: 503 5.5.1 *\nC: AUTH PLAIN AGJpbGxpbmcAczNjcmV0\nS: 503 5.5.1 *")
        .await;
    client
        .run("C: EHLO client.example\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250 AUTH PLAIN LOGIN")
        .await;
    client.run("C: STARTTLS\nS: 503 5.5.1 *").await;
    client.run("C: AUTH PLAIN AGJpbGxpbmcAczNjcmV0\nS: 235 *\nC: MAIL FROM:<a@example.net>\nS: 250 *").await;
    client.run("C: RCPT TO:<b@example.org>\nS: 250 *\nC: DATA\nS: 354 *\nC: From: a@example.net\nC: .\nS: 250 *").await;
    let kept = room.seen().kept;
    assert!(kept[0].content.contains("with ESMTPSA id ") && kept[0].content.contains("tls TLS_AES_128_GCM_SHA256;"));
}

#[tokio::test]
async fn rule_t2_defect_x16_vector_v5_octets_behind_starttls_close_the_session() {
    for behind in ["C: EHLO x\nC: MAIL FROM:<a@example.net>", "C~ x", "C~ \\r\\n"] {
        let room = room();
        room.run(&format!("S: 220 *\n{HELLO_CLEAR}\nC: STARTTLS\n{behind}\nS: 554 5.5.0 *\n--")).await;
        assert_eq!(room.seen().frames, 0);
    }
}

#[tokio::test]
async fn rule_t2_what_comes_behind_the_answer_to_starttls_is_the_handshakes() {
    let room = room();
    let mut client = room.run("S: 220 *\nC: STARTTLS\nS: 220 2.0.0 *").await;
    client.send("MAIL FROM:<a@example.net>\r\n").await;
    let (_, leave) = client.session.await.unwrap();
    let Leave::Starttls(mut stream) = leave else { panic!("no handshake") };
    let mut first = [0; 4];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"MAIL");
}

#[tokio::test]
async fn rule_t4_starttls_without_a_certificate_is_454() {
    let mut room = room();
    Arc::get_mut(&mut room.front).unwrap().tls = None;
    room.run("S: 220 *\nC: STARTTLS\nS: 454 4.7.0 *").await;
}

#[tokio::test]
async fn rule_t4_once_tls_is_on_it_is_not_offered_and_not_begun_again() {
    let room = room();
    let client = room.run(&format!("S: 220 *\n{HELLO_CLEAR}\nC: STARTTLS\nS: 220 2.0.0 *")).await;
    let mut client = client.secured(&room.front).await;
    client.run("C: STARTTLS\nS: 503 5.5.1 *\nC: EHLO client.example\n@offers\nS: 250 AUTH PLAIN LOGIN").await;
    client.run("C: STARTTLS\nS: 503 5.5.1 *\nC: NOOP\nS: 250 *").await;
    let room = Room::plain();
    room.run("@hello\nC: STARTTLS\nS: 502 5.5.1 *").await;
}

#[tokio::test]
async fn rule_c6_reset_ends_neither_tls_nor_the_login_under_it() {
    let room = room();
    let client = room.run(&format!("S: 220 *\n{HELLO_CLEAR}\nC: STARTTLS\nS: 220 2.0.0 *")).await;
    let mut client = client.secured(&room.front).await;
    client.run("C: EHLO client.example\n@offers\nS: 250 AUTH PLAIN LOGIN").await;
    client.run("C: AUTH PLAIN AGJpbGxpbmcAczNjcmV0\nS: 235 *\n@again\nC: RSET\nS: 250 2.0.0 *").await;
    client.run("C: STARTTLS\nS: 503 5.5.1 *\nC: AUTH PLAIN AGJpbGxpbmcAczNjcmV0\nS: 503 5.5.1 *\n@again").await;
    client.run("C: DATA\nS: 354 *\nC: From: a@example.net\nC: .\nS: 250 *").await;
    assert!(room.seen().kept[0].content.contains("with ESMTPSA id "));
}

#[tokio::test]
async fn rule_t5_before_tls_next_to_nothing_works() {
    let room = room();
    let mut client = room.run("S: 220 *").await;
    for fine in ["NOOP", "RSET", "HELP", "EHLO client.example"] {
        client.send(format!("{fine}\r\n")).await;
        client.expect("2").await;
    }
    for refused in
        ["HELO x", "MAIL FROM:<a@example.net>", "RCPT TO:<b@example.org>", "DATA", "VRFY x", "AUTH PLAIN AGEAYg=="]
    {
        client.send(format!("{refused}\r\n")).await;
        client.expect("530 5.7.0").await;
    }
    assert_eq!(room.seen().frames, 0);
}

#[tokio::test]
async fn rule_t7_rule_t8_no_login_is_offered_or_judged_in_the_clear() {
    for tls in [TlsMode::Starttls, TlsMode::None] {
        let room = Room::with(Ways::default(), |desk| desk.tls = tls);
        let mut client = room.run("S: 220 *\nC: EHLO client.example").await;
        assert!(!client.reply().await.contains("AUTH"));
        for guess in ["AGJpbGxpbmcAczNjcmV0", "AGJpbGxpbmcAd3Jvbmc="] {
            client.run(&format!("C: AUTH PLAIN {guess}\nS: 530 5.7.0 *")).await;
        }
        assert_eq!(room.seen().frames, 0);
    }
}
