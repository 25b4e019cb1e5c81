//! Claim: of the database of a stopped service `audit verify` believes what signed heads and events bear out, and nothing else.

mod support;

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use support::auditor::{as_auditor, said};
use support::verdict::{ALTERED, ERASED, FORK, SOUND, UNREADABLE, UNSEALED, alone, assert_mail_flows, state, verify};
use support::{Service, await_that, gatepost, is_root, open_folder};

/// What whoever reads the files is told when the database has more.
const LEFT_BEHIND: &str = "events are not in the auditors' files, because the service was stopped or ended";

/// A reader that keeps the current file from being written to.
fn hold(service: &Service) -> rusqlite::Connection {
    let reader = rusqlite::Connection::open(state(service).join("audit/audit.db")).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    reader.query_row("SELECT count(*) FROM event", [], |_| Ok(())).unwrap();
    reader
}

/// What `verify` finds of a stopped service, which touches nothing of its database.
fn verify_stopped(service: &Service) -> (Option<i32>, String) {
    let database = || {
        let mut files: Vec<_> =
            fs::read_dir(state(service).join("db")).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        files.into_iter().map(|file| (fs::read(&file).unwrap(), file)).collect::<Vec<_>>()
    };
    let before = database();
    let output = service.command(&["audit", "verify"]);
    assert!(before == database(), "the database was touched");
    (output.status.code(), said(&output))
}

/// Orders an erasure that a reader delays, and gives the reader. News may be what the reader keeps out: then once more.
fn redact_behind_a_reader(service: &Service) -> rusqlite::Connection {
    let mut held = None;
    await_that("an erasure is ordered", || {
        held = None;
        verify(service, &[], SOUND);
        held = Some(hold(service));
        let output = service.command(&["audit", "redact", "--address", "b@example.org", "--ground", "case 7", "--yes"]);
        said(&output).contains("says that what")
    });
    held.unwrap()
}

#[test]
fn what_was_ordered_to_be_erased_when_the_service_ended_is_believed_as_far_as_an_event_says_it() {
    let _alone = alone();
    let mut service = Service::start();
    let secret = service.add_credential();
    assert_mail_flows(&service, &secret, "to be erased");
    let path = state(&service).join("db/vault.db");
    let edit = |sql: &str| {
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch(&format!("{sql}; PRAGMA wal_checkpoint(TRUNCATE)")).unwrap();
    };

    // The order and its event are in the database alone.
    let reader = redact_behind_a_reader(&service);
    service.end();
    drop(reader);
    let (code, told) = verify_stopped(&service);
    assert!(code == Some(UNSEALED) && told.contains("are what was signed"), "{code:?}: {told}");
    let connection = rusqlite::Connection::open(&path).unwrap();
    let order = "SELECT format('INSERT INTO audit_erasure(seq, event, data) VALUES(%d, %Q, %Q)', seq, event, data) \
                 FROM audit_erasure WHERE done = 0";
    let order: String = connection.query_row(order, [], |row| row.get(0)).unwrap();
    drop(connection);
    let whole = fs::read(&path).unwrap();
    edit("UPDATE audit_erasure SET data = replace(data, 'case 7', 'case 8')");
    let (code, told) = verify_stopped(&service);
    assert!(code == Some(ALTERED) && told.contains("no event says"), "{code:?}: {told}");
    fs::write(&path, &whole).unwrap();
    service.start_again();
    verify(&service, &[], SOUND);

    // The event is in the files, and the service ended before it noted that all is done.
    service.end();
    assert_eq!(verify_stopped(&service).0, Some(SOUND));
    assert!(!said(&service.command(&["audit", "query"])).contains(LEFT_BEHIND));
    edit(&order);
    let (code, told) = verify_stopped(&service);
    assert!(code == Some(UNSEALED) && told.contains("start the service"), "{code:?}: {told}");
    let whole = fs::read(&path).unwrap();
    for (sql, words) in [
        ("UPDATE audit_erasure SET seq = seq - 1", "no event says"),
        ("UPDATE audit_erasure SET seq = -1", "isn't what is written there"),
    ] {
        edit(sql);
        let (code, told) = verify_stopped(&service);
        assert!(code == Some(ALTERED) && told.contains(words), "{sql}: {code:?}: {told}");
        fs::write(&path, &whole).unwrap();
    }
    service.start_again();
    verify(&service, &[], SOUND);
    service.stop();
}

/// Holds a lock where SQLite has its own, until its input ends.
const LOCK: &str = "
import fcntl, sys
held = open(sys.argv[1], 'rb')
fcntl.lockf(held, fcntl.LOCK_SH, 1, 0x40000000 + 100)
sys.stdout.write('x')
sys.stdout.flush()
sys.stdin.read()
";

#[test]
fn what_a_reader_kept_from_being_published_is_proven_from_the_database_of_a_stopped_service() {
    let _alone = alone();
    let mut service = Service::start();
    let secret = service.add_credential();
    assert_mail_flows(&service, &secret, "published");
    verify(&service, &[], SOUND);
    let reader = hold(&service);
    assert_mail_flows(&service, &secret, "held back");
    service.end();
    drop(reader);
    let (code, told) = verify_stopped(&service);
    assert!(code == Some(UNSEALED) && told.contains("are what was signed"), "{code:?}: {told}");
    // Who reads the files is told that they are not all.
    let output = service.command(&["audit", "query", "--event", "daemon.stop"]);
    assert!(said(&output).contains(LEFT_BEHIND) && !said(&output).contains(" daemon.stop "), "{}", said(&output));
    assert_eq!(output.status.code(), Some(1), "what it shows is not all");
    // What was acknowledged and waits there is not missing.
    let acks = service.folder.path().join("log");
    verify(&service, &["--acks", acks.to_str().unwrap()], UNSEALED);

    // Whoever edits what waits there is found out.
    let path = state(&service).join("db/vault.db");
    let whole = fs::read(&path).unwrap();
    let edit = |sql: &str| {
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch(&format!("{sql}; PRAGMA wal_checkpoint(TRUNCATE)")).unwrap();
        drop(connection);
        let found = verify_stopped(&service);
        fs::write(&path, &whole).unwrap();
        found
    };
    let last = "(SELECT max(seq) FROM audit_event)";
    for sql in [
        format!("UPDATE audit_event SET reason = 'edited' WHERE seq = {last}"),
        format!("DELETE FROM audit_event WHERE seq = {last}"),
        "UPDATE audit_personal SET value = 'edited' WHERE seq = (SELECT max(seq) FROM audit_personal)".to_owned(),
    ] {
        let (code, told) = edit(&sql);
        assert!(
            code == Some(ALTERED) && told.contains("were removed") && told.contains("vault.db"),
            "{sql}: {code:?}: {told}"
        );
    }
    for (sql, expected, words) in [
        (
            "UPDATE audit_personal SET salt = NULL, value = NULL, shown = NULL, shown_salt = NULL",
            ERASED,
            "was erased before it was published",
        ),
        ("DROP TABLE audit_erasure", ALTERED, "no database of Gatepost's vault"),
        // Of an older Gatepost, which had none.
        ("DROP TABLE audit_erasure; PRAGMA user_version = 1", UNSEALED, "are what was signed"),
        (
            "ALTER TABLE audit_personal RENAME TO others; CREATE VIEW audit_personal AS SELECT * FROM others",
            ALTERED,
            "no database of Gatepost's vault",
        ),
        (
            "INSERT INTO audit_erasure(seq, event, data, done) VALUES(2, 'audit.redact', '{}', 0)",
            ALTERED,
            "no event says",
        ),
    ] {
        let (code, told) = edit(sql);
        assert!(code == Some(expected) && told.contains(words), "{sql}: {code:?}: {told}");
    }
    // Anybody can hold a lock on a file: that proves nothing.
    let mut held = Command::new("python3")
        .args(["-c", LOCK])
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is needed");
    held.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let gone = format!("DELETE FROM audit_event WHERE seq = {last}");
    assert_eq!(edit(&gone).0, Some(ALTERED));
    drop(held.stdin.take());
    held.wait().unwrap();
    // Nor is anything but a file waited for, or followed.
    let aside = path.with_extension("aside");
    fs::rename(&path, &aside).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
    let output = service.command(&["audit", "verify"]);
    assert!(output.status.code() == Some(ALTERED) && said(&output).contains("no regular file"), "{}", said(&output));
    fs::rename(&aside, &path).unwrap();
    service.start_again();
    verify(&service, &[], SOUND);

    // After a kill the newest is in the database's write-ahead log alone.
    // It is emptied after a second in which nothing was written, and what is newest is signed within one: the moment is looked for.
    let found = (1..=30).any(|number| {
        let reader = hold(&service);
        assert_mail_flows(&service, &secret, &format!("killed {number}"));
        std::thread::sleep(Duration::from_millis(50 * number));
        service.kill_all();
        drop(reader);
        let is_in_log = fs::metadata(path.with_extension("db-wal")).is_ok_and(|log| log.len() > 0);
        let (code, told) = verify_stopped(&service);
        assert!(code == Some(UNSEALED), "{code:?}: {told}");
        let is_signed = told.contains("are what was signed");
        if !(is_in_log && is_signed) {
            eprintln!("try {number}: in the log {is_in_log}, signed {is_signed}");
            service.start_again();
            verify(&service, &[], SOUND);
        }
        is_in_log && is_signed
    });
    assert!(found, "it was never both signed and in the write-ahead log");
    // That needs no room that others may take; and what a killed one left there goes. No process has that number.
    let left = state(&service).join("gatepost-verify-4194305-left");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("vault.db"), "a copy").unwrap();
    let verify_in = |folder: &str| {
        let mut verify = gatepost();
        verify.args(["audit", "verify", "--config"]).arg(service.config()).env("TMPDIR", folder).output().unwrap()
    };
    let output = verify_in("/nonexistent");
    assert_eq!(output.status.code(), Some(UNSEALED), "{}", said(&output));
    let mut names = fs::read_dir(state(&service)).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.all(|name| !name.to_str().unwrap().starts_with("gatepost-verify")), "something is left");
    // Where others could take it away, it is copied elsewhere; and if that can't be, both folders are named.
    fs::set_permissions(state(&service), fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(verify_in(service.folder.path().to_str().unwrap()).status.code(), Some(UNSEALED));
    let output = verify_in("/nonexistent");
    assert!(output.status.code() == Some(UNREADABLE) && said(&output).contains("/nonexistent"), "{}", said(&output));
    fs::set_permissions(state(&service), fs::Permissions::from_mode(0o755)).unwrap();
    service.start_again();
    verify(&service, &[], SOUND);
    service.stop();
}

#[test]
fn a_log_whose_files_are_gone_is_no_log_that_has_not_begun() {
    let _alone = alone();
    let mut service = Service::start();
    verify(&service, &[], SOUND);
    service.end();
    assert_eq!(verify_stopped(&service).0, Some(SOUND));
    let (file, aside) = (state(&service).join("audit/audit.db"), service.folder.path().join("aside.db"));
    fs::rename(&file, &aside).unwrap();
    let (code, told) = verify_stopped(&service);
    assert!(code == Some(ALTERED) && told.contains("from a backup"), "{code:?}: {told}");
    fs::rename(&aside, &file).unwrap();
    service.start_again();
    verify(&service, &[], SOUND);
    service.stop();
}

#[test]
fn an_auditor_who_may_not_read_the_database_is_told_that_it_would_decide_and_root_what_it_decides() {
    let _alone = alone();
    let mut service = Service::start();
    open_folder(service.folder.path());
    let secret = service.add_credential();
    verify(&service, &[], SOUND);
    let file = state(&service).join("audit/audit.db");
    let old = fs::read(&file).unwrap();
    assert_mail_flows(&service, &secret, "published");
    verify(&service, &[], SOUND);
    let note = service.folder.path().join("kept.note");
    fs::write(&note, service.command(&["audit", "checkpoint"]).stdout).unwrap();
    service.end();
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &old).unwrap();
    let output = service.command(&["audit", "verify", "--against", note.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(FORK), "{}", said(&output));
    let program = service.folder.path().join("gatepost");
    fs::copy(gatepost().get_program(), &program).unwrap();
    let key = fs::read_to_string(state(&service).join("seal/log.vkey")).unwrap();
    let config = service.config();
    let words = ["audit", "verify", "--config", config.to_str().unwrap(), "--key", key.trim(), "--against"];
    let words = [&words[..], &[note.to_str().unwrap()]].concat();
    if is_root() {
        let output = as_auditor(&service, program.to_str().unwrap(), &words);
        assert!(
            output.status.code() == Some(UNSEALED) && said(&output).contains("can't be judged"),
            "{:?}: {}",
            output.status,
            said(&output)
        );
    }
    fs::write(&file, whole).unwrap();
    service.start_again();
    verify(&service, &["--against", note.to_str().unwrap()], SOUND);
    service.stop();
}
