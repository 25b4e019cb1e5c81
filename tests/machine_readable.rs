//! Every command over the queue, the routes and a test of them says with `--json` what it did, in objects, one a line.

#[path = "support/commands.rs"]
mod commands;
mod support;

use gatepost::sink::{Fault, Options, Phase};
use serde_json::Value;
use support::{CREDENTIAL, Service, Setting, await_that};

/// The commands of the table, by those above them.
const GROUPS: [&str; 2] = ["queue", "route"];
const ALONE: [&str; 3] = ["send", "check", "upgrade"];

/// So that what was sent stays.
fn reluctant() -> Options {
    Options { faults: vec![Fault::say(Phase::Rcpt, "451 4.2.0 later")], ..Options::default() }
}

/// The objects that a command prints, which has done what it should.
fn objects(service: &Service, words: &[&str]) -> Vec<Value> {
    let output = service.command(&[words, &["--json"]].concat());
    let (text, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{words:?}: {text}{said}");
    let read = |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{words:?}: {line}"));
    let objects: Vec<Value> = text.lines().map(read).collect();
    assert!(!objects.is_empty() && objects.iter().all(Value::is_object), "{words:?}: {text}");
    objects
}

#[test]
fn no_command_over_the_queue_and_the_routes_is_without_json() {
    let mut seen = 0;
    for group in GROUPS {
        let help = commands::help(&[group.to_owned()]).unwrap();
        for name in commands::commands(&help).filter(|name| *name != "help") {
            let help = commands::help(&[group.to_owned(), name.to_owned()]).unwrap();
            assert!(commands::options(&help).any(|option| option == "json"), "gatepost {group} {name} has no --json");
            seen += 1;
        }
    }
    for name in ALONE {
        let help = commands::help(&[name.to_owned()]).unwrap();
        assert!(commands::options(&help).any(|option| option == "json"), "gatepost {name} has no --json");
    }
    assert!(seen >= 15, "{seen}: the help is read as it should be");
}

#[test]
fn each_of_them_prints_objects_and_nothing_else() {
    let more = "[spool]\nretry = [\"1h\"]".into();
    let mut service = Service::start_with(&Setting { sink: reluctant, more, ..Setting::default() });
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    for subject in ["one", "two", "three"] {
        assert_eq!(session.send(subject), 250);
    }
    await_that("all were put off", || {
        objects(&service, &["queue", "stats"])[0]["state"]["deferred"]["messages"].as_u64() == Some(3)
    });
    let listed = objects(&service, &["queue", "list"]);
    assert_eq!(listed.len(), 3);
    let id = listed[0]["message"].as_str().unwrap();
    assert_eq!(objects(&service, &["queue", "show", id])[0]["message"], id);

    let route = |words: &[&str]| objects(&service, &[&["route"], words].concat()).remove(0);
    let paused = route(&["pause", "sink", "--reason", "a look"]);
    assert_eq!(paused, serde_json::json!({ "upstream": "sink", "paused": true }));
    assert_eq!(route(&["status"])["state"], "paused");
    let resumed = route(&["resume", "sink"]);
    assert_eq!(resumed, serde_json::json!({ "upstream": "sink", "paused": false }));
    let tested = objects(&service, &["route", "test", "sink"]);
    assert_eq!(tested.last().unwrap()["passed"], true, "{tested:?}");
    let checked = objects(&service, &["check", "--connect", "--fallback-ids"]);
    assert_eq!(checked.last().unwrap()["passed"], true, "{checked:?}");

    for words in [
        &["retry", id][..],
        &["hold", "--message", id],
        &["release", "--message", id],
        &["hold", "--all"],
        &["drop", "--message", id],
        &["drop", "--credential", CREDENTIAL, "--held", "--yes"],
    ] {
        let done = &objects(&service, &[&["queue"], words].concat())[0];
        assert!(done["messages"].as_u64() > Some(0) && done["recipients"].is_u64(), "{words:?}: {done}");
    }
    // What is on offer at that moment would be left.
    route(&["pause", "sink"]);
    assert_eq!(session.send("four"), 250);
    let archive = service.folder.path().join("out.tar");
    let archive = archive.to_str().unwrap();
    let exported = objects(&service, &["queue", "export", "--drop", "--yes", "--out", archive]);
    assert_eq!(exported[0]["messages"], 1, "{exported:?}");
    assert_eq!(objects(&service, &["queue", "import", archive])[0]["messages"], 1);
    assert!(objects(&service, &["queue", "rekey", "--yes"])[0]["master"].is_string());
    let sent = ["send", "--to", "x@example.org", "--credential", CREDENTIAL, "--wait", "1s", "--json"];
    let sent = service.command(&sent);
    let text = String::from_utf8(sent.stdout).unwrap();
    assert!(!text.is_empty() && text.lines().all(|line| serde_json::from_str::<Value>(line).unwrap().is_object()));
    service.end();
}
