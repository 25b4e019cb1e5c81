//! Claims: `gatepost queue reconcile` and `gatepost queue import` end nobody who waits by what the log says of others, or of before he
//! waited: mail that came back from an archive stays, and so does what was taken after somebody else was refused.

mod support;

use std::fs;
use std::process::Output;

use gatepost::sink::{Fault, Options, Phase};
use serde_json::Value;
use support::programs::said;
use support::{CREDENTIAL, PATIENCE, Service, Setting, gatepost};

/// What the upstream says of who is to wait.
const LATER: &str = "451 4.2.0 not today";

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    said(output)
}

fn told(service: &Service, words: &[&str]) -> Value {
    let output = service.command(&[words, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{words:?}: {}", said(&output)))
}

/// Loses the machine behind a backup, and restores that on it; gives what reconcile says with these words beside.
fn lose(service: &mut Service, words: &[&str]) -> Value {
    let backup = service.folder.path().join("backup");
    let config = service.config();
    let run = |command: &str, more: &[&str]| {
        let mut all = gatepost();
        all.arg(command).arg(&backup).args(more).arg("--config").arg(&config);
        done(&all.output().unwrap());
    };
    run("backup", &[]);
    service.end();
    run("restore", &["--aside", "--fallback-ids"]);
    service.start_again();
    told(service, &[&["queue", "reconcile"], words].concat())
}

/// A service with a message that waits, and goes into an archive of that name.
fn exported() -> (Service, String) {
    let sink = || Options { faults: vec![Fault::say(Phase::Rcpt, LATER)], ..Options::default() };
    let more = "[spool]\nretry = [\"1h\"]".into();
    let service = Service::start_with(&Setting { sink, more, ..Setting::default() });
    let secret = service.add_credential();
    assert_eq!(service.log_in(&secret).send("comes back"), 250);
    let archive = service.folder.path().join("queue.tar").display().to_string();
    done(&service.command(&["queue", "export", "--drop", "--yes", "--out", &archive, "--fallback-ids"]));
    (service, archive)
}

#[test]
fn what_went_into_an_archive_and_came_back_waits_after_a_restore_as_before() {
    let (mut service, archive) = exported();
    done(&service.command(&["queue", "import", &archive, "--fallback-ids"]));
    let sum = lose(&mut service, &[]);
    assert_eq!((&sum["left"]["messages"], &sum["ended"]["messages"]), (&1.into(), &0.into()), "{sum}");
    service.stop();
}

#[test]
fn what_went_into_an_archive_before_the_backup_and_comes_back_behind_the_restore_waits() {
    let (mut service, archive) = exported();
    let sum = lose(&mut service, &[]);
    assert_eq!(sum["left"]["messages"], 0, "{sum}");
    done(&service.command(&["queue", "import", &archive, "--fallback-ids"]));
    let sum = told(&service, &["queue", "reconcile"]);
    let waits = told(&service, &["queue", "stats"]);
    assert_eq!((&sum["ended"]["messages"], &waits["all"]["messages"]), (&0.into(), &1.into()), "{sum} {waits}");
    service.stop();
}

#[test]
fn whom_the_upstream_refused_before_the_message_was_taken_ends_nobody_who_waits() {
    fn sink() -> Options {
        let first = |line: &str, after| Fault { connection: Some(0), after, ..Fault::say(Phase::Rcpt, line) };
        let faults = vec![first(LATER, 1), first("550 5.1.1 nobody", 0), Fault::say(Phase::Rcpt, LATER)];
        Options { faults, ..Options::default() }
    }
    let more = "[spool]\nretry = [\"1h\"]".into();
    let mut service = Service::start_with(&Setting { sink, more, ..Setting::default() });
    let secret = service.add_credential();
    done(&service.command(&["credential", "set", CREDENTIAL, "--delivery", "fallback"]));
    let mut session = service.log_in(&secret);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    assert_eq!(session.say("RCPT TO:<bad@example.org>"), 550);
    assert_eq!(session.say("RCPT TO:<later@example.org>"), 250);
    assert_eq!(session.say("DATA"), 354);
    assert_eq!(session.say("From: a@example.net\r\nSubject: kept\r\n\r\nx\r\n."), 250);
    drop(session);
    support::await_that("the refused one is in the log", || {
        !service.command(&["audit", "query", "--event", "deliver.bounce", "--json"]).stdout.is_empty()
    });

    // What is exported can be taken in again, although the log has an end of the same message.
    let archive = service.folder.path().join("queue.tar");
    let archive = archive.to_str().unwrap();
    let transfer = |words: &[&str]| {
        let mut command = gatepost();
        command.arg("queue").args(words).args(["--json", "--fallback-ids", "--config"]).arg(service.config());
        let output = command.output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap_or_else(|_| panic!("{words:?}: {}", said(&output)))
    };
    let given = transfer(&["export", "--drop", "--yes", "--out", archive]);
    assert_eq!(given["dropped"], 1, "{given}");
    let back = transfer(&["import", archive]);
    assert_eq!(back["messages"], 1, "{back}");

    // By what auditors see alone both recipients look the same.
    let copy = service.folder.path().join("copy");
    fs::create_dir(&copy).unwrap();
    let state = service.folder.path().join("state");
    done(&service.command(&["audit", "verify"]));
    let deadline = std::time::Instant::now() + PATIENCE;
    while !service.command(&["audit", "verify", "--json"]).status.success() {
        assert!(std::time::Instant::now() < deadline);
    }
    fs::copy(state.join("audit/audit.db"), copy.join("audit.db")).unwrap();
    let sum = lose(&mut service, &["--audit", copy.to_str().unwrap()]);
    assert_eq!((&sum["left"]["messages"], &sum["ended"]["messages"]), (&1.into(), &0.into()), "{sum}");
    service.stop();
}
