//! Claims: the gate delivers through upstreams that aren't ours, and through another gate, and logs in there by the best way that they
//! offer; none of it shows the password.

mod support;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::OnceLock;

use support::smarthost::{self, PASSWORD, USER};
use support::{Pair, Service, Setting, await_that, is_root};

const LETTER: &str = "From: a@example.net\r\nTo: b@example.org\r\nSubject: onwards\r\n\r\nHello.\r\n";

/// A service whose upstream is at this port of localhost, with a certificate that it trusts, a login, and these further lines, in which
/// `FOLDER` is a folder that has `own.pem` and `own.key`.
fn towards(port: u16, pair: &Pair, (user, password): (&str, &str), lines: &str) -> Service {
    let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    let (trust, secret) = (folder.path().join("trusted.pem"), folder.path().join("secret"));
    fs::write(&trust, &pair.certificate).unwrap();
    own().write_as(&folder.path().join("own.pem"), &folder.path().join("own.key"));
    let lines = lines.replace("FOLDER", &folder.path().display().to_string());
    let trusted = match lines.contains("verify") {
        true => String::new(),
        false => format!("authorities_file = \"{}\"\n", trust.display()),
    };
    fs::write(&secret, format!("{password}\n")).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let upstream = format!("username = \"{user}\"\npassword_file = \"{}\"\n{trusted}{lines}", secret.display());
    Service::start_in(folder, &Setting { host: Some(format!("localhost:{port}")), upstream, ..Setting::default() })
}

/// The certificate that the gate shows, the same for all tests.
fn own() -> &'static Pair {
    static OWN: OnceLock<Pair> = OnceLock::new();
    OWN.get_or_init(|| Pair::named("gate.test.example"))
}

/// The pin of a certificate's key, as the page about upstreams has it made.
fn pin(pair: &Pair) -> String {
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("certificate.pem");
    fs::write(&certificate, &pair.certificate).unwrap();
    let line = "openssl x509 -pubkey -noout -in \"$0\" | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64";
    let made = Command::new("sh").args(["-c", line]).arg(&certificate).output().unwrap();
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

/// Hands it the letter.
fn submit(service: &Service) {
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    for (line, code) in [
        ("MAIL FROM:<a@example.net>", 250),
        ("RCPT TO:<b@example.org>", 250),
        ("DATA", 354),
        (&format!("{LETTER}."), 250),
    ] {
        assert_eq!(session.say(line), code, "{line}");
    }
}

#[test]
fn rule_u5_postfix_is_logged_in_to_by_the_best_that_it_offers_or_by_what_was_asked_for() {
    if !is_root() {
        println!("NOT RUN: Postfix's master must be root; the run as root does it");
        return;
    }
    let pair = Pair::ecdsa();
    for (offered, asked, used) in [
        ("SCRAM-SHA-256 PLAIN LOGIN", "", "SCRAM-SHA-256"),
        ("PLAIN LOGIN", "", "PLAIN"),
        ("LOGIN", "", "LOGIN"),
        ("SCRAM-SHA-256 PLAIN", "auth = \"plain\"", "PLAIN"),
    ] {
        let postfix = smarthost::start(offered, "", &pair);
        let service = towards(postfix.port(), &pair, (USER, PASSWORD), asked);
        submit(&service);
        postfix.await_log(&[&format!("sasl_method={used}, sasl_username={USER}")]);
        postfix.await_log(&["to=<b@example.org>", "relay=none", "status=sent"]);
        let log = service.stop();
        assert!(!log.contains(PASSWORD), "{log}");
        postfix.await_log(&["disconnect from localhost", " bdat=1 ", " quit=1 "]);
    }
}

#[test]
fn an_upstream_is_tried_without_a_message_and_what_is_said_is_shown_without_the_password() {
    if !is_root() {
        println!("NOT RUN: Postfix's master must be root; the run as root does it");
        return;
    }
    let pair = Pair::ecdsa();
    let postfix = smarthost::start("PLAIN LOGIN", "", &pair);
    for (password, status, shown) in [(PASSWORD, 0, "< 235 2.7.0"), ("w4-other-word", 1, "< 535 5.7.8")] {
        let service = towards(postfix.port(), &pair, (USER, password), "");
        let test = |words: &[&str]| {
            let mut command = support::gatepost();
            command.args(["route", "test", "sink"]).args(words).arg("--config").arg(service.config());
            command.output().unwrap()
        };
        let tried = test(&["--sender", "a@example.net"]);
        let text = String::from_utf8(tried.stdout).unwrap();
        assert_eq!(tried.status.code(), Some(status), "{text}{}", String::from_utf8_lossy(&tried.stderr));
        let told = format!("key sha256:{}, names localhost\n", pin(&pair));
        for part in [shown, "> AUTH PLAIN [hidden]\n", "the certificate is verified\n", &told, "< 250-PIPELINING\n"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(text.contains("> MAIL FROM:<a@example.net>\n"), status == 0, "{text}");
        let objects = String::from_utf8(test(&["--json"]).stdout).unwrap();
        let last: serde_json::Value = serde_json::from_str(objects.lines().last().unwrap()).unwrap();
        assert_eq!(last, serde_json::json!({ "upstream": "sink", "passed": status == 0 }));
        let trail = service.command(&["audit", "query", "--event", "route.test", "--json"]);
        let trail = String::from_utf8(trail.stdout).unwrap();
        assert_eq!(trail.lines().count(), 2, "{trail}");
        assert!(!service.stop().contains(password) && !text.contains(password));
    }
}

#[test]
fn rule_u4_postfix_is_believed_by_its_pinned_key_and_shown_our_certificate() {
    if !is_root() {
        println!("NOT RUN: Postfix's master must be root; the run as root does it");
        return;
    }
    // Nobody's name, and signed by itself.
    let pair = Pair::named("elsewhere.example");
    let asks = "smtpd_tls_ask_ccert = yes\nsmtpd_tls_req_ccert = yes\nsmtpd_tls_loglevel = 1\nsmtpd_tls_CAfile = OWN";
    let folder = tempfile::tempdir().unwrap();
    support::open_folder(folder.path());
    let trusted = folder.path().join("own.pem");
    fs::write(&trusted, &own().certificate).unwrap();
    let postfix = smarthost::start("PLAIN", &asks.replace("OWN", &trusted.display().to_string()), &pair);
    let shown = "client_certificate = \"FOLDER/own.pem\"\nclient_key = \"FOLDER/own.key\"";
    let believing = |pin: &str| format!("verify = \"pin\"\npin = [\"sha256:{pin}\"]\n{shown}");
    let service = towards(postfix.port(), &pair, (USER, PASSWORD), &believing(&pin(&pair)));
    submit(&service);
    postfix.await_log(&["Trusted TLS connection established from localhost"]);
    postfix.await_log(&["to=<b@example.org>", "relay=none", "status=sent"]);
    service.stop();
    let service = towards(postfix.port(), &pair, (USER, PASSWORD), &believing(&pin(own())));
    submit(&service);
    service.await_log(0, &format!("its key is none of those that pin has; it is sha256:{}", pin(&pair)));
    service.stop();
}

#[test]
fn rule_u5_another_gate_is_logged_in_to_by_a_proof_that_is_bound_to_the_session() {
    let listener = "mechanisms = [\"SCRAM-SHA-256-PLUS\", \"SCRAM-SHA-256\"]".to_owned();
    let next = Service::start_with(&Setting { listener, ..Setting::default() });
    let added = next.command(&["credential", "add", "gate", "--sender", "@example.net", "--scram"]);
    let secret = String::from_utf8(added.stdout).unwrap().lines().last().unwrap().to_owned();
    let service = towards(next.smtp, &next.pair, ("gate", &secret), "");
    submit(&service);
    next.await_arrival(vec!["onwards".to_owned()]);
    let trail = next.command(&["audit", "query", "--event", "auth.success", "--json"]);
    let trail = String::from_utf8(trail.stdout).unwrap();
    assert!(trail.contains("\"SCRAM-SHA-256-PLUS\""), "{trail}");
    for log in [service.stop(), next.stop()] {
        assert!(!log.contains(secret.rsplit_once('_').unwrap().1), "{log}");
    }
}

/// From within the sandbox, which lets the dialer bind where a source address is configured and nowhere else.
#[test]
fn an_upstream_sees_the_source_address_that_is_configured() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let host = Some(listener.local_addr().unwrap().to_string());
    let upstream = "tls = \"none\"\nsource_address = [\"127.0.0.66\"]".into();
    let service = Service::start_with(&Setting { host, upstream, ..Setting::default() });
    let secret = service.add_credential();
    assert_eq!(service.log_in(&secret).send("x"), 250);
    let mut seen = None;
    await_that("it is connected to", || {
        seen = listener.accept().ok().map(|(_, peer)| peer.ip());
        seen.is_some()
    });
    assert_eq!(seen, Some(Ipv4Addr::new(127, 0, 0, 66).into()), "{}", service.log());
    service.stop();
}

/// It says so at RCPT, to everybody.
#[test]
fn rule_q15_a_postfix_that_has_forgotten_us_bounces_nothing_and_has_it_when_it_knows_us_again() {
    if !is_root() {
        println!("NOT RUN: Postfix's master must be root; the run as root does it");
        return;
    }
    let pair = Pair::ecdsa();
    let postfix = smarthost::start("PLAIN", "smtpd_relay_restrictions = reject_unauth_destination", &pair);
    let mut service = towards(postfix.port(), &pair, (USER, PASSWORD), "");
    submit(&service);
    postfix.await_log(&["554 5.7.1", "Relay access denied"]);
    let known = ["-e", "smtpd_relay_restrictions = permit_sasl_authenticated, reject"];
    for (program, words) in [("postconf", known.as_slice()), ("postfix", &["reload"])] {
        let output = postfix.command(program, words);
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }
    postfix.await_log(&["to=<b@example.org>", "relay=none", "status=sent"]);
    let bounced = service.command(&["audit", "query", "--event", "deliver.bounce", "--json"]);
    assert!(bounced.status.success() && bounced.stdout.is_empty(), "{}", String::from_utf8_lossy(&bounced.stdout));
    service.end();
}
