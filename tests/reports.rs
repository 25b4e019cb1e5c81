//! Claims: a sender hears once of mail that waits for long and of mail that failed, in a report that programs can read; where an
//! upstream takes nothing from nobody the report is from an address; and a credential can want none.

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use gatepost::sink::{Options, Received};
use serde_json::Value;
use support::{CREDENTIAL, PATIENCE, Service, Setting, await_that, programs};

/// Reads a report as Python does: its type, the types of its parts, and the fields of each recipient.
const READ: &str = r#"
import email, email.policy, json, sys
report = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
parts = list(report.iter_parts())
status = parts[1].get_payload()
print(json.dumps({
    "type": report.get_content_type(), "of": report.get_param("report-type"), "from": report["From"], "to": report["To"],
    "auto": report["Auto-Submitted"], "subject": report["Subject"], "parts": [part.get_content_type() for part in parts],
    "message": dict(status[0].items()), "recipients": [dict(one.items()) for one in status[1:]],
    "defects": [str(defect) for part in [report] + parts for defect in part.defects],
}))
"#;

/// An upstream that puts some off and refuses others.
fn picky() -> Options {
    let refuse = [("slow", "451 4.2.1 greylisted"), ("gone", "550 5.1.1 no such user")];
    let refuse = refuse.map(|(who, reply)| (who.to_owned(), reply.to_owned())).to_vec();
    Options { refuse, ..Options::default() }
}

fn send(service: &Service, secret: &str, to: &str, notify: &str) {
    let mut session = service.log_in(secret);
    assert_eq!(session.say("MAIL FROM:<a@example.net> ENVID=offer7"), 250);
    assert_eq!(session.say(&format!("RCPT TO:<{to}>{notify}")), 250);
    assert_eq!(session.say("DATA"), 354);
    assert_eq!(session.say("From: a@example.net\r\nSubject: offer\r\n\r\nthe body\r\n."), 250);
}

/// The next message that the upstream takes: its envelope's sender, and the report that it is.
fn report(service: &Service) -> (String, Value) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "no report came\n{}", service.log());
        let Some(Received { sender, recipients, content, .. }) = service.sink.next(Duration::from_millis(200)) else {
            continue;
        };
        assert_eq!(recipients, ["a@example.net"]);
        let text = String::from_utf8(content).unwrap();
        let read = programs::run(Command::new("python3").args(["-c", READ]), &text);
        assert!(read.status.success(), "{text}\n{}", programs::said(&read));
        let report: Value = serde_json::from_slice(&read.stdout).unwrap();
        assert_eq!((&report["type"], &report["of"]), (&"multipart/report".into(), &"delivery-status".into()), "{text}");
        assert_eq!((&report["auto"], &report["to"]), (&"auto-replied".into(), &"a@example.net".into()), "{text}");
        assert_eq!(report["defects"], serde_json::json!([]), "{text}");
        let parts = ["text/plain", "message/delivery-status", "text/rfc822-headers"];
        assert_eq!(report["parts"], serde_json::json!(parts), "{text}");
        assert_eq!(report["message"]["Original-Envelope-Id"], "offer7", "{text}");
        return (sender, report);
    }
}

/// The events of reports, or of failures.
fn events(service: &Service, name: &str) -> Vec<Value> {
    let output = service.command(&["audit", "query", "--event", name, "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn rule_q13_rule_q14_a_sender_hears_of_a_delay_once_and_of_a_failure_and_of_nothing_where_nothing_is_wanted() {
    let upstream = "tls = \"none\"\nbounce = { from = \"mailer-daemon@example.net\" }".into();
    let more = "[spool]\nretry = [\"1h\"]\ndelay_report = \"1s\"".into();
    let mut service = Service::start_with(&Setting { sink: picky, upstream, more, ..Setting::default() });
    let secret = service.add_credential();
    send(&service, &secret, "slow@example.org", "");
    let (sender, delayed) = report(&service);
    assert_eq!(sender, "mailer-daemon@example.net");
    assert!(delayed["from"].as_str().unwrap().ends_with("<mailer-daemon@example.net>"), "{delayed}");
    let one = &delayed["recipients"][0];
    assert_eq!(one["Final-Recipient"], "rfc822; slow@example.org", "{delayed}");
    assert_eq!(one["Action"], "delayed", "{delayed}");
    assert!(one["Status"].as_str().unwrap().starts_with("4."), "{delayed}");
    assert!(one["Will-Retry-Until"].is_string() && one["Last-Attempt-Date"].is_null(), "{delayed}");

    // The next service has told of it already, and what comes now of another.
    service.end();
    service.restart();
    send(&service, &secret, "slow2@example.org", " NOTIFY=DELAY");
    let (_, delayed) = report(&service);
    assert_eq!(delayed["recipients"].as_array().unwrap().len(), 1);
    assert_eq!(delayed["recipients"][0]["Final-Recipient"], "rfc822; slow2@example.org", "{delayed}");
    send(&service, &secret, "gone@example.org", "");
    let (sender, failed) = report(&service);
    assert_eq!((sender.as_str(), &failed["recipients"][0]["Action"]), ("mailer-daemon@example.net", &"failed".into()));

    let none = service.command(&["credential", "set", CREDENTIAL, "--reports", "none"]);
    assert!(none.status.success(), "{}", String::from_utf8_lossy(&none.stderr));
    let shown = service.command(&["credential", "show", CREDENTIAL, "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["policy"]["reports"], "none", "{shown}");
    send(&service, &secret, "gone@example.org", "");
    await_that("the failure is in the log", || events(&service, "deliver.bounce").len() == 2);
    let (told, failures) = (events(&service, "dsn.sent"), events(&service, "deliver.bounce"));
    let reasons: Vec<&str> = told.iter().map(|event| event["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["delayed", "delayed", "failed"]);
    assert!(failures[0]["data"].is_null(), "{failures:?}");
    assert!(failures[1].to_string().contains("report"), "{failures:?}");
    assert!(service.sink.next(Duration::from_millis(1)).is_none());
    assert!(service.stop().contains("can't be reached"));
}
