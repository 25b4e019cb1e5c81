//! Claim: `gatepost send` submits a message for a credential, held to all that the credential is held to, tells what becomes of it,
//! and the log says who did it.

mod support;

use std::fs;
use std::io::Write as _;
use std::process::{Output, Stdio};

use gatepost::sink::{Fault, Options, Phase};
use serde_json::Value;
use support::{CREDENTIAL, PATIENCE, Service, Setting};

fn send(service: &Service, words: &[&str]) -> Output {
    service.command(&[&["send"], words].concat())
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn events(service: &Service, name: &str) -> Vec<Value> {
    let output = service.command(&["audit", "query", "--event", name, "--json"]);
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_test_message_goes_the_way_of_all_mail_and_its_fate_is_told() {
    let mut service = Service::start();
    let nobody = send(&service, &["--to", "b@example.org"]);
    assert!(!nobody.status.success() && said(&nobody).contains("there is no credential"), "{}", said(&nobody));
    service.add_credential();
    let sent = send(&service, &["--to", "b@example.org", "--subject", "is it there?"]);
    assert!(sent.status.success(), "{}", said(&sent));
    assert!(
        said(&sent).contains("accepted: ") && said(&sent).contains("b@example.org delivered by sink: 250"),
        "{}",
        said(&sent)
    );
    let received = service.sink.next(PATIENCE).expect("it arrives");
    assert_eq!(received.sender, "gatepost-test@example.net");
    let content = String::from_utf8(received.content).unwrap();
    assert!(content.contains("Subject: is it there?\r\n") && content.contains("(Gatepost control)"), "{content}");

    // A file that is longer than a row, for two.
    let path = service.folder.path().join("x.eml");
    fs::write(&path, format!("From: a@example.net\nSubject: long\n\n{}", "a line of it\n".repeat(20_000))).unwrap();
    let words =
        ["--to", "b@example.org", "--to", "c@example.org", "--from", "a@example.net", "--credential", CREDENTIAL];
    let sent = send(&service, &[&words[..], &["--json", "--file", path.to_str().unwrap()]].concat());
    assert!(sent.status.success(), "{}\n{}", said(&sent), service.log());
    let lines: Vec<Value> = said(&sent).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines[0]["event"] == "accepted" && lines.last().unwrap()["delivered"] == true, "{lines:?}");
    let received = service.sink.next(PATIENCE).expect("it arrives");
    assert!(received.recipients.len() == 2 && received.content.len() > 20_000 * 14, "{}", received.content.len());

    // What the credential may not, this may not.
    assert!(
        service.command(&["credential", "set", CREDENTIAL, "--recipient-deny", "@competitor.example"]).status.success()
    );
    fs::write(&path, "From: ceo@example.com\n\nx\n").unwrap();
    for (words, why) in [
        (&["--to", "b@example.org", "--from", "ceo@example.com"][..], "sender-not-allowed"),
        (&["--to", "b@competitor.example"], "recipient-not-allowed"),
        (&["--to", "b@example.org", "--file", path.to_str().unwrap()], "author-not-allowed"),
        (&["--to", "b@example.org", "--credential", "tesster"], "tesster"),
    ] {
        let refused = send(&service, words);
        assert!(!refused.status.success() && said(&refused).contains(why), "{words:?}: {}", said(&refused));
    }
    assert!(service.command(&["credential", "disable", CREDENTIAL]).status.success());
    assert!(said(&send(&service, &["--to", "b@example.org"])).contains("nobody can be it"));
    let accepted = events(&service, "msg.accept");
    assert_eq!(accepted.len(), 2);
    for event in &accepted {
        assert!(event["listener"] == "control" && event["actor"].as_str().unwrap().starts_with("uid"), "{event}");
    }
    let refused = events(&service, "msg.reject");
    assert!(refused.len() == 3 && refused.iter().all(|event| event["listener"] == "control"), "{refused:?}");
    service.end();
    assert!(said(&send(&service, &["--to", "b@example.org"])).contains("does not run"));
}

#[test]
fn a_credential_that_is_disabled_while_its_message_is_written_sends_it_no_more() {
    let service = Service::start();
    service.add_credential();
    let pipe = service.folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let to = ["send", "--to", "b@example.org", "--from", "a@example.net", "--file", pipe.to_str().unwrap()];
    let mut command = support::gatepost();
    command.args(to).arg("--config").arg(service.config()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let sending = command.spawn().unwrap();
    // Who opens it waits for its reader, which has begun its message by then.
    let mut content = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    assert!(service.command(&["credential", "disable", CREDENTIAL]).status.success());
    content.write_all(b"From: a@example.net\nSubject: late\n\nx\n").unwrap();
    drop(content);
    let sent = sending.wait_with_output().unwrap();
    assert!(!sent.status.success() && said(&sent).contains("revoked"), "{}", said(&sent));
    assert_eq!(events(&service, "msg.accept").len(), 0);
    service.stop();
}

#[test]
fn a_line_that_no_server_takes_is_refused_with_what_to_do() {
    let service = Service::start();
    service.add_credential();
    let path = service.folder.path().join("long.eml");
    fs::write(&path, format!("From: a@example.net\nSubject: long\n\n{}\n", "x".repeat(2000))).unwrap();
    let refused =
        send(&service, &["--to", "b@example.org", "--from", "a@example.net", "--file", path.to_str().unwrap()]);
    assert!(!refused.status.success() && said(&refused).contains("quoted-printable"), "{}", said(&refused));
    assert_eq!(events(&service, "msg.accept").len(), 0);
    service.stop();
}

#[test]
fn what_is_put_off_or_given_up_is_told_with_the_upstreams_words() {
    let faults = || Options { faults: vec![Fault::say(Phase::Rcpt, "451 4.2.0 not today")], ..Options::default() };
    let service = Service::start_with(&Setting { sink: faults, ..Setting::default() });
    service.add_credential();
    let sent = send(&service, &["--to", "b@example.org", "--wait", "3s"]);
    assert!(!sent.status.success() && said(&sent).contains("deferred by sink: 451 4.2.0 not today"), "{}", said(&sent));
    assert!(said(&sent).contains("again at") && said(&sent).contains("on its way still"), "{}", said(&sent));
    service.stop();
}

#[test]
fn what_waits_because_its_route_lets_nobody_in_is_told_with_the_reason() {
    let faults =
        || Options { faults: vec![Fault::say(Phase::Greeting, "421 4.3.2 closed for today")], ..Options::default() };
    let service = Service::start_with(&Setting { sink: faults, ..Setting::default() });
    service.add_credential();
    let sent = send(&service, &["--to", "b@example.org", "--wait", "3s"]);
    assert!(!sent.status.success() && said(&sent).contains("closed for today"), "{}", said(&sent));
    let sent = send(&service, &["--to", "b@example.org", "--wait", "1s", "--json"]);
    let text = String::from_utf8(sent.stdout).unwrap();
    let routes = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let routes: Vec<_> = routes.filter(|line| line["event"] == "route").collect();
    assert_eq!(routes.len(), 1, "{text}");
    assert!(routes[0]["route"]["said"].as_str().unwrap().contains("closed for today"), "{text}");
    service.stop();
}
