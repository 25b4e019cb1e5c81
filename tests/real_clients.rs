//! Claim: the clients that people have can send through it, by STARTTLS and by TLS from the first octet, the certificate
//! checked; what they sent arrives as they sent it; and what they are refused, they keep or return as they should.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use gatepost::sink::Received;
use support::postfix::{Postfix, Relay};
use support::programs::{run, said};
use support::{CREDENTIAL, PATIENCE, Pair, Service, Setting, free_port, is_root};

/// With an attachment, UTF-8, dots at the start of lines, a long line, and every field that the gate would add.
const LETTER: &str = "From: \"Gate =?utf-8?Q?W=C3=A4chter?=\" <a@example.net>\r\n\
    To: b@example.org,\r\n\thidden@example.org\r\n\
    Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n\
    Date: Thu, 26 Nov 2026 10:00:00 +0000\r\n\
    Message-ID: <letter@example.net>\r\n\
    MIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=\"=_b\"\r\n\
    \r\n\
    --=_b\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Transfer-Encoding: 8bit\r\n\
    \r\n\
    Grüße: 👋\r\n\
    .\r\n\
    ..two dots\r\n\
    From the start of a line\r\n\
    trailing blanks  \r\n\
    --=_b\r\n\
    Content-Type: application/octet-stream\r\n\
    Content-Transfer-Encoding: base64\r\n\
    Content-Disposition: attachment; filename=\"x.bin\"\r\n\
    \r\n\
    AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v\r\n\
    --=_b--\r\n";
const RECIPIENTS: [&str; 2] = ["b@example.org", "hidden@example.org"];

/// A service with a listener for each way to TLS, and the second one's port.
fn service() -> (Service, u16) {
    let implicit = free_port();
    let more = format!(
        "[[listener]]\nname = \"submissions\"\naddress = [\"127.0.0.1:{implicit}\"]\nprotocol = \"smtp\"\ntls = \"implicit\"\n"
    );
    (Service::start_with(&Setting { more, ..Setting::default() }), implicit)
}

/// What arrives, which must be this behind the one field that the gate puts on top.
fn arrives(service: &Service, by: &str, expected: &str) -> Received {
    let received = service.sink.next(PATIENCE).unwrap_or_else(|| panic!("{by}: nothing arrived\n{}", service.log()));
    assert_eq!(received.sender, "a@example.net", "{by}");
    assert_eq!(received.recipients, RECIPIENTS, "{by}");
    let text = String::from_utf8(received.content.clone()).unwrap();
    let (trace, rest) = first_field(&text);
    assert!(trace.starts_with("Received: ") && trace.contains("by gate.test.example"), "{by}: {text}");
    assert_eq!(rest, expected, "{by}");
    received
}

fn first_field(text: &str) -> (&str, &str) {
    let ends = text.match_indices("\r\n").map(|(at, _)| at + 2);
    let end = ends.into_iter().find(|end| !text[*end..].starts_with([' ', '\t'])).unwrap();
    text.split_at(end)
}

/// Runs msmtp with a configuration of its own; it takes lines as they are on this system.
fn msmtp(folder: &Path, port: u16, implicit: bool, ca: &Pair, secret: &str) -> Output {
    let (trust, config) = (folder.join("trusted.pem"), folder.join("msmtprc"));
    fs::write(&trust, &ca.certificate).unwrap();
    let starttls = if implicit { "off" } else { "on" };
    let text = format!(
        "account default\nhost localhost\nport {port}\nauth plain\nuser {CREDENTIAL}\npassword {secret}\nfrom a@example.net\n\
         tls on\ntls_starttls {starttls}\ntls_trust_file {}\nset_from_header off\nset_date_header off\n",
        trust.display()
    );
    fs::write(&config, text).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = Command::new("msmtp");
    command.arg("--file").arg(&config).arg("--").args(RECIPIENTS);
    run(&mut command, &LETTER.replace("\r\n", "\n"))
}

#[test]
fn msmtp_sends_and_checks_who_it_sends_to() {
    let (service, implicit) = service();
    let secret = service.add_credential();
    let folder = tempfile::tempdir().unwrap();
    for (port, at_once) in [(service.smtp, false), (implicit, true)] {
        let output = msmtp(folder.path(), port, at_once, &service.pair, &secret);
        assert!(output.status.success(), "{}", said(&output));
        arrives(&service, "msmtp", LETTER);
        let output = msmtp(folder.path(), port, at_once, &Pair::ecdsa(), &secret);
        assert!(!output.status.success(), "another's certificate is trusted: {}", said(&output));
    }
    let output = msmtp(folder.path(), service.smtp, false, &service.pair, "gp_live_wrong");
    assert!(!output.status.success() && said(&output).contains("535"), "{}", said(&output));
    assert!(service.sink.next(Duration::from_millis(500)).is_none());
    service.stop();
}

#[test]
fn nodemailer_sends_what_it_composes() {
    let root: PathBuf = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it").into();
    let modules = root.join("target/clients/node_modules");
    assert!(modules.join("nodemailer").is_dir(), "nodemailer is not in {}: run tools/test.sh", modules.display());
    let (service, implicit) = service();
    let secret = service.add_credential();
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("sent.eml");
    let send = |port: u16, secure: bool, pair: &Pair| {
        fs::write(folder.path().join("ca.pem"), &pair.certificate).unwrap();
        let mut command = Command::new("node");
        command.arg(root.join("tests/clients/send.cjs")).args(["localhost", &port.to_string(), &secure.to_string()]);
        command.arg(folder.path().join("ca.pem")).arg(CREDENTIAL).arg(&kept).env("NODE_PATH", &modules);
        run(&mut command, &secret)
    };
    for (port, secure) in [(service.smtp, false), (implicit, true)] {
        let output = send(port, secure, &service.pair);
        assert!(output.status.success(), "{}", said(&output));
        // It writes the lines of some parts as they are on this system, and ends the last one when it sends.
        let mut sent = fs::read_to_string(&kept).unwrap().replace("\r\n", "\n").replace('\n', "\r\n");
        if !sent.ends_with("\r\n") {
            sent += "\r\n";
        }
        arrives(&service, "nodemailer", &sent);
        let output = send(port, secure, &Pair::ecdsa());
        assert!(!output.status.success(), "another's certificate is trusted: {}", said(&output));
    }
    service.stop();
}

fn no_postfix() -> bool {
    if !is_root() {
        println!("NOT RUN: Postfix's master must be root; the run as root does it");
    }
    !is_root()
}

fn relay<'a>(service: &'a Service, secret: &'a str) -> Relay<'a> {
    Relay { port: service.smtp, implicit: false, pair: &service.pair, secret }
}

/// As `LETTER` is sent within DATA.
fn stuffed() -> String {
    LETTER.replace("\r\n.", "\r\n..")
}

#[test]
fn postfix_relays_through_it() {
    if no_postfix() {
        return;
    }
    let (service, implicit) = service();
    let secret = service.add_credential();
    let by_starttls = relay(&service, &secret);
    for relay in [by_starttls, Relay { port: implicit, implicit: true, ..by_starttls }] {
        let postfix = Postfix::start(relay);
        postfix.give("a@example.net", &RECIPIENTS, &stuffed());
        let received = service.sink.next(PATIENCE);
        let received = received.unwrap_or_else(|| panic!("nothing arrived:\n{}\n{}", postfix.log(), service.log()));
        assert_eq!(
            (received.sender.as_str(), &received.recipients[..]),
            ("a@example.net", &RECIPIENTS.map(String::from)[..])
        );
        let text = String::from_utf8(received.content).unwrap();
        let (ours, rest) = first_field(&text);
        let (theirs, rest) = first_field(rest);
        assert!(ours.contains("by gate.test.example") && theirs.contains("by relay.test.example"), "{text}");
        assert_eq!(rest, LETTER);
        postfix.await_log(&["Verified TLS connection established to localhost"]);
        postfix.await_log(&["status=sent", "250 2.0.0"]);
    }
    let stranger = Pair::ecdsa();
    let postfix = Postfix::start(Relay { pair: &stranger, ..by_starttls });
    postfix.give("a@example.net", &RECIPIENTS, &stuffed());
    postfix.await_log(&["status=deferred", "not verified"]);
    drop(postfix);
    assert!(service.sink.next(Duration::from_millis(500)).is_none(), "another's certificate is trusted");
    service.stop();
}

#[test]
fn postfix_keeps_what_must_wait_and_returns_what_will_never_do() {
    if no_postfix() {
        return;
    }
    let (service, _) = service();
    let secret = service.add_credential();
    let set = |options: &[&str]| {
        let output = service.command(&[&["credential", "set", CREDENTIAL], options].concat());
        assert!(output.status.success(), "{}", said(&output));
    };
    let postfix = Postfix::start(relay(&service, &secret));

    // 550: its sender is told, and nothing stays.
    postfix.give("ceo@example.com", &["b@example.org"], &stuffed());
    postfix.await_log(&["status=bounced", "550 5.7.1"]);

    // 451, a rate: it stays.
    set(&["--per-minute", "1", "--burst", "1"]);
    postfix.give("a@example.net", &["first@example.org"], &stuffed());
    service.sink.next(PATIENCE).expect("the first is within the rate");
    postfix.give("a@example.net", &["second@example.org"], &stuffed());
    postfix.await_log(&["to=<second@example.org>", "status=deferred", "451 4.7.1"]);

    // 452, a quota: it stays too.
    set(&["--unset", "per-minute", "--unset", "burst", "--per-day", "1"]);
    postfix.give("a@example.net", &["third@example.org"], &stuffed());
    postfix.await_log(&["to=<third@example.org>", "status=deferred", "452 4.7.1"]);
    let queue = postfix.queue();
    assert!(queue.contains("second@example.org") && queue.contains("third@example.org"), "{queue}");
    assert!(!queue.contains("first@example.org") && !queue.contains("ceo@example.com"), "{queue}");

    // When there is room again it leaves by itself.
    set(&["--unset", "per-day"]);
    let flushed = postfix.command("postqueue", &["-f"]);
    assert!(flushed.status.success(), "{}", said(&flushed));
    let mut late: Vec<String> =
        (0..2).flat_map(|_| service.sink.next(PATIENCE).expect("it leaves").recipients).collect();
    late.sort();
    assert_eq!(late, ["second@example.org", "third@example.org"]);
    drop(postfix);
    service.stop();
}
