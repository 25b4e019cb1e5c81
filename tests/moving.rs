//! Claims: mail that waits can be moved from one gate to another, whole, while either runs and while it is stopped; nobody gets a
//! message twice because its archive is taken in twice, and what is no archive of an export is taken in by nobody.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Output;

use gatepost::sink::{Act, Fault, Options, Phase};
use serde_json::Value;
use support::{CREDENTIAL, PATIENCE, Service, Setting, await_that};

fn queue(service: &Service, words: &[&str]) -> Output {
    let mut command = support::gatepost();
    command.arg("queue").args(words).args(["--fallback-ids", "--config"]).arg(service.config());
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The object that a command prints.
fn told(service: &Service, words: &[&str]) -> Value {
    let output = queue(service, &[words, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{words:?}: {}", said(&output)))
}

fn listed(service: &Service) -> Vec<Value> {
    let output = queue(service, &["list", "--json"]);
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn events(service: &Service, name: &str) -> Vec<Value> {
    let output = service.command(&["audit", "query", "--event", name, "--json"]);
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn archive(service: &Service, name: &str) -> (PathBuf, String) {
    let path = service.folder.path().join(name);
    let text = path.to_str().unwrap().to_owned();
    (path, text)
}

/// An upstream that takes nobody now.
fn reluctant() -> Options {
    Options { faults: vec![Fault::say(Phase::Rcpt, "451 4.2.0 not today")], ..Options::default() }
}

fn full() -> Service {
    let more = "[spool]\nretry = [\"1h\"]".into();
    Service::start_with(&Setting { sink: reluctant, more, ..Setting::default() })
}

/// A body that is too long for a row.
fn long() -> String {
    (0..3000).map(|n| format!("line {n} of a message that has a file of its own\r\n")).collect()
}

/// One short message, and one long one to two recipients with wishes, both put off.
fn fill(service: &Service) {
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    assert_eq!(session.send("short"), 250);
    assert_eq!(session.say("EHLO client.example"), 250);
    assert_eq!(session.say("MAIL FROM:<a@example.net> RET=HDRS ENVID=QQ1"), 250);
    assert_eq!(session.say("RCPT TO:<c@example.org> NOTIFY=NEVER"), 250);
    assert_eq!(session.say("RCPT TO:<d@example.org> NOTIFY=FAILURE ORCPT=rfc822;d@example.org"), 250);
    assert_eq!(session.say("DATA"), 354);
    assert_eq!(session.say(&format!("From: a@example.net\r\nSubject: long\r\n\r\n{}.", long())), 250);
    await_that("both were put off", || {
        let all = listed(service);
        all.len() == 2 && all[0]["states"]["deferred"] == 1 && all[1]["states"]["deferred"] == 2
    });
}

/// What arrived at its upstream with this subject.
fn arrived(service: &Service, subject: &str) -> (Vec<String>, String) {
    loop {
        let received = service.sink.next(PATIENCE).expect("a message");
        let text = String::from_utf8(received.content).unwrap();
        if text.contains(&format!("Subject: {subject}\r\n")) {
            return (received.recipients, text);
        }
    }
}

#[test]
fn a_queue_moves_to_another_gate_with_ids_states_and_wishes_and_arrives_once() {
    let old = full();
    fill(&old);
    let (path, file) = archive(&old, "queue.tar");
    let ids: Vec<Value> = listed(&old).iter().map(|one| one["message"].clone()).collect();

    // Where nobody can know that it is kept nothing is given up, and a slip of the hand overwrites nothing.
    assert!(!queue(&old, &["export", "--drop"]).status.success());
    assert!(!queue(&old, &["export", "--drop", "--out", "-"]).status.success());
    let moved = told(&old, &["export", "--drop", "--yes", "--out", &file, "--reason", "a new machine"]);
    assert_eq!((moved["messages"].as_u64(), moved["recipients"].as_u64()), (Some(2), Some(3)), "{moved}");
    assert_eq!((moved["dropped"].as_u64(), moved["left"].as_array().unwrap().len()), (Some(2), 0), "{moved}");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(said(&queue(&old, &["export", "--out", &file])).contains("exists already"));
    await_that("nothing of it is left", || listed(&old).is_empty());
    let left: Vec<_> = fs::read_dir(old.folder.path().join("state/db")).unwrap().map(|file| file.unwrap()).collect();
    assert!(!left.iter().any(|file| file.file_name().to_string_lossy().starts_with("body-")), "{left:?}");
    let (begun, given): (Vec<_>, Vec<_>) =
        events(&old, "queue.export").into_iter().partition(|event| event["reason"] == "begun");
    assert!(begun.iter().all(|event| event["outcome"] == "info" && event["actor"].is_string()), "{begun:?}");
    assert!(!begun.is_empty() && given.len() == 2 && given[0].to_string().contains("a new machine"), "{given:?}");
    let dropped = events(&old, "queue.drop");
    assert!(dropped.len() == 2 && dropped.iter().all(|event| event["reason"] == "exported"), "{dropped:?}");

    let mut new = Service::start();
    let refused = told(&new, &["import", &file]);
    assert_eq!((refused["messages"].as_u64(), refused["left"].as_array().unwrap().len()), (Some(0), 2));
    assert!(refused.to_string().contains("there is no credential"), "{refused}");
    new.add_credential();
    let output = queue(&new, &["import", &file, "--reason", "a new machine"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("taken in: 2 messages, 3 recipients; 2 of them are held"), "{}", said(&output));
    let waiting = listed(&new);
    assert_eq!(waiting.iter().map(|one| one["message"].clone()).collect::<Vec<_>>(), ids, "they keep their ids");
    assert!(waiting.iter().all(|one| one["states"]["held"].as_u64().is_some()), "{waiting:?}");
    let shown = told(&new, &["show", ids[1].as_str().unwrap(), "--clear"]);
    let (one, other) = (&shown["recipients"][0], &shown["recipients"][1]);
    assert_eq!(
        (one["attempts"].as_u64(), one["code"].as_u64(), one["said"].as_str()),
        (Some(1), Some(451), Some("not today"))
    );
    assert_eq!((one["route"].as_str(), other["attempts"].as_u64()), (Some("sink"), Some(1)), "{shown}");

    // Again: it is there, and when it was delivered it is not there any more, and is not taken in either.
    let again = told(&new, &["import", &file]);
    assert!(again["messages"] == 0 && again.to_string().matches("in this queue already").count() == 2, "{again}");
    assert!(queue(&new, &["release", "--all"]).status.success());
    assert!(queue(&new, &["retry", "--all"]).status.success());
    let (to, text) = arrived(&new, "long");
    assert_eq!(to, ["c@example.org", "d@example.org"]);
    assert!(text.ends_with(&long()), "{} octets", text.len());
    await_that("all is delivered", || listed(&new).is_empty());
    let again = told(&new, &["import", &file]);
    assert!(again["messages"] == 0 && again.to_string().matches("as delivered to").count() == 2, "{again}");
    let taken = events(&new, "queue.import");
    assert!(taken.len() == 2 && taken[0]["msg_id"] == ids[0], "{taken:?}");
    assert!(taken[1]["data"].to_string().contains("a new machine"), "{taken:?}");

    // Also when the queue has forgotten it: the audit log has not.
    new.end();
    let database = rusqlite::Connection::open(new.folder.path().join("state/db/vault.db")).unwrap();
    database.execute_batch("PRAGMA foreign_keys=ON; DELETE FROM spool_msg").unwrap();
    drop(database);
    let again = told(&new, &["import", &file]);
    assert!(again["messages"] == 0 && again.to_string().matches("as delivered to").count() == 2, "{again}");
    old.stop();
}

#[test]
fn stopped_gates_give_and_take_too_and_what_was_given_away_can_come_back() {
    let mut service = full();
    fill(&service);
    service.end();
    let (copy, file) = archive(&service, "copy.tar");
    let given = told(&service, &["export", "--out", &file]);
    assert_eq!((given["messages"].as_u64(), given["dropped"].as_u64()), (Some(2), Some(0)), "{given}");
    assert_eq!(listed(&service).len(), 2, "a copy leaves them there");
    let piped = queue(&service, &["export"]);
    assert!(piped.status.success() && piped.stdout.len() as u64 == fs::metadata(&copy).unwrap().len());
    let (_, moved) = archive(&service, "moved.tar");
    assert_eq!(told(&service, &["export", "--drop", "--yes", "--out", &moved])["dropped"].as_u64(), Some(2));
    assert!(listed(&service).is_empty());
    assert!(queue(&service, &["export"]).stdout.len() == 1024, "an archive of nothing");

    // What is no whole archive, or was changed, is not taken in.
    let whole = fs::read(&copy).unwrap();
    let (broken, broken_file) = archive(&service, "broken.tar");
    let refused = |octets: &[u8], why: &str| {
        fs::write(&broken, octets).unwrap();
        let output = queue(&service, &["import", &broken_file]);
        assert!(!output.status.success() && said(&output).contains(why), "{why}: {}", said(&output));
    };
    refused(&whole[..whole.len() - 1024], "it has no end");
    refused(&whole[..whole.len() / 2], "it has no end");
    refused(b"From: a@example.net\r\n", "it has no end");
    let mut changed = whole.clone();
    let at = changed.windows(9).position(|part| part == b"line 1234").unwrap();
    changed[at] = b'L';
    fs::write(&broken, &changed).unwrap();
    let one_of_two = told(&service, &["import", &broken_file]);
    assert_eq!(one_of_two["messages"].as_u64(), Some(1), "{one_of_two}");
    assert!(one_of_two["left"][0]["reason"].as_str().unwrap().contains("SHA-256"), "{one_of_two}");

    // The other one comes back from the archive, and is delivered by its own time.
    let back = told(&service, &["import", &moved, "--release"]);
    assert_eq!((back["messages"].as_u64(), back["released"].as_u64()), (Some(1), Some(1)), "{back}");
    let waiting = listed(&service);
    assert_eq!(waiting.len(), 2);
    assert!(waiting[0]["states"]["held"].is_number() && waiting[1]["states"]["deferred"].is_number(), "{waiting:?}");
    service.restart();
    let shown = told(&service, &["show", waiting[1]["message"].as_str().unwrap()]);
    assert_eq!(shown["recipients"][0]["route"].as_str(), Some("sink"), "the start gives it a route: {shown}");
    assert!(queue(&service, &["retry", waiting[1]["message"].as_str().unwrap()]).status.success());
    await_that("it is tried again", || {
        told(&service, &["show", waiting[1]["message"].as_str().unwrap()])["recipients"][0]["attempts"].as_u64()
            == Some(2)
    });
    assert!(service.command(&["audit", "verify"]).status.success());
    assert!(!queue(&service, &["export", "--credential", "nobody"]).status.success());
    let (_, third) = archive(&service, "third.tar");
    assert_eq!(told(&service, &["export", "--credential", CREDENTIAL, "--out", &third])["messages"].as_u64(), Some(2));
    service.stop();
}

/// Changes words in an archive for others that are as long: what is around them stays where it is.
fn change(archive: &PathBuf, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let mut whole = fs::read(archive).unwrap();
    let at = whole.windows(from.len()).position(|part| part == from.as_bytes()).expect("it is in the archive");
    whole[at..at + to.len()].copy_from_slice(to.as_bytes());
    fs::write(archive, whole).unwrap();
}

#[test]
fn who_got_it_here_gets_it_not_again_from_an_archive_that_has_another_as_delivered() {
    let old = full();
    fill(&old);
    let (path, file) = archive(&old, "queue.tar");
    let id = listed(&old)[1]["message"].as_str().unwrap().to_owned();
    assert_eq!(told(&old, &["export", "--message", &id, "--out", &file])["messages"].as_u64(), Some(1));
    // As if the other gate had delivered it to the first one.
    change(&path, "\"state\": \"deferred\"", "\"state\":\"delivered\"");
    let mut new = Service::start();
    new.add_credential();
    assert_eq!(told(&new, &["import", &file, "--release"])["recipients"].as_u64(), Some(1));
    assert!(queue(&new, &["retry", "--all"]).status.success());
    assert_eq!(arrived(&new, "long").0, ["d@example.org"]);
    await_that("it is delivered", || listed(&new).is_empty());
    new.end();
    let database = rusqlite::Connection::open(new.folder.path().join("state/db/vault.db")).unwrap();
    database.execute_batch("PRAGMA foreign_keys=ON; DELETE FROM spool_msg").unwrap();
    drop(database);
    let again = told(&new, &["import", &file, "--release"]);
    assert!(again["messages"] == 0 && again.to_string().contains("as delivered to 1 of"), "{again}");
    old.stop();
}

#[test]
fn what_the_rules_of_a_credential_forbid_stays_in_the_archive_and_one_that_is_disabled_sends_nothing() {
    let old = full();
    fill(&old);
    let (_, file) = archive(&old, "queue.tar");
    assert_eq!(told(&old, &["export", "--out", &file])["messages"].as_u64(), Some(2));
    let mut new = Service::start();
    new.add_credential();
    let set = |new: &Service, words: &[&str]| {
        let output = new.command(&[&["credential"], words].concat());
        assert!(output.status.success(), "{}", said(&output));
    };
    set(&new, &["set", CREDENTIAL, "--recipient-allow", "n@example.org", "--max-size", "50000"]);
    for runs in [true, false] {
        let refused = told(&new, &["import", &file, "--release"]);
        assert!(refused["messages"] == 0 && refused.to_string().matches("give --regardless").count() == 2, "{refused}");
        if runs {
            new.end();
        }
    }
    new.restart();
    set(&new, &["set", CREDENTIAL, "--recipient-allow", "@example.org"]);
    set(&new, &["disable", CREDENTIAL]);
    let taken = told(&new, &["import", &file, "--release", "--regardless"]);
    assert_eq!((taken["messages"].as_u64(), taken["released"].as_u64()), (Some(2), Some(0)), "{taken}");
    assert!(listed(&new).iter().all(|one| one["states"]["held"].is_number()));
    let event = events(&new, "queue.import")[1].to_string();
    assert!(event.contains("not asked") && event.contains("disabled or over"), "{event}");
    new.stop();
    old.stop();
}

#[test]
fn an_export_that_failed_leaves_nothing_that_the_next_one_trips_over() {
    let mut service = full();
    fill(&service);
    service.end();
    let (path, file) = archive(&service, "queue.tar");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(said(&queue(&service, &["export", "--out", &file])).contains("exists already"), "anybody may read it");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(told(&service, &["export", "--out", &file])["messages"].as_u64(), Some(2));
    // A row that can't be read keeps nobody from the other one, and the running vault lives.
    let database = rusqlite::Connection::open(service.folder.path().join("state/db/vault.db")).unwrap();
    database.execute_batch("UPDATE spool_msg SET ended = 4294967296 WHERE id = 1").unwrap();
    drop(database);
    for name in ["stopped.tar", "running.tar"] {
        let (_, file) = archive(&service, name);
        let given = told(&service, &["export", "--out", &file]);
        assert_eq!(given["messages"].as_u64(), Some(1), "{given}");
        assert!(given["left"][0]["reason"].as_str().unwrap().contains("damaged"), "{given}");
        if name == "stopped.tar" {
            service.restart();
        }
    }
    let log = service.stop();
    assert!(!log.contains("the vault ends"), "{log}");
}

/// An export that is ended by the first octet that is too many for a file; `ignores`: that is an error of its write instead.
fn export_to_a_full_file(service: &Service, file: &str, ignores: bool) -> Output {
    let trap = if ignores { "trap '' XFSZ; " } else { "" };
    // 64 KiB: less than the long message, and more than what is written to the database before it.
    let line = format!("{trap}ulimit -c 0; ulimit -f 128; exec \"$@\"");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &line, "sh"]).arg(support::gatepost().get_program());
    command
        .args(["queue", "export", "--drop", "--yes", "--out", file, "--fallback-ids", "--config"])
        .arg(service.config());
    command.output().unwrap()
}

#[test]
fn an_export_that_fails_or_dies_gives_up_nothing_and_holds_nothing() {
    let mut service = full();
    fill(&service);
    let is_as_before = || {
        let all = listed(&service);
        all.len() == 2 && all[0]["states"]["deferred"] == 1 && all[1]["states"]["deferred"] == 2
    };
    // The long message has no room in it.
    let (path, file) = archive(&service, "full.tar");
    let failed = export_to_a_full_file(&service, &file, true);
    assert!(!failed.status.success() && said(&failed).contains("offered again"), "{}", said(&failed));
    assert!(!path.exists(), "a part of an archive is worth nothing");
    await_that("all is offered again", is_as_before);
    let (_, file) = archive(&service, "killed.tar");
    let killed = export_to_a_full_file(&service, &file, false);
    assert!(killed.status.code().is_none(), "it ends by a signal: {}", said(&killed));
    await_that("all is offered again", is_as_before);
    let mut told = events(&service, "queue.export");
    told.retain(|event| event["reason"] != "begun");
    assert!(
        told.len() == 4 && told.iter().all(|event| event["outcome"] == "failure" && event["reason"] == "not-written"),
        "{told:?}"
    );
    assert!(events(&service, "queue.drop").is_empty());

    // The same by its database, which has no more room than the archive then: the next start does it.
    service.end();
    let (_, file) = archive(&service, "stopped.tar");
    let failed = export_to_a_full_file(&service, &file, true);
    assert!(!failed.status.success() && said(&failed).contains("offered again"), "{}", said(&failed));
    service.restart();
    let all = listed(&service);
    assert!(all.len() == 2 && all[0]["states"]["deferred"] == 1 && all[1]["states"]["deferred"] == 2, "{all:?}");
    let (_, file) = archive(&service, "whole.tar");
    let moved = self::told(&service, &["export", "--drop", "--yes", "--out", &file]);
    assert_eq!(moved["dropped"].as_u64(), Some(2), "{moved}");
    service.stop();
}

#[test]
fn what_may_have_been_delivered_and_was_given_up_does_not_come_again_from_an_older_archive() {
    let silent = || Options { faults: vec![Fault::at(Phase::Dot, Act::Close)], ..Options::default() };
    for by_itself in [true, false] {
        let mut service = Service::start_with(&Setting { sink: silent, ..Setting::default() });
        let secret = service.add_credential();
        let run = |words: &[&str]| {
            let output = service.command(words);
            assert!(output.status.success(), "{words:?}: {}", said(&output));
        };
        let on_unknown = if by_itself { "drop" } else { "hold" };
        run(&["credential", "set", CREDENTIAL, "--on-unknown", on_unknown, "--reports", "none"]);
        run(&["route", "pause", "sink"]);
        assert_eq!(service.log_in(&secret).send("doubt"), 250);
        let (_, file) = archive(&service, "older.tar");
        assert_eq!(told(&service, &["export", "--out", &file])["messages"].as_u64(), Some(1));
        run(&["route", "resume", "sink"]);
        if by_itself {
            await_that("the gate gives it up", || listed(&service).is_empty());
        } else {
            await_that("the gate holds it", || listed(&service)[0]["states"]["quarantined"] == 1);
            // Somebody hears that it has arrived.
            assert!(queue(&service, &["drop", "--all", "--yes"]).status.success());
        }
        service.end();
        let database = rusqlite::Connection::open(service.folder.path().join("state/db/vault.db")).unwrap();
        database.execute_batch("PRAGMA foreign_keys=ON; DELETE FROM spool_msg").unwrap();
        drop(database);
        let again = told(&service, &["import", &file, "--release"]);
        assert!(again["messages"] == 0 && again.to_string().contains("or given up for them"), "{by_itself}: {again}");
    }
}
