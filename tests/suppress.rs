//! Claims: nothing is sent to an address on the list of suppressed ones, the client is told so, and the list is kept by commands that the
//! audit log has; it can be moved as a file.

mod support;

use std::fs;
use std::process::Output;

use gatepost::sink::{Fault, Options, Phase};
use serde_json::Value;
use support::{CREDENTIAL, PATIENCE, Service, Setting, await_that};

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn suppress(service: &Service, words: &[&str]) -> Output {
    service.command(&[&["suppress"], words].concat())
}

fn done(service: &Service, words: &[&str]) -> String {
    let output = suppress(service, words);
    assert!(output.status.success(), "{words:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn listed(service: &Service, words: &[&str]) -> Vec<Value> {
    let text = done(service, &[&["list", "--json"], words].concat());
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn events(service: &Service, name: &str) -> Vec<Value> {
    let output = service.command(&["audit", "query", "--event", name, "--json"]);
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_list_is_kept_by_commands_and_a_client_is_told_of_it_at_the_dot() {
    let mut service = Service::start();
    let secret = service.add_credential();
    assert!(done(&service, &["add", "Gone@example.org", "--note", "asked us", "--for", "30d"]).contains("1 addresses"));
    assert!(said(&suppress(&service, &["add", "x@example.org", "--credential", "nobody"])).contains("no credential"));
    let path = service.folder.path().join("list.csv");
    fs::write(&path, "address,reason\nann@example.org,complaint\nnobody,bounce\n").unwrap();
    let wrong = suppress(&service, &["import", path.to_str().unwrap()]);
    assert!(!wrong.status.success() && said(&wrong).contains("line 3"), "{}", said(&wrong));
    // More than fit into one command.
    let many: String = (0..150).map(|n| format!("user{n}@example.org\n")).collect();
    fs::write(&path, format!("address,reason\nann@example.org,complaint\n{many}")).unwrap();
    assert!(done(&service, &["import", path.to_str().unwrap(), "--reason", "bounce"]).contains("151 addresses"));
    done(&service, &["add", "own@example.org", "--credential", CREDENTIAL]);
    let all = listed(&service, &[]);
    assert_eq!(all.len(), 153);
    let ann = listed(&service, &["--address", "ANN@example.org"]);
    assert!(ann.len() == 1 && ann[0]["reason"] == "complaint" && ann[0]["expires"].is_null(), "{ann:?}");
    let own = listed(&service, &["--credential", CREDENTIAL]);
    assert!(own.len() == 1 && own[0]["address"] == "own@example.org", "{own:?}");
    let file = done(&service, &["export"]);
    assert!(file.lines().count() == 152 && file.contains("ann@example.org,complaint\n"), "{file}");

    let mut session = service.log_in(&secret);
    assert_eq!(session.say("EHLO client.example"), 250);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    assert_eq!(session.say("RCPT TO:<gone@example.org>"), 250);
    assert_eq!(session.say("RCPT TO:<own@example.org>"), 250);
    assert_eq!(session.say("DATA"), 354);
    assert_eq!(session.say("From: a@example.net\r\nSubject: s\r\n\r\nx\r\n."), 550);
    let refused = service.command(&["send", "--to", "gone@example.org"]);
    assert!(!refused.status.success() && said(&refused).contains("refused: suppressed"), "{}", said(&refused));

    // The list outlives a restart.
    service.end();
    service.restart();
    let refused = service.command(&["send", "--to", "gone@example.org"]);
    assert!(said(&refused).contains("refused: suppressed"), "{}", said(&refused));
    done(&service, &["remove", "gone@example.org", "--note", "is back"]);
    let again = suppress(&service, &["remove", "gone@example.org"]);
    assert!(!again.status.success() && said(&again).contains("not there: gone@example.org"), "{}", said(&again));
    // What is there still is named, and so is what was not there.
    done(&service, &["add", "own@example.org"]);
    let still = suppress(&service, &["remove", "own@example.org"]);
    let named = "there still: own@example.org manual since";
    assert!(
        still.status.success() && said(&still).contains(named) && said(&still).contains(CREDENTIAL),
        "{}",
        said(&still)
    );
    let half = suppress(&service, &["remove", "own@example.org", "none@example.org", "--credential", CREDENTIAL]);
    let told = said(&half);
    assert!(!half.status.success() && told.contains("not there: none@") && told.contains("1 addresses"), "{told}");
    // Whoever complained is not one who bounced for a while.
    fs::write(&path, "ann@example.org,bounce\nnew@example.org,bounce\n").unwrap();
    let over = done(&service, &["import", path.to_str().unwrap(), "--for", "1d", "--json"]);
    assert_eq!(over.trim(), r#"{"added":1,"changed":0,"kept":1}"#);
    let sent = service.command(&["send", "--to", "gone@example.org"]);
    assert!(sent.status.success(), "{}", said(&sent));
    assert_eq!(service.sink.next(PATIENCE).expect("it arrives").recipients, ["gone@example.org"]);
    let added = events(&service, "suppress.add");
    assert!(added[0]["reason"] == "manual" && added[0]["data"].to_string().contains("asked us"), "{:?}", added[0]);
    assert!(!added[0].to_string().to_lowercase().contains("gone@"), "auditors see no address: {:?}", added[0]);
    assert!(events(&service, "suppress.remove")[0]["data"].to_string().contains("is back"));
    assert!(events(&service, "suppress.view").len() == 4 && events(&service, "msg.reject").len() == 3);
    // A slip of the hand is no empty list, and a credential of whose mail nothing is kept is no slip.
    assert!(service.command(&["credential", "add", "idle", "--sender", "@example.net"]).status.success());
    for verb in ["list", "export"] {
        let slip = suppress(&service, &[verb, "--credential", "testr"]);
        assert!(!slip.status.success() && said(&slip).contains("did you mean \"tester\"?"), "{}", said(&slip));
        assert!(suppress(&service, &[verb, "--credential", "idle"]).status.success());
    }
    service.stop();
}

#[test]
fn hard_bounces_fill_it_where_that_is_configured() {
    let nobody =
        || Options { faults: vec![Fault::say(Phase::Rcpt, "550 5.1.1 nobody of that name")], ..Options::default() };
    let more = "[suppression]\nbounces = true\nafter = 1\nlifetime = \"7d\"".into();
    let service = Service::start_with(&Setting { sink: nobody, more, ..Setting::default() });
    service.add_credential();
    let failed = service.command(&["send", "--to", "b@example.org"]);
    assert!(!failed.status.success(), "{}", said(&failed));
    await_that("it is on the list", || listed(&service, &["--address", "b@example.org"]).len() == 1);
    let one = &listed(&service, &["--address", "b@example.org"])[0];
    assert!(one["reason"] == "bounce" && one["credential"] == CREDENTIAL && one["expires"].is_string(), "{one}");
    let refused = service.command(&["send", "--to", "b@example.org"]);
    assert!(said(&refused).contains("refused: suppressed"), "{}", said(&refused));
    service.stop();
}
