//! Claims: what can't be made durable is never acknowledged. A vault whose database can't be synced ends, and its successor
//! takes what is on the disk; too many such ends and it stays down. Bodies, the auditors' files and the sealer's slots that
//! can't be written stop nothing but what they are for, and go on when the disk does.
//!
//! `strace` makes the calls of one thread fail. A sealed process is watched by root alone.

mod support;

use std::process::Child;
use std::time::Duration;

use support::smtp::Tls;
use support::{Service, Setting, Smtp, await_that, is_root, processes};

const SYNCS: &str = "fsync,fdatasync";
/// Of a database or a slot. Sockets and the wake-up of another thread are written to by other calls.
const WRITES: &str = "pwrite64";
const ARRIVAL: Duration = Duration::from_secs(30);

/// A disk that fails one thread of a process, until it is dropped.
struct Fault {
    strace: Child,
    thread: u32,
}

impl Fault {
    /// `thread` is the name of one, or none for the first. `error` may say which calls, in strace's words.
    fn begin(service: &Service, title: &str, thread: Option<&str>, calls: &str, error: &str) -> Self {
        let process = processes::child(service.pid(), title);
        let thread = thread.map_or(process, |name| processes::thread(process, name));
        // In the place of the call a harmless one is made, which every filter lets pass.
        let inject = format!("inject={calls}:error={error}:syscall=getpid");
        // A call that was under way may have ended the thread already.
        let strace = processes::traced(thread, &["-e", &format!("trace={calls}"), "-e", &inject]);
        Self { strace, thread }
    }

    /// Whether the thread that it failed is still there.
    fn lives(&self) -> bool {
        processes::status(self.thread, "Pid").is_some()
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        // An interrupt makes it let go of the thread; a kill might not.
        processes::signal(self.strace.id(), nix::sys::signal::Signal::SIGINT);
        let _ = self.strace.wait();
    }
}

fn skipped() -> bool {
    if !is_root() {
        println!("NOT RUN: failing another process's calls needs root; the run as root does it");
    }
    !is_root()
}

/// One message; its code, or none when the connection ended without an answer.
fn send(session: &mut Smtp<Tls>, subject: &str, size: usize) -> Option<u16> {
    for line in ["MAIL FROM:<a@example.net>", "RCPT TO:<b@example.org>", "DATA"] {
        session.try_say(line)?;
    }
    let text = support::senders::text(subject, size);
    session.try_say(&format!("From: a@example.net\r\nTo: b@example.org\r\nSubject: {subject}\r\n\r\n{text}."))
}

fn events(service: &Service, name: &str) -> usize {
    let output = service.command(&["audit", "query", "--event", name, "--json"]);
    String::from_utf8_lossy(&output.stdout).lines().count()
}

#[test]
fn a_vault_that_cannot_sync_acknowledges_nothing_and_ends() {
    if skipped() {
        return;
    }
    let limits = "vault_deaths = 2".to_owned();
    let mut service = Service::start_with(&Setting { limits, ..Setting::default() });
    let secret = service.add_credential();
    for death in 1..=3 {
        let mut session = service.log_in(&secret);
        let before = format!("before {death}");
        assert_eq!(send(&mut session, &before, 100), Some(250));
        service.await_arrival(vec![before]);
        let fault = Fault::begin(&service, "vault", Some("writer"), SYNCS, "EIO");
        let code = send(&mut session, &format!("during {death}"), 100);
        // The edge asks the vault's successor, which has made durable what it found: then it is kept after all.
        let kept = matches!(code, Some(200..300));
        assert!(!kept || !fault.lives(), "acknowledged without a sync: {code:?}\n{}", service.log());
        await_that("the vault has ended", || !fault.lives());
        drop(fault);
        if kept {
            service.sink.next(ARRIVAL).expect("what was acknowledged arrives");
        }
        if death < 3 {
            await_that("its successor serves", || {
                let again = service.connect().try_secure(&support::smtp::trusting(&service.pair));
                again.is_some_and(|mut session| session.try_say("NOOP") == Some(250) && session.log_in(&secret) == 235)
            });
            service.await_sound("after a failed sync");
        }
    }
    service.await_log(0, "the store can't be written: the vault ends");
    service.await_log(0, "stays down");
    let mut session = service.connect().try_secure(&support::smtp::trusting(&service.pair)).expect("edges go on");
    assert_eq!(session.log_in(&secret), 421);
    service.end();
    // Whether a commit that could not be synced is there or not: its message and its event are one.
    support::evidence::Evidence::of(&service.folder.path().join("state")).assert_whole("a failed sync");
}

#[test]
fn a_body_that_cannot_be_written_or_synced_is_not_acknowledged_and_the_vault_goes_on() {
    if skipped() {
        return;
    }
    let mut service = Service::start();
    let secret = service.add_credential();
    let vault = processes::child(service.pid(), "vault");
    // Each piece of a body is opened anew: the second one finds no room.
    for (calls, error, reply) in [(SYNCS, "EIO", 451), ("openat", "EIO", 451), ("openat", "ENOSPC:when=2+", 452)] {
        let mut session = service.log_in(&secret);
        let fault = Fault::begin(&service, "vault", Some("segments"), calls, error);
        assert_eq!(send(&mut session, "large", 300_000), Some(reply), "{calls}: {error}");
        assert_eq!(send(&mut session, "small", 100), Some(250), "{calls}: {error}: it needs no body of its own");
        drop(fault);
        assert_eq!(send(&mut session, "large again", 300_000), Some(250), "{calls}: {error}: gone by");
        for subject in ["small", "large again"] {
            let text = String::from_utf8(service.sink.next(ARRIVAL).expect("it arrives").content).unwrap();
            assert!(text.contains(&format!("Subject: {subject}\r\n")), "{subject}");
        }
    }
    assert_eq!(processes::child(service.pid(), "vault"), vault, "it is the same process");
    let state = service.folder.path().join("state");
    await_that("no piece of a body is left", || {
        let names = support::evidence::list(&state.join("db")).into_iter();
        !names.into_iter().any(|path| path.file_name().unwrap().to_string_lossy().starts_with("body-"))
    });
    service.await_sound("bodies that failed");
    service.end();
    support::evidence::Evidence::of(&state).assert_whole("bodies that failed");
}

#[test]
fn auditors_files_that_cannot_be_written_hold_up_nobody_and_lose_nothing() {
    if skipped() {
        return;
    }
    let service = Service::start();
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    for (calls, error) in [(SYNCS, "EIO"), (WRITES, "ENOSPC")] {
        let fault = Fault::begin(&service, "vault", Some("publisher"), calls, error);
        let before = service.log().len();
        assert_eq!(send(&mut session, "meanwhile", 100), Some(250));
        service.sink.next(ARRIVAL).expect("mail goes on");
        service.await_log(before, "can't be moved to the auditors' files");
        assert!(fault.lives(), "{calls}: {error}");
        drop(fault);
        service.await_sound("the auditors' files can be written again");
    }
    await_that("every message is in the files", || events(&service, "msg.accept") == 2);
    service.stop();
}

#[test]
fn a_sealer_that_cannot_write_signs_nothing_and_goes_on_when_it_can() {
    if skipped() {
        return;
    }
    let service = Service::start();
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    service.await_sound("at first");
    let seal = service.folder.path().join("state/seal");
    let slots = || ["head.0", "head.1"].map(|name| std::fs::read(seal.join(name)).unwrap());
    let before = slots();
    let fault = Fault::begin(&service, "sealer", None, WRITES, "ENOSPC");
    assert_eq!(send(&mut session, "unsealed", 100), Some(250));
    service.sink.next(ARRIVAL).expect("mail goes on");
    service.await_log(0, "the sealer refused the head");
    assert_eq!(slots(), before);
    assert!(fault.lives());
    drop(fault);
    service.await_sound("the slots can be written again");
    assert_ne!(slots(), before);
    await_that("it was told", || events(&service, "sealer.refused") > 0);
    assert_eq!(events(&service, "sealer.refused"), 1, "once");
    service.stop();
}
