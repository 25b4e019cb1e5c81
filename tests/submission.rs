//! Claims: a message goes in by SMTP and by HTTP and comes out at the upstream once for each recipient, unchanged but for
//! what the gate adds; who may not send can't; and the audit log tells and proves all of it.

mod support;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use gatepost::sink::{Fault, Options, Phase};
use support::smtp::trusting;
use support::{CREDENTIAL, Service, Setting};

const ARRIVAL: Duration = Duration::from_secs(30);

fn post(service: &Service, secret: &str, body: &str) -> String {
    service.http(&format!(
        "POST /v1/send HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    ))
}

fn audit(service: &Service, words: &[&str]) -> (Option<i32>, String) {
    let output = service.command(&[&["audit"], words].concat());
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said)
}

#[test]
fn a_message_by_smtp_reaches_every_recipient_of_the_envelope_and_nobody_else() {
    let service = Service::start();
    let secret = service.add_credential();
    let mut session = service.connect().secure(&trusting(&service.pair));
    assert_eq!(session.log_in(&secret), 235);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    assert_eq!(session.say("RCPT TO:<b@example.org>"), 250);
    assert_eq!(session.say("RCPT TO:<hidden@example.org>"), 250);
    assert_eq!(session.say("DATA"), 354);
    let text = "From: a@example.net\r\nTo: b@example.org, never@example.org\r\nBcc: hidden@example.org\r\nSubject: s\r\n\r\n..dot\r\nend\r\n.";
    assert_eq!(session.say(text), 250);
    let received = service.sink.next(ARRIVAL).expect("it arrives");
    assert_eq!(received.sender, "a@example.net");
    assert_eq!(received.recipients, ["b@example.org", "hidden@example.org"]);
    let content = String::from_utf8(received.content).unwrap();
    assert!(content.ends_with("\r\n\r\n.dot\r\nend\r\n"), "{content}");
    assert!(!content.contains("hidden"), "{content}");
    assert!(content.starts_with("Received: "), "{content}");
    for field in ["\r\nDate: ", "\r\nMessage-ID: <"] {
        assert_eq!(content.matches(field).count(), 1, "{field:?} in {content}");
    }
    assert!(service.sink.next(Duration::from_millis(500)).is_none(), "once");
    service.stop();
}

#[test]
fn vector_v27_what_came_in_chunks_leaves_as_one_message_whatever_is_in_it() {
    let service = Service::start();
    let secret = service.add_credential();
    let mut session = service.connect().secure(&trusting(&service.pair));
    assert_eq!(session.log_in(&secret), 235);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    assert_eq!(session.say("RCPT TO:<b@example.org>"), 250);
    let head = "From: a@example.net\r\n\r\nx\r\n.";
    assert_eq!(session.say(&format!("BDAT {}\r\n{head}BDAT 0", head.len())), 250);
    assert_eq!(session.code(), 250);
    let rest = "\r\nMAIL FROM:<a@example.net>\r\n..\r\n";
    assert_eq!(session.say(&format!("BDAT {} LAST\r\n{rest}NOOP", rest.len())), 250);
    assert_eq!(session.code(), 250);
    let content = String::from_utf8(service.sink.next(ARRIVAL).expect("it arrives").content).unwrap();
    assert!(content.ends_with("\r\n\r\nx\r\n.\r\nMAIL FROM:<a@example.net>\r\n..\r\n"), "{content}");
    assert!(service.sink.next(Duration::from_millis(500)).is_none(), "one message");
    service.stop();
}

#[test]
fn a_message_by_http_is_accepted_when_it_is_kept_and_arrives() {
    let service = Service::start();
    let secret = service.add_credential();
    let body =
        r#"{"from":"A <a@example.net>","to":["b@example.org"],"bcc":"c@example.org","subject":"Grüße","text":"hi"}"#;
    let response = post(&service, &secret, body);
    assert!(response.starts_with("HTTP/1.1 202 "), "{response}");
    assert!(response.to_ascii_lowercase().contains("\r\nx-request-id: req_"), "{response}");
    let received = service.sink.next(ARRIVAL).expect("it arrives");
    assert_eq!(received.recipients, ["b@example.org", "c@example.org"]);
    assert!(!String::from_utf8_lossy(&received.content).contains("c@example.org"));
    service.stop();
}

#[test]
fn who_may_not_send_cannot() {
    let service = Service::start();
    let secret = service.add_credential();
    let mut stranger = service.connect();
    assert_eq!((stranger.code(), stranger.say("EHLO x.example")), (220, 250));
    assert_eq!(stranger.say("MAIL FROM:<a@example.net>"), 530);
    assert_eq!(stranger.say("AUTH PLAIN AGEAYg=="), 530, "no password before TLS");
    let mut stranger = service.connect().secure(&trusting(&service.pair));
    assert_eq!(stranger.say("MAIL FROM:<a@example.net>"), 530);
    assert_eq!(stranger.log_in("gp_live_wrong"), 535);
    let mut tenant = service.connect().secure(&trusting(&service.pair));
    assert_eq!(tenant.log_in(&secret), 235);
    assert_eq!(tenant.say("MAIL FROM:<ceo@example.com>"), 550);
    assert_eq!(tenant.say("MAIL FROM:<>"), 550);
    assert_eq!(tenant.say("MAIL FROM:<a@example.net>"), 250);
    assert_eq!(tenant.say("RCPT TO:<b@example.org>"), 250);
    assert_eq!(tenant.say("DATA"), 354);
    assert_eq!(tenant.say("From: ceo@example.com\r\nSubject: forged\r\n\r\nx\r\n."), 550);
    let response =
        post(&service, "gp_live_wrong", r#"{"from":"a@example.net","to":"b@example.org","subject":"s","text":"t"}"#);
    assert!(response.starts_with("HTTP/1.1 401 ") || response.starts_with("HTTP/1.1 403 "), "{response}");
    let response =
        post(&service, &secret, r#"{"from":"ceo@example.com","to":"b@example.org","subject":"s","text":"t"}"#);
    assert!(response.starts_with("HTTP/1.1 403 "), "{response}");
    assert!(service.sink.next(Duration::from_secs(1)).is_none());
    let (code, trail) = audit(&service, &["query", "--json"]);
    assert_eq!(code, Some(0), "{trail}");
    for event in ["auth.failure", "auth.success", "msg.reject"] {
        assert!(trail.contains(event), "no {event} in {trail}");
    }
    assert!(!trail.contains("gp_live_wrong") && !trail.contains(&secret), "a secret in the audit log");
    let log = service.stop();
    assert!(!log.contains(&secret) && !log.contains("gp_live_wrong"), "a secret in the log:\n{log}");
}

#[test]
fn the_audit_log_tells_the_whole_life_of_a_message_and_verifies() {
    let service = Service::start();
    let secret = service.add_credential();
    let mut session = service.connect().secure(&trusting(&service.pair));
    assert_eq!(session.log_in(&secret), 235);
    for n in 0..5 {
        assert_eq!(session.send(&format!("message {n}")), 250);
        service.sink.next(ARRIVAL).expect("it arrives");
    }
    support::await_that("the deliveries are in the log", || {
        audit(&service, &["query", "--event", "deliver.success", "--json"]).1.lines().count() == 5
    });
    let (_, trail) = audit(&service, &["query", "--json"]);
    for event in ["daemon.start", "credential.create", "auth.success", "msg.accept", "deliver.success"] {
        assert!(trail.contains(event), "no {event} in {trail}");
    }
    let (code, said) = audit(&service, &["verify"]);
    assert_eq!(code, Some(0), "{said}");

    // The auditors' file is plain SQLite and can be read beside the running service; changing one value is noticed.
    let file = service.folder.path().join("state/audit/audit.db");
    let sqlite = |sql: &str| {
        let output = Command::new("sqlite3").arg(&file).arg(sql).output().expect("sqlite3 is needed (Debian: sqlite3)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(sqlite("SELECT count(*) FROM audit_v1 WHERE event='msg.accept'").trim(), "5");
    let key = std::fs::read_to_string(service.folder.path().join("state/seal/log.vkey")).unwrap();
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(&file, copy.path().join("audit.db")).unwrap();
    let verify = || {
        let mut command = support::gatepost();
        command.args(["audit", "verify", "--key", key.trim(), "--directory"]).arg(copy.path());
        command.output().unwrap().status.code()
    };
    assert_eq!(verify(), Some(0));
    let forge = "UPDATE event SET bytes=bytes+1 WHERE event='msg.accept' AND seq=(SELECT max(seq) FROM event WHERE event='msg.accept')";
    assert!(Command::new("sqlite3").arg(copy.path().join("audit.db")).arg(forge).status().unwrap().success());
    assert_eq!(verify(), Some(10), "altered content has its exit code");
    service.stop();
}

#[test]
fn a_credential_added_while_the_service_is_stopped_works_when_it_runs() {
    let service = Service::start_with(&Setting::default());
    let folder = service.folder.path().to_owned();
    let kept = tempfile::Builder::new().prefix("gatepost-kept-").tempdir().unwrap();
    let config = kept.path().join("gatepost.toml");
    let text = std::fs::read_to_string(service.config()).unwrap();
    std::fs::write(&config, text.replace(folder.to_str().unwrap(), kept.path().to_str().unwrap())).unwrap();
    service.pair.write(kept.path());
    let add = |id: &str| {
        support::gatepost()
            .args(["credential", "add", id, "--sender", "@example.net", "--json", "--fallback-ids", "--config"])
            .arg(&config)
            .output()
            .unwrap()
    };
    let first = add("offline");
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let json: serde_json::Value = serde_json::from_slice(&first.stdout).unwrap();
    assert_eq!(json["id"], "offline");
    assert!(json["secret"].as_str().unwrap().starts_with("gp_live_"));
    let second = add("offline");
    assert!(!second.status.success(), "an id lives in one place only");
    assert!(String::from_utf8_lossy(&second.stderr).contains("offline"));
    service.stop();
}

#[test]
fn what_the_upstream_defers_is_tried_again_and_what_it_refuses_is_not() {
    let service = Service::start_with(&Setting {
        // Longer than the courier keeps an idle connection: the fault is the first connection's alone.
        more: "[spool]\nretry = [\"10s\"]".to_owned(),
        sink: || Options {
            faults: vec![Fault { connection: Some(0), ..Fault::say(Phase::Mail, "451 4.3.0 come again") }],
            refuse: vec![("nobody@".to_owned(), "550 5.1.1 no such mailbox".to_owned())],
            ..Options::default()
        },
        ..Setting::default()
    });
    let secret = service.add_credential();
    let mut session = service.connect().secure(&trusting(&service.pair));
    assert_eq!(session.log_in(&secret), 235);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    assert_eq!(session.say("RCPT TO:<b@example.org>"), 250);
    assert_eq!(session.say("RCPT TO:<nobody@example.org>"), 250);
    assert_eq!(session.say("DATA"), 354);
    assert_eq!(session.say("From: a@example.net\r\nSubject: s\r\n\r\nx\r\n."), 250);
    let received = service.sink.next(ARRIVAL).expect("it arrives at last");
    assert_eq!(received.recipients, ["b@example.org"]);
    support::await_that("each recipient has its outcome", || {
        let (_, trail) = audit(&service, &["query", "--json"]);
        ["deliver.defer", "deliver.success", "deliver.bounce"].iter().all(|event| trail.contains(event))
    });
    let report = service.sink.next(ARRIVAL).expect("its sender is told of the refused one");
    assert_eq!((report.sender.as_str(), report.recipients), ("", vec!["a@example.net".to_owned()]));
    assert_eq!(
        as_mail_programs_see_it(&report.content),
        "multipart/report delivery-status\n\
         text/plain message/delivery-status text/rfc822-headers\n\
         rfc822; nobody@example.org failed 5.1.1 smtp; 550 5.1.1 no such mailbox\n\
         s\n"
    );
    assert!(service.sink.next(Duration::from_secs(2)).is_none(), "the refused one is not tried again");
    service.stop();
}

/// A report, read by Python's library for mail: its types, the fields about its recipient, and the subject that it is about.
fn as_mail_programs_see_it(report: &[u8]) -> String {
    let script = "import email, sys\n\
        mail = email.message_from_binary_file(sys.stdin.buffer)\n\
        parts = mail.get_payload()\n\
        print(mail.get_content_type(), mail.get_param('report-type'))\n\
        print(*(part.get_content_type() for part in parts))\n\
        about = parts[1].get_payload()[1]\n\
        print(*(about[name] for name in ['Final-Recipient', 'Action', 'Status', 'Diagnostic-Code']))\n\
        print(email.message_from_string(parts[2].get_payload())['Subject'])\n\
        assert not any(part.defects for part in mail.walk())\n";
    let python = Command::new("python3").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut python = python.expect("python3");
    python.stdin.take().expect("its input").write_all(report).expect("it reads");
    let output = python.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(report));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn real_clients_can_send() {
    let service = Service::start();
    let secret = service.add_credential();
    let swaks = Command::new("swaks")
        .args([
            "--server",
            &format!("127.0.0.1:{}", service.smtp),
            "--tls",
            "--auth",
            "PLAIN",
            "--auth-user",
            CREDENTIAL,
        ])
        .args([
            "--auth-password",
            &secret,
            "--from",
            "a@example.net",
            "--to",
            "b@example.org",
            "--header",
            "Subject: by swaks",
        ])
        .output()
        .expect("swaks is needed (Debian: swaks)");
    assert!(
        swaks.status.success(),
        "{}{}",
        String::from_utf8_lossy(&swaks.stdout),
        String::from_utf8_lossy(&swaks.stderr)
    );
    assert!(String::from_utf8_lossy(&service.sink.next(ARRIVAL).unwrap().content).contains("by swaks"));
    let script = format!(
        "import smtplib,ssl\n\
         c=ssl._create_unverified_context()\n\
         s=smtplib.SMTP('127.0.0.1',{},timeout=30)\n\
         s.starttls(context=c)\n\
         s.login('{CREDENTIAL}','{secret}')\n\
         s.sendmail('a@example.net',['b@example.org'],'From: a@example.net\\r\\nSubject: by smtplib\\r\\n\\r\\nhello')\n\
         s.quit()\n",
        service.smtp
    );
    let python = Command::new("python3").args(["-c", &script]).output().expect("python3 is needed");
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
    assert!(String::from_utf8_lossy(&service.sink.next(ARRIVAL).unwrap().content).contains("by smtplib"));
    let curl = Command::new("curl")
        .args(["-sS", "--fail-with-body", &format!("http://127.0.0.1:{}/v1/send", service.http)])
        .args(["-H", &format!("Authorization: Bearer {secret}"), "-H", "Content-Type: application/json"])
        .args(["-d", r#"{"from":"a@example.net","to":"b@example.org","subject":"by curl","text":"hello"}"#])
        .output()
        .expect("curl is needed (Debian: curl)");
    assert!(
        curl.status.success(),
        "{}{}",
        String::from_utf8_lossy(&curl.stdout),
        String::from_utf8_lossy(&curl.stderr)
    );
    assert!(String::from_utf8_lossy(&service.sink.next(ARRIVAL).unwrap().content).contains("by curl"));
    service.stop();
}
