//! Claims: on a full disk mail is refused for now (452) and nothing that was acknowledged is lost; what waits is delivered
//! and written down all the same, in the room of the ballast; and when there is room again, mail is taken without anybody's
//! help.
//!
//! The disk is a small tmpfs, which only root can mount.

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use gatepost::sink::{Options, Sink};
use nix::sys::signal::Signal;
use support::small_disk::begin;
use support::smtp::Tls;
use support::{PATIENCE, Service, Smtp, await_that};

/// The code of the reply to the dot, or to the command that was refused before it.
fn send(session: &mut Smtp<Tls>, subject: &str, size: usize) -> u16 {
    for (line, good) in [("MAIL FROM:<a@example.net>", 250), ("RCPT TO:<b@example.org>", 250), ("DATA", 354)] {
        let code = session.say(line);
        if code != good {
            session.say("RSET");
            return code;
        }
    }
    let text = support::senders::text(subject, size);
    session.say(&format!("From: a@example.net\r\nSubject: {subject}\r\n\r\n{text}."))
}

fn events(service: &Service, name: &str) -> usize {
    let output = service.command(&["audit", "query", "--event", name, "--json"]);
    String::from_utf8_lossy(&output.stdout).lines().count()
}

fn await_code(session: &mut Smtp<Tls>, subject: &str, code: u16) {
    let deadline = Instant::now() + PATIENCE;
    while send(session, subject, 100) != code {
        assert!(Instant::now() < deadline, "{subject} never got {code}");
        // As often as a session may be refused for ever.
        std::thread::sleep(Duration::from_millis(250));
    }
}

#[test]
fn rule_s1_rule_s8_a_full_disk_refuses_mail_for_now_loses_none_and_delivers_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    support::open_folder(folder.path());
    let Some((service, disk, port)) = begin(folder.path()) else { return };
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    let mut subjects = Vec::new();
    for n in 0..20 {
        let subject = format!("before-{n}");
        assert_eq!(send(&mut session, &subject, if n % 5 == 0 { 150_000 } else { 2000 }), 250);
        subjects.push(subject);
    }
    let said = service.log().len();
    disk.fill();
    // Large ones find it out at once, by their own bodies; others at the latest with the next look.
    // A session may be refused some fifty times before it is ended.
    for n in 0..40 {
        let subject = format!("full-{n}");
        match send(&mut session, &subject, if n % 2 == 0 { 200_000 } else { 1000 }) {
            250 => subjects.push(subject),
            code => assert_eq!(code, 452, "{subject}\n{}", service.log()),
        }
    }
    service.await_log(said, "the disk is full");
    assert_eq!(send(&mut session, "refused", 100), 452);
    // However little it is said to be, and before any of it comes.
    let (code, text) = session.try_ask("MAIL FROM:<a@example.net> SIZE=1").unwrap();
    assert!(code == 452 && text.starts_with("4.3.1 "), "{code} {text}");

    // The upstream is there now. Leases, outcomes and events need room, and get the ballast's.
    let sink = Sink::start(TcpListener::bind(("127.0.0.1", port)).unwrap(), Options::default());
    service.signal(Signal::SIGHUP);
    let mut arrived = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while arrived.len() < subjects.len() {
        assert!(Instant::now() < deadline, "{} of {} arrived\n{}", arrived.len(), subjects.len(), service.log());
        let Some(received) = sink.next(Duration::from_millis(200)) else { continue };
        let text = String::from_utf8_lossy(&received.content).into_owned();
        let subject = text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap().to_owned();
        arrived.push(subject);
    }
    arrived.sort();
    subjects.sort();
    assert_eq!(arrived, subjects, "each once, and nothing that was refused");
    assert!(!disk.0.join("state/db/ballast").exists(), "it was thrown off");

    disk.empty();
    await_code(&mut service.log_in(&secret), "after", 250);
    assert!(sink.next(Duration::from_secs(30)).is_some());
    await_that("the ballast is back", || disk.0.join("state/db/ballast").exists());
    service.await_sound("after a full disk");
    assert_eq!(events(&service, "store.full"), 1);
    assert!(events(&service, "store.recovered") >= 1);
    // Nothing of it needs a new vault.
    assert_eq!(events(&service, "proc.exit"), 0, "{}", service.log());
    service.stop();
}

#[test]
fn mail_is_refused_while_there_is_still_room_for_what_waits_and_a_restart_knows_that_too() {
    let folder = tempfile::tempdir().unwrap();
    support::open_folder(folder.path());
    let Some((mut service, disk, _)) = begin(folder.path()) else { return };
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    assert_eq!(send(&mut session, "before", 100), 250);
    disk.fill_up_to(2 * 1024 * 1024);
    await_code(&mut session, "short", 452);
    assert!(disk.0.join("state/db/ballast").exists(), "there was room for what had to be written");
    let backup = folder.path().join("backup");
    let refused = service.command(&["backup", backup.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("make room first"), "{refused:?}");
    assert!(!backup.exists());
    service.kill_all();
    service.start_again();
    let mut session = service.log_in(&secret);
    await_code(&mut session, "short", 452);
    disk.empty();
    await_code(&mut session, "after", 250);
    service.stop();
}

#[test]
fn a_start_without_an_octet_left_delivers_in_the_room_of_the_ballast_and_a_restart_tells_the_end_of_it() {
    let folder = tempfile::tempdir().unwrap();
    support::open_folder(folder.path());
    let Some((mut service, disk, port)) = begin(folder.path()) else { return };
    let secret = service.add_credential();
    assert_eq!(send(&mut service.log_in(&secret), "waits", 100), 250);
    service.end();
    disk.fill();
    let sink = Sink::start(TcpListener::bind(("127.0.0.1", port)).unwrap(), Options::default());
    let from = service.log().len();
    service.start_again();
    assert!(sink.next(PATIENCE).is_some(), "{}", service.log());
    service.await_log(from, "the disk is full");
    assert!(!disk.0.join("state/db/ballast").exists(), "it was thrown off");
    await_that("the event of it is written", || events(&service, "store.full") == 1);
    service.kill_all();
    disk.empty();
    service.start_again();
    await_that("the end of it is told", || events(&service, "store.recovered") == 1);
    await_code(&mut service.log_in(&secret), "after", 250);
    assert!(disk.0.join("state/db/ballast").exists());
    service.await_sound("after a start on a full disk");
    service.stop();
}

#[test]
fn events_that_were_removed_are_found_also_while_the_disk_is_full() {
    let folder = tempfile::tempdir().unwrap();
    support::open_folder(folder.path());
    let Some((mut service, disk, _)) = begin(folder.path()) else { return };
    let secret = service.add_credential();
    service.await_sound("before it is full");
    let file = disk.0.join("state/audit/audit.db");
    let old = fs::read(&file).unwrap();
    let mut session = service.log_in(&secret);
    for n in 0..3 {
        assert_eq!(send(&mut session, &format!("published {n}"), 100), 250);
    }
    service.await_sound("with more");
    let verify = || {
        // What the service throws off, or lets go of, is taken as well.
        let mut more = File::options().append(true).create(true).open(disk.0.join("more")).unwrap();
        while more.write_all(&[0; 4096]).is_ok() {}
        let output = service.command(&["audit", "verify"]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // Whether the file or the database finds it out is the disk's choice, and so is when: what either lets go of may do for
    // what comes next. The claim is the same in all of these states.
    let told = (0..20).any(|n| {
        service.command(&["credential", "add", &format!("c{n}"), "--sender", "@example.net"]);
        let (code, told) = verify();
        assert!([0, 2, 14].map(Some).contains(&code), "{code:?}: {told}");
        code == Some(14) && told.to_lowercase().contains("full")
    });
    println!("the service {} that nothing can be written any more", if told { "says" } else { "does not say" });
    let mut audit = File::options().write(true).open(&file).unwrap();
    audit.write_all(&old).unwrap();
    audit.set_len(old.len() as u64).unwrap();
    await_that("it is found", || {
        let (code, told) = verify();
        assert!([2, 10, 14].map(Some).contains(&code), "{code:?}: {told}");
        code == Some(10) && told.contains("the service has put")
    });
    service.kill_all();
}

#[test]
fn who_only_looks_is_answered_on_a_full_disk_and_who_leaves_a_trace_is_told_why_not() {
    let folder = tempfile::tempdir().unwrap();
    support::open_folder(folder.path());
    let Some((mut service, disk, _)) = begin(folder.path()) else { return };
    let secret = service.add_credential();
    assert_eq!(send(&mut service.log_in(&secret), "waits", 100), 250);
    disk.fill();
    let refused = |words: &[&str]| {
        // What the service throws off, or lets go of, is taken as well.
        let mut more = File::options().append(true).create(true).open(disk.0.join("more")).unwrap();
        while more.write_all(&[0; 4096]).is_ok() {}
        let output = service.command(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() || said.contains("the disk is full"), "{words:?}: {said}");
        !output.status.success()
    };
    let mut names = (0..1000).map(|n| format!("c{n}"));
    // Twice in a row, so that there is no rest of room that another event would fit into.
    await_that("an order is refused", || {
        (0..2).all(|_| refused(&["credential", "add", &names.next().unwrap(), "--sender", "@example.net"]))
    });
    let archive = folder.path().join("queue.tar");
    for words in [
        &["suppress", "list"][..],
        &["queue", "list", "--clear"],
        &["queue", "export", "--out", archive.to_str().unwrap()],
    ] {
        assert!(refused(words), "{words:?}");
    }
    let explain = ["explain", "--credential", support::CREDENTIAL, "--from", "a@example.net", "--to", "b@example.org"];
    for words in [&["queue", "list"][..], &["queue", "stats"], &["credential", "list"], &explain] {
        let output = service.command(words);
        // 3: explained, and refused as long as there is no room.
        let is_answered = matches!(output.status.code(), Some(0 | 3)) && !output.stdout.is_empty();
        assert!(is_answered, "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(String::from_utf8_lossy(&service.command(&["queue", "list"]).stdout).contains("example.org"));
    service.kill_all();
}
