//! Claims: a listener of LMTP takes from a client what one of SMTP would, and from nobody else anything; the client reads one
//! reply for each recipient, and the message leaves once for all of them.

mod support;

use std::time::Duration;

use gatepost::sink::Options;
use support::smtp::trusting;
use support::{PATIENCE, Service, Setting, Smtp, free_port};

#[test]
fn row_14_a_message_by_lmtp_has_a_reply_for_each_recipient_and_arrives_once() {
    let port = free_port();
    let more = format!(
        "[[listener]]\nname = \"lmtp\"\naddress = [\"127.0.0.1:{port}\"]\nprotocol = \"lmtp\"\ntls = \"starttls\"\n"
    );
    let service = Service::start_with(&Setting { more, ..Setting::default() });
    let secret = service.add_credential();
    let mut session = Smtp::connect(port);
    assert_eq!(session.code(), 220);
    assert_eq!(session.say("EHLO client.example"), 500);
    assert_eq!(session.say("LHLO client.example"), 250);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 530);
    assert_eq!(session.say("STARTTLS"), 220);
    let mut session = session.shake_hands(&trusting(&service.pair));
    assert_eq!(session.say("LHLO client.example"), 250);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 530, "no relay without a login");
    assert_eq!(session.log_in(&secret), 235);
    assert_eq!(session.say("MAIL FROM:<ceo@example.com>"), 550);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    assert_eq!(session.say("RCPT TO:<b@example.org>"), 250);
    assert_eq!(session.say("RCPT TO:<c@example.org>"), 250);
    assert_eq!(session.say("DATA"), 354);
    assert_eq!(session.say("From: a@example.net\r\n\r\nHello.\r\n."), 250);
    assert_eq!(session.code(), 250);
    assert_eq!(session.say("QUIT"), 221);
    let received = service.sink.next(PATIENCE).expect("it arrives");
    assert_eq!(received.recipients, ["b@example.org", "c@example.org"]);
    let content = String::from_utf8(received.content).unwrap();
    assert!(content.contains("with LMTPSA id ") && content.ends_with("\r\n\r\nHello.\r\n"), "{content}");
    assert!(service.sink.next(Duration::from_secs(1)).is_none(), "once");
    service.stop();
}

#[test]
fn by_lmtp_too_a_client_that_waits_is_told_what_the_upstream_said_for_each_recipient() {
    let port = free_port();
    let more = format!(
        "[[listener]]\nname = \"lmtp\"\naddress = [\"127.0.0.1:{port}\"]\nprotocol = \"lmtp\"\ntls = \"starttls\"\n\
         delivery = \"direct\"\n"
    );
    let sink = || Options { refuse: vec![("no@".into(), "550 5.1.1 nobody".into())], ..Options::default() };
    let service = Service::start_with(&Setting { more, sink, ..Setting::default() });
    let secret = service.add_credential();
    let mut session = Smtp::connect(port);
    assert_eq!(session.code(), 220);
    assert_eq!(session.say("LHLO client.example"), 250);
    assert_eq!(session.say("STARTTLS"), 220);
    let mut session = session.shake_hands(&trusting(&service.pair));
    assert_eq!(session.say("LHLO client.example"), 250);
    assert_eq!(session.log_in(&secret), 235);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    assert_eq!(session.say("RCPT TO:<b@example.org>"), 250);
    assert_eq!(session.say("RCPT TO:<no@example.org>"), 550);
    assert_eq!(session.say("RCPT TO:<c@example.org>"), 250);
    assert_eq!(session.say("DATA"), 354);
    let (code, words) = session.try_ask("From: a@example.net\r\n\r\nHello.\r\n.").unwrap();
    assert!(code == 250 && words.contains("passed on"), "{code} {words}");
    assert_eq!(session.code(), 250);
    assert_eq!(session.say("QUIT"), 221);
    assert_eq!(service.sink.next(PATIENCE).expect("it arrives").recipients, ["b@example.org", "c@example.org"]);
    service.stop();
}
