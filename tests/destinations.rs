//! Claim: a credential's mail goes to one address instead of those whom it names, or to others beside, when it says so; the log has
//! both, and nobody learns of copies by a report.

mod support;

use std::fs;

use serde_json::Value;
use support::{CREDENTIAL, PATIENCE, Service};

fn set(service: &Service, options: &[&str]) -> (bool, String) {
    let output = service.command(&[&["credential", "set", CREDENTIAL], options].concat());
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn events(service: &Service, name: &str) -> Vec<Value> {
    let output = service.command(&["audit", "query", "--event", name, "--json"]);
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Sends to two recipients; gives the reply to the end and who got it.
fn send(service: &Service, secret: &str, subject: &str) -> Vec<String> {
    let mut session = service.log_in(secret);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    assert_eq!(session.say("RCPT TO:<b@example.org>"), 250);
    assert_eq!(session.say("RCPT TO:<c@example.org>"), 250);
    assert_eq!(session.say("RCPT TO:<d@competitor.example>"), 550, "what it may not name it may not name");
    assert_eq!(session.say("DATA"), 354);
    assert_eq!(session.say(&format!("From: a@example.net\r\nSubject: {subject}\r\n\r\nx\r\n.")), 250);
    let received = service.sink.next(PATIENCE).expect("it arrives");
    let mut to = received.recipients;
    to.sort();
    to
}

#[test]
fn mail_goes_to_one_instead_of_all_or_to_more_than_it_names_and_the_log_tells_both() {
    let service = Service::start();
    let secret = service.add_credential();
    assert!(set(&service, &["--recipient-deny", "@competitor.example"]).0);
    for (options, why) in [
        (&["--redirect", "test@localhost"][..], "full domain"),
        (&["--redirect", "nobody"], "redirect"),
        (&["--always-bcc", "a@x.example", "--always-bcc", "a@x.example"], "twice"),
    ] {
        let (done, said) = set(&service, options);
        assert!(!done && said.contains(why), "{options:?}: {said}");
    }
    assert!(set(&service, &["--always-bcc", "archive@example.net", "--always-bcc", "c@example.org"]).0);
    assert_eq!(send(&service, &secret, "copied"), ["archive@example.net", "b@example.org", "c@example.org"]);
    assert!(
        set(&service, &["--redirect", "test@competitor.example"]).0,
        "the operator's rules are for what clients say"
    );
    assert_eq!(send(&service, &secret, "redirected"), ["test@competitor.example"]);
    assert!(set(&service, &["--unset", "redirect", "--unset", "always-bcc"]).0);
    assert_eq!(send(&service, &secret, "as ever"), ["b@example.org", "c@example.org"]);

    let accepted = events(&service, "msg.accept");
    let told: Vec<_> = accepted
        .iter()
        .map(|event| (event["rcpt_count"].as_u64(), event["data"].to_string().contains("copies")))
        .collect();
    assert_eq!(told, [(Some(3), true), (Some(1), false), (Some(2), false)], "{accepted:?}");
    let named = events(&service, "msg.recipients");
    assert!(named.len() == 1 && named[0]["reason"] == "redirected", "{named:?}");
    assert_eq!(named[0]["msg_id"], accepted[1]["msg_id"]);
    assert_eq!(named[0]["rcpt_to"].to_string().matches("example.org").count(), 2, "{named:?}");
    assert!(accepted[1]["rcpt_to"].to_string().contains("competitor.example"), "{accepted:?}");
    service.stop();
}

#[test]
fn whoever_names_a_mailbox_that_no_route_leads_to_is_warned() {
    let service = Service::start();
    service.add_credential();
    let text = fs::read_to_string(service.config()).unwrap();
    fs::write(service.config(), text.replace("to = \"*\"", "to = \"@example.org\"")).unwrap();
    let astray = "always_bcc: no route leads to archive@example.net: each message is refused until there is one (451)";
    let copies = ["--always-bcc", "archive@example.net", "--always-bcc", "c@example.org"];
    let (done, said) = set(&service, &copies);
    assert!(done && said.contains(astray) && !said.contains("c@example.org"), "{said}");
    let (done, said) = set(&service, &["--per-day", "1000"]);
    assert!(done && said.contains(astray), "it is judged with what it has: {said}");
    let (done, said) = set(&service, &["--redirect", "c@example.org"]);
    assert!(done && !said.contains("warning"), "{said}");
    let add = [&["credential", "add", "till", "--sender", "@example.net"][..], &copies].concat();
    let output = service.command(&add);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains(astray), "{said}");
    service.stop();
}
