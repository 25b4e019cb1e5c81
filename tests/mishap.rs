//! Claims: after a restore or a loss, the steps of `docs/operations.md` lead back to a log that is sealed and verifies, with
//! what was lost declared in it for ever, and mail flows all the while.

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use support::auditor::{python, said, verifier};
use support::verdict::{ALTERED, ERASED, GAP, SOUND, alone, assert_mail_flows, state, verify};
use support::{CREDENTIAL, Service, gatepost, processes};

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    said(output)
}

fn python_verify(service: &Service) -> (Option<i32>, String) {
    let (audit, key) = (state(service).join("audit"), state(service).join("seal/log.vkey"));
    let output = python(&[&verifier(), audit.to_str().unwrap(), "--key", key.to_str().unwrap()]);
    (output.status.code(), said(&output))
}

/// Declares a loss and gives the event that says so.
fn resume(service: &Service, why: &str) -> String {
    let told = done(&service.command(&["audit", "resume", "--accept-loss", why]));
    assert!(told.contains("exit code 15"), "{told}");
    told.split("--known-gap ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned()
}

/// The log is sealed to its end, says what was given up and why, and goes on to say it; who knows of it is left alone.
fn assert_declared(service: &mut Service, gap: &str, why: &str) {
    let told = verify(service, &[], GAP);
    assert!(told.contains(&format!("declared gap: event {gap} says")) && told.contains(why), "{told}");
    assert!(verify(service, &["--known-gap", gap], SOUND).contains("which is known"));
    let again = service.command(&["audit", "resume", "--accept-loss", "again"]);
    assert!(!again.status.success() && said(&again).contains("nothing to resume"), "{}", said(&again));
    let event = done(&service.command(&["audit", "show", gap]));
    assert!(event.contains("audit.resume") && event.contains(why), "{event}");
    service.end();
    assert!(verify(service, &[], GAP).contains(why));
    let (code, told) = python_verify(service);
    assert_eq!(code, Some(GAP), "{told}");
    service.start_again();
}

/// How `gatepost status` ends, and what it says is in the way.
fn obstacles(service: &Service) -> (Option<i32>, Value) {
    let output = service.command(&["status", "--json"]);
    let mut object: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    (output.status.code(), object["obstacles"].take())
}

#[test]
fn other_modes_of_its_files_stop_no_vault() {
    let _alone = alone();
    let service = Service::start();
    let secret = service.add_credential();
    assert_mail_flows(&service, &secret, "before");
    // All of them are there.
    verify(&service, &[], SOUND);
    let vault = processes::children(service.pid())["vault"];
    for folder in ["db", "audit"] {
        let entries = fs::read_dir(state(&service).join(folder)).unwrap().map(|entry| entry.unwrap().path());
        for file in entries.filter(|path| path.extension().is_some_and(|ending| ending == "db")) {
            fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        }
    }
    assert_mail_flows(&service, &secret, "after");
    verify(&service, &[], SOUND);
    assert_eq!(processes::children(service.pid())["vault"], vault, "{}", service.log());
}

#[test]
fn after_a_restore_the_sealer_refuses_until_the_loss_is_declared_and_mail_flows() {
    let _alone = alone();
    let mut service = Service::start();
    let secret = service.add_credential();
    assert_mail_flows(&service, &secret, "before the backup");
    let backup = service.folder.path().join("backup");
    let mut command = gatepost();
    done(&command.arg("backup").arg(&backup).arg("--config").arg(service.config()).output().unwrap());
    assert_mail_flows(&service, &secret, "after the backup");
    verify(&service, &[], SOUND);
    let kept = service.folder.path().join("kept.note");
    fs::write(&kept, service.command(&["audit", "checkpoint"]).stdout).unwrap();
    service.end();

    // As "Restore" says.
    let mut command = gatepost();
    command.arg("restore").arg(&backup).args(["--aside", "--fallback-ids", "--config"]).arg(service.config());
    done(&command.output().unwrap());
    let from = service.log().len();
    service.start_again();
    service.await_log(from, "the sealer refused the head");
    done(&service.command(&["queue", "reconcile"]));
    done(&service.command(&["queue", "release", "--all"]));
    assert!(verify(&service, &[], ALTERED).contains("the sealer's last head"));
    assert!(done(&service.command(&["audit", "query"])).contains("sealer.refused"));
    assert_mail_flows(&service, &secret, "unsealed");
    assert_eq!(obstacles(&service), (Some(3), json!(["sealer"])), "mail is taken, and nothing of it is signed");
    let doctor = service.command(&["doctor", "--offline", "--fallback-ids"]);
    let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(
        told.contains("mail is taken, and nothing signs the audit log") && doctor.status.code() == Some(1),
        "{told}"
    );
    assert!(!told.contains("the service runs as process"), "it is not well besides: {told}");

    // As "The audit log after a mishap" says.
    let refused = service.command(&["audit", "resume"]);
    assert!(!refused.status.success() && said(&refused).contains("--accept-loss"), "{}", said(&refused));
    let why = "restored from the backup of the morning";
    let gap = resume(&service, why);
    assert_eq!(obstacles(&service), (Some(0), json!([])));
    assert_declared(&mut service, &gap, why);
    // A head of what is declared lost is none of another history.
    let told = verify(&service, &["--against", kept.to_str().unwrap()], GAP);
    assert!(told.contains("1 heads that were kept elsewhere are of what was given up"), "{told}");
    assert_mail_flows(&service, &secret, "after all");
    verify(&service, &["--known-gap", &gap], SOUND);
    service.stop();
}

#[test]
fn a_database_that_alone_was_restored_loses_nothing_of_the_log_and_there_is_nothing_to_declare() {
    let _alone = alone();
    let mut service = Service::start();
    let secret = service.add_credential();
    assert_mail_flows(&service, &secret, "before");
    service.end();
    // An orderly stop leaves one file, which is all of it.
    assert!(!state(&service).join("db/vault.db-wal").exists());
    let old = service.folder.path().join("vault.db");
    copy(&state(&service).join("db/vault.db"), &old);
    service.start_again();
    assert_mail_flows(&service, &secret, "after");
    verify(&service, &[], SOUND);
    service.end();

    fs::remove_file(state(&service).join("db/vault.db")).unwrap();
    copy(&old, &state(&service).join("db/vault.db"));
    let from = service.log().len();
    service.start_again();
    service.await_log(from, "the database was behind the auditors' files");
    verify(&service, &[], SOUND);
    assert!(done(&service.command(&["audit", "query"])).contains("store.recovered"));
    let refused = service.command(&["audit", "resume", "--accept-loss", "nothing"]);
    assert!(!refused.status.success() && said(&refused).contains("nothing to resume"), "{}", said(&refused));
    assert_mail_flows(&service, &secret, "after all");
    service.stop();
}

#[test]
fn lost_slots_of_the_sealer_are_declared_with_a_head_that_was_kept_elsewhere() {
    let _alone = alone();
    let mut service = Service::start();
    let secret = service.add_credential();
    assert_mail_flows(&service, &secret, "before");
    verify(&service, &[], SOUND);
    service.end();
    let kept = service.folder.path().join("kept.note");
    fs::write(&kept, service.command(&["audit", "checkpoint"]).stdout).unwrap();
    for slot in ["head.0", "head.1"] {
        fs::write(state(&service).join("seal").join(slot), b"").unwrap();
    }
    let from = service.log().len();
    service.start_again();
    service.await_log(from, "the sealer has lost what it signed");
    assert_mail_flows(&service, &secret, "unsealed");
    let words = ["audit", "resume", "--accept-loss", "the disk of seal/ died", "--head", kept.to_str().unwrap()];
    let told = done(&service.command(&words));
    assert!(told.contains("nothing of the"), "{told}");
    let gap = told.split("--known-gap ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
    assert_declared(&mut service, &gap, "the disk of seal/ died");
    assert_mail_flows(&service, &secret, "after all");
    service.stop();
}

#[test]
fn auditors_files_that_are_older_than_the_vault_are_put_aside_and_what_is_in_none_is_declared() {
    let _alone = alone();
    let mut service = Service::start();
    let secret = service.add_credential();
    assert_mail_flows(&service, &secret, "yesterday");
    service.end();
    let (audit, old) = (state(&service).join("audit"), service.folder.path().join("yesterday"));
    copy(&audit, &old);
    service.start_again();
    assert_mail_flows(&service, &secret, "today");
    verify(&service, &[], SOUND);
    service.end();
    let kept = service.folder.path().join("kept.note");
    fs::write(&kept, service.command(&["audit", "checkpoint"]).stdout).unwrap();

    // By mistake.
    fs::remove_dir_all(&audit).unwrap();
    copy(&old, &audit);
    let from = service.log().len();
    service.start_again();
    service.await_log(from, "events can't be moved to the auditors' files");
    assert_mail_flows(&service, &secret, "unpublished");
    // What was there is not there any more, whatever waits behind it.
    assert!(verify(&service, &[], ALTERED).contains("they were removed"));
    let told = saved(&service, "older", &["vault.db", "audit.db"]);
    assert!(told.contains("the newest events are in vault.db alone: ") && told.contains("lack events"), "{told}");
    // What is shown lacks what waits.
    for words in [&["audit", "query"][..], &["digest"], &["incident", CREDENTIAL, "--look"]] {
        let told = service.command(words);
        let is_shown = !told.stdout.is_empty() && said(&told).contains("events are missing between the end");
        assert!(
            told.status.code() == Some(1) && is_shown && !said(&told).contains("Conversion"),
            "{words:?}: {}",
            said(&told)
        );
    }
    let refused = service.command(&["audit", "resume", "--accept-loss", "too early"]);
    assert!(!refused.status.success() && said(&refused).contains("move that file out"), "{}", said(&refused));

    // As "Lost files of audit/" says.
    service.end();
    let aside = service.folder.path().join("aside.db");
    fs::rename(audit.join("audit.db"), &aside).unwrap();
    service.start_again();
    let told = verify(&service, &[], ERASED);
    assert!(told.contains("the log begins with event"), "{told}");
    let why = "audit/ was restored from yesterday's backup by mistake";
    let gap = resume(&service, why);
    assert_declared(&mut service, &gap, why);
    assert!(verify(&service, &[], GAP).contains("are in no file any more"));
    // The tree has lost nothing.
    let told = verify(&service, &["--against", kept.to_str().unwrap()], GAP);
    assert!(told.contains("kept.note"), "{told}");
    let key = state(&service).join("seal/log.vkey");
    let words = ["audit", "verify", "--key", key.to_str().unwrap(), "--directory"];
    let output = gatepost().args(words).arg(&aside).output().unwrap();
    assert!(output.status.success(), "what was put aside verifies by itself: {}", said(&output));
    assert_mail_flows(&service, &secret, "after all");
    verify(&service, &["--known-gap", &gap], SOUND);

    // It excuses that hole and no other.
    service.end();
    let file = rusqlite::Connection::open(audit.join("audit.db")).unwrap();
    file.execute("DELETE FROM event WHERE seq = (SELECT max(seq) FROM event)", []).unwrap();
    drop(file);
    verify(&service, &[], ALTERED);
}

/// Takes a backup, which has these files of the databases and ends with 1. Gives what it says that it lacks.
fn saved(service: &Service, name: &str, has: &[&str]) -> String {
    let place = service.folder.path().join(name);
    let output = service.command(&["backup", place.to_str().unwrap()]);
    let told = said(&output);
    assert!(output.status.code() == Some(1) && told.contains("the copy has all mail"), "{told}");
    assert!(!told.contains("Conversion"), "words of ours alone: {told}");
    let manifest = fs::read_to_string(place.join("manifest.json")).unwrap();
    for file in ["vault.db", "audit.db"] {
        let is_there = has.contains(&file);
        assert_eq!(
            (place.join(file).exists(), manifest.contains(&format!("\"{file}\""))),
            (is_there, is_there),
            "{told}"
        );
    }
    told
}

#[test]
fn a_current_file_that_is_damaged_in_its_middle_is_called_so_and_moved_away() {
    let _alone = alone();
    let mut service = Service::start();
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    for n in 0..40 {
        assert_eq!(session.send(&format!("whole {n}")), 250);
    }
    drop(session);
    verify(&service, &[], SOUND);
    let current = state(&service).join("audit/audit.db");
    let whole = fs::read(&current).unwrap();
    fs::OpenOptions::new().write(true).open(&current).unwrap().set_len(20_000).unwrap();
    let added = service.command(&["suppress", "add", "gone@example.org"]);
    assert!(added.status.success(), "{}", said(&added));
    assert!(saved(&service, "cut", &["vault.db"]).contains("audit.db: is damaged: "));
    fs::write(&current, whole).unwrap();
    service.end();
    let mut octets = fs::read(&current).unwrap();
    octets[4096 * 6..4096 * 9].fill(0xa5);
    fs::write(&current, octets).unwrap();

    let advice = "with the service stopped, move this one file away";
    let from = service.log().len();
    service.start_again();
    assert_mail_flows(&service, &secret, "over a damaged file");
    let from = service.await_log(from, "events can't be moved to the auditors' files");
    assert!(service.log()[..from].contains(&format!("audit.db: is damaged: {advice}")), "{}", service.log());
    let refused = service.command(&["audit", "resume", "--accept-loss", "too early"]);
    assert!(!refused.status.success() && said(&refused).contains(advice), "{}", said(&refused));
    for words in [&["audit", "query"][..], &["audit", "verify"]] {
        let told = service.command(words);
        assert!(!told.status.success() && said(&told).contains(advice), "{words:?}: {}", said(&told));
    }

    // As "A damaged audit.db" says.
    service.end();
    fs::rename(&current, service.folder.path().join("damaged.db")).unwrap();
    service.start_again();
    let told = verify(&service, &[], ERASED);
    assert!(told.contains("the log begins with event"), "{told}");
    let why = "audit.db was damaged by the disk";
    let gap = resume(&service, why);
    assert_declared(&mut service, &gap, why);
    assert_mail_flows(&service, &secret, "after all");
    verify(&service, &["--known-gap", &gap], SOUND);
    service.stop();
}
