//! Claim: what a client asks for with MAIL and RCPT reaches the upstream: reports (DSN), addresses and headers in UTF-8
//! (SMTPUTF8), TLS all the way (REQUIRETLS), delivery at a later time (FUTURERELEASE); and where that can't be had, it is refused
//! at once.

mod support;

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use gatepost::sink::Options;
use support::certificate::Pair;
use support::smtp::trusting;
use support::{Service, Setting};

const ARRIVAL: Duration = Duration::from_secs(60);

/// The upstream's own certificate.
static UPSTREAM: LazyLock<Pair> = LazyLock::new(|| Pair::named("127.0.0.1"));

fn offers_everything() -> Options {
    let keywords = ["PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "DSN", "REQUIRETLS"];
    Options { keywords: keywords.map(str::to_owned).to_vec(), tls: Some(UPSTREAM.server()), ..Options::default() }
}

#[test]
fn what_mail_and_rcpt_ask_for_is_what_the_upstream_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let authorities = folder.path().join("upstream.pem");
    std::fs::write(&authorities, &UPSTREAM.certificate).unwrap();
    let upstream = format!("tls = \"starttls\"\nrequiretls = true\nauthorities_file = \"{}\"", authorities.display());
    let listener = "future_release = \"1h\"".to_owned();
    let service = Service::start_with(&Setting { upstream, listener, sink: offers_everything, ..Setting::default() });
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);

    let mail = "MAIL FROM:<a@example.net> SMTPUTF8 BODY=8BITMIME RET=HDRS ENVID=QQ+2B1 REQUIRETLS";
    assert_eq!(session.say(mail), 250);
    assert_eq!(session.say("RCPT TO:<jürgen@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+2By@c.example"), 250);
    assert_eq!(session.say("DATA"), 354);
    assert_eq!(session.say("From: a@example.net\r\nTo: jürgen@example.org\r\nSubject: Grüße\r\n\r\nGrüße.\r\n."), 250);
    let received = service.sink.next(ARRIVAL).expect("it arrives");
    assert!(received.tls);
    assert_eq!(received.recipients, ["jürgen@example.org"]);
    let content = String::from_utf8(received.content).unwrap();
    assert!(content.contains("\r\nSubject: Grüße\r\n") && content.ends_with("\r\n\r\nGrüße.\r\n"), "{content}");
    let commands = service.sink.tally().commands;
    let said = |verb: &str| commands.iter().rfind(|line| line.starts_with(verb)).expect("it was said");
    for parameter in ["SMTPUTF8", "BODY=8BITMIME", "RET=HDRS", "ENVID=QQ+2B1", "REQUIRETLS"] {
        assert!(said("MAIL").split(' ').any(|word| word == parameter), "no {parameter} in {commands:?}");
    }
    for parameter in ["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;x+2By@c.example"] {
        assert!(said("RCPT").split(' ').any(|word| word == parameter), "no {parameter} in {commands:?}");
    }

    let asked = SystemTime::now();
    assert_eq!(session.say("MAIL FROM:<a@example.net> HOLDFOR=4"), 250);
    assert_eq!(session.say("RCPT TO:<later@example.org>"), 250);
    assert_eq!(session.say("DATA"), 354);
    assert_eq!(session.say("From: a@example.net\r\nSubject: later\r\n\r\nx\r\n."), 250);
    assert_eq!(session.send("at once"), 250);
    let sooner = service.sink.next(ARRIVAL).expect("what is not held is not held up");
    assert!(String::from_utf8_lossy(&sooner.content).contains("Subject: at once"));
    let later = service.sink.next(ARRIVAL).expect("it is released");
    assert_eq!(later.recipients, ["later@example.org"]);
    let held = later.at.duration_since(asked).unwrap();
    assert!(held >= Duration::from_secs(3), "held for {held:?}");
    service.stop();
}

#[test]
fn what_cannot_be_had_is_refused_at_once_and_changes_nothing() {
    let service = Service::start();
    let secret = service.add_credential();
    let mut session = service.connect().secure(&trusting(&service.pair));
    assert_eq!(session.log_in(&secret), 235);
    let mut refused = |parameter: &str, begin: &str| {
        let (code, text) = session.try_ask(&format!("MAIL FROM:<a@example.net> {parameter}")).unwrap();
        assert!(format!("{code} {text}").starts_with(begin), "{parameter}: {code} {text}");
    };
    refused("REQUIRETLS", "550 5.7.30 ");
    refused("HOLDFOR=60", "555 5.5.4 ");
    refused("RET=BOTH", "501 5.5.4 ");
    refused("SMTPUTF8=yes", "501 5.5.4 ");
    assert_eq!(session.send("plain"), 250);
    service.await_arrival(vec!["plain".into()]);
    service.stop();
}
