//! Claims: a gateway that is listed says by XCLIENT whose session it is, and caps, failed logins, networks of a credential and
//! the audit log go by that; from anywhere else it is no command; and nobody is let in by it.

mod support;

use std::net::TcpStream;

use support::{CREDENTIAL, Service, Setting, Smtp, free_port};

/// A session that a gateway has said this of.
fn named(port: u16, said: &str) -> (u16, Smtp<TcpStream>) {
    let mut session = Smtp::connect(port);
    assert_eq!((session.code(), session.say("EHLO gateway.example")), (220, 250));
    (session.say(&format!("XCLIENT {said}")), session)
}

#[test]
fn row_13_whoever_a_listed_gateway_names_is_who_is_counted_limited_and_told() {
    let (listed, other) = (free_port(), free_port());
    let listener = |name: &str, port: u16, from: &str| {
        format!(
            "[[listener]]\nname = \"{name}\"\naddress = [\"127.0.0.1:{port}\"]\nprotocol = \"smtp\"\n\
             behind_tls_proxy = true\nxclient_from = [\"{from}\"]\nxforward_from = [\"{from}\", \"198.51.100.9\"]\nper_address = 2\n"
        )
    };
    let more = listener("listed", listed, "127.0.0.1") + &listener("other", other, "192.0.2.1");
    let service = Service::start_with(&Setting { more, ..Setting::default() });
    let words = ["credential", "add", CREDENTIAL, "--sender", "@example.net", "--network", "198.51.100.0/24"];
    let output = service.command(&words);
    let secret = String::from_utf8(output.stdout).unwrap().lines().last().unwrap().to_owned();
    let login = format!("AUTH PLAIN {}", support::smtp::plain(&secret));

    let (code, mut session) = named(other, "ADDR=198.51.100.9");
    assert_eq!(code, 502, "from elsewhere it is no command");
    assert_eq!(session.say(&login), 535, "and the address is the connection's");

    let (code, mut session) = named(listed, "ADDR=198.51.100.9 LOGIN=tester");
    assert_eq!((code, session.say("MAIL FROM:<a@example.net>")), (550, 530), "no login by XCLIENT");
    for (said, expected) in
        [("ADDR=192.0.2.77", 535), ("ADDR=[UNAVAILABLE]", 535), ("ADDR=198.51.100.9 PORT=4000", 235)]
    {
        let (code, mut session) = named(listed, said);
        assert_eq!((code, session.say("EHLO client.example")), (220, 250), "{said}");
        assert_eq!(session.say("MAIL FROM:<a@example.net>"), 530, "{said}: whoever it is must log in");
        assert_eq!(session.say(&login), expected, "{said}");
        if expected == 235 {
            assert_eq!(session.say("XFORWARD ADDR=203.0.113.5 HELO=pc.example"), 250);
            for (line, code) in [("MAIL FROM:<a@example.net>", 250), ("RCPT TO:<b@example.org>", 250), ("DATA", 354)] {
                assert_eq!(session.say(line), code);
            }
            assert_eq!(session.say("From: a@example.net\r\n\r\nx\r\n."), 250);
            let content = String::from_utf8(service.sink.next(support::PATIENCE).unwrap().content).unwrap();
            assert!(!content.contains("198.51.100.9") && !content.contains("203.0.113.5"), "{content}");
        }
    }
    let first =
        [named(listed, "ADDR=203.0.113.1"), named(listed, "ADDR=203.0.113.1"), named(listed, "ADDR=203.0.113.2")];
    assert!(first.iter().all(|(code, _)| *code == 220));
    assert_eq!(named(listed, "ADDR=203.0.113.1").0, 421, "as many sessions as it may have");
    drop(first);

    let trail = String::from_utf8(service.command(&["audit", "query", "--json"]).stdout).unwrap();
    let told = |event: &str, text: &str| trail.lines().any(|line| line.contains(event) && line.contains(text));
    assert!(told("auth.success", "198.51.100.0/24") && told("auth.failure", "192.0.2.0/24"), "{trail}");
    assert!(told("msg.accept", "198.51.100.0/24"), "{trail}");
    assert!(!trail.contains("ipc.violation") && service.command(&["audit", "verify"]).status.success());
    service.stop();
}
