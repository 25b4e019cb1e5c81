//! What those who follow a session are told of it: all that was understood and said, in its order, and no secret.

use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::edge::smtp::command::AUTH_LINE;
use crate::edge::smtp::line::Line;
use crate::edge::smtp::transcript;
use crate::ipc::session::{Answer, Slot, Via};
use crate::ipc::trace::Told;

/// Somebody follows all sessions that come from there.
async fn follow(room: &Room, network: &str) {
    let network: ipnet::IpNet = network.parse().unwrap();
    room.house.say(Answer::Introduce { networks: vec![network] }).await;
    while !room.house.vault.current().unwrap().introduces(network.addr()) {
        tokio::task::yield_now().await;
    }
}

async fn followed(change: impl FnOnce(&mut Desk)) -> Room {
    let room = Room::with(Ways { traced: true, ..Ways::default() }, |desk| {
        desk.plain_login = true;
        change(desk);
    });
    follow(&room, "192.0.2.7/32").await;
    room
}

/// As an operator reads it.
fn text(told: &[Told]) -> String {
    told.iter().fold(String::new(), |mut text, told| {
        let (mark, said) = match told {
            Told::Client(said) => ("C:", said.clone()),
            Told::Server(said) => ("S:", said.clone()),
            Told::Stage(said) => ("--", said.clone()),
            Told::LeftOut(lines) => ("--", format!("{lines} left out")),
        };
        writeln!(text, "{mark} {said}").unwrap();
        text
    })
}

/// What was told of a session that has ended.
async fn told(room: &Room, sessions: usize) -> String {
    text(&room.house.until(|seen| seen.closed == sessions).await.told)
}

#[tokio::test]
async fn a_session_is_told_in_its_order_and_its_secrets_are_not() {
    let room = followed(|_| {}).await;
    room.run(
        "@hello
         C: AUTH LOGIN
         S: 334 *
         C: YmlsbGluZw==
         S: 334 *
         C: d3Jvbmc=
         S: 535 *
         C: AUTH PLAIN AGJpbGxpbmcAczNjcmV0
         S: 235 *
         C: MAIL FROM:<a@example.net> SIZE=30 BODY=8BITMIME
         C: RCPT TO:<b@example.org> NOTIFY=NEVER
         C: RCPT TO:<c@denied.example>
         C: s3cret
         C: DATA
         S: 250 *
         S: 250 *
         S: 550 *
         S: 500 *
         S: 354 *
         C: From: a@example.net
         C:
         C: s3cret
         C: .
         S: 250 *
         C: MAIL FROM:<>
         S: 550 *
         C: QUIT
         S: 221 *
         --",
    )
    .await;
    let told = told(&room, 1).await;
    let kept = told.lines().find_map(|line| line.strip_prefix("S: 250 2.0.0 kept as ")).unwrap();
    assert_eq!(
        told.replace(kept, "ID"),
        "S: 220 gate.example.net ESMTP
C: EHLO client.example
S: 250-gate.example.net
S: 250-PIPELINING
S: 250-SIZE 100000
S: 250-8BITMIME
S: 250-SMTPUTF8
S: 250-ENHANCEDSTATUSCODES
S: 250-CHUNKING
S: 250-DSN
S: 250 AUTH PLAIN LOGIN
C: AUTH LOGIN
S: 334 [hidden]
C: [hidden]
S: 334 [hidden]
C: [hidden]
S: 535 5.7.8 authentication credentials invalid
C: AUTH PLAIN [hidden]
S: 235 2.7.0 welcome
C: MAIL FROM:<a@example.net> SIZE=30 BODY
S: 250 2.1.0 sender ok
C: RCPT TO:<b@example.org> NOTIFY=NEVER
S: 250 2.1.5 recipient ok
C: RCPT TO:<c@denied.example>
S: 550 5.7.1 this recipient is not allowed for this login
C: [a line of 6 octets that is no command]
S: 500 5.5.2 unknown command
C: DATA
S: 354 end with a line that is a single dot
C: [31 octets of content]
S: 250 2.0.0 kept as ID
C: MAIL FROM:<>
S: 550 5.7.1 this sender is not allowed for this login
C: QUIT
S: 221 2.0.0 goodbye
"
    );
}

#[tokio::test]
async fn chunks_are_counted_also_those_that_nobody_asked_for() {
    let room = followed(|_| {}).await;
    room.run("@hello\nC: BDAT 6\nC~ s3cret\nS: 503 *").await;
    room.run("@mail\nC: BDAT 23\nC~ From: a@example.net\\r\\n\\r\\n\nS: 250 *\nC: BDAT 6 LAST\nC~ s3cret\nS: 250 *")
        .await;
    let told = told(&room, 2).await;
    for expected in [
        "C: BDAT 6\nC: [6 octets of content]\nS: 503 5.5.1 say MAIL first\n",
        "C: BDAT 23\nC: [23 octets of content]\nS: 250 2.0.0 chunk taken\n",
        "C: BDAT 6 LAST\nC: [6 octets of content]\nS: 250 2.0.0 kept as ",
    ] {
        assert!(told.contains(expected), "{told}");
    }
    assert!(told.ends_with("-- the client is gone\n"), "{told}");
}

#[test]
fn every_command_has_its_line() {
    for (said, line) in [
        ("helo a.example", "HELO a.example"),
        ("EHLO [192.0.2.7]", "EHLO [192.0.2.7]"),
        ("LHLO a", "LHLO a"),
        ("LHLO s3 cret", "LHLO [what is no name of a host]"),
        ("EHLO s3 cret", "EHLO [7 octets that can't be read]"),
        ("EHLO", "EHLO"),
        ("StartTLS", "STARTTLS"),
        ("AUTH PLAIN AGEAYg==", "AUTH PLAIN [hidden]"),
        ("auth login", "AUTH LOGIN"),
        ("AUTH S3CRET", "AUTH [hidden]"),
        ("AUTH s3cret AGEAYg==", "AUTH [hidden]"),
        ("AUTH cram-md5", "AUTH CRAM-MD5"),
        ("AUTH NTLM AGEAYg==", "AUTH NTLM [hidden]"),
        ("AUTH PLAIN s3 cret", "AUTH [13 octets that can't be read]"),
        ("MAIL FROM:<>", "MAIL FROM:<>"),
        ("mail from: <@x.example:\"a b\"@Example.NET>", "MAIL FROM: <\"a b\"@example.net>"),
        (
            "MAIL FROM:<a@b.example> SMTPUTF8 REQUIRETLS RET=HDRS ENVID=x+2By AUTH=s3cret HOLDFOR=60",
            "MAIL FROM:<a@b.example> SMTPUTF8 REQUIRETLS HOLDFOR=60 RET=HDRS ENVID=x+y",
        ),
        (
            "MAIL FROM:<a@b.example> HOLDUNTIL=2026-11-26T09:00:00Z",
            "MAIL FROM:<a@b.example> HOLDUNTIL=2026-11-26T09:00:00Z",
        ),
        ("MAIL FROM:<a@b.example> S3=CRET", "MAIL [26 octets that can't be read]"),
        ("RCPT TO:<postmaster>", "RCPT TO:<postmaster>"),
        (
            "RCPT TO:<c@d.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c+2B@d.example",
            "RCPT TO:<c@d.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c+@d.example",
        ),
        ("RCPT s3cret", "RCPT [6 octets that can't be read]"),
        ("DATA", "DATA"),
        ("DATA s3cret", "DATA [6 octets that can't be read]"),
        ("BDAT 12", "BDAT 12"),
        ("BDAT 0 last", "BDAT 0 LAST"),
        ("BDAT s3cret", "BDAT [6 octets that can't be read]"),
        ("RSET", "RSET"),
        ("NOOP s3cret", "NOOP"),
        ("QUIT", "QUIT"),
        ("HELP s3cret", "HELP"),
        ("VRFY s3cret", "VRFY"),
        ("EXPN s3cret", "EXPN"),
        (
            "XCLIENT ADDR=192.0.2.7 NAME=[UNAVAILABLE] LOGIN=s3cret",
            "XCLIENT ADDR=192.0.2.7 NAME=[UNAVAILABLE] LOGIN=[hidden]",
        ),
        ("XCLIENT S3=CRET", "XCLIENT [7 octets that can't be read]"),
        ("XFORWARD SOURCE=LOCAL", "XFORWARD SOURCE=LOCAL"),
        ("XFORWARD LOGIN=s3cret", "XFORWARD [12 octets that can't be read]"),
        ("ETRN s3cret", "ETRN [6 octets that can't be read]"),
        ("NOOP\ts3cret", "[a line of 11 octets that is no command]"),
        ("NOOP s3\x07cret", "NOOP [7 octets that can't be read]"),
        ("AGJpbGxpbmcAczNjcmV0", "[a line of 20 octets that is no command]"),
        ("", "[a line of 0 octets that is no command]"),
    ] {
        let told = transcript::command(&Line::Whole(said.as_bytes().into()));
        assert_eq!(told, Told::Client(line.to_owned()), "{said:?}");
    }
    assert_eq!(transcript::command(&Line::TooLong(512)), Told::Client("[a line of more than 512 octets]".into()));
    assert_eq!(transcript::command(&Line::Endless), Told::Client("[a line without an end]".into()));
}

/// What we put up with another server may not: who follows the session sees what the device does.
#[test]
fn rule_p6_the_blank_that_is_tolerated_before_a_path_is_shown_and_none_where_there_is_none() {
    for (said, line) in [
        ("MAIL FROM: <a@b.example> RET=HDRS", "MAIL FROM: <a@b.example> RET=HDRS"),
        ("mail from: <>", "MAIL FROM: <>"),
        ("Rcpt To: <c@d.example>", "RCPT TO: <c@d.example>"),
        ("RCPT TO: <\"x:<\"@d.example>", "RCPT TO: <\"x:<\"@d.example>"),
        ("RCPT TO:<c@d.example>", "RCPT TO:<c@d.example>"),
        ("MAIL FROM:<a@b.example>", "MAIL FROM:<a@b.example>"),
        ("MAIL FROM:  <a@b.example>", "MAIL [20 octets that can't be read]"),
    ] {
        assert_eq!(transcript::command(&Line::Whole(said.as_bytes().into())), Told::Client(line.to_owned()));
    }
}

#[tokio::test]
async fn nobody_is_told_of_a_session_that_nobody_follows() {
    let room = Room::plain();
    follow(&room, "198.51.100.0/24").await;
    room.run("@mail\nC: QUIT\nS: 221 *\n--").await;
    let seen = room.house.until(|seen| seen.closed == 1).await;
    assert!(seen.told.is_empty() && seen.opened == 1);
    // One that says nothing is not even known.
    room.run("@hello\nC: QUIT\nS: 221 *\n--").await;
    assert_eq!(room.seen().opened, 1);
}

#[tokio::test]
async fn an_operator_comes_and_goes_while_a_session_goes_on() {
    let room = Room::plain();
    let mut client = room.run("@login\nC: NOOP\nS: 250 *").await;
    let on = |on| Answer::Trace { slot: Slot(0), on };
    room.house.say(on(true)).await;
    while room.house.until(|_| true).await.told.is_empty() {
        client.run("C: RSET\nS: 250 *").await;
    }
    room.house.say(on(false)).await;
    let mut before = usize::MAX;
    while before != room.seen().told.len() {
        before = room.seen().told.len();
        client.run("C: NOOP\nS: 250 *").await;
        // A question and its answer: what came before them is there.
        client.run("C: MAIL FROM:<a@example.net>\nS: 250 *\nC: RSET\nS: 250 *").await;
    }
    drop(client);
    let told = told(&room, 1).await;
    assert!(told.contains("C: RSET\nS: 250 2.0.0 forgotten\n") && !told.contains("AUTH"), "{told}");
    assert!(!told.contains("gone"), "{told}");
}

#[tokio::test]
async fn row_13_a_gateway_can_still_name_its_client_while_somebody_follows() {
    let room = followed(|desk| desk.dialect.xclient_from = vec!["192.0.2.7/32".parse().unwrap()]).await;
    let words = "S: 220 *\nC: XCLIENT ADDR=198.51.100.9\nS: 220 *\nC: EHLO a\nS: 250-*";
    room.run(words).await;
    let told = told(&room, 1).await;
    assert_eq!(room.seen().ways, [Via::Xclient(Some("198.51.100.9:0".parse().unwrap()))]);
    // It is followed from where it is known whose it is.
    assert!(told.starts_with("S: 220 gate.example.net ESMTP\nC: EHLO a\n"), "{told}");
}

#[tokio::test]
async fn what_comes_before_and_after_tls_is_told_and_tls_too() {
    let room = followed(|desk| desk.tls = TlsMode::Starttls).await;
    let client = room.run("S: 220 *\nC: STARTTLS\nS: 220 *").await;
    let mut client = client.secured(&room.front).await;
    client.run("C: QUIT\nS: 221 *\n--").await;
    drop(client.session.await);
    let told = told(&room, 1).await;
    assert_eq!(
        told,
        "S: 220 gate.example.net ESMTP\nC: STARTTLS\nS: 220 2.0.0 go ahead\n\
         -- TLS: TLSv1.3, TLS_AES_128_GCM_SHA256\nC: QUIT\nS: 221 2.0.0 goodbye\n"
    );
}

/// What a client does, with a secret in it where secrets are, or end up by mistake.
fn step(kind: u8, secret: &str) -> String {
    let plain = STANDARD.encode(format!("\0billing\0{secret}"));
    let alone = STANDARD.encode(secret);
    match kind {
        0 => format!("AUTH PLAIN {plain}\r\n"),
        1 => "AUTH PLAIN\r\n".to_owned(),
        2 => "AUTH LOGIN\r\n".to_owned(),
        3 => format!("{plain}\r\n"),
        4 => format!("{alone}\r\n"),
        5 => format!("{secret}\r\n"),
        6 => format!("AUTH LOGIN {alone}\r\n"),
        7 => format!("AUTH {secret}\r\n"),
        8 => format!("AUTH {plain} {secret}\r\n"),
        9 => format!("NOOP {secret}\r\n"),
        10 => format!("VRFY {secret}\r\n"),
        11 => format!("MAIL FROM:<a@example.net> AUTH={secret}\r\n"),
        12 => format!("MAIL FROM:<a@example.net> PASS={secret}\r\n"),
        13 => format!("MAIL FROM:{secret}\r\n"),
        14 => format!("RCPT TO:<b@example.org> {secret}\r\n"),
        15 => format!("XCLIENT LOGIN={secret}\r\n"),
        16 => format!("BDAT {} LAST\r\n{secret}", secret.len()),
        17 => format!("DATA\r\nSubject: {secret}\r\n\r\n{plain}\r\n.\r\n"),
        18 => format!("From: a@example.net\r\n\r\n{secret}\r\n.\r\n"),
        19 => "MAIL FROM:<a@example.net>\r\n".to_owned(),
        20 => "RCPT TO:<b@example.org>\r\n".to_owned(),
        21 => "DATA\r\n".to_owned(),
        22 => "EHLO a\r\n".to_owned(),
        23 => format!("EHLO {secret} {secret}\r\n"),
        24 => format!("\t{secret} {plain}\r\n"),
        25 => format!("{secret}{}\r\n", "x".repeat(AUTH_LINE)),
        26 => "*\r\n".to_owned(),
        _ => "RSET\r\n".to_owned(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn rule_a18_whatever_is_said_when_no_secret_is_told(
        steps in proptest::collection::vec(0u8..30, 1..40),
        secret in "[A-Za-z0-9+/]{8,20}[&%$]",
        is_right in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let told = runtime.block_on(async {
            let secret = if is_right { "s3cret" } else { &secret };
            let room = followed(|_| {}).await;
            let mut client = room.run("S: 220 *\nC: EHLO a\n").await;
            while !client.line().await.unwrap().starts_with("250 ") {}
            for kind in steps {
                client.send(step(kind, secret)).await;
                // The reply, if there is one now: content may not have come to its end.
                let _ = tokio::time::timeout(Duration::from_secs(2), client.reply()).await;
            }
            let Client { stream, session, .. } = client;
            drop(stream);
            drop(session.await.unwrap());
            let told = told(&room, 1).await;
            for hidden in [secret.to_owned(), STANDARD.encode(secret), STANDARD.encode(format!("\0billing\0{secret}"))] {
                // The end of a base64 text differs with what is behind it.
                let hidden = hidden.trim_end_matches('=');
                assert!(!told.contains(hidden), "{hidden} in {told}");
            }
            told
        });
        prop_assert!(told.starts_with("S: 220 gate.example.net ESMTP\n"));
    }
}
