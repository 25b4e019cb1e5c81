//! Each situation has its reply, whichever author wrote the code that meets it: the table of the rules, line by line.

use super::*;
use crate::edge::smtp::reply;
use crate::ipc::handover::NO_ROOM;
use crate::ipc::session::Denial;
use crate::policy::refusal::Refusal;

const GUESS: &str = "@hello\nC: AUTH PLAIN AGJpbGxpbmcAd3Jvbmc=\n";
const MESSAGE: &str = "@data\nC: From: a@example.net\nC: .\n";

fn usual() -> Ways {
    Ways::default()
}

fn denied(denial: Denial) -> Ways {
    Ways { denial: Some(denial), ..usual() }
}

fn at_mail(refusal: Refusal) -> Ways {
    Ways { at_mail: Some(refusal), ..usual() }
}

fn at_commit(refusal: Refusal) -> Ways {
    Ways { at_commit: Some(refusal), ..usual() }
}

#[tokio::test]
async fn reply_every_situation_of_the_table_has_its_code() {
    let recipients = "C: RCPT TO:<r#@example.org>\nS: 250 2.1.5 *\n";
    let recipients: String = (1..=100).map(|number| recipients.replace('#', &number.to_string())).collect();
    let circles = format!("@data\n{}C: From: a@example.net\nC: .\n", "C: Received: x\n".repeat(100));
    let mail = "@login\nC: MAIL FROM:<a@example.net>\n";
    let table: Vec<(&str, Ways, String, &str)> = vec![
        ("not logged in", usual(), "@hello\nC: MAIL FROM:<a@example.net>\n".into(), "530 5.7.0 *"),
        ("bad credentials", usual(), GUESS.into(), "535 5.7.8 *"),
        ("any other failed login", denied(Denial::Invalid), GUESS.into(), "535 5.7.8 *"),
        ("the pool is busy", denied(Denial::Busy), GUESS.into(), "454 4.7.0 *"),
        ("too many failures from there", denied(Denial::Wait(9)), GUESS.into(), "454 4.7.0 * 9 seconds"),
        ("sender not allowed", usual(), "@login\nC: MAIL FROM:<a@evil.example>\n".into(), "550 5.7.1 *"),
        ("author not allowed", usual(), "@data\nC: From: a@evil.example\nC: .\n".into(), "550 5.7.1 *"),
        ("recipient not allowed", usual(), "@mail\nC: RCPT TO:<x@denied.example>\n".into(), "550 5.7.1 *"),
        ("rate", at_mail(Refusal::RateLimited(7)), mail.into(), "451 4.7.1 * 7 seconds"),
        ("rate at the end", at_commit(Refusal::RateLimited(7)), MESSAGE.into(), "451 4.7.1 * 7 seconds"),
        ("quota", at_commit(Refusal::QuotaExceeded(60)), MESSAGE.into(), "452 4.7.1 * 60 seconds"),
        (
            "too many recipients",
            usual(),
            format!("{mail}S: 250 *\n{recipients}C: RCPT TO:<b@example.org>\n"),
            "452 4.5.3 *",
        ),
        (
            "too big at its end",
            usual(),
            format!("@data\nC: From: a@example.net\nC:\n{}C: .\n", format!("C: {}\n", "x".repeat(900)).repeat(120)),
            "552 5.3.4 *",
        ),
        ("too many recipients for a limit", at_commit(Refusal::TooManyRecipients), MESSAGE.into(), "452 4.5.3 *"),
        ("recipient not allowed at the end", at_commit(Refusal::RecipientNotAllowed), MESSAGE.into(), "550 5.7.1 *"),
        ("sender not allowed at the end", at_commit(Refusal::SenderNotAllowed), MESSAGE.into(), "550 5.7.1 *"),
        ("quota at MAIL", at_mail(Refusal::QuotaExceeded(60)), mail.into(), "452 4.7.1 * 60 seconds"),
        ("too big by its word", usual(), "@login\nC: MAIL FROM:<a@example.net> SIZE=100001\n".into(), "552 5.3.4 *"),
        ("disk full", at_mail(Refusal::StoreFull), mail.into(), "452 4.3.1 *"),
        ("disk full at the end", at_commit(Refusal::StoreFull), MESSAGE.into(), "452 4.3.1 *"),
        ("disk not healthy", at_mail(Refusal::StoreUnavailable), mail.into(), "451 4.3.1 *"),
        ("disk not healthy at the end", at_commit(Refusal::StoreUnavailable), MESSAGE.into(), "451 4.3.1 *"),
        ("bare LF", usual(), "@data\nC: From: a@example.net\\nx\nC: .\n".into(), "550 5.5.2 *\nS: 421 4.7.0 *\n--"),
        ("NUL", usual(), "@data\nC: From: a@example.net\\0\nC: .\n".into(), "550 5.5.2 *\nS: 421 4.7.0 *\n--"),
        ("out of turn", usual(), "@mail\nC: DATA\nC: NOOP\n".into(), "554 5.5.0 *\n--"),
        ("a loop", usual(), circles, "554 5.4.6 *"),
    ];
    for (situation, ways, script, expected) in table {
        eprintln!("{situation}");
        let room = Room::with(ways, |desk| desk.plain_login = true);
        let (begin, end) = expected.split_once("* ").unwrap_or((expected, ""));
        if end.is_empty() {
            room.run(&format!("{script}S: {expected}")).await;
            continue;
        }
        let mut client = room.run(&script).await;
        let reply = client.reply().await;
        assert!(reply.starts_with(begin) && reply.trim_end().ends_with(end), "{situation}: {reply}");
    }
}

#[tokio::test]
async fn reply_what_needs_another_listener_or_no_vault_has_its_code_too() {
    let room = Room::with(usual(), |desk| desk.tls = TlsMode::Starttls);
    let begin = "S: 220 *\nC: EHLO x\n@offers\nS: 250 STARTTLS\n";
    room.run(&format!("{begin}C: MAIL FROM:<a@example.net>\nS: 530 5.7.0 *\nC: AUTH PLAIN AGEAYg==\nS: 530 5.7.0 *"))
        .await;
    Room::plain().run("S: 220 *\nC: GET / HTTP/1.1\n--").await;
    // Too many sessions: of all, before there is one; of a client that a proxy names; of strangers.
    assert!(NO_ROOM.starts_with(b"421 too "), "a greeting, which has no status code");
    for reply in [reply::CROWDED, reply::MAKES_ROOM, reply::SHUTTING_DOWN, reply::VAULT_AWAY] {
        let mut said = Vec::new();
        reply.write(&mut said);
        assert!(said.starts_with(b"421 4.3.2 "), "{reply:?}");
    }
    // No vault at all: the session is over, and nothing is said of the login.
    let mut room = Room::plain();
    let mut client = room.run("@hello").await;
    room.house.fall().await;
    client.run("C: AUTH PLAIN AGJpbGxpbmcAczNjcmV0\nS: 421 4.3.2 *\n--").await;
    let room = Room::plain();
    let mut client = room.run("@hello").await;
    room.season.send_replace(Phase::Closing);
    client.run("S: 421 4.3.2 *\n--").await;
}
