//! Section X: what is offered beyond the least, and what a listener can leave out.

use super::*;
use crate::config::slice::Extension;
use crate::edge::stand_in::grant;
use crate::mail::dsn::{Notify, Report, Ret, Wish};
use crate::mail::envelope::Utf8;
use crate::mail::hold::Hold;
use crate::policy::Recipients;
use crate::policy::refusal::Refusal;
use crate::policy::route::Route;

#[tokio::test]
async fn rule_x9_limits_is_the_number_of_this_login_and_what_it_is_kept_to() {
    for most in [1, 7, 250] {
        let grant = grant(&["*"], Recipients::default(), most);
        let ways = Ways { login: ("billing".into(), "s3cret".into(), grant), ..Ways::default() };
        let room = Room::with(ways, |desk| desk.plain_login = true);
        let mut client = room.run("S: 220 *\nC: EHLO x.example").await;
        let offered = client.reply().await;
        assert!(!offered.contains("LIMITS"), "whose mail it will be is not known yet: {offered}");
        client.run("C: AUTH PLAIN AGJpbGxpbmcAczNjcmV0\nS: 235 *\nC: EHLO x.example").await;
        let offered = client.reply().await;
        let limits: Vec<_> = offered.lines().filter_map(|line| line.get(4..)?.strip_prefix("LIMITS ")).collect();
        assert_eq!(limits, [format!("RCPTMAX={most}")], "{offered}");
        let taken = (0..most).map(|n| format!("C: RCPT TO:<r{n}@example.org>\nS: 250 2.1.5 *\n")).collect::<String>();
        client
            .run(&format!("C: MAIL FROM:<a@example.net>\nS: 250 *\n{taken}C: RCPT TO:<x@example.org>\nS: 452 4.5.3 *"))
            .await;
    }
}

#[tokio::test]
async fn rule_x5_what_is_asked_of_reports_reaches_the_vault() {
    let room = Room::plain();
    room.run(
        "@login
        C: MAIL FROM:<a@example.net> RET=FULL ENVID=order+2B7
        S: 250 *
        C: RCPT TO:<b@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;c@example.org
        C: RCPT TO:<d@example.org>
        C: RCPT TO:<e@example.org> NOTIFY=DELAY
        C: RCPT TO:<e@example.org> NOTIFY=NEVER
        C: RCPT TO:<b@example.org>
        S: 250 *
        S: 250 *
        S: 250 *
        S: 250 *
        S: 250 *
        C: DATA
        S: 354 *
        C: From: a@example.net
        C:
        C: .
        S: 250 *",
    )
    .await;
    let seen = room.seen();
    let notify = |text: &str| Some(Notify::parse(text).unwrap());
    let asked = Wish { notify: notify("SUCCESS,FAILURE"), orcpt: "rfc822;c@example.org".to_owned().try_into().ok() };
    let never = Wish { notify: notify("NEVER"), orcpt: None };
    assert_eq!(seen.kept[0].recipients, ["b@example.org", "d@example.org", "e@example.org"]);
    assert_eq!(seen.kept[0].wishes, [asked, Wish::default(), never]);
    let report = Report { ret: Some(Ret::Full), envid: "order+2B7".to_owned().try_into().ok() };
    assert_eq!(seen.kept[0].manner.report, report);
}

#[tokio::test]
async fn rule_x5_rule_c12_a_bad_wish_leaves_the_transaction_as_it_was() {
    let room = Room::plain();
    room.run(
        "@login
        C: MAIL FROM:<a@example.net> RET=SOME
        S: 501 5.5.4 *
        C: MAIL FROM:<a@example.net> ENVID=a ENVID=b
        S: 501 5.5.4 *
        C: MAIL FROM:<a@example.net> ENVID=a
        S: 250 *
        C: RCPT TO:<b@example.org> NOTIFY=NEVER,SUCCESS
        S: 501 5.5.4 *
        C: DATA
        S: 554 5.5.1 *
        C: RCPT TO:<b@example.org> NOTIFY=NEVER
        S: 250 *",
    )
    .await;
}

#[tokio::test]
async fn rule_x1_what_a_listener_leaves_out_is_neither_offered_nor_taken() {
    use Extension::{Chunking, Dsn, EightBit, Limits, Pipelining, RequireTls, Size, StatusCodes};
    // SMTPUTF8 goes with 8BITMIME.
    let all = vec![Chunking, Dsn, EightBit, Limits, Pipelining, RequireTls, Size, StatusCodes];
    let room = Room::with(Ways::default(), |desk| (desk.plain_login, desk.extensions_off) = (true, all));
    let mut client =
        room.run("S: 220 *\nC: EHLO client.example\nS: 250-gate.example.net\nS: 250 AUTH PLAIN LOGIN").await;
    client.run("C: AUTH PLAIN AGJpbGxpbmcAczNjcmV0\nS: 235 *\nC: EHLO client.example\nS: 250 gate.example.net").await;
    for parameter in ["RET=FULL", "ENVID=a", "SIZE=1", "BODY=7BIT", "SMTPUTF8", "REQUIRETLS", "HOLDFOR=1"] {
        client.run(&format!("C: MAIL FROM:<a@example.net> {parameter}\nS: 555 5.5.4 *")).await;
    }
    client
        .run(
            "C: MAIL FROM:<a@example.net>
            S: 250 *
            C: RCPT TO:<b@example.org> NOTIFY=NEVER
            S: 555 5.5.4 *
            C: RCPT TO:<b@example.org>
            S: 250 *
            # What follows is no command, although it isn't taken.
            C: BDAT 6 LAST
            C: QUIT
            S: 502 5.5.1 *
            C: DATA
            S: 354 *",
        )
        .await;
}

/// A login that may send as everybody at a domain with U-labels.
fn german() -> Ways {
    let recipients = Recipients { allow: vec![], deny: vec!["@verboten-ü.example".parse().unwrap()] };
    let grant = grant(&["@bücher.example"], recipients, 100);
    Ways { login: ("billing".into(), "s3cret".into(), grant), ..Ways::default() }
}

#[tokio::test]
async fn rule_x3_rule_l11_utf8_needs_its_parameter() {
    let room = Room::with(german(), |desk| desk.plain_login = true);
    room.run(
        "@login
        C: MAIL FROM:<jörg@bücher.example>
        S: 550 5.6.7 *
        C: MAIL FROM:<joerg@xn--bcher-kva.example>
        S: 250 *
        C: RCPT TO:<b@bücher.example>
        S: 553 5.6.7 *
        C: RCPT TO:<ö@example.org>
        S: 553 5.6.7 *
        C: RSET
        S: 250 *
        C: MAIL FROM:<jörg@bücher.example> SMTPUTF8=yes
        S: 501 5.5.4 *
        C: MAIL FROM:<\\xf6@bücher.example> SMTPUTF8
        S: 500 5.5.2 *
        C: MAIL FROM:<jo\u{308}rg@bücher.example> SMTPUTF8
        S: 501 5.1.7 *
        C: MAIL FROM:<jörg@bücher.example> SMTPUTF8
        S: 250 *
        C: RCPT TO:<b@Bücher.example>
        S: 250 *
        C: RCPT TO:<b@xn--bcher-kva.example>
        S: 250 *
        C: RCPT TO:<ö@example.org> ORCPT=utf-8;ü@example.org
        S: 250 *
        C: NOOP ö
        S: 500 5.5.2 *
        C: DATA
        S: 354 *
        C: From: Jörg <jörg@bücher.example>
        C: Subject: grün
        C:
        C: .
        S: 250 *",
    )
    .await;
    let seen = room.seen();
    assert_eq!(seen.kept[0].sender, "jörg@xn--bcher-kva.example");
    assert_eq!(seen.kept[0].recipients, ["b@xn--bcher-kva.example", "ö@example.org"]);
    assert_eq!(seen.kept[0].manner.utf8, Utf8::Allowed);
    assert!(seen.kept[0].facts.utf8);
}

#[tokio::test]
async fn rule_x4_rules_about_a_domain_hold_however_it_is_spelled() {
    let room = Room::with(german(), |desk| desk.plain_login = true);
    room.run(
        "@login
        C: MAIL FROM:<a@buecher.example> SMTPUTF8
        S: 550 5.7.1 *
        C: MAIL FROM:<a@XN--BCHER-KVA.example> SMTPUTF8
        S: 250 *
        C: RCPT TO:<b@verboten-ü.example>
        S: 550 5.7.1 *
        C: RCPT TO:<b@Verboten-Ü.example>
        S: 550 5.7.1 *
        C: RCPT TO:<b@xn--verboten--y9a.example>
        S: 550 5.7.1 *
        C: RCPT TO:<b@example.org>
        S: 250 *
        C: DATA
        S: 354 *
        C: From: <a@bücher.example>, <ö@evil.example>
        C:
        C: .
        S: 550 5.7.1 *",
    )
    .await;
}

#[tokio::test]
async fn rule_t10_rule_x3_received_says_that_utf8_was_asked_for() {
    for (parameter, with) in [(" SMTPUTF8", "with UTF8SMTPA id"), ("", "with ESMTPA id")] {
        let room = Room::plain();
        let script = format!(
            "@login
            C: MAIL FROM:<a@example.net>{parameter}
            S: 250 *
            C: RCPT TO:<b@example.org>
            S: 250 *
            C: DATA
            S: 354 *
            C: From: a@example.net
            C:
            C: .
            S: 250 *"
        );
        room.run(&script).await;
        let seen = room.seen();
        assert!(seen.kept[0].content.contains(with), "{}", seen.kept[0].content);
        assert!(!seen.kept[0].facts.utf8, "asked for, and not needed");
    }
}

#[tokio::test]
async fn rule_h10_octets_above_127_in_a_header_need_smtputf8_and_are_utf8() {
    for (parameter, subject, reply) in
        [("", "grün", "550 5.6.7 *"), (" SMTPUTF8", "gr\\xfcn", "550 5.6.7 *"), (" SMTPUTF8", "grün", "250 *")]
    {
        let room = Room::plain();
        let script = format!(
            "@login
            C: MAIL FROM:<a@example.net>{parameter}
            S: 250 *
            C: RCPT TO:<b@example.org>
            S: 250 *
            C: DATA
            S: 354 *
            C: From: a@example.net
            C: Subject: {subject}
            C:
            C: .
            S: {reply}"
        );
        room.run(&script).await;
        assert!(room.seen().kept.iter().all(|kept| kept.content.contains("Subject: grün\r\n")));
    }
}

const UNDER_TLS: &str = "S: 220 *
    C: EHLO client.example
    @offers
    S: 250 STARTTLS
    C: MAIL FROM:<a@example.net> REQUIRETLS
    S: 530 5.7.0 *
    C: STARTTLS
    S: 220 *";

/// A listener with STARTTLS, for a login whose mail to one domain has a way with REQUIRETLS, and all other mail one without.
fn with_protected_route() -> Room {
    let mut ways = Ways::default();
    let route = ways.login.2.routes[0].clone();
    let protected = Route { to: "@safe.example".parse().unwrap(), requiretls: true, ..route };
    ways.login.2.routes.insert(0, protected);
    Room::with(ways, |desk| desk.tls = TlsMode::Starttls)
}

#[tokio::test]
async fn rule_x8_rule_x1_requiretls_is_offered_under_tls_where_a_route_has_it() {
    let room = with_protected_route();
    let client = room.run(UNDER_TLS).await;
    let mut client = client.secured(&room.front).await;
    client
        .run(
            "C: EHLO client.example
            @offers
            S: 250-REQUIRETLS
            S: 250 AUTH PLAIN LOGIN
            C: AUTH PLAIN AGJpbGxpbmcAczNjcmV0
            S: 235 *
            C: MAIL FROM:<a@example.net> REQUIRETLS=yes
            S: 501 5.5.4 *
            C: MAIL FROM:<a@example.net> REQUIRETLS REQUIRETLS
            S: 501 5.5.4 *
            C: MAIL FROM:<a@example.net> REQUIRETLS
            S: 250 *
            C: RCPT TO:<b@example.org>
            S: 550 5.7.30 *
            C: RCPT TO:<b@safe.example>
            S: 250 *
            C: DATA
            S: 354 *
            C: TLS-Required: No
            C: From: a@example.net
            C:
            C: .
            S: 250 *
            C: MAIL FROM:<a@example.net>
            S: 250 *
            C: RCPT TO:<b@example.org>
            S: 250 *
            C: DATA
            S: 354 *
            C: TLS-Required: No
            C: From: a@example.net
            C:
            C: .
            S: 250 *",
        )
        .await;
    let seen = room.seen();
    // The header asks for less, which is nobody's to grant here, and goes on as it is (RFC 8689 section 4.1).
    assert!(seen.kept.iter().all(|kept| kept.content.contains("\r\nTLS-Required: No\r\n")));
    assert_eq!(seen.kept.iter().map(|kept| kept.manner.require_tls).collect::<Vec<_>>(), [true, false]);
    let refused = (Some("a@example.net".to_owned()), Some("b@example.org".to_owned()), Refusal::RequireTls);
    assert_eq!(seen.turned, [refused]);
}

#[tokio::test]
async fn rule_x8_without_tls_or_a_route_that_has_it_requiretls_is_refused() {
    let room = Room::plain();
    room.run(
        "@login\nC: MAIL FROM:<a@example.net> REQUIRETLS\nS: 530 5.7.10 *\nC: MAIL FROM:<a@example.net>\nS: 250 *",
    )
    .await;
    let room = Room::with(Ways::default(), |desk| desk.tls = TlsMode::Starttls);
    let client = room.run(UNDER_TLS).await;
    let mut client = client.secured(&room.front).await;
    client
        .run(
            "C: EHLO client.example
            @offers
            S: 250 AUTH PLAIN LOGIN
            C: AUTH PLAIN AGJpbGxpbmcAczNjcmV0
            S: 235 *
            C: MAIL FROM:<a@example.net> REQUIRETLS
            S: 550 5.7.30 *",
        )
        .await;
}

#[tokio::test]
async fn rule_x10_futurerelease_is_offered_where_it_is_written_down() {
    let room = Room::with(Ways::default(), |desk| {
        (desk.plain_login, desk.future_release) = (true, Some(Duration::from_secs(86_400)));
    });
    let mut client = room.run("S: 220 *\nC: EHLO client.example\nS: 250-gate.example.net").await;
    let reply = client.reply().await;
    let offer = reply.lines().find_map(|line| line.get(4..)?.strip_prefix("FUTURERELEASE ")).unwrap();
    let (seconds, until) = offer.split_once(' ').unwrap();
    assert_eq!(seconds, "86400");
    assert!(
        matches!(Hold::until(until), Some(Hold::Until(_))) && until.ends_with('Z') && !until.contains('.'),
        "{until}"
    );
    client.run("C: AUTH PLAIN AGJpbGxpbmcAczNjcmV0\nS: 235 *").await;
    for bad in
        ["HOLDFOR=0", "HOLDFOR", "HOLDFOR=1 HOLDUNTIL=2030-01-01T00:00:00Z", "HOLDFOR=1 HOLDFOR=1", "HOLDUNTIL=soon"]
    {
        client.run(&format!("C: MAIL FROM:<a@example.net> {bad}\nS: 501 5.5.4 *")).await;
    }
    for good in ["HOLDFOR=3600", "HOLDUNTIL=2030-01-01T00:00:00Z", "HOLDUNTIL=2000-01-01T00:00:00Z"] {
        let script = format!(
            "C: MAIL FROM:<a@example.net> {good}
            S: 250 *
            C: RCPT TO:<b@example.org>
            S: 250 *
            C: DATA
            S: 354 *
            C: From: a@example.net
            C:
            C: .
            S: 250 *"
        );
        client.run(&script).await;
    }
    let released: Vec<u64> = room.seen().kept.iter().map(|kept| kept.manner.release_us.unwrap()).collect();
    assert_eq!(released[1], 1_893_456_000_000_000);
    // An hour from now, and now, whenever that was.
    let hour = 3_600_000_000;
    assert!(released[0] >= released[2] + hour / 2 && released[0] <= released[2] + hour, "{released:?}");
}
