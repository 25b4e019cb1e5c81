//! Claims: clients that aren't ours log in by SCRAM-SHA-256, and bound to their TLS session by SCRAM-SHA-256-PLUS, with a secret for
//! which that was asked, whether it is the vault's or the file's; a wrong one reads as by any mechanism; and neither secret nor keys
//! show anywhere.

mod support;

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use support::programs::{run, said};
use support::smtp::{restricted, trusting};
use support::{Pair, Service, Setting, Smtp, free_port, gatepost};

const SHOP: &str = "kV7xpQ2mZx9Lr4Tn8Wb3Yc6Hd1Jf5Gs0Ka7Pv2Mq9Xz4Rt8";

/// A service whose file has the credential "shop", and the port of a listener that offers no binding.
fn service() -> (Service, u16) {
    let hashed = run(gatepost().args(["credential", "hash", "--scram", "--key", "shop1"]), SHOP);
    assert!(hashed.status.success(), "{}", said(&hashed));
    let entry = String::from_utf8(hashed.stdout).unwrap();
    let unbound = free_port();
    let more = format!(
        "[[listener]]\nname = \"unbound\"\naddress = [\"127.0.0.1:{unbound}\"]\nprotocol = \"smtp\"\ntls = \"starttls\"\n\
         mechanisms = [\"SCRAM-SHA-256\"]\n\
         [[credential]]\nid = \"shop\"\nsenders = [\"@example.net\"]\nsecrets = [{}]\n",
        entry.trim()
    );
    let listener = "mechanisms = [\"SCRAM-SHA-256-PLUS\", \"SCRAM-SHA-256\"]".to_owned();
    (Service::start_with(&Setting { listener, more, ..Setting::default() }), unbound)
}

/// Makes a credential with keys; gives its secret.
fn add(service: &Service, id: &str) -> String {
    let output = service.command(&["credential", "add", id, "--sender", "@example.net", "--scram"]);
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap().lines().last().unwrap().to_owned()
}

fn msmtp(service: &Service, user: &str, secret: &str, subject: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let (trust, config) = (folder.path().join("trusted.pem"), folder.path().join("msmtprc"));
    fs::write(&trust, &service.pair.certificate).unwrap();
    let text = format!(
        "account default\nhost localhost\nport {}\nauth scram-sha-256\nuser {user}\npassword {secret}\nfrom a@example.net\n\
         tls on\ntls_trust_file {}\nset_from_header off\nset_date_header off\n",
        service.smtp,
        trust.display()
    );
    fs::write(&config, text).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
    let letter = format!("From: a@example.net\nTo: b@example.org\nSubject: {subject}\n\nHello.\n");
    run(Command::new("msmtp").arg("--file").arg(&config).args(["--", "b@example.org"]), &letter)
}

/// A login by GNU SASL, bound to its TLS session.
fn gsasl(port: u16, pair: &Pair, user: &str, secret: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let trust = folder.path().join("trusted.pem");
    fs::write(&trust, &pair.certificate).unwrap();
    let mut command = Command::new("gsasl");
    command.args(["--client", "--smtp", "--starttls", "--verbose"]).arg(format!("--connect=localhost:{port}"));
    command.arg(format!("--x509-ca-file={}", trust.display())).args([
        "-m",
        "SCRAM-SHA-256-PLUS",
        "-a",
        user,
        "-p",
        secret,
    ]);
    run(&mut command, "")
}

#[test]
fn rule_a17_a_client_of_today_sends_after_a_login_by_scram() {
    let (service, _) = service();
    let till = add(&service, "till");
    for (user, secret, subject) in [("till", till.as_str(), "from the till"), ("shop", SHOP, "from the shop")] {
        let output = msmtp(&service, user, secret, subject);
        assert!(output.status.success(), "{}\n{}", said(&output), service.log());
        service.await_arrival(vec![subject.to_owned()]);
    }
    let bare = service.add_credential();
    for (user, secret) in [("till", SHOP), ("nobody", SHOP), (support::CREDENTIAL, bare.as_str())] {
        let output = msmtp(&service, user, secret, "never");
        assert!(!output.status.success() && said(&output).contains("535"), "{user}: {}", said(&output));
    }
    let mut session = service.connect().secure(&trusting(&service.pair));
    assert_eq!(session.log_in(&till), 504, "PLAIN is not offered");

    let trail = service.command(&["audit", "query", "--json"]);
    let shown = service.command(&["credential", "show", "till", "--json"]);
    let texts = [said(&trail), said(&shown), fs::read_to_string(service.config()).unwrap(), service.stop()];
    assert_eq!(texts[0].matches("\"auth.success\"").count(), 2, "{}", texts[0]);
    assert_eq!(texts[0].matches("\"auth.failure\"").count(), 3, "{}", texts[0]);
    // The operator is told that the secret without keys need not be wrong; the client isn't.
    assert_eq!(texts[0].matches("no-scram-keys").count(), 1, "{}", texts[0]);
    let told = format!("account=\"{}\" mechanism=\"SCRAM-SHA-256\" reason=\"no-scram-keys\" ", support::CREDENTIAL);
    let lines: Vec<_> = texts[3].lines().map(|line| format!("{line} ").replace("-256-PLUS", "-256")).collect();
    let told = |line: &String| {
        line.contains("a login failed") && line.contains("client=127.0.0.1") && line.contains(told.trim())
    };
    assert_eq!(lines.iter().filter(|line| told(line)).count(), 1, "{}", texts[3]);
    assert!(texts[1].contains("\"scram\":true") && !texts[1].contains("SCRAM-SHA-256$"), "{}", texts[1]);
    for text in &texts {
        assert!(!text.contains(till.rsplit_once('_').unwrap().1) && !text.contains(SHOP), "a secret shows: {text}");
    }
    for text in [&texts[0], &texts[3]] {
        assert!(!text.contains("SCRAM-SHA-256$"), "keys show: {text}");
    }
}

#[test]
fn rule_a17_a_client_binds_its_login_to_its_tls_session() {
    let (service, unbound) = service();
    let till = add(&service, "till");
    for (user, secret) in [("till", till.as_str()), ("shop", SHOP)] {
        let output = gsasl(service.smtp, &service.pair, user, secret);
        assert!(output.status.success() && said(&output).contains("235 "), "{}\n{}", said(&output), service.log());
    }
    let output = gsasl(service.smtp, &service.pair, "till", SHOP);
    assert!(!output.status.success() && said(&output).contains("535 "), "{}", said(&output));
    // One that could bind itself and says that it was not asked to, where it was: somebody may stand in between.
    let begin = |port, mechanism: &str, first: &str| {
        let mut session = Smtp::<TcpStream>::connect(port).secure(&trusting(&service.pair));
        session.say(&format!("AUTH {mechanism} {}", STANDARD.encode(first)))
    };
    assert_eq!(begin(service.smtp, "SCRAM-SHA-256", "y,,n=till,r=abc"), 535);
    assert_eq!(begin(unbound, "SCRAM-SHA-256", "y,,n=till,r=abc"), 334);
    assert_eq!(begin(unbound, "SCRAM-SHA-256-PLUS", "p=tls-exporter,,n=till,r=abc"), 504);
    assert_eq!(begin(service.smtp, "SCRAM-SHA-256-PLUS", "p=tls-unique,,n=till,r=abc"), 535);
    let mut older = service.connect().secure(&restricted(&service.pair, &rustls::version::TLS12));
    let (_, offers) = older.try_ask("EHLO client.example").unwrap();
    assert_eq!(offers, "AUTH SCRAM-SHA-256", "TLS 1.2 has nothing to bind by");
    let trail = said(&service.command(&["audit", "query", "--event", "auth.failure", "--json"]));
    assert!(trail.contains("channel-binding") && trail.contains("SCRAM-SHA-256-PLUS"), "{trail}");
    service.stop();
}
