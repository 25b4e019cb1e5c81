//! Claims: limits, quotas and failed logins are remembered over an orderly stop, a kill of the vault and a kill of everybody;
//! clients are told how long to wait, by SMTP and by HTTP; and who guesses locks out nobody elsewhere.
//!
//! Numbers are compared, never times: the rates are so slow that a test run sees no second message of them.

mod support;

use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
use support::smtp::trusting;
use support::{CREDENTIAL, Service, Setting, Smtp, await_that, processes};

fn setting(limits: &str) -> Setting {
    Setting { limits: limits.to_owned(), ..Setting::default() }
}

/// The ways to an end, in turn.
fn end_and_begin(service: &mut Service, round: usize) {
    match round % 3 {
        0 => {
            let vault = processes::child(service.pid(), "vault");
            processes::signal(vault, Signal::SIGKILL);
            await_that("the vault is replaced", || {
                processes::children(service.pid()).get("vault").is_some_and(|pid| *pid != vault)
            });
        }
        1 => {
            service.kill_all();
            service.start_again();
        }
        _ => {
            service.end();
            service.start_again();
        }
    }
}

/// What MAIL is answered, in a session of its own. A session that meets a vault which is being replaced is begun anew.
fn mail(service: &Service, secret: &str) -> (Smtp<support::smtp::Tls>, u16, String) {
    for _ in 0..600 {
        if let Some(mut session) = service.connect().try_secure(&trusting(&service.pair))
            && session.try_log_in(secret) == Some(235)
            && let Some((code, text)) = session.try_ask("MAIL FROM:<a@example.net>").filter(|(code, _)| *code != 421)
        {
            return (session, code, text);
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("no vault answers:\n{}", service.log());
}

fn send(service: &Service, secret: &str) -> (u16, String) {
    let (mut session, code, text) = mail(service, secret);
    if code != 250 {
        return (code, text);
    }
    assert_eq!(session.say("RCPT TO:<b@example.org>"), 250);
    assert_eq!(session.say("DATA"), 354);
    (session.say("From: a@example.net\r\nSubject: s\r\n\r\nHello.\r\n."), String::new())
}

fn seconds(text: &str) -> u64 {
    let words: Vec<&str> = text.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "seconds").unwrap_or_else(|| panic!("{text}"));
    words[at - 1].parse().unwrap()
}

#[test]
fn rule_p18_a_rate_is_remembered_whatever_ends_and_both_protocols_say_how_long_to_wait() {
    let mut service = Service::start_with(&setting("address = { per_hour = 1, burst = 4 }"));
    let secret = service.add_credential();
    for round in 0..4 {
        assert_eq!(send(&service, &secret).0, 250, "{round}");
        end_and_begin(&mut service, round);
    }
    for round in 0..3 {
        let (code, text) = send(&service, &secret);
        assert!(code == 451 && text.starts_with("4.7.1 "), "{code} {text}");
        // An hour, less what the test took, and at most a tenth more.
        assert!((1..=3960).contains(&seconds(&text)), "{text}");
        end_and_begin(&mut service, round);
    }
    let body = r#"{"from":"a@example.net","to":["b@example.org"],"subject":"s","text":"hi"}"#;
    let mut response = String::new();
    for _ in 0..600 {
        response = service.http(&format!(
            "POST /v1/send HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        if !response.starts_with("HTTP/1.1 503 ") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let response = response.to_ascii_lowercase();
    assert!(response.starts_with("http/1.1 429 ") && response.contains("\"rate_limited\""), "{response}");
    let after = response.split("\r\nretry-after: ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap();
    assert!((1..=3960).contains(&after.parse::<u64>().unwrap()), "{response}");
    service.stop();
}

fn day() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 86_400
}

#[test]
fn rule_p18_a_quota_is_remembered_until_the_day_ends() {
    let mut service = Service::start();
    let begun = day();
    let output = service.command(&["credential", "add", CREDENTIAL, "--sender", "@example.net", "--per-day", "3"]);
    let secret = String::from_utf8(output.stdout).unwrap().lines().last().unwrap().to_owned();
    let mut replies = Vec::new();
    for round in 0..5 {
        replies.push(send(&service, &secret));
        end_and_begin(&mut service, round);
    }
    service.stop();
    let codes: Vec<u16> = replies.iter().map(|(code, _)| *code).collect();
    // Midnight gives another day's quota, which is no finding.
    if day() == begun {
        assert_eq!(codes, [250, 250, 250, 452, 452]);
        for (_, text) in &replies[3..] {
            assert!(text.starts_with("4.7.1 ") && (1..=95_040).contains(&seconds(text)), "{text}");
        }
    }
}

/// One guess in a session of its own, from a source address; the code of its answer.
fn guess(service: &Service, from: Ipv4Addr, secret: &str) -> u16 {
    for _ in 0..600 {
        let session = Smtp::over(connect_from(from, service.smtp)).try_secure(&trusting(&service.pair));
        if let Some(code) = session.and_then(|mut session| session.try_log_in(secret)).filter(|code| *code != 421) {
            return code;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("no vault answers:\n{}", service.log());
}

fn connect_from(source: Ipv4Addr, port: u16) -> TcpStream {
    let family = AddressFamily::Inet;
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let [a, b, c, d] = source.octets();
    bind(socket.as_raw_fd(), &SockaddrIn::new(a, b, c, d, 0)).unwrap();
    connect(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port)).unwrap();
    TcpStream::from(socket)
}

#[test]
fn rule_a11_rule_a12_failed_logins_are_remembered_and_lock_nobody_out_elsewhere() {
    const MOST: usize = 8;
    let windows = "windows = [\"20h\", \"2d\"]";
    let mut service =
        Service::start_with(&setting(&format!("failed_logins = {{ {windows}, per_address = [{MOST}, 100] }}")));
    let secret = service.add_credential();
    let (stranger, owner) = (Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 99, 0, 1));
    let mut admitted = 0;
    for round in 0..4 {
        for _ in 0..2 {
            let code = guess(&service, stranger, "wrong");
            assert!(code == 535 || code == 454, "{code}");
            admitted += usize::from(code == 535);
        }
        // Right logins from elsewhere cost nothing and are never refused, also when nothing of them is remembered.
        assert_eq!(guess(&service, owner, &secret), 235, "round {round}");
        end_and_begin(&mut service, round);
    }
    for round in 0..3 {
        while guess(&service, stranger, "wrong") == 535 {
            admitted += 1;
            assert!(admitted <= MOST, "a restart forgets");
        }
        assert_eq!(guess(&service, stranger, &secret), 454, "not even the right one is looked at");
        assert_eq!(guess(&service, owner, &secret), 235);
        let told = "client=127.0.0.1 account=\"tester\" tier=\"address\" window=\"short\"";
        let is =
            |line: &str| line.contains("logins are refused for a while: too many have failed") && line.contains(told);
        assert!(service.log().lines().any(is), "{}", service.log());
        end_and_begin(&mut service, round);
    }
    // Two of the ends were kills: each may cost a quarter, no more.
    assert!(admitted >= MOST / 2, "{admitted}");
    let output = service.command(&["audit", "query", "--event", "auth.locked"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("auth.locked"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    service.stop();
}
