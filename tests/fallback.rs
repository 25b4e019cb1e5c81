//! Claims: with `delivery = "fallback"` the client is told what the upstream said as long as that takes its mail, and what can't be passed
//! on now is kept and arrives later; whatever falls in between, each message arrives once, or its client is told that it didn't.

mod support;

use std::io::Write;
use std::net::TcpListener;

use gatepost::sink::{Act, Fault, Options, Phase, Sink};
use nix::sys::signal::Signal;
use serde_json::Value;
use support::processes;
use support::smtp::{Smtp, Tls};
use support::{CREDENTIAL, PATIENCE, Service, Setting, await_that, free_port};

const LETTER: &str = "From: a@example.net\r\nTo: b@example.org\r\nSubject: fallback\r\n\r\nx\r\n.";

fn start(setting: Setting) -> (Service, String) {
    let service = Service::start_with(&setting);
    let secret = service.add_credential();
    let set = service.command(&["credential", "set", CREDENTIAL, "--delivery", "fallback"]);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    (service, secret)
}

fn events(service: &Service, name: &str) -> Vec<Value> {
    let output = service.command(&["audit", "query", "--event", name, "--json"]);
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn begin(session: &mut Smtp<Tls>) -> (u16, String) {
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    session.try_ask("RCPT TO:<b@example.org>").unwrap()
}

/// The next message that arrives, and that there is no other.
fn one(sink: &Sink) -> String {
    let received = sink.next(PATIENCE + PATIENCE).expect("it arrives");
    assert!(sink.next(std::time::Duration::from_millis(500)).is_none(), "once");
    String::from_utf8_lossy(&received.content).into_owned()
}

#[test]
fn without_an_upstream_it_is_kept_and_goes_when_there_is_one() {
    let port = free_port();
    let (service, secret) = start(Setting { host: Some(format!("127.0.0.1:{port}")), ..Setting::default() });
    let mut session = service.log_in(&secret);
    assert_eq!(begin(&mut session).0, 250);
    assert_eq!(session.say("RCPT TO:<c@example.org>"), 250);
    assert_eq!(session.say("DATA"), 354);
    let large = format!(
        "From: a@example.net\r\nSubject: kept\r\n\r\n{}.",
        "A line that comes back as it went, many times.\r\n".repeat(20_000)
    );
    let (code, words) = session.try_ask(&large).unwrap();
    assert!(code == 250 && !words.contains("passed on"), "{code} {words}");
    let (accepted, intents) = (events(&service, "msg.accept"), events(&service, "msg.intent"));
    assert_eq!((accepted.len(), intents.len()), (1, 0));
    let sink = Sink::start(TcpListener::bind(("127.0.0.1", port)).unwrap(), Options::default());
    let received = sink.next(PATIENCE + PATIENCE).expect("it arrives");
    assert_eq!(received.recipients, ["b@example.org", "c@example.org"]);
    let (sent, text) = (large.strip_suffix('.').unwrap(), String::from_utf8(received.content).unwrap());
    assert_eq!(text.split_once("\r\n\r\n").unwrap().1, sent.split_once("\r\n\r\n").unwrap().1);
    service.stop();
}

#[test]
fn what_is_put_off_is_kept_and_arrives_once() {
    fn first(fault: Fault) -> Options {
        Options { faults: vec![Fault { connection: Some(0), ..fault }], ..Options::default() }
    }
    let table: [fn() -> Options; 5] = [
        || first(Fault::at(Phase::Greeting, Act::Close)),
        || first(Fault::say(Phase::Rcpt, "450 4.2.1 grey")),
        || first(Fault::say(Phase::Data, "451 4.3.0 later")),
        || first(Fault::at(Phase::Content, Act::Close)),
        || first(Fault::say(Phase::Dot, "452 4.3.1 full")),
    ];
    for (number, sink) in table.into_iter().enumerate() {
        let more = "[spool]\nretry = [\"4s\"]".into();
        // The second attempt is on another connection.
        let upstream = "tls = \"none\"\nidle = \"1s\"".into();
        let (service, secret) = start(Setting { sink, more, upstream, ..Setting::default() });
        let mut session = service.log_in(&secret);
        let (code, words) = begin(&mut session);
        assert_eq!(code, 250, "{number}: {words}");
        assert_eq!(session.say("DATA"), 354);
        let (code, words) = session.try_ask(LETTER).unwrap();
        assert_eq!(code, 250, "{number}: {words}");
        assert!(one(&service.sink).contains("Subject: fallback"));
        service.stop();
    }
}

#[test]
fn what_is_refused_is_refused() {
    type Row = (fn() -> Options, &'static str);
    let table: [Row; 3] = [
        (|| Options { faults: vec![Fault::say(Phase::Mail, "550 5.7.1 not you")], ..Options::default() }, "5.7.1"),
        (|| Options { faults: vec![Fault::say(Phase::Rcpt, "550 5.1.1 nobody")], ..Options::default() }, "5.1.1"),
        (|| Options { faults: vec![Fault::say(Phase::Dot, "554 5.6.0 spam")], ..Options::default() }, "5.6.0"),
    ];
    for (sink, status) in table {
        let (service, secret) = start(Setting { sink, ..Setting::default() });
        let mut session = service.log_in(&secret);
        let (mut code, mut words) = begin(&mut session);
        if code == 250 {
            assert_eq!(session.say("DATA"), 354);
            (code, words) = session.try_ask(LETTER).unwrap();
        }
        assert!(code / 100 == 5 && words.contains(status), "{code} {words}");
        let queue = service.command(&["queue", "list"]);
        assert!(!String::from_utf8_lossy(&queue.stdout).contains("example.org"), "nothing waits");
        assert!(service.sink.next(std::time::Duration::from_millis(50)).is_none());
        service.stop();
    }
}

#[test]
fn a_courier_that_falls_within_the_content_is_nothing_that_the_client_hears_of() {
    let (service, secret) = start(Setting::default());
    let mut session = service.log_in(&secret);
    assert_eq!(begin(&mut session).0, 250);
    assert_eq!(session.say("DATA"), 354);
    session.stream().write_all(b"From: a@example.net\r\nSubject: in two halves\r\n\r\n").unwrap();
    let line = b"0123456789\r\n";
    session.stream().write_all(&line.repeat(30_000)).unwrap();
    session.stream().flush().unwrap();
    await_that("some of it is there", || {
        service.sink.tally().commands.iter().any(|line| line.starts_with("DATA") || line.starts_with("BDAT"))
    });
    processes::signal(processes::child(service.pid(), "courier sink"), Signal::SIGKILL);
    session.stream().write_all(&line.repeat(30_000)).unwrap();
    let (code, words) = session.try_ask(".").unwrap();
    assert_eq!(code, 250, "{words}");
    let text = one(&service.sink);
    let body = text.split_once("\r\n\r\n").unwrap().1;
    assert!(text.contains("Subject: in two halves") && body.len() == 2 * 30_000 * line.len(), "{}", body.len());
    assert_eq!((events(&service, "msg.accept").len(), events(&service, "msg.intent").len()), (1, 0));
    service.stop();
}
