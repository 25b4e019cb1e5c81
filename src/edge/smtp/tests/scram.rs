//! SCRAM between a client and the vault: what is passed on, and what ends it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

const FIRST: &str = "n,,n=billing,r=abc";

const HELLO: &str = "S: 220 *\nC: EHLO client.example\n@offers\nS: 250 AUTH SCRAM-SHA-256 PLAIN";

fn room(ways: Ways) -> Room {
    Room::with(ways, |desk| {
        desk.plain_login = true;
        desk.mechanisms = vec![Mechanism::ScramSha256Plus, Mechanism::ScramSha256, Mechanism::Plain];
    })
}

fn auth(message: &str) -> String {
    let encoded = if message.is_empty() { "=".to_owned() } else { STANDARD.encode(message) };
    format!("C: AUTH SCRAM-SHA-256 {encoded}")
}

#[tokio::test]
async fn rule_a17_whoever_breaks_off_is_no_login_and_may_try_another_way() {
    let room = room(Ways::default());
    let begin = auth(FIRST);
    let mut client = room.run(HELLO).await;
    for ends in ["C: *\nS: 501 5.7.0 *", "C: not base64\nS: 501 5.5.2 *"] {
        client
            .run(&format!("{begin}\nS: 334 *\n{ends}\n{begin}\nS: 334 *\nC: cHJvb2Y=\nS: 334 dmVyZGljdA==\n{ends}"))
            .await;
        client.run("C: MAIL FROM:<a@example.net>\nS: 530 *").await;
    }
    client.run(&format!("{begin}\nS: 334 *\nC: cHJvb2Y=\nS: 334 *\nC: {}\nS: 535 5.7.8 *", STANDARD.encode("x"))).await;
    client.run("C: MAIL FROM:<a@example.net>\nS: 530 *\nC: AUTH PLAIN AGJpbGxpbmcAczNjcmV0\nS: 235 *").await;
    assert_eq!(room.seen().aborted, 4);
}

#[tokio::test]
async fn rule_a17_what_is_no_beginning_is_not_asked_and_what_no_name_can_be_is_a_guess() {
    let room = room(Ways::default());
    let mut client = room.run(HELLO).await;
    for bad in
        ["", "n,,n=billing", "n,,r=abc,n=billing", "n,,n=billing,r=abc,m=x", "n,,n=bill=2cing,r=abc", "x,,n=a,r=b"]
    {
        client.run(&format!("{}\nS: 501 5.5.2 *", auth(bad))).await;
    }
    assert!(room.seen().logins.is_empty());
    client.run(&format!("{}\nS: 535 5.7.8 *", auth("n,,n=b\u{e4}r,r=abc"))).await;
    client.run(&format!("{}\nS: 535 5.7.8 *", auth("n,,n=a\nb,r=abc"))).await;
    let impossible = [("b\\u{e4}r".to_owned(), "\0".to_owned()), ("a\\nb".to_owned(), "\0".to_owned())];
    assert_eq!(room.seen().logins, impossible);
    // The third failed login ends the session, as by any other mechanism.
    client.run(&format!("{}\nS: 334 *\nC: {}\nS: 535 *\nS: 421 4.7.0 *\n--", auth(FIRST), STANDARD.encode("x"))).await;
}

#[tokio::test]
async fn rule_a17_rule_a15_who_answers_before_it_is_asked_is_cut_off() {
    let room = room(Ways::default());
    room.run(&format!("{HELLO}\n{}\nC: cHJvb2Y=\nS: 554 5.5.0 *\n--", auth(FIRST))).await;
}

#[tokio::test]
async fn rule_a17_binding_is_offered_under_tls_alone_and_the_vault_hears_what_the_session_is_bound_by() {
    let room = Room::with(Ways::default(), |desk| {
        desk.tls = TlsMode::Starttls;
        desk.mechanisms = vec![Mechanism::ScramSha256Plus, Mechanism::ScramSha256];
    });
    let client = room.run("S: 220 *\nC: STARTTLS\nS: 220 *").await;
    let mut client = client.secured(&room.front).await;
    client.send("EHLO client.example\r\n").await;
    let offers = client.reply().await;
    assert!(offers.ends_with("250 AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256\n"), "{offers}");
    let first = "p=tls-exporter,,n=billing,r=abc";
    let begin =
        format!("C: AUTH SCRAM-SHA-256-PLUS {}\nS: 334 *\nC: cHJvb2Y=\nS: 334 *\nC:\nS: 235 *", STANDARD.encode(first));
    client.run(&begin).await;
    let said = ("SCRAM-SHA-256-PLUS".to_owned(), format!("{first} {:?}", Some(EXPORTED)));
    assert_eq!(room.seen().logins, [said]);
}
