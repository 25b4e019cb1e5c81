//! Claim: mail of senders that a credential may not be goes out as whom it says, in the envelope and in the header, and without
//! the fields that it names; the log tells so, and nobody sends as anybody else by it.

mod support;

use std::time::Duration;

use support::{CREDENTIAL, PATIENCE, Service};

const OPTIONS: [&str; 8] = [
    "--rewrite",
    "root@web01.internal=web01@example.net",
    "--rewrite",
    "@lan=devices@example.net",
    "--remove-header",
    "Received",
    "--remove-header",
    "X-Originating-IP",
];

fn set(service: &Service, options: &[&str]) -> (bool, String) {
    let output = service.command(&[&["credential", "set", CREDENTIAL], options].concat());
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn text(service: &Service, words: &[&str]) -> String {
    let output = service.command(words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The events of the messages that were accepted, once there are so many.
fn accepted(service: &Service, count: usize) -> Vec<serde_json::Value> {
    let mut found = Vec::new();
    support::await_that("the messages are in the log", || {
        let lines = text(service, &["audit", "query", "--event", "msg.accept", "--json"]);
        found = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        found.len() == count
    });
    found
}

#[test]
fn rule_p9_rule_p10_row_55a_mail_of_inner_senders_leaves_as_whom_the_credential_says_and_the_log_tells() {
    let service = Service::start();
    let secret = service.add_credential();
    assert_eq!(set(&service, &OPTIONS), (true, String::new()));
    let shown = text(&service, &["credential", "show", CREDENTIAL]);
    assert!(shown.contains("root@web01.internal=web01@example.net") && shown.contains("X-Originating-IP"), "{shown}");

    let mut session = service.log_in(&secret);
    assert_eq!(session.say("MAIL FROM:<root@web01.internal>"), 250);
    assert_eq!(session.say("RCPT TO:<b@example.org>"), 250);
    assert_eq!(session.say("DATA"), 354);
    let body = "Date: x\r\nMessage-ID: <1@x>\r\n\r\nroot@web01.internal\r\nReceived: no field\r\n";
    let head =
        "Received: from 10.0.0.7 by inner; x\r\nX-Originating-IP: [10.0.0.7]\r\nFrom: Cron <root@WEB01.internal>\r\n";
    assert_eq!(session.say(&format!("{head}Subject: s\r\n{body}.")), 250);
    let received = service.sink.next(PATIENCE).expect("it arrives");
    assert_eq!(received.sender, "web01@example.net");
    let content = String::from_utf8(received.content).unwrap();
    assert_eq!(content.matches("Received: from").count(), 1, "{content}");
    assert!(content.ends_with(&format!("\r\nFrom: Cron <web01@example.net>\r\nSubject: s\r\n{body}")), "{content}");

    // Who is neither the credential's nor named by it stays who it is, and is refused.
    for stranger in ["root@web02.internal", "ceo@example.com", ""] {
        assert_eq!(session.say(&format!("MAIL FROM:<{stranger}>")), 550, "{stranger}");
    }
    for (letter, why) in [
        ("From: root@lan\r\nSender: ceo@example.com\r\n", "another's Sender"),
        ("From: root@lan\r\nDKIM-Signature: h=from; b=x\r\n", "signed"),
        ("From: a@example.net\r\nX-Originating-IP: x\r\nDKIM-Signature: h=x-originating-ip; b=x\r\n", "signed"),
    ] {
        assert_eq!(session.say("MAIL FROM:<root@lan>"), 250);
        assert_eq!(session.say("RCPT TO:<b@example.org>"), 250);
        assert_eq!(session.say("DATA"), 354);
        assert_eq!(session.say(&format!("{letter}\r\nx\r\n.")), 550, "{why}");
    }

    let request = r#"{"from":"Scanner <scan@lan>","to":"b@example.org","subject":"s","text":"t","headers":{"X-Originating-IP":"10.0.0.7","X-Kept":"yes"}}"#;
    let response = service.http(&format!(
        "POST /v1/send HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{request}",
        request.len()
    ));
    assert!(response.starts_with("HTTP/1.1 202 "), "{response}");
    let received = service.sink.next(PATIENCE).expect("it arrives");
    assert_eq!(received.sender, "devices@example.net");
    let content = String::from_utf8(received.content).unwrap();
    assert!(content.contains("<devices@example.net>\r\n") && content.contains("X-Kept: yes"), "{content}");
    assert!(!content.contains("scan@lan") && !content.contains("10.0.0.7"), "{content}");
    assert!(service.sink.next(Duration::from_millis(300)).is_none());

    let events = accepted(&service, 2);
    for (event, removed) in
        [(&events[0], r#"{"Received":1,"X-Originating-IP":1}"#), (&events[1], r#"{"X-Originating-IP":1}"#)]
    {
        let data = &event["data"];
        assert_eq!(data["rewritten"], serde_json::json!(["envelope", "header"]));
        assert_eq!(data["removed"], serde_json::from_str::<serde_json::Value>(removed).unwrap());
        assert_eq!(event["mail_from"], "***@example.net");
    }
    // The message's own events say that it was changed; the event whole also from whom, as much as auditors may see.
    let timeline = text(&service, &["audit", "show", events[0]["msg_id"].as_str().unwrap()]);
    assert!(timeline.contains("rewritten") && timeline.contains("X-Originating-IP"), "{timeline}");
    let whole = text(&service, &["audit", "show", &events[0]["seq"].to_string()]);
    assert!(whole.contains("sender_given.shown") && whole.contains("***@web01.internal"), "{whole}");
    assert!(!whole.contains("root@web01.internal"), "{whole}");
    assert_eq!(service.command(&["audit", "verify"]).status.code(), Some(0));
    service.stop();
}

#[test]
fn row_55a_what_could_not_be_meant_is_refused_when_it_is_set() {
    let service = Service::start();
    service.add_credential();
    for (options, why) in [
        (&["--rewrite", "root@lan=ceo@example.com"][..], "none of its senders"),
        (&["--rewrite", "root@lan"], "PATTERN=user@domain"),
        (&["--rewrite", "root@lan=a@example.net", "--rewrite", "root@lan=b@example.net"], "twice"),
        (&["--remove-header", "From"], "can't be removed"),
        (&["--remove-header", "Message-ID"], "can't be removed"),
    ] {
        let (done, said) = set(&service, options);
        assert!(!done && said.contains(why), "{options:?}: {said}");
    }
    assert!(set(&service, &OPTIONS).0);
    // Its sender is what the lines lead to.
    let (done, said) = set(&service, &["--sender", "@example.com"]);
    assert!(!done && said.contains("web01@example.net"), "{said}");
    assert!(set(&service, &["--unset", "rewrite", "--unset", "remove-header"]).0);
    assert!(!text(&service, &["credential", "show", CREDENTIAL]).contains("web01"));
    service.stop();
}
