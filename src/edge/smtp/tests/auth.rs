//! Section A: who logs in, and what a failed login tells.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::config::slice::ClientCertificates;
use crate::ipc::session::{Answer, Denial};

const WRONG: &str = "AGJpbGxpbmcAd3Jvbmc=";

#[tokio::test]
async fn row_37_only_the_mechanisms_of_the_listener_are_offered_and_taken() {
    let room = Room::with(Ways::default(), |desk| {
        (desk.plain_login, desk.mechanisms) = (true, vec![Mechanism::Login]);
    });
    room.run("S: 220 *\nC: EHLO client.example\n@offers\nS: 250 AUTH LOGIN\nC: AUTH PLAIN AGJpbGxpbmcAczNjcmV0\nS: 504 5.5.4 *")
        .await;
    assert_eq!(room.seen().frames, 0);
}

#[tokio::test]
async fn who_said_helo_is_told_that_a_login_needs_ehlo() {
    let auth = "C: AUTH PLAIN AGJpbGxpbmcAczNjcmV0";
    let room = Room::plain();
    room.run(&format!("S: 220 *\n{auth}\nS: 503 5.5.1 introduce yourself first\nC: HELO x\nS: 250 *\n{auth}\nS: 503 5.5.1 AUTH needs EHLO, say it first"))
        .await;
    assert_eq!(room.seen().frames, 0);
}

#[tokio::test]
async fn rule_a1_no_mail_without_a_login() {
    let room = Room::plain();
    room.run("@hello\nC: MAIL FROM:<a@example.net>\nS: 530 5.7.0 *\nC: MAIL FROM:<>\nS: 530 5.7.0 *").await;
    assert_eq!(room.seen().frames, 0, "the vault was asked for a stranger");
    // Whatever else is tried, and however the listener is set up: none of it is a message.
    let tries = "C: MAIL FROM:<a@example.net>\nS: 530 5.7.0 *\nC: RCPT TO:<b@example.org>\nS: 503 5.5.1 *\nC: DATA\nS: 503 5.5.1 *
        C: BDAT 2 LAST\nC~ x\\n\nS: 503 5.5.1 *\nC: MAIL FROM:<a@example.net> AUTH=a@example.net\nS: 530 5.7.0 *
        C: RCPT TO:<postmaster>\nS: 503 5.5.1 *";
    let changes: [fn(&mut Desk); 6] = [
        |desk| desk.plain_login = true,
        |desk| (desk.plain_login, desk.mechanisms) = (true, vec![]),
        |desk| (desk.plain_login, desk.dialect.repair_bare_lf) = (true, true),
        |desk| (desk.plain_login, desk.future_release) = (true, Some(Duration::from_secs(60))),
        |desk| (desk.plain_login, desk.client_certificates) = (true, Some(ClientCertificates::Request)),
        |desk| (desk.plain_login, desk.dialect.xclient_from) = (true, vec!["192.0.2.0/24".parse().unwrap()]),
    ];
    for change in changes {
        let room = Room::with(Ways::default(), change);
        let mut client = room.run("S: 220 *\nC: EHLO client.example").await;
        client.reply().await;
        client.run(tries).await;
        assert!(room.seen().kept.is_empty() && room.seen().logins.is_empty());
    }
}

#[tokio::test]
async fn rule_a2_vector_v7_one_login_per_session_and_none_in_a_transaction() {
    let room = Room::with(Ways::default(), |desk| (desk.plain_login, desk.tls) = (true, TlsMode::Starttls));
    room.run(
        "S: 220 *
        C: EHLO client.example
        S: 250-*
        S: 250-*
        S: 250-*
        S: 250-*
        S: 250-*
        S: 250-*
        S: 250-*
        S: 250-*
        S: 250-STARTTLS
        S: 250 AUTH PLAIN LOGIN
        C: AUTH PLAIN AGJpbGxpbmcAczNjcmV0
        S: 235 2.7.0 *
        C: AUTH PLAIN AGJpbGxpbmcAczNjcmV0
        S: 503 5.5.1 *
        C: RSET
        S: 250 *
        C: AUTH LOGIN
        S: 503 5.5.1 *
        C: STARTTLS
        S: 503 5.5.1 *
        C: MAIL FROM:<a@example.net>
        S: 250 *
        C: AUTH PLAIN AGJpbGxpbmcAczNjcmV0
        S: 503 5.5.1 *",
    )
    .await;
    assert_eq!(room.seen().logins.len(), 1);
}

#[tokio::test]
async fn rule_a3_unknown_mechanisms_and_logins_in_the_clear() {
    let room = Room::plain();
    room.run("@hello\nC: AUTH CRAM-MD5\nS: 504 5.5.4 *\nC: AUTH XOAUTH2 abcd\nS: 504 5.5.4 *").await;
    let room = Room::with(Ways::default(), |desk| desk.tls = TlsMode::Starttls);
    room.run("S: 220 *\nC: AUTH PLAIN AGJpbGxpbmcAczNjcmV0\nS: 530 5.7.0 must issue a STARTTLS command first").await;
    assert_eq!(room.seen().frames, 0);
}

#[tokio::test]
async fn rule_a4_challenges_cancellation_and_initial_responses() {
    let room = Room::plain();
    room.run(
        "@hello
        C: AUTH PLAIN
        S: 334 *
        C: *
        S: 501 5.7.0 *
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: YmlsbGluZw==
        S: 334 UGFzc3dvcmQ6
        C: *
        S: 501 5.7.0 *
        C: AUTH LOGIN =
        S: 501 5.5.2 *
        C: AUTH LOGIN YmlsbGluZw
        S: 501 5.5.2 *
        C: AUTH PLAIN =
        S: 501 5.5.2 *
        C: AUTH LOGIN
        S: 334 *
        C: YmlsbGluZw==
        S: 334 *
        C: czNjcmV0
        S: 235 2.7.0 *",
    )
    .await;
    assert_eq!(room.seen().logins, [("billing".to_owned(), "s3cret".to_owned())]);
}

#[tokio::test]
async fn rule_a5_a_response_is_strict_base64_of_bounded_length() {
    let room = Room::plain();
    let mut client = room.run("@hello").await;
    for bad in ["AGJpbGxpbmcAczNjcmV", "AGJp*GxpbmcAczNjcmV0", "AGJpbGxpbmcAczNjcmV0="] {
        client
            .run(&format!("C: AUTH PLAIN {bad}\nS: 501 5.5.2 *\nC: AUTH PLAIN\nS: 334 *\nC: {bad}\nS: 501 5.5.2 *"))
            .await;
    }
    // With the command 12288 octets; behind it, as many as a mechanism of ours can need.
    for (begin, most) in [("C: AUTH PLAIN ", 12_272), ("C: AUTH PLAIN\nS: 334 *\nC: ", 5464)] {
        let (fits, over) = ("A".repeat(most), "A".repeat(most + 4));
        client.run(&format!("{begin}{fits}\nS: 501 5.5.2 *")).await;
        client.run(&format!("{begin}{over}\nS: 500 5.5.6 *\nC: NOOP\nS: 250 *")).await;
    }
    assert_eq!(room.seen().frames, 0);
}

#[tokio::test]
async fn rule_a6_rule_a7_what_no_login_can_be_reaches_the_vault_as_a_guess_that_nobody_can_make() {
    for (impossible, user) in [
        ("other\0billing\0s3cret", "billing"),
        ("\0bil\nling\0s3cret", r"bil\nling"),
        ("\0billing\0s3\rcret", "billing"),
        ("\0bill\u{e4}ng\0s3cret", r"bill\u{e4}ng"),
        ("\0\0s3cret", ""),
    ] {
        let room = Room::plain();
        let response = STANDARD.encode(impossible);
        let mut client = room.run(&format!("@hello\nC: AUTH PLAIN {response}")).await;
        assert_eq!(client.reply().await, "535 5.7.8 authentication credentials invalid\n", "{impossible:?}");
        assert_eq!(room.seen().logins, [(user.to_owned(), "\0".to_owned())], "{impossible:?}");
    }
}

#[tokio::test]
async fn rule_a7_a_name_or_a_password_of_login_with_control_characters_is_a_guess_that_nobody_can_make() {
    for (user, password, told) in [
        ("billing\n", "s3cret", r"billing\n"),
        ("bil\0ling", "s3cret", r"bil\u{0}ling"),
        ("billing", "s3cret\n", "billing"),
        ("billing", "s3\rcret", "billing"),
        ("billing", "\0s3cret", "billing"),
    ] {
        let (name, word) = (STANDARD.encode(user), STANDARD.encode(password));
        for begin in [format!("AUTH LOGIN\nS: 334 *\nC: {name}"), format!("AUTH LOGIN {name}")] {
            let room = Room::plain();
            room.run(&format!("@hello\nC: {begin}\nS: 334 *\nC: {word}\nS: 535 5.7.8 *")).await;
            assert_eq!(room.seen().logins, [(told.to_owned(), "\0".to_owned())], "{user:?} {password:?}");
        }
    }
}

#[tokio::test]
async fn rule_a9_every_failed_login_reads_the_same() {
    let room = Room::plain();
    let mut client = room.run("@hello").await;
    for (user, password) in [("billing", "wrong"), ("nobody", "s3cret")] {
        let response = STANDARD.encode(format!("\0{user}\0{password}"));
        client.send(format!("AUTH PLAIN {response}\r\n")).await;
        assert_eq!(client.reply().await, "535 5.7.8 authentication credentials invalid\n");
    }
    for (denial, expected) in [
        (Denial::Busy, "454 4.7.0 too many logins at once, try again later"),
        (Denial::Away, "454 4.7.0 the provider that knows this login can't be asked now, try again later"),
        (Denial::Wait(9), "454 4.7.0 too many failed logins, try again in 9 seconds"),
    ] {
        let room = Room::with(Ways { denial: Some(denial), ..Ways::default() }, |desk| desk.plain_login = true);
        room.run(&format!("@hello\nC: AUTH PLAIN {WRONG}\nS: {expected}")).await;
    }
}

#[tokio::test]
async fn rule_a11_defect_x17_three_failed_logins_end_the_session() {
    let room = Room::plain();
    let wrong = format!("C: AUTH PLAIN {WRONG}\nS: 535 5.7.8 *\n");
    room.run(&format!("@hello\n{}S: 421 4.7.0 *\n--", wrong.repeat(3))).await;
    assert_eq!(room.seen().logins.len(), 3);
}

/// Neither what came before it nor what comes beside it on another connection has logged a client in.
#[tokio::test]
async fn rule_a13_a_login_is_its_connections_alone() {
    let room = Room::plain();
    let mut client = room.run("@login").await;
    let mut beside = room.run("@hello\nC: MAIL FROM:<a@example.net>\nS: 530 5.7.0 *").await;
    client.run("C: MAIL FROM:<a@example.net>\nS: 250 2.1.0 *\nC: QUIT\nS: 221 2.0.0 *\n--").await;
    beside.run("C: MAIL FROM:<a@example.net>\nS: 530 5.7.0 *").await;
    room.run("@hello\nC: MAIL FROM:<a@example.net>\nS: 530 5.7.0 *").await;
    assert_eq!(room.seen().logins.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn rule_a10_who_asks_again_while_there_is_no_room_waits_and_then_must_leave() {
    let begun = tokio::time::Instant::now();
    let room = Room::with(Ways { denial: Some(Denial::Busy), ..Ways::default() }, |desk| desk.plain_login = true);
    let busy = format!("C: AUTH PLAIN {WRONG}\nS: 454 4.7.0 *\n");
    room.run(&format!("@hello\n{}S: 421 4.7.0 *\n--", busy.repeat(10))).await;
    assert!(begun.elapsed() >= std::time::Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(room.seen().logins.len(), 10);
}

#[tokio::test]
async fn rule_a15_a_login_in_one_round_may_stand_in_a_group() {
    let room = Room::plain();
    room.run("@hello\nC: AUTH PLAIN AGJpbGxpbmcAczNjcmV0\nC: MAIL FROM:<a@example.net>\nS: 235 *\nS: 250 2.1.0 *")
        .await;
}

#[tokio::test]
async fn rule_a15_a_guess_behind_a_wrong_one_in_the_same_group_is_not_judged() {
    for behind in ["", "C: NOOP\n"] {
        let room = Room::plain();
        let answered = if behind.is_empty() { "" } else { "S: 250 *\n" };
        let right = "AGJpbGxpbmcAczNjcmV0";
        room.run(&format!(
            "@hello\nC: AUTH PLAIN {WRONG}\n{behind}C: AUTH PLAIN {right}\nS: 535 *\n{answered}S: 554 5.5.0 *\n--"
        ))
        .await;
        assert_eq!(room.seen().logins.len(), 1);
    }
    let room = Room::plain();
    room.run(&format!("@hello\nC: AUTH PLAIN {WRONG}\nS: 535 *\nC: AUTH PLAIN AGJpbGxpbmcAczNjcmV0\nS: 235 *")).await;
}

#[tokio::test]
async fn a_login_that_was_revoked_must_be_made_again() {
    let room = Room::plain();
    let mut client = room.run("@login").await;
    room.house.say(Answer::Revoked { slot: crate::ipc::session::Slot(0) }).await;
    // The next answer on the channel shows that the one before has come.
    tokio::task::yield_now().await;
    let mut other = room.run("@login").await;
    other.send("QUIT\r\n").await;
    client.run("C: MAIL FROM:<a@example.net>\nS: 530 5.7.0 *\nC: AUTH PLAIN AGJpbGxpbmcAczNjcmV0\nS: 235 *").await;
    client.run("C: MAIL FROM:<a@example.net>\nS: 250 2.1.0 *").await;
}

fn tokens() -> Room {
    Room::with(Ways::default(), |desk| {
        (desk.plain_login, desk.mechanisms) = (true, vec![Mechanism::OauthBearer, Mechanism::Xoauth2]);
    })
}

const TOKENS: &str = "S: 220 *\nC: EHLO client.example\n@offers\nS: 250 AUTH OAUTHBEARER XOAUTH2\n";

#[tokio::test]
async fn row_36_a_key_logs_in_as_a_bearers_token_with_the_command_or_behind_it() {
    for (mechanism, token) in [
        ("XOAUTH2", "dXNlcj1iaWxsaW5nAWF1dGg9QmVhcmVyIHMzY3JldAEB"),
        ("OAUTHBEARER", "bixhPWJpbGxpbmcsAWF1dGg9QmVhcmVyIHMzY3JldAEB"),
    ] {
        let room = tokens();
        room.run(&format!("{TOKENS}C: AUTH {mechanism} {token}\nS: 235 2.7.0 *")).await;
        room.run(&format!("{TOKENS}C: AUTH {mechanism}\nS: 334*\nC: {token}\nS: 235 2.7.0 *")).await;
        assert_eq!(room.seen().logins, vec![("billing".to_owned(), "s3cret".to_owned()); 2]);
        room.run(&format!(
            "{TOKENS}C: AUTH {mechanism} =\nS: 501 5.5.2 *\nC: AUTH {mechanism} AGEAYg==\nS: 501 5.5.2 *"
        ))
        .await;
        assert_eq!(room.seen().logins.len(), 2);
    }
}

#[tokio::test]
async fn rule_a9_row_36_a_wrong_token_is_explained_and_then_refused_like_any_other_login() {
    for (mechanism, token, why, nothing) in [
        ("XOAUTH2", "dXNlcj1iaWxsaW5nAWF1dGg9QmVhcmVyIHdyb25nAQE=", r#"{"status":"401","schemes":"bearer"}"#, ""),
        ("OAUTHBEARER", "bixhPWJpbGxpbmcsAWF1dGg9QmVhcmVyIHdyb25nAQE=", r#"{"status":"invalid_token"}"#, "AQ=="),
    ] {
        let room = tokens();
        let why = STANDARD.encode(why);
        let refused = "S: 535 5.7.8 authentication credentials invalid";
        let guess =
            |answer: &str, end: &str| format!("C: AUTH {mechanism} {token}\nS: 334 {why}\nC: {answer}\n{end}\n");
        room.run(&format!("{TOKENS}{}S: 421 4.7.0 *\n--", guess(nothing, refused).repeat(3))).await;
        assert_eq!(room.seen().logins.len(), 3);
        // Whatever it answers: the guess was made, and counts.
        let gives_up = guess("*", "S: 501 5.7.0 cancelled");
        let shouts = guess("not base64", refused);
        room.run(&format!("{TOKENS}{gives_up}{shouts}{gives_up}S: 421 4.7.0 *\n--")).await;
        for (denial, expected) in [(Denial::Busy, "454 4.7.0 *"), (Denial::Wait(9), "454 4.7.0 *")] {
            let ways = Ways { denial: Some(denial), ..Ways::default() };
            let room = Room::with(ways, |desk| {
                (desk.plain_login, desk.mechanisms) = (true, vec![Mechanism::OauthBearer, Mechanism::Xoauth2]);
            });
            room.run(&format!("{TOKENS}C: AUTH {mechanism} {token}\nS: {expected}")).await;
        }
    }
}
