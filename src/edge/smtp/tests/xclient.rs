//! Gateways: what they may say of the clients behind them, and that it is no login.

use std::net::SocketAddr;

use super::*;
use crate::config::Dialect;
use crate::ipc::session::Via;
use crate::policy::certificate::Presented;

/// The stand-in's client is there.
const HERE: &str = "192.0.2.7/32";
const ELSEWHERE: &str = "192.0.2.8/32";

fn room(ways: Ways, dialect: impl Fn(&mut Dialect)) -> Room {
    Room::with(ways, |desk| {
        desk.plain_login = true;
        dialect(&mut desk.dialect);
    })
}

fn gateway(from: &str) -> Room {
    room(Ways::default(), |dialect| dialect.xclient_from = vec![from.parse().unwrap()])
}

fn filter(from: &str) -> Room {
    room(Ways::default(), |dialect| dialect.xforward_from = vec![from.parse().unwrap()])
}

#[tokio::test]
async fn row_13_the_vault_hears_of_the_client_before_anything_else() {
    let named = |text: &str| Some(text.parse::<SocketAddr>().unwrap());
    for (said, expected) in [
        ("ADDR=198.51.100.9 PORT=40000", named("198.51.100.9:40000")),
        ("PORT=[UNAVAILABLE] ADDR=IPV6:2001:db8::9", named("[2001:db8::9]:0")),
        ("ADDR=IPV6:::ffff:198.51.100.9", named("198.51.100.9:0")),
        ("ADDR=[UNAVAILABLE] NAME=x", None),
        ("ADDR=[tempunavail]", None),
    ] {
        let room = gateway(HERE);
        room.run(&format!(
            "S: 220 *\nC: XCLIENT {said}\nS: 220 gate.example.net ESMTP\n{}",
            &HELLO[HELLO.find("C:").unwrap()..]
        ))
        .await;
        assert_eq!(room.seen().ways, [Via::Xclient(expected)], "{said}");
        assert!(room.seen().logins.is_empty());
    }
}

#[tokio::test]
async fn row_13_defect_x20_from_elsewhere_it_is_not_offered_and_says_nothing() {
    for room in [gateway(ELSEWHERE), Room::plain()] {
        room.run("@hello\nC: XCLIENT ADDR=198.51.100.9\nS: 502 5.5.1 *\nC: XFORWARD ADDR=198.51.100.9\nS: 502 5.5.1 *")
            .await;
        room.run("@login").await;
        assert_eq!(room.seen().ways, [Via::Direct]);
    }
}

#[tokio::test]
async fn row_13_who_has_guessed_is_nobody_else_any_more() {
    let room = gateway(HERE);
    room.run("S: 220 *\nC: HELO x\nS: 250 *\nC: EHLO x\n@offers\nS: 250-AUTH PLAIN LOGIN\nS: 250 XCLIENT *").await;
    let mut client = room.connect();
    client.run("S: 220 *\nC: EHLO x\n@offers\nS: 250-AUTH PLAIN LOGIN\nS: 250 XCLIENT *").await;
    client.run("C: AUTH PLAIN AGJpbGxpbmcAd3Jvbmc=\nS: 535 5.7.8 *").await;
    client.run("C: XCLIENT ADDR=198.51.100.9\nS: 503 5.5.1 *\nC: EHLO x\n@offers\nS: 250 AUTH PLAIN LOGIN").await;
    assert_eq!(room.seen().ways, [Via::Direct]);
}

#[tokio::test]
async fn row_13_nothing_may_stand_behind_xclient_and_addresses_that_are_none_are_refused() {
    gateway(HERE).run("S: 220 *\nC: XCLIENT ADDR=198.51.100.9\nC: EHLO x\nS: 554 5.5.0 *\n--").await;
    let room = gateway(HERE);
    for bad in [
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "IPV6:::",
        "198.51.100.9 PORT=65536",
        "198.51.100.9 PORT=+1",
        "198.51.100.9 PROTO=HTTP",
    ] {
        room.run(&format!("S: 220 *\nC: XCLIENT ADDR={bad}\nS: 501 5.5.4 *")).await;
    }
    assert!(room.seen().ways.is_empty());
}

#[tokio::test]
async fn row_13_rule_s4_too_many_sessions_of_whom_it_names_end_it() {
    let ways = Ways { crowded: true, ..Ways::default() };
    let room = room(ways, |dialect| dialect.xclient_from = vec![HERE.parse().unwrap()]);
    room.run("S: 220 *\nC: XCLIENT ADDR=198.51.100.9\nS: 421 4.3.2 *\n--").await;
}

#[tokio::test]
async fn row_13_before_tls_there_is_none() {
    let room = Room::with(Ways::default(), |desk| {
        desk.tls = TlsMode::Starttls;
        desk.dialect.xclient_from = vec![HERE.parse().unwrap()];
    });
    let mut client =
        room.run("S: 220 *\nC: EHLO x\n@offers\nS: 250 STARTTLS\nC: XCLIENT ADDR=198.51.100.9\nS: 530 5.7.0 *").await;
    client.run("C: STARTTLS\nS: 220 *").await;
    let mut client = client.secured(&room.front).await;
    client
        .run("C: EHLO x\n@offers\nS: 250-AUTH PLAIN LOGIN\nS: 250 XCLIENT *\nC: XCLIENT ADDR=198.51.100.9\nS: 220 *")
        .await;
    client.run("C: STARTTLS\nS: 503 5.5.1 TLS is on *\nC: EHLO x\n@offers\nS: 250 AUTH PLAIN LOGIN").await;
}

/// One that has a certificate, on a listener where that can be a login.
fn certified(from: &str) -> (Room, Presented) {
    let room = Room::with(Ways::default(), |desk| {
        desk.tls = TlsMode::Starttls;
        desk.plain_login = true;
        desk.mechanisms = vec![Mechanism::Plain, Mechanism::External];
        desk.dialect.xclient_from = vec![from.parse().unwrap()];
    });
    (room, Presented { key: [7; 32], names: vec!["gateway.example".into()] })
}

#[tokio::test]
async fn rule_t9_row_13_the_certificate_is_the_gateways_and_never_its_clients() {
    let begin = "S: 220 *\nC: STARTTLS\nS: 220 *";
    let settled = "S: 250 AUTH PLAIN";
    for (said, offers) in [
        ("ADDR=198.51.100.9", settled),
        ("ADDR=[UNAVAILABLE]", settled),
        ("NAME=client.example", "S: 250-AUTH PLAIN\nS: 250 XCLIENT *"),
    ] {
        let (room, shown) = certified(HERE);
        let mut client = room.run(begin).await.secured_with(&room.front, Some(shown)).await;
        client.run("C: EHLO x\n@offers\nS: 250-AUTH PLAIN EXTERNAL\nS: 250 XCLIENT *").await;
        client.run(&format!("C: XCLIENT {said}\nS: 220 *\nC: EHLO x\n@offers\n{offers}")).await;
        client.run("C: AUTH EXTERNAL =\nS: 504 *\nC: AUTH PLAIN AGJpbGxpbmcAczNjcmV0\nS: 235 *").await;
        assert_eq!((room.seen().logins.len(), room.seen().certificates), (1, vec![]), "{said}");
    }
    // One that is shown later is the gateway's, too.
    let (room, shown) = certified(HERE);
    let client = room.run(&format!("S: 220 *\nC: XCLIENT ADDR=198.51.100.9\n{begin}")).await;
    let mut client = client.secured_with(&room.front, Some(shown)).await;
    client.run("C: EHLO x\n@offers\nS: 250 AUTH PLAIN\nC: AUTH EXTERNAL =\nS: 504 *").await;
}

#[tokio::test]
async fn row_13_xforward_is_for_the_log_of_one_transaction_and_for_nothing_else() {
    let room = filter(HERE);
    let mut client = room.connect();
    client.run("S: 220 *\nC: EHLO filter.example\n@offers\nS: 250-AUTH PLAIN LOGIN").await;
    client.run("S: 250 XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE").await;
    client.run("C: XFORWARD ADDR=198.51.100.9 SOURCE=REMOTE\nS: 250 *\nC: MAIL FROM:<a@example.net>\nS: 530 *").await;
    client.run(LOGIN).await;
    client.run("C: XFORWARD HELO=pc+2Bx SOURCE=[UNAVAILABLE]\nS: 250 *\nC: XFORWARD LOGIN=x\nS: 501 *").await;
    client
        .run(&[MAIL, "C: XFORWARD NAME=x\nS: 503 5.5.1 *\n", DATA, "C: From: a@example.net\nC: .\nS: 250 *"].concat())
        .await;
    client.run(&[MAIL, DATA, "C: From: a@example.net\nC: .\nS: 250 *"].concat()).await;
    let seen = room.seen();
    let told: Vec<_> = seen.kept.iter().map(|kept| kept.helo.as_str()).collect();
    assert_eq!(told, ["filter.example (ADDR=198.51.100.9 HELO=pc+x)", "filter.example"]);
    assert!(seen.kept.iter().all(|kept| !kept.content.contains("198.51.100.9") && !kept.content.contains("pc+x")));
    assert_eq!(seen.ways, [Via::Direct]);
}

#[tokio::test]
async fn row_13_a_client_behind_a_gateway_is_not_believed_as_the_gateway_is() {
    let begin = "S: 220 *\nC: EHLO gateway.example\n@offers\nS: 250-AUTH PLAIN LOGIN";
    let (taken, refused) = ("S: 250 2.0.0 *", "S: 502 5.5.1 *");
    for (said, offers, reply) in [
        ("ADDR=198.51.100.66", "S: 250 AUTH PLAIN LOGIN", refused),
        ("ADDR=[UNAVAILABLE]", "S: 250 AUTH PLAIN LOGIN", refused),
        // The gateway's own session, and that of a listed filter behind it.
        ("ADDR=192.0.2.7", "S: 250-AUTH PLAIN LOGIN\nS: 250 XFORWARD *", taken),
        ("ADDR=203.0.113.4", "S: 250-AUTH PLAIN LOGIN\nS: 250 XFORWARD *", taken),
    ] {
        let room = room(Ways::default(), |dialect| {
            dialect.xclient_from = vec![HERE.parse().unwrap()];
            dialect.xforward_from = vec![HERE.parse().unwrap(), "203.0.113.4/32".parse().unwrap()];
        });
        let mut client = room.run(&format!("{begin}\nS: 250-XCLIENT *\nS: 250 XFORWARD *")).await;
        client.run(&format!("C: XFORWARD HELO=of.the.gateway\nS: 250 *\nC: XCLIENT {said}\nS: 220 *")).await;
        client
            .run(&format!("C: EHLO client.example\n@offers\n{offers}\nC: XFORWARD NAME=innocent.example\n{reply}"))
            .await;
        client.run(&[LOGIN, MAIL, DATA, "C: From: a@example.net\nC: .\nS: 250 *"].concat()).await;
        let told = if reply == taken { "client.example (NAME=innocent.example)" } else { "client.example" };
        assert_eq!(room.seen().kept[0].helo, told, "{said}");
    }
}

#[tokio::test]
async fn row_13_what_is_told_of_a_forwarded_message_is_bounded() {
    let room = filter(HERE);
    let long = "x".repeat(255);
    let mut client = room.connect();
    client.run("S: 220 *\nC: EHLO f.example\n@offers\nS: 250-AUTH PLAIN LOGIN\nS: 250 XFORWARD *").await;
    client.run(LOGIN).await;
    for name in ["NAME", "HELO", "IDENT"] {
        client.run(&format!("C: XFORWARD {name}={long}\nS: 250 *")).await;
    }
    client.run(&[MAIL, DATA, "C: From: a@example.net\nC: .\nS: 250 *"].concat()).await;
    assert_eq!(room.seen().kept[0].helo.len(), "f.example ()".len() + 400);
}
