//! Claims: `gatepost queue reconcile` and `gatepost queue import` end nobody who waits by what the log says of others, or of before he
//! waited: mail that came back from an archive stays, and so does what was taken after somebody else was refused. Who was given up stays
//! so when another recipient of the message comes back, and what came from an archive and is lost is named.

mod support;

use std::fs;
use std::process::Output;

use gatepost::sink::{Act, Fault, Options, Phase};
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

fn with_backup(service: &Service, command: &str, more: &[&str]) {
    let mut all = gatepost();
    all.arg(command).arg(service.folder.path().join("backup")).args(more).arg("--config").arg(service.config());
    done(&all.output().unwrap());
}

/// Loses the machine behind a backup, and restores that on it; gives what reconcile says with these words beside.
fn lose(service: &mut Service, words: &[&str]) -> Value {
    with_backup(service, "backup", &[]);
    lose_behind_it(service, words)
}

/// The same, with the backup that is there.
fn lose_behind_it(service: &mut Service, words: &[&str]) -> Value {
    service.end();
    with_backup(service, "restore", &["--aside", "--fallback-ids"]);
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
    // What an upstream is being told of stays.
    support::await_that("it was tried", || {
        !service.command(&["audit", "query", "--event", "deliver.defer", "--json"]).stdout.is_empty()
    });
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
fn what_came_from_an_archive_behind_the_backup_is_named_as_lost_until_it_comes_again() {
    let (mut service, archive) = exported();
    with_backup(&service, "backup", &[]);
    let import = ["queue", "import", &archive, "--fallback-ids"];
    done(&service.command(&import));
    service.await_sound("the import is under a signed head");
    let sum = lose_behind_it(&mut service, &[]);
    let lost = sum["lost"].as_array().unwrap();
    assert_eq!(lost.len(), 1, "{sum}");
    assert_eq!((&lost[0]["imported"], &lost[0]["ended"]), (&true.into(), &0.into()), "{sum}");
    assert_eq!(lost[0]["recipients"].as_array().map(Vec::len), Some(1), "{sum}");
    let told = done(&service.command(&["queue", "reconcile"]));
    assert!(told.contains("1 messages were taken in by queue import after the backup and are lost"), "{told}");
    done(&service.command(&import));
    let sum = told_by(&service);
    assert_eq!((&sum["lost"], &sum["left"]["messages"]), (&serde_json::json!([]), &1.into()), "{sum}");
    service.stop();
}

/// A message to this one and to one for whom it is put off. Gives the reply to the first.
fn sent_to_two(service: &Service, secret: &str, first: &str) -> u16 {
    let mut session = service.log_in(secret);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    let said = session.say(&format!("RCPT TO:<{first}>"));
    assert_eq!(session.say("RCPT TO:<later@example.org>"), 250);
    assert_eq!(session.say("DATA"), 354);
    assert_eq!(session.say("From: a@example.net\r\nSubject: kept\r\n\r\nx\r\n."), 250);
    said
}

fn told_by(service: &Service) -> Value {
    told(service, &["queue", "reconcile"])
}

#[test]
fn who_was_given_up_stays_so_when_another_of_the_same_message_comes_back() {
    fn sink() -> Options {
        let refuse = vec![("later@".to_owned(), LATER.to_owned())];
        Options { refuse, faults: vec![Fault::at(Phase::Dot, Act::Swallow)], ..Options::default() }
    }
    let more = "[spool]\nretry = [\"1h\"]".into();
    let mut service = Service::start_with(&Setting { sink, more, ..Setting::default() });
    let secret = service.add_credential();
    done(&service.command(&["credential", "set", CREDENTIAL, "--on-unknown", "hold"]));
    assert_eq!(sent_to_two(&service, &secret, "unknown@example.org"), 250);
    support::await_that("nobody knows of the first one", || {
        !service.command(&["audit", "query", "--event", "queue.hold", "--json"]).stdout.is_empty()
    });
    with_backup(&service, "backup", &[]);
    done(&service.command(&["queue", "drop", "--held", "--all", "--yes"]));
    let archive = service.folder.path().join("queue.tar").display().to_string();
    done(&service.command(&["queue", "export", "--drop", "--yes", "--out", &archive, "--fallback-ids"]));
    done(&service.command(&["queue", "import", &archive, "--fallback-ids"]));
    service.await_sound("all of it is under a signed head");
    let sum = lose_behind_it(&mut service, &[]);
    assert_eq!((&sum["ended"]["recipients"], &sum["left"]["recipients"]), (&1.into(), &1.into()), "{sum}");
    assert_eq!(sum["lost"], serde_json::json!([]), "{sum}");
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
    assert_eq!(sent_to_two(&service, &secret, "bad@example.org"), 550);
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

/// A service whose upstream is paused, and takes nobody who is bad.
fn paused(sink: fn() -> Options) -> (Service, String) {
    let service = Service::start_with(&Setting { sink, ..Setting::default() });
    let secret = service.add_credential();
    done(&service.command(&["route", "pause", "sink"]));
    (service, secret)
}

fn sent_to(service: &Service, secret: &str, recipients: &[&str]) {
    let mut session = service.log_in(secret);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    recipients.iter().for_each(|to| assert_eq!(session.say(&format!("RCPT TO:<{to}>")), 250));
    assert_eq!(session.say("DATA"), 354);
    assert_eq!(session.say("From: a@example.net\r\nSubject: kept\r\n\r\nx\r\n."), 250);
}

fn events(service: &Service, name: &str) -> Vec<Value> {
    let output = service.command(&["audit", "query", "--event", name, "--json"]);
    said(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Delivers what waits behind the backup, and loses the machine when so many recipients have ended; what is left of it is what auditors
/// see. Gives what reconcile says.
fn lose_after(service: &mut Service, event: &str, ended: usize) -> Value {
    with_backup(service, "backup", &[]);
    done(&service.command(&["route", "resume", "sink"]));
    support::await_that("they have ended", || events(service, event).len() >= ended);
    service.await_sound("all of it is under a signed head");
    let copy = service.folder.path().join("copy");
    fs::create_dir(&copy).unwrap();
    fs::copy(service.folder.path().join("state/audit/audit.db"), copy.join("audit.db")).unwrap();
    lose_behind_it(service, &["--audit", copy.to_str().unwrap()])
}

fn quarantined(service: &Service) -> usize {
    said(&service.command(&["queue", "list", "--state", "quarantined", "--json"])).lines().count()
}

#[test]
fn however_many_whom_the_log_shows_alike_end_together_and_who_cannot_be_told_apart_is_released_by_his_message_alone() {
    fn sink() -> Options {
        let refuse = vec![("bad@".to_owned(), "550 5.1.1 nobody".to_owned()), ("later@".to_owned(), LATER.to_owned())];
        Options { refuse, ..Options::default() }
    }
    let (mut service, secret) = paused(sink);
    let many: Vec<String> = (0..21).map(|n| format!("r{n}@many.example")).collect();
    sent_to(&service, &secret, &many.iter().map(String::as_str).collect::<Vec<_>>());
    sent_to(&service, &secret, &["good@mix.example", "bad@mix.example"]);
    sent_to(&service, &secret, &["one@part.example", "later@part.example"]);
    let sum = lose_after(&mut service, "deliver.success", 23);
    assert_eq!((&sum["ended"]["recipients"], &sum["ended"]["messages"]), (&23.into(), &2.into()), "{sum}");
    assert_eq!((&sum["unclear"], &sum["left"]["recipients"]), (&2.into(), &2.into()), "{sum}");
    // One of the two has it, and nobody can say which.
    let drops = events(&service, "queue.drop");
    let data: Vec<&Value> = drops.iter().map(|event| &event["data"]).collect();
    let mixed = serde_json::json!({ "delivered": 1, "failed": 1, "may_be_delivered": true });
    assert!(data.contains(&&mixed), "{drops:?}");
    assert!(data.contains(&&serde_json::json!({ "delivered": 21, "failed": 0 })), "{drops:?}");
    let released = told(&service, &["queue", "release", "--all"]);
    assert_eq!((&released["recipients"], quarantined(&service)), (&0.into(), 1), "{released}");
    service.stop();
}

#[test]
fn who_may_have_got_it_behind_the_backup_is_quarantined_where_his_credential_holds_such_mail() {
    fn sink() -> Options {
        Options { faults: vec![Fault::at(Phase::Dot, Act::Swallow)], ..Options::default() }
    }
    let (mut service, secret) = paused(sink);
    done(&service.command(&["credential", "set", CREDENTIAL, "--on-unknown", "hold"]));
    sent_to(&service, &secret, &["unknown@example.org"]);
    let sum = lose_after(&mut service, "queue.hold", 1);
    assert_eq!(
        (&sum["doubtful"], &sum["unclear"], &sum["ended"]["recipients"]),
        (&1.into(), &0.into(), &0.into()),
        "{sum}"
    );
    let released = told(&service, &["queue", "release", "--all"]);
    assert_eq!((&released["recipients"], quarantined(&service)), (&0.into(), 1), "{released}");
    service.stop();
}

#[test]
fn what_went_into_an_archive_behind_the_backup_comes_back_from_it_after_the_restore() {
    let (mut service, secret) = paused(Options::default);
    sent_to(&service, &secret, &["exported@example.org"]);
    with_backup(&service, "backup", &[]);
    let archive = service.folder.path().join("queue.tar").display().to_string();
    done(&service.command(&["queue", "export", "--drop", "--yes", "--out", &archive, "--fallback-ids"]));
    service.await_sound("the export is under a signed head");
    let sum = lose_behind_it(&mut service, &[]);
    assert_eq!((&sum["ended"]["recipients"], &sum["left"]["recipients"]), (&1.into(), &0.into()), "{sum}");
    let drops = events(&service, "queue.drop");
    assert!(drops.len() == 1 && drops[0]["reason"] == "exported", "{drops:?}");
    let back = told(&service, &["queue", "import", &archive, "--fallback-ids"]);
    assert_eq!((&back["messages"], quarantined(&service)), (&1.into(), 0), "{back}");
    service.stop();
}

#[test]
fn a_database_that_alone_was_set_back_offers_nothing_again_that_its_log_has_as_delivered() {
    fn sink() -> Options {
        let once = Fault { connection: Some(0), ..Fault::say(Phase::Rcpt, LATER) };
        let refuse = vec![("later@".to_owned(), LATER.to_owned())];
        Options { refuse, faults: vec![once], ..Options::default() }
    }
    let more = "[spool]\nretry = [\"1h\"]".into();
    let mut service = Service::start_with(&Setting { sink, more, ..Setting::default() });
    let secret = service.add_credential();
    sent_to(&service, &secret, &["snap@example.org"]);
    support::await_that("it was put off", || events(&service, "deliver.defer").len() == 1);
    sent_to(&service, &secret, &["later@example.org"]);
    support::await_that("both were put off", || events(&service, "deliver.defer").len() == 2);
    service.end();
    let state = service.folder.path().join("state");
    let old = service.folder.path().join("vault.db");
    fs::copy(state.join("db/vault.db"), &old).unwrap();
    service.start_again();
    done(&service.command(&["queue", "retry", "--all"]));
    support::await_that("one was delivered", || events(&service, "deliver.success").len() == 1);
    service.await_sound("that is under a signed head");
    service.end();

    fs::copy(&old, state.join("db/vault.db")).unwrap();
    let from = service.log().len();
    service.start_again();
    service.await_log(from, "mail is held of which the auditors' files say that somebody has it");
    let held = events(&service, "queue.hold");
    assert!(held.len() == 1 && held[0]["reason"] == "from-files" && held[0]["data"]["messages"] == 1, "{held:?}");
    done(&service.command(&["queue", "release", "--all"]));
    // The other one waits as before.
    assert_eq!((told(&service, &["queue", "stats"])["all"]["messages"].as_u64(), quarantined(&service)), (Some(2), 1));
    let sum = told_by(&service);
    assert_eq!((&sum["ended"]["recipients"], &sum["left"]["recipients"]), (&1.into(), &0.into()), "{sum}");
    assert_eq!(told(&service, &["queue", "stats"])["all"]["messages"], 1);
    assert_eq!(events(&service, "deliver.success").len(), 1);
    service.stop();
}
