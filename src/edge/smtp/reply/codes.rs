//! The code and the status of everything that is said, one by one: what a client does next hangs on them.

use super::tests::{every, written_down};
use super::*;

/// The statuses that there are, by the registry of RFC 5248: subject, and the greatest detail of it.
const REGISTERED: [(u8, u8); 8] = [(0, 0), (1, 10), (2, 4), (3, 6), (4, 7), (5, 6), (6, 10), (7, 30)];

/// What is said of itself: not because of a refusal, a fault or a flaw.
fn constants() -> Vec<(Reply, &'static str)> {
    vec![
        (READY_FOR_TLS, "220 2.0.0"),
        (CLOSING, "221 2.0.0"),
        (LOGGED_IN, "235 2.7.0"),
        (SENDER_OK, "250 2.1.0"),
        (RECIPIENT_OK, "250 2.1.5"),
        (CHUNK_OK, "250 2.0.0"),
        (RESET, "250 2.0.0"),
        (OK, "250 2.0.0"),
        (NOT_VERIFIED, "252 2.1.5"),
        (HELP, "214 2.0.0"),
        (HELP_OF_LMTP, "214 2.0.0"),
        (GO_AHEAD, "354 "),
        (ASK_USER, "334 "),
        (ASK_PASSWORD, "334 "),
        (ASK_RESPONSE, "334 "),
        (OAUTHBEARER_ERROR, "334 "),
        (XOAUTH2_ERROR, "334 "),
        (SHUTTING_DOWN, "421 4.3.2"),
        (CONNECT_AGAIN, "421 4.3.2"),
        (VAULT_AWAY, "421 4.3.2"),
        (BROKEN, "421 4.3.0"),
        (CROWDED, "421 4.3.2"),
        (MAKES_ROOM, "421 4.3.2"),
        (TOO_SLOW, "421 4.4.2"),
        (STAYS_A_STRANGER, "421 4.4.2"),
        (CONTENT_TOO_SLOW, "421 4.4.2"),
        (TOO_MANY_ERRORS, "421 4.7.0"),
        (TOO_MANY_COMMANDS, "421 4.7.0"),
        (TOO_MANY_GUESSES, "421 4.7.0"),
        (AFTER_BAD_CONTENT, "421 4.7.0"),
        (LOST_AFTER_DOT, "451 4.3.0"),
        (NO_TLS_NOW, "454 4.7.0"),
        (CHECKS_BUSY, "454 4.7.0"),
        (PROVIDER_AWAY, "454 4.7.0"),
        (LINE_TOO_LONG, "500 5.5.2"),
        (RESPONSE_TOO_LONG, "500 5.5.6"),
        (ONLY_LMTP, "500 5.5.1"),
        (BAD_BASE64, "501 5.5.2"),
        (CANCELLED, "501 5.7.0"),
        (NOT_OFFERED, "502 5.5.1"),
        (HELLO_FIRST, "503 5.5.1"),
        (EHLO_FIRST, "503 5.5.1"),
        (NESTED, "503 5.5.1"),
        (NO_TRANSACTION, "503 5.5.1"),
        (BETWEEN_CHUNKS, "503 5.5.1"),
        (NO_LMTP_RECIPIENT, "503 5.5.1"),
        (NO_LONGER, "503 5.5.1"),
        (TLS_IS_ON, "503 5.5.1"),
        (LOGIN_IS_DONE, "503 5.5.1"),
        (NOT_NOW, "503 5.5.1"),
        (UNKNOWN_MECHANISM, "504 5.5.4"),
        (TLS_FIRST, "530 5.7.0"),
        (LOGIN_FIRST, "530 5.7.0"),
        (REQUIRETLS_NEEDS_TLS, "530 5.7.10"),
        (BAD_CREDENTIALS, "535 5.7.8"),
        (NO_LOGIN_BY_XCLIENT, "550 5.7.0"),
        (SENDER_NOT_QUALIFIED, "550 5.1.8"),
        (RECIPIENT_NOT_QUALIFIED, "550 5.1.2"),
        (TOO_BIG, "552 5.3.4"),
        (NO_RECIPIENT, "554 5.5.1"),
        (SPEAKS_TOO_EARLY, "554 5.5.0"),
        (EARLY_TALKER, "554 "),
        (Reply::greeting("gate.example.net", false), "220 "),
        (Reply::hello("gate.example.net"), "250 "),
        (Reply::challenge(b"x"), "334 "),
        (Reply::kept(MessageId::now()), "250 2.0.0"),
        (LOST_AT_THE_END, "451 4.4.2"),
    ]
}

const fn of_refusal(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::SenderNotAllowed | Refusal::AuthorNotAllowed | Refusal::RecipientNotAllowed => "550 5.7.1",
        Refusal::NoRoute | Refusal::Revoked | Refusal::Scope | Refusal::UnknownNetwork => "550 5.7.1",
        Refusal::Suppressed | Refusal::OnlySmtp | Refusal::TestAddress | Refusal::TestRejected => "550 5.7.1",
        Refusal::TurnstileMissing | Refusal::TurnstileRefused => "550 5.7.1",
        Refusal::TurnstileHostname | Refusal::TurnstileAction | Refusal::FormOrigin => "550 5.7.1",
        Refusal::TurnstileUnavailable => "451 4.7.0",
        Refusal::TooManyRecipients => "452 4.5.3",
        Refusal::TooBig => "552 5.3.4",
        Refusal::Header => "550 5.6.0",
        Refusal::Framing => "550 5.5.2",
        Refusal::Loop => "554 5.4.6",
        Refusal::RateLimited(_) | Refusal::Suspended(_) => "451 4.7.1",
        Refusal::QuotaExceeded(_) => "452 4.7.1",
        Refusal::StoreFull | Refusal::BackedUp(_) | Refusal::Overloaded(_) => "452 4.3.1",
        Refusal::StoreUnavailable => "451 4.3.1",
        // Requests by SMTP have no keys.
        Refusal::UnderWay => "451 4.3.0",
        Refusal::KeyReused => "554 5.5.0",
        Refusal::CopyNoRoute => "451 4.3.5",
        Refusal::Changed => "451 4.7.0",
        Refusal::Utf8 => "550 5.6.7",
        Refusal::RequireTls => "550 5.7.30",
        Refusal::HeldTooLong => "501 5.5.4",
    }
}

const fn of_flaw(flaw: Flaw) -> &'static str {
    match flaw {
        Flaw::Loop => "554 5.4.6",
        Flaw::BareOctet => "550 5.5.2",
        Flaw::LineTooLong => "554 5.6.0",
        Flaw::EightBit | Flaw::NotUtf8 => "550 5.6.7",
        _ => "550 5.6.0",
    }
}

fn faults() -> [(Fault, &'static str); 14] {
    [
        (Fault::Octets, "500 5.5.2"),
        (Fault::UnknownVerb, "500 5.5.2"),
        (Fault::NotOffered, "502 5.5.1"),
        (Fault::Chunk, "501 5.5.4"),
        (Fault::Hello, "501 "),
        (Fault::Argument, "501 5.5.4"),
        (Fault::Sender, "501 5.1.7"),
        (Fault::Recipient, "501 5.1.3"),
        (Fault::SenderLiteral, "550 5.1.8"),
        (Fault::RecipientLiteral, "550 5.1.2"),
        (Fault::SenderUtf8, "550 5.6.7"),
        (Fault::RecipientUtf8, "553 5.6.7"),
        (Fault::UnknownParameter, "555 5.5.4"),
        (Fault::Parameter("SIZE"), "501 5.5.4"),
    ]
}

fn all() -> Vec<(Reply, &'static str)> {
    let refusals = every::<Refusal>().into_iter().map(|refusal| (refusal.into(), of_refusal(refusal)));
    let flaws = Flaw::every().into_iter().map(|flaw| (flaw.into(), of_flaw(flaw)));
    let faults = faults().into_iter().map(|(fault, said)| (fault.into(), said));
    let denials = every::<Denial>().into_iter().map(|denial| match denial {
        Denial::Invalid => (denial.into(), "535 5.7.8"),
        Denial::Busy | Denial::Away | Denial::Wait(_) => (denial.into(), "454 4.7.0"),
    });
    constants().into_iter().chain(refusals).chain(flaws).chain(faults).chain(denials).collect()
}

#[test]
fn rule_x11_every_reply_has_exactly_its_code_and_its_status() {
    let all = all();
    for (reply, expected) in &all {
        assert_eq!(format!("{} {}", reply.code, reply.status), *expected, "{reply}");
    }
    for (code, status, text) in written_down() {
        assert!(all.iter().any(|(reply, _)| reply.text == text), "no line for {code} {status} {text:?}");
    }
}

#[test]
fn rule_x11_no_status_is_of_our_own_making() {
    for (reply, _) in all() {
        let parts: Vec<u8> = reply.status.split('.').filter_map(|part| part.parse().ok()).collect();
        let is_known = match parts[..] {
            [] => reply.status.is_empty(),
            [class, subject, detail] => {
                matches!(class, 2 | 4 | 5) && REGISTERED.iter().any(|(of, most)| *of == subject && detail <= *most)
            }
            _ => false,
        };
        assert!(is_known, "{reply}");
    }
}
