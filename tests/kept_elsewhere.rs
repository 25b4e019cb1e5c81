//! Claims: what others keep of the log shows what became of it: a signed head in a note, a mailbox or a system's log finds a
//! log that was set back and one that goes another way; and the service's own lines find a message that was acknowledged and
//! has no event, also when the vault says nothing of it.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::auditor::{python, said, verifier};
use support::{PATIENCE, Service, Setting, await_that};

/// Exit codes of `audit verify`.
const SOUND: i32 = 0;
const ALTERED: i32 = 10;
const SIGNATURE: i32 = 12;
const FORK: i32 = 13;

/// What somebody keeps on another machine.
struct Kept {
    note: PathBuf,
    mailbox: PathBuf,
    log: PathBuf,
}

impl Kept {
    fn all(&self) -> [&Path; 3] {
        [&self.note, &self.mailbox, &self.log]
    }
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// Waits until the log is sealed up to its end, insists on the code of a verification, and gives what it said.
fn verify(service: &Service, words: &[&str], code: i32) -> String {
    let words = [&["audit", "verify"], words].concat();
    let mut told = String::new();
    let verified = || {
        let output = service.command(&words);
        told = said(&output);
        // An end that is not sealed yet passes.
        assert!([Some(code), Some(14)].contains(&output.status.code()), "{words:?}: {:?}: {told}", output.status);
        output.status.code() == Some(code)
    };
    await_that("the log is sealed", verified);
    told
}

fn against(service: &Service, kept: &Path, code: i32) -> String {
    let told = verify(service, &["--against", kept.to_str().unwrap()], code);
    let name = kept.file_name().unwrap().to_str().unwrap();
    assert!(told.contains(name), "{name}: {told}");
    told
}

fn state(service: &Service) -> PathBuf {
    service.folder.path().join("state")
}

fn second_opinion(service: &Service, words: &[&str]) -> Output {
    let (audit, key) = (state(service).join("audit"), state(service).join("seal/log.vkey"));
    let first = [&verifier(), audit.to_str().unwrap(), "--key", key.to_str().unwrap()].map(str::to_owned);
    python(&first.iter().map(String::as_str).chain(words.iter().copied()).collect::<Vec<_>>())
}

/// Sets the whole state back, the sealer's slots included: what is left agrees with itself.
fn set_back(service: &mut Service, old: &Path) {
    fs::remove_dir_all(state(service)).unwrap();
    copy(old, &state(service));
    service.start_again();
}

#[test]
fn a_log_that_was_set_back_and_one_that_goes_another_way_are_found_by_a_note_a_mailbox_and_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let more = format!(
        "[[anchor]]\nname = \"auditor\"\nkind = \"mail\"\nto = \"auditor@example.org\"\nfrom = \"gate@example.net\"\n\
         [[anchor]]\nname = \"disk\"\nkind = \"file\"\npath = \"{}\"\n",
        folder.path().join("heads").display()
    );
    let mut service = Service::start_with(&Setting { more, ..Setting::default() });
    service.sink.next(PATIENCE).expect("a first head comes by itself");
    service.end();
    let old = folder.path().join("old");
    copy(&state(&service), &old);

    service.start_again();
    let secret = service.add_credential();
    assert_eq!(service.log_in(&secret).send("a message"), 250);
    service.await_arrival(vec!["a message".into()]);
    let kept = Kept {
        note: folder.path().join("kept.note"),
        mailbox: folder.path().join("kept.mbox"),
        log: folder.path().join("kept.log"),
    };
    let anchored = service.command(&["audit", "anchor"]);
    assert!(anchored.status.success(), "{}", said(&anchored));
    let mail = service.sink.next(PATIENCE).expect("the head comes by mail");
    let mail = String::from_utf8(mail.content).unwrap();
    fs::write(&kept.mailbox, format!("From gate@example.net Thu Nov 26 00:00:00 2026\r\n{mail}\r\n")).unwrap();
    let heads = fs::read_to_string(folder.path().join("heads")).unwrap();
    let lines: Vec<String> = heads.lines().map(|line| format!("Nov 26 00:00:00 gate gatepost[7]: {line}\n")).collect();
    fs::write(&kept.log, format!("Nov 26 00:00:00 gate cron[1]: noise\n{}", lines.concat())).unwrap();
    fs::write(&kept.note, service.command(&["audit", "checkpoint"]).stdout).unwrap();
    for path in kept.all() {
        against(&service, path, SOUND);
    }
    // What was kept is no log of its own: a changed line is told from a log that differs.
    let forged = folder.path().join("forged.note");
    let note = fs::read_to_string(&kept.note).unwrap();
    let size = note.lines().nth(1).unwrap();
    fs::write(&forged, note.replacen(size, &format!("1{size}"), 1)).unwrap();
    assert!(against(&service, &forged, SIGNATURE).contains("a signed head in"));
    service.end();

    set_back(&mut service, &old);
    assert!(verify(&service, &[], SOUND).contains("the log is sound"), "nothing here shows it");
    for path in kept.all() {
        against(&service, path, FORK);
    }
    // It grows beyond what was kept: no longer too short, but another history.
    let size: u64 = size.parse().unwrap();
    let mut names = 0..;
    await_that("it is longer than what was kept", || {
        let name = format!("another{}", names.next().unwrap());
        assert!(service.command(&["credential", "add", &name, "--sender", "@example.net"]).status.success());
        let head = service.command(&["audit", "checkpoint"]).stdout;
        let head = String::from_utf8(head).unwrap();
        head.lines().nth(1).is_some_and(|now| now.parse::<u64>().unwrap() > size)
    });
    for path in kept.all() {
        assert!(against(&service, path, FORK).contains("isn't the one of"));
    }
    service.end();
    let output = second_opinion(&service, &["--head", kept.note.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(FORK), "{}", said(&output));
}

#[test]
fn a_message_that_was_acknowledged_and_left_out_is_found_by_the_lines_of_the_vault_and_of_the_edge_alone() {
    let mut service = Service::start();
    let secret = service.add_credential();
    assert_eq!(service.log_in(&secret).send("first"), 250);
    service.await_arrival(vec!["first".into()]);
    service.end();
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old");
    copy(&state(&service), &old);

    service.start_again();
    assert_eq!(service.log_in(&secret).send("by SMTP"), 250);
    let body = serde_json::json!({ "from": "a@example.net", "to": "b@example.org", "subject": "by HTTP", "text": "x" });
    let body = body.to_string();
    let accepted = service.http(&format!(
        "POST /v1/send HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert!(accepted.starts_with("HTTP/1.1 202"), "{accepted}");
    service.await_arrival(vec!["by SMTP".into(), "by HTTP".into()]);
    let of = |role: &str, words: &str| -> PathBuf {
        let log = service.log();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(role) && line.contains(words)).collect();
        assert_eq!(lines.len(), 3, "one line for each message: {log}");
        let path = folder.path().join(format!("{role}.log"));
        fs::write(&path, lines.join("\n")).unwrap();
        path
    };
    let logs = [of("vault", "a message was accepted"), of("edge", "a message was acknowledged")];
    for log in &logs {
        verify(&service, &["--acks", log.to_str().unwrap()], SOUND);
    }
    service.end();

    // A log without the two messages, which agrees with itself and goes on after their time.
    set_back(&mut service, &old);
    verify(&service, &[], SOUND);
    for log in &logs {
        let told = verify(&service, &["--acks", log.to_str().unwrap()], ALTERED);
        assert!(told.contains("2 messages were acknowledged and have no event"), "{told}");
        // Who has the files alone can't know that the log ends where they do: the messages of the last day are left to later ones.
        let output = second_opinion(&service, &["--acks", log.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(SOUND), "{}", said(&output));
    }
    let none = folder.path().join("none.log");
    fs::write(&none, "INFO nothing of the kind\n").unwrap();
    assert!(verify(&service, &["--acks", none.to_str().unwrap()], 1).contains("of no message"));
    service.stop();
}
