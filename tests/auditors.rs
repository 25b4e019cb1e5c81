//! Claim: auditors read, prove and take away the log by themselves, while the service writes and after it was killed.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::auditor::{as_auditor, audit, count, python, run, said, select, verifier};
use support::smtp::Tls;
use support::{Service, Smtp, await_that, gatepost, is_root, open_folder, processes};

/// Sends messages until it is told to stop; gives how many.
fn send(mut session: Smtp<Tls>, stop: &AtomicBool) -> u64 {
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        assert_eq!(session.send(&format!("message {sent}")), 250);
        sent += 1;
    }
    sent
}

#[test]
fn another_user_of_the_group_reads_while_the_service_writes_and_can_do_nothing_else() {
    let service = Service::start();
    open_folder(service.folder.path());
    let secret = service.add_credential();
    await_that("there is a file to read", || count(&service).is_some());
    let (session, stop) = (service.log_in(&secret), AtomicBool::new(false));
    let sent = std::thread::scope(|scope| {
        let sender = scope.spawn(|| send(session, &stop));
        let (mut before, mut grown) = (0, 0);
        await_that("it was read while it grew", || {
            let now = count(&service).expect("reading beside the writer never fails");
            assert!(now >= before);
            grown += u32::from(now > before);
            before = now;
            grown >= 3
        });
        stop.store(true, Ordering::Relaxed);
        sender.join().unwrap()
    });
    run(&service, &["verify"]);
    let accepted = said(&select(&service, "SELECT count(*) FROM audit_v1 WHERE event = 'msg.accept'"));
    assert_eq!(accepted.trim(), sent.to_string());
    let file = audit(&service).join("audit.db");
    let write = as_auditor(&service, "sqlite3", &[file.to_str().unwrap(), "DELETE FROM event"]);
    let list = as_auditor(&service, "ls", &[service.folder.path().join("state/db").to_str().unwrap()]);
    if is_root() {
        assert!(!write.status.success(), "an auditor wrote: {}", said(&write));
        assert!(!list.status.success(), "an auditor saw the vault's files: {}", said(&list));
    }
    service.stop();
}

#[test]
fn a_killed_vault_is_replaced_and_its_files_are_read_again_at_once() {
    let service = Service::start();
    open_folder(service.folder.path());
    let secret = service.add_credential();
    for round in 0..3 {
        let mut session = service.log_in(&secret);
        for n in 0..20 {
            assert_eq!(session.send(&format!("{round} {n}")), 250);
        }
        let vault = processes::child(service.pid(), "vault");
        processes::signal(vault, Signal::SIGKILL);
        await_that("an auditor reads again", || count(&service).is_some());
        await_that("the log verifies again", || service.command(&["audit", "verify"]).status.success());
    }
    service.stop();
}

/// A writer of the auditors' file that dies in the middle of a transaction, as the vault may: part of it is in the file.
fn die_writing(file: &Path) {
    let mut writer = Command::new("sqlite3")
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sqlite3 is needed (Debian: sqlite3)");
    let sql = b"PRAGMA journal_mode=TRUNCATE; PRAGMA cache_spill=1; PRAGMA cache_size=1; BEGIN; \
        UPDATE event SET reason = 'half done'; UPDATE personal SET n = n + 1000; SELECT 'written';\n";
    writer.stdin.as_mut().unwrap().write_all(sql).unwrap();
    let heard = BufReader::new(writer.stdout.take().unwrap()).lines().any(|line| line.unwrap() == "written");
    assert!(heard, "the writer wrote");
    writer.kill().unwrap();
    writer.wait().unwrap();
    let journal = file.with_file_name("audit.db-journal");
    assert!(fs::metadata(journal).is_ok_and(|journal| journal.len() > 0), "it left a hot journal");
}

#[test]
fn after_everything_was_killed_in_the_middle_of_writing_a_reader_is_told_and_the_next_start_mends_it() {
    let mut service = Service::start();
    open_folder(service.folder.path());
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    for n in 0..100 {
        assert_eq!(session.send(&n.to_string()), 250);
    }
    run(&service, &["verify"]);
    let whole = count(&service).unwrap();
    service.kill_all();
    assert!(count(&service).is_some_and(|now| now >= whole), "killed between two transactions: readable as it is");
    die_writing(&audit(&service).join("audit.db"));
    let half = said(&select(&service, "SELECT count(*) FROM event WHERE reason = 'half done'"));
    if is_root() {
        assert!(half.contains("rror"), "half a transaction was shown: {half}");
        // As an auditor, who can't mend it either.
        let program = service.folder.path().join("gatepost");
        fs::copy(gatepost().get_program(), &program).unwrap();
        let words = ["audit", "query", "--directory", audit(&service).to_str().unwrap()].map(str::to_owned);
        let words = words.each_ref().map(String::as_str);
        let told = said(&as_auditor(&service, program.to_str().unwrap(), &words));
        assert!(told.contains("start the service, which mends it"), "{told}");
    }
    service.start_again();
    await_that("an auditor reads again", || count(&service).is_some_and(|now| now >= whole));
    let half = said(&select(&service, "SELECT count(*) FROM event WHERE reason = 'half done'"));
    assert_eq!(half.trim(), "0");
    service.await_sound("after the service mended its file");
    service.stop();
}

#[test]
fn proofs_heads_and_exports_are_checked_by_those_who_have_nothing_but_the_key() {
    let service = Service::start();
    let secret = service.add_credential();
    for subject in ["one", "two"] {
        service.log_in(&secret).send(subject);
    }
    run(&service, &["verify"]);
    let folder = service.folder.path();
    let place = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let key = place("state/seal/log.vkey");
    let head = run(&service, &["checkpoint"]);
    fs::write(place("head.note"), &head).unwrap();
    let size: u64 = head.lines().nth(1).unwrap().parse().unwrap();
    service.log_in(&secret).send("one more");
    run(&service, &["verify", "--head", &place("head.note")]);
    // A reader who has left changes nothing of the verdict; a disk that takes nothing is told.
    let verify = |stdout: Stdio| {
        let mut verify = gatepost();
        verify.args(["audit", "verify", "--config"]).arg(service.config()).stdout(stdout);
        let output = verify.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (left, gone) = std::io::pipe().unwrap();
    drop(left);
    assert_eq!(verify(gone.into()), (Some(0), String::new()));
    let (code, text) = verify(fs::File::options().write(true).open("/dev/full").unwrap().into());
    assert!(code == Some(1) && text.starts_with("gatepost: writing: "), "{code:?} {text}");
    assert_eq!(run(&service, &["checkpoint", "--at", &size.to_string()]), head);
    for (name, words) in [("new", &[][..]), ("old", &["--at", &size.to_string()][..])] {
        let (proof, entry) = (place(&format!("{name}.proof")), place(&format!("{name}.entry")));
        run(&service, &[&["prove", "3", "-o", &proof, "--entry", &entry], words].concat());
        let check = |proof: &str, entry: &str, key: &str| {
            let words = ["audit", "check-proof", proof, entry, "--key", key];
            let output = gatepost().args(words).current_dir("/").output().unwrap();
            (output.status.code(), said(&output))
        };
        let (code, text) = check(&proof, &entry, &key);
        assert!(code == Some(0) && text.contains("event 3 of gate.test.example/audit"), "{text}");
        let mut octets = fs::read(&entry).unwrap();
        *octets.last_mut().unwrap() ^= 1;
        fs::write(place(&format!("{name}.forged")), octets).unwrap();
        assert_eq!(check(&proof, &place(&format!("{name}.forged")), &key).0, Some(10));
        let text = fs::read_to_string(&proof).unwrap().replace("index 3", "index 4");
        fs::write(place(&format!("{name}.moved")), text).unwrap();
        assert_eq!(check(&place(&format!("{name}.moved")), &entry, &key).0, Some(10));
        let other = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        assert_eq!(check(&proof, &entry, other).0, Some(12));
        assert_eq!(check(&key, &entry, &key).0, Some(1), "no proof at all");
        let told = run(&service, &[&["prove", "3", "--json"], words].concat());
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["seq"], 3, "{told}");
        fs::write(place(&format!("{name}.again")), told["proof"].as_str().unwrap()).unwrap();
        assert_eq!(check(&place(&format!("{name}.again")), &entry, &key).0, Some(0));
        let again = service.command(&["audit", "prove", "3", "-o", &proof]);
        assert!(said(&again).contains("exists already"), "{}", said(&again));
    }
    for (format, name) in [("jsonl", "x.jsonl"), ("sqlite", "copy"), ("tiles", "tiles")] {
        let told = run(&service, &["export", "--format", format, "-o", &place(name), "--json"]);
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["recorded"], true, "{told}");
        if format != "tiles" {
            let output = python(&[&verifier(), "--key", &key, &place(name)]);
            assert!(output.status.success(), "{format}: {}", said(&output));
        }
    }
    run(&service, &["verify", "--directory", &place("copy"), "--key", &key]);
    let hidden: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!hidden.iter().any(|name| name.to_string_lossy().starts_with('.')), "a draft was left: {hidden:?}");
    let exports = run(&service, &["query", "--event", "audit.export", "--json"]);
    assert!(exports.lines().count() == 3 && exports.contains("\"actor\":\"uid "), "{exports}");
    let gone = service.command(&["audit", "show", "99999"]);
    assert!(gone.status.code() == Some(1) && said(&gone).contains("there is no event 99999"), "{}", said(&gone));
    service.stop();
}

fn follow(service: &Service) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut tail = gatepost()
        .args(["audit", "tail", "-f", "-n", "1", "--json", "--config"])
        .arg(service.config())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(tail.stdout.take().unwrap());
    (tail, out)
}

#[test]
fn tail_follows_and_ends_when_it_is_told_to_or_nobody_reads_on() {
    let service = Service::start();
    let secret = service.add_credential();
    run(&service, &["verify"]);
    for is_interrupted in [true, false] {
        let (mut tail, mut out) = follow(&service);
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        service.log_in(&secret).send("followed");
        while !line.contains("deliver.success") {
            line.clear();
            assert!(out.read_line(&mut line).unwrap() > 0, "it ended by itself");
        }
        if is_interrupted {
            kill(Pid::from_raw(i32::try_from(tail.id()).unwrap()), Signal::SIGINT).unwrap();
        } else {
            drop(out);
        }
        await_that("it ends", || tail.try_wait().unwrap().is_some_and(|status| status.success()));
        assert!(service.sink.next(Duration::from_secs(30)).is_some());
    }
    service.stop();
}

#[test]
fn a_file_that_is_newer_foreign_or_damaged_is_refused_with_what_to_do_and_left_alone() {
    let service = Service::start();
    run(&service, &["verify"]);
    let file = audit(&service).join("audit.db");
    let key = service.folder.path().join("state/seal/log.vkey");
    let whole = service.folder.path().join("whole.db");
    let output = Command::new("sqlite3").arg(&file).arg(format!("VACUUM INTO '{}'", whole.display())).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let tampered = |name: &str, sql: &str| {
        let copy = service.folder.path().join(name);
        fs::copy(&whole, &copy).unwrap();
        assert!(Command::new("sqlite3").arg(&copy).arg(sql).output().unwrap().status.success());
        copy
    };
    let newer = tampered("newer.db", "PRAGMA user_version=999");
    let foreign = tampered("foreign.db", "PRAGMA application_id=7");
    let damaged = service.folder.path().join("damaged.db");
    fs::write(&damaged, b"SQLite format 3\0 and then nothing that makes sense").unwrap();
    let text = service.folder.path().join("text.db");
    fs::write(&text, "not a database at all, but long enough to be looked at as one\n".repeat(20)).unwrap();
    for (path, why) in [
        (&newer, "read it with that version"),
        (&foreign, "is not an auditors' file"),
        (&damaged, "take a copy of it from a backup"),
        (&text, "take a copy of it from a backup"),
    ] {
        let before = fs::read(path).unwrap();
        for words in [&["query"][..], &["show", "0"], &["prove", "0"], &["checkpoint"], &["export"], &["tail"]] {
            let output = gatepost().arg("audit").args(words).arg("--directory").arg(path).output().unwrap();
            assert!(!output.status.success() && said(&output).contains(why), "{words:?}: {}", said(&output));
        }
        let words = [&verifier(), "--key", key.to_str().unwrap(), path.to_str().unwrap()];
        assert!(path == &newer || python(&words).status.code() == Some(2), "{path:?}");
        assert_eq!(fs::read(path).unwrap(), before, "{path:?}");
    }
    service.stop();
}
