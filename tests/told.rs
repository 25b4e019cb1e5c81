//! Claims: what was changed about a device's mail is in the log, with whose it is; what a client calls itself is kept as its own
//! word and decides nothing; and for whom there is no room reads so, from whichever process.

mod support;

use std::io::Read;
use std::net::TcpStream;

use gatepost::ipc::handover::NO_ROOM;
use serde_json::Value;
use support::{CREDENTIAL, Service, Setting, Smtp, free_port};

fn listener(name: &str, port: u16, more: &str) -> String {
    format!(
        "[[listener]]\nname = \"{name}\"\naddress = [\"127.0.0.1:{port}\"]\nprotocol = \"smtp\"\n\
         {more}\n"
    )
}

/// MAIL to the dot, behind a greeting of this name.
fn send(session: &mut Smtp<TcpStream>, content: &str) -> u16 {
    for (line, code) in [("MAIL FROM:<a@example.net>", 250), ("RCPT TO:<b@example.org>", 250), ("DATA", 354)] {
        assert_eq!(session.say(line), code, "{line}");
    }
    session.say(&format!("{content}\r\n."))
}

fn open(port: u16, name: &str, secret: &str) -> Smtp<TcpStream> {
    let mut session = Smtp::connect(port);
    assert_eq!((session.code(), session.say(&format!("EHLO {name}"))), (220, 250));
    assert_eq!(session.say(&format!("AUTH PLAIN {}", support::smtp::plain(secret))), 235);
    session
}

#[test]
fn rule_l5_a_repair_is_in_the_log_with_whose_message_it_was_and_a_message_without_one_is_not() {
    let port = free_port();
    let more = listener("devices", port, "repair_bare_lf = true");
    let service = Service::start_with(&Setting { more, ..Setting::default() });
    let secret = service.add_credential();
    let mut device = open(port, "scanner", &secret);
    assert_eq!(send(&mut device, "From: a@example.net\r\nSubject: sound\r\n\r\nHello."), 250);
    assert_eq!(send(&mut device, "From: a@example.net\nSubject: broken\n\nHello.\r\nHello."), 250);
    let bare_cr = "From: a@example.net\nSubject: refused\n\na\rb";
    assert_eq!((send(&mut device, bare_cr), device.code()), (550, 421), "what is not kept was not repaired");
    for _ in 0..2 {
        let content = String::from_utf8(service.sink.next(support::PATIENCE).unwrap().content).unwrap();
        assert!(!content.replace("\r\n", "").contains(['\r', '\n']), "{content:?}");
    }
    // Whoever sends such mail without end takes a tenth of the lines there are.
    for n in 0..15 {
        let mut device = open(port, "scanner", &secret);
        assert_eq!(send(&mut device, &format!("From: a@example.net\nSubject: {n}\r\n\r\nHello.")), 250);
    }
    let log = service.stop();
    let told: Vec<_> = log.lines().filter(|line| line.contains("bare line feeds were made line ends")).collect();
    assert_eq!(told.len(), 10, "{log}");
    let whose = format!("listener=\"devices\" client=127.0.0.1 account=\"{CREDENTIAL}\" id=");
    assert!(told.iter().all(|line| line.contains(" INFO ") && line.contains(&whose)), "{told:?}");
    assert!(told[0].ends_with("lines=3") && told[1].ends_with("lines=1"), "{told:?}");
    let further = "further messages were repaired, not told one by one listener=\"devices\" messages=6";
    assert!(log.contains(further), "{log}");
}

/// RFC 6409 section 4: the name may be any. It is kept beside what is known, and is never taken for that.
#[test]
fn rule_c4_what_a_client_calls_itself_is_kept_as_its_word_and_decides_nothing() {
    let (port, devices) = (free_port(), free_port());
    let more = listener("plain", port, "") + &listener("devices", devices, "identify_by_network = true");
    let more = more
        + "[[credential]]\nid = \"printer\"\nidentified_by = [\"192.0.2.9\"]\nsenders = [\"@example.net\"]\nlimits = { per_hour = 10 }\n";
    let service = Service::start_with(&Setting { more, ..Setting::default() });
    let secret = service.add_credential();
    // An address of a network that a credential is identified by, which no receiver is shown; a name of ours; a bare name.
    for (name, shown) in
        [("[192.0.2.9]", "localhost"), ("gate.test.example", "gate.test.example"), ("my_printer", "my_printer")]
    {
        let mut stranger = Smtp::connect(devices);
        assert_eq!((stranger.code(), stranger.say(&format!("EHLO {name}"))), (220, 250));
        assert_eq!(stranger.say("MAIL FROM:<a@example.net>"), 550, "{name} is no login");
        let mut session = open(port, name, &secret);
        assert_eq!(send(&mut session, "From: a@example.net\r\n\r\nHello."), 250, "{name} keeps nobody out");
        let content = String::from_utf8(service.sink.next(support::PATIENCE).unwrap().content).unwrap();
        assert!(content.starts_with(&format!("Received: from {shown} (address not shown)\r\n")), "{content}");
        let accepted = service.command(&["audit", "query", "--event", "msg.accept", "--json"]);
        let accepted = String::from_utf8(accepted.stdout).unwrap();
        let event: Value = serde_json::from_str(accepted.lines().last().unwrap()).unwrap();
        // Beside what is known of it, and where only who says why is shown it.
        assert_eq!((&event["helo"], event["client_ip"].as_str()), (&Value::Null, Some("127.0.0.0/24")), "{event}");
        let seq = event["seq"].to_string();
        let words = ["audit", "disclose", "--seq", &seq, "--field", "helo", "--ground", "a test", "--json"];
        let disclosed = service.command(&words);
        let disclosed: Value = serde_json::from_slice(&disclosed.stdout).unwrap_or_else(|_| panic!("{disclosed:?}"));
        assert_eq!(disclosed["value"], name, "{disclosed}");
    }
    service.stop();
}

/// RFC 2034 section 4: a greeting has no status code, and a client must not be able to tell who it was that had no room.
#[test]
fn rule_c14_for_whom_there_is_no_room_at_the_door_reads_what_the_edge_would_say() {
    let port = free_port();
    let more = listener("small", port, "per_address = 1");
    let service = Service::start_with(&Setting { more, ..Setting::default() });
    let mut first = Smtp::connect(port);
    assert_eq!(first.code(), 220);
    let mut second = TcpStream::connect(("127.0.0.1", port)).unwrap();
    second.set_read_timeout(Some(support::PATIENCE)).unwrap();
    let mut said = Vec::new();
    second.read_to_end(&mut said).unwrap();
    assert_eq!(String::from_utf8_lossy(&said), String::from_utf8_lossy(NO_ROOM));
    assert_eq!(said, b"421 too many sessions, try again later\r\n");
    let log = service.stop();
    assert!(log.contains("connection turned away"), "{log}");
}
