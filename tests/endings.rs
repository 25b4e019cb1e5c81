//! Claim: whatever ends a session for what its client did leaves one line in the log, with who it was and what it read.

mod support;

use std::io::Write;
use std::net::TcpStream;

use support::smtp::{Smtp, trusting};
use support::{CREDENTIAL, Service, Setting, free_port};

const TURN: &str = "it was not your turn to speak";

#[test]
fn rule_s9_whoever_is_sent_away_by_a_guard_is_in_the_log_once_with_what_it_was_told() {
    let port = free_port();
    let more = format!(
        "[[listener]]\nname = \"gateways\"\naddress = [\"127.0.0.1:{port}\"]\nprotocol = \"smtp\"\n\
         behind_tls_proxy = true\nxclient_from = [\"127.0.0.1\"]\nper_address = 1\n"
    );
    let service = Service::start_with(&Setting { more, ..Setting::default() });
    let secret = service.add_credential();
    let tls = trusting(&service.pair);

    // With its first octets there before the greeting.
    let greeted = (0..50).map(|_| Smtp::over(early_talker(port)).code()).take_while(|code| *code == 220).count();
    assert!(greeted < 50, "nobody was early");
    let mut hasty = service.log_in(&secret);
    for (line, code) in [("MAIL FROM:<a@example.net>", 250), ("RCPT TO:<b@example.org>", 250)] {
        assert_eq!(hasty.say(line), code);
    }
    assert_eq!(hasty.say("DATA\r\nFrom: a@example.net\r\n\r\nx\r\n."), 554);
    let mut wrong = service.connect().secure(&tls);
    for _ in 0..20 {
        assert_eq!(wrong.say("WIZ"), 500);
    }
    assert_eq!(wrong.code(), 421);
    let mut idler = service.log_in(&secret);
    while idler.say("NOOP") == 250 {}
    let mut guesser = service.connect().secure(&tls);
    for _ in 0..3 {
        assert_eq!(guesser.log_in("gp_no_such_key"), 535);
    }
    assert_eq!(guesser.code(), 421);
    let mut browser = service.connect();
    assert_eq!((browser.code(), browser.try_say("GET / HTTP/1.1")), (220, None));
    let mut named = service.connect();
    assert_eq!((named.code(), named.say("EHLO my printer"), named.say("EHLO my printer")), (220, 501, 501));
    let gateway = |code| {
        let mut session = Smtp::connect(port);
        assert_eq!((session.code(), session.say("EHLO gateway.example")), (220, 250));
        assert_eq!(session.say("XCLIENT ADDR=203.0.113.77"), code);
        session
    };
    let _first = gateway(220);
    gateway(421);
    let mut revoked = service.log_in(&secret);
    assert!(service.command(&["credential", "disable", CREDENTIAL]).status.success());
    // By its edge, which is told of it; where MAIL is sooner, it is the vault that refuses, and the session goes on.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let mut code = 550;
    support::await_that("its edge is told", || {
        code = if code == 550 { revoked.say("MAIL FROM:<a@example.net>") } else { code };
        code != 550
    });
    assert_eq!(code, 530);

    let log = service.stop();
    let ended = |reply: &str, who: &str| {
        let is = |line: &&str| line.contains(" INFO ") && line.contains(reply) && line.contains(who);
        assert_eq!(log.lines().filter(is).count(), 1, "{reply} of {who} in {log}");
    };
    let account = format!("listener=\"submission\" client=127.0.0.1 account=\"{CREDENTIAL}\"");
    let stranger = "listener=\"submission\" client=127.0.0.1 reply=";
    ended(&format!("reply=\"554 {TURN}"), "listener=\"gateways\" client=127.0.0.1");
    ended(&format!("reply=\"554 5.5.0 {TURN}"), &account);
    ended("reply=\"421 4.7.0 too many errors", stranger);
    ended("reply=\"421 4.7.0 too many commands without mail", &account);
    ended("reply=\"421 4.7.0 too many failed logins", stranger);
    ended("a session was ended: the client speaks another protocol", "listener=\"submission\" client=127.0.0.1");
    ended("what it says in EHLO or HELO is not the name of a host", "listener=\"submission\" client=127.0.0.1");
    ended(
        "reply=\"421 4.3.2 too many sessions from there",
        "listener=\"gateways\" client=203.0.113.77 through=127.0.0.1",
    );
    ended("a client was refused: the credential it had logged in as was changed", "listener=\"submission\"");
    assert!(!log.contains(secret.as_str()), "{log}");
    // One for each of them, and not one for each thing that it said; a guess is an event of its own.
    let told = |line: &&str| line.contains("client=") && !line.contains("a login failed");
    let lines = log.lines().filter(told).count();
    assert_eq!(lines, 9, "{log}");
}

/// The system keeps what it says until somebody accepts.
fn early_talker(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"EHLO spam.example\r\n").unwrap();
    stream
}
