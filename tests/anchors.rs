//! Claim: signed heads of the log are kept outside of it, in files, in syslog, by mail and by a witness, and what was kept
//! shows what became of the log: also when the whole machine was set back.

mod support;

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use gatepost::merkle::anchor::{Found, MARK, find};
use gatepost::merkle::cosignature::{Cosigner, Said};
use gatepost::merkle::note::Verifier;
use support::programs::said;
use support::witness::Witness;
use support::{PATIENCE, Service, Setting, await_that};

const ORIGIN: &str = "gate.test.example/audit";
/// Exit codes of `audit anchor`.
const FAILED: i32 = 1;
const CONTRADICTED: i32 = 13;

fn vkey(service: &Service) -> Verifier {
    std::fs::read_to_string(service.folder.path().join("state/seal/log.vkey")).unwrap().parse().unwrap()
}

fn sqlite(file: &Path, sql: &str) -> String {
    let output = Command::new("sqlite3").args(["-cmd", ".timeout 5000"]).arg(file).arg(sql).output();
    let output = output.expect("sqlite3 is needed (Debian: sqlite3)");
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn audit(service: &Service, sql: &str) -> String {
    let file = service.folder.path().join("state/audit/audit.db");
    // It is made when the first events are published, and a service that was started a moment ago may be making it now.
    let tables = || Command::new("sqlite3").arg(&file).arg("SELECT count(*) FROM anchor_v1").output();
    await_that("the auditors' file is made", || file.exists() && tables().is_ok_and(|made| made.status.success()));
    sqlite(&file, sql)
}

/// Orders an anchor, insists on the code, and gives what was said.
fn anchor(service: &Service, words: &[&str], code: i32) -> String {
    let output = service.command(&[&["audit", "anchor"], words].concat());
    assert_eq!(output.status.code(), Some(code), "{words:?}: {}\n{}", said(&output), service.log());
    said(&output)
}

/// The note of a line, once the log's key has signed it; and its size.
fn verified(line: &str, key: &Verifier) -> (String, u64) {
    let Some(Found::Note(note)) = find(line, ORIGIN) else { panic!("no head in {line:?}") };
    let size = key.checkpoint(&note).unwrap().size;
    (note, size)
}

/// The log must extend a note that was kept.
fn assert_extends(service: &Service, note: &str) {
    let path = service.folder.path().join("kept.note");
    std::fs::write(&path, note).unwrap();
    let output = service.command(&["audit", "verify", "--head", path.to_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn a_head_goes_to_a_file_and_to_syslog_by_the_sealer_and_both_verify() {
    let folder = tempfile::tempdir().unwrap();
    let (file, socket) = (folder.path().join("heads"), folder.path().join("log"));
    std::fs::write(&file, "audit-anchor/1 torn").unwrap();
    let syslog = UnixDatagram::bind(&socket).unwrap();
    syslog.set_read_timeout(Some(PATIENCE)).unwrap();
    let more = format!(
        "[[anchor]]\nname = \"disk\"\nkind = \"file\"\npath = \"{}\"\n\
         [[anchor]]\nname = \"syslog\"\nkind = \"syslog\"\nsocket = \"{}\"\n",
        file.display(),
        socket.display()
    );
    let mut service = Service::start_with(&Setting { more, ..Setting::default() });
    let key = vkey(&service);
    let heads = || {
        let text = std::fs::read_to_string(&file).unwrap();
        let lines = text.lines().filter(|line| *line != "audit-anchor/1 torn");
        lines.map(|line| verified(line, &key)).collect::<Vec<_>>()
    };
    await_that("the first head is in the file", || !heads().is_empty());
    let mut octets = [0; 2048];
    let logged = loop {
        let length = syslog.recv(&mut octets).unwrap();
        let line = String::from_utf8(octets[..length].to_vec()).unwrap();
        assert!(line.starts_with("<29>gatepost[") && line.contains("]: sealer: "), "{line}");
        if line.contains(MARK) {
            break line;
        }
    };
    assert_extends(&service, &verified(&logged, &key).0);

    // Ordered, both are made at once if there is news, each tells of it, and the order is in the log.
    service.add_credential();
    let told = anchor(&service, &["--json"], 0);
    assert!(told.contains(r#""anchor":"disk","kind":"file","outcome":"kept""#), "{told}");
    assert!(told.contains(r#""anchor":"syslog","kind":"syslog","outcome":"kept""#), "{told}");
    assert_eq!(heads().len(), 2);
    anchor(&service, &["--to", "nowhere"], FAILED);
    await_that("auditors see the anchors", || {
        audit(&service, "SELECT group_concat(DISTINCT name) FROM anchor_v1").trim() == "disk,syslog"
    });
    let ordered = "SELECT count(*) FROM audit_v1 WHERE event = 'audit.anchor' AND actor IS NOT NULL";
    await_that("the order is in the log", || audit(&service, ordered).trim() == "2");

    // Nobody takes the lines any more: that is a failure, and the file goes on.
    drop(syslog);
    std::fs::remove_file(&socket).unwrap();
    let told = anchor(&service, &[], FAILED);
    assert!(told.contains("disk (file): keeps") && told.contains("syslog (syslog): FAILED"), "{told}");

    service.end();
    let heads = heads();
    let (note, size) = heads.last().unwrap();
    assert!(*size > 0 && heads.is_sorted_by_key(|(_, size)| *size));
    assert_extends(&service, note);
}

#[test]
fn a_head_goes_by_mail_and_the_note_in_it_is_the_one_that_was_signed() {
    let more =
        "[[anchor]]\nname = \"auditor\"\nkind = \"mail\"\nto = \"auditor@example.org\"\nfrom = \"gate@example.net\"\n";
    let service = Service::start_with(&Setting { more: more.into(), ..Setting::default() });
    let key = vkey(&service);
    let received = service.sink.next(PATIENCE).unwrap_or_else(|| panic!("no head comes by itself:\n{}", service.log()));
    let text = String::from_utf8(received.content).unwrap().replace("\r\n", "\n");
    let line = text.lines().find(|line| line.starts_with(MARK)).unwrap();
    let (note, size) = verified(line, &key);
    assert!(text.ends_with(&format!("\n\n{note}")), "{text}");
    let stored = format!("SELECT note FROM checkpoint WHERE size = {size}");
    await_that("the note is in the auditors' file", || !audit(&service, &stored).is_empty());
    assert_eq!(audit(&service, &stored).trim_end(), note.trim_end());
    assert_extends(&service, &note);
    // It is mail like any other in the log, and an anchor once it has arrived.
    let its_own = "SELECT count(DISTINCT event) FROM audit_v1 WHERE account = '(gate)' AND event IN ('msg.accept', 'deliver.success')";
    await_that("its acceptance and its delivery are in the log", || audit(&service, its_own).trim() == "2");
    await_that("auditors see the anchor", || {
        audit(
            &service,
            "SELECT count(*) FROM anchor_v1 a JOIN audit_v1 e ON e.msg_id = a.proof AND e.event = 'msg.accept'",
        )
        .trim()
            == "1"
    });
    let told = anchor(&service, &["--to", "auditor"], 0);
    assert!(told.contains("auditor (mail): keeps the head of"), "{told}");
    assert!(service.sink.next(PATIENCE).is_some());
    service.stop();
}

/// A service with a witness that does not know its log yet.
fn witnessed() -> (Witness, Service, tempfile::TempDir) {
    let witness = Witness::start();
    let folder = tempfile::tempdir().unwrap();
    let authorities = folder.path().join("ca.pem");
    std::fs::write(&authorities, &witness.pair.certificate).unwrap();
    let more = format!(
        "[[anchor]]\nname = \"w1\"\nkind = \"witness\"\nurl = \"https://localhost:{}/log/\"\nkey = \"{}\"\n\
         authorities_file = \"{}\"\n",
        witness.port,
        witness.vkey(),
        authorities.display()
    );
    let service = Service::start_with(&Setting { more, ..Setting::default() });
    (witness, service, folder)
}

#[test]
fn a_witness_cosigns_what_extends_its_last_head_and_sees_a_machine_that_was_set_back() {
    let (witness, mut service, _authorities) = witnessed();
    let state = service.folder.path().join("state");
    let old = service.folder.path().join("old");
    let copy = |from: &Path, to: &Path| {
        let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
        assert!(copied.success());
    };

    // It is asked by itself, and does not know this log.
    service.await_log(0, "it does not know this log");
    assert_eq!(witness.statuses(), [404]);
    let told = anchor(&service, &[], FAILED);
    assert!(told.contains("log.vkey"), "{told}");
    witness.state.lock().unwrap().log = Some(vkey(&service));
    let told = anchor(&service, &["--to", "w1"], 0);
    let size = witness.size();
    assert!(size > 0 && told.contains(&format!("w1 (witness): keeps the head of {size} events")), "{told}");

    // Its cosignature is in the note of the auditors' file, and that verifies.
    let note = format!("SELECT note FROM checkpoint WHERE size = {size}");
    await_that("auditors see the cosignature", || audit(&service, &note).contains("witness.test/w1"));
    let note = audit(&service, &note);
    let (text, lines) = note.split_once("\n\n").unwrap();
    let cosigner: Cosigner = witness.vkey().parse().unwrap();
    assert!(
        lines.lines().any(|line| cosigner.judge(&format!("{text}\n"), line) == Said::Seen(1_800_000_000)),
        "{note}"
    );
    let verdict = service.command(&["audit", "verify"]);
    assert!(verdict.status.success(), "{}", said(&verdict));

    // What the vault knows of the witness is lost: its 409 says where it stands, and it is shown a proof from there.
    service.end();
    sqlite(&state.join("db/vault.db"), "DELETE FROM audit_anchor");
    copy(&state, &old);
    witness.statuses();
    service.start_again();
    await_that("the witness moved on", || witness.size() > size);
    assert_eq!(witness.statuses()[..2], [409, 200]);
    // More events than the next start makes before it asks.
    for _ in 0..5 {
        anchor(&service, &[], 0);
    }
    let held = witness.size();
    service.end();
    witness.statuses();

    // The whole state is set back, the sealer's slots included: no other sees it.
    std::fs::remove_dir_all(&state).unwrap();
    copy(&old, &state);
    let from = service.log().len();
    service.start_again();
    service.await_log(from, "A WITNESS CONTRADICTS THE LOG");
    let alarm =
        "SELECT count(*) FROM audit_v1 WHERE event = 'integrity.failure' AND reason = 'rollback' AND severity = 1";
    await_that("the alarm is in the log", || audit(&service, alarm).trim() == "1");
    let asked = witness.statuses().len();
    let told = anchor(&service, &[], CONTRADICTED);
    assert!(told.contains("CONTRADICTS THE LOG"), "{told}");
    assert_eq!((witness.size(), asked), (held, 1), "it was asked once by itself and not moved");
    service.stop();
}

#[test]
fn a_witness_that_hangs_holds_up_neither_mail_nor_sealing() {
    let (witness, service, _authorities) = witnessed();
    witness.state.lock().unwrap().silent = true;
    witness.state.lock().unwrap().log = Some(vkey(&service));
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    for n in 0..3 {
        assert_eq!(session.send(&format!("meanwhile {n}")), 250);
    }
    service.await_arrival((0..3).map(|n| format!("meanwhile {n}")).collect());
    let verdict = service.command(&["audit", "verify"]);
    assert!(verdict.status.success(), "{}", said(&verdict));
    let told = anchor(&service, &[], FAILED);
    assert!(told.contains("did not answer within"), "{told}");
    witness.state.lock().unwrap().silent = false;
    anchor(&service, &[], 0);
    assert!(witness.size() > 0);
    service.stop();
}
