//! Claims: under a service manager Gatepost takes the sockets it is passed, says when it is ready, feeds the watchdog as long
//! as vault and sealer answer, and no longer, and stops in order when it is told to.

mod support;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use support::{PATIENCE, Service, Setting, configuration, free_port, gatepost, processes};

/// Does what a service manager does: a socket as descriptor 3, named, for exactly this process.
const ACTIVATE: &str = "
import os, socket, sys
listening = socket.socket()
listening.bind(('127.0.0.1', int(sys.argv[1])))
listening.listen(64)
listening.setblocking(False)
os.dup2(listening.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES='submission')
os.execv(sys.argv[2], sys.argv[2:])
";

#[test]
fn a_socket_that_the_service_manager_bound_is_listened_on() {
    let folder = tempfile::tempdir().unwrap();
    let (smtp, http) = (free_port(), free_port());
    let setting = Setting::default();
    setting.pair.write(folder.path());
    let text = configuration(folder.path(), smtp, http, 1, &setting);
    let text = text.replace(&format!("\"127.0.0.1:{smtp}\""), "\"systemd:submission\"");
    let text = text.replace("protocol = \"smtp\"", "protocol = \"smtp\"\nbehind_tls_proxy = false");
    fs::write(folder.path().join("gatepost.toml"), text).unwrap();
    let notify = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    notify.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut service = Command::new("python3")
        .args(["-c", ACTIVATE, &smtp.to_string()])
        .arg(gatepost().get_program())
        .args(["serve", "--fallback-ids", "--config"])
        .arg(folder.path().join("gatepost.toml"))
        .env("NOTIFY_SOCKET", folder.path().join("notify"))
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 is needed");
    let mut word = [0; 64];
    let n = notify.recv(&mut word).expect("it says that it is ready");
    assert!(word[..n].starts_with(b"READY=1"));
    assert_eq!(support::Smtp::connect(smtp).code(), 220);
    processes::signal(service.id(), Signal::SIGTERM);
    assert!(service.wait().unwrap().success());
}

#[test]
fn a_reader_of_the_log_that_has_stopped_keeps_the_parent_from_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let setting = Setting::default();
    setting.pair.write(folder.path());
    let (smtp, http) = (free_port(), free_port());
    fs::write(folder.path().join("gatepost.toml"), configuration(folder.path(), smtp, http, 1, &setting)).unwrap();
    let notify = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    notify.set_read_timeout(Some(PATIENCE)).unwrap();
    let (reader, log) = nix::unistd::pipe().unwrap();
    fcntl(&log, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while nix::unistd::write(&log, b"x").is_ok() {}
    fcntl(&log, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    let mut service = gatepost()
        .args(["serve", "--fallback-ids", "--config"])
        .arg(folder.path().join("gatepost.toml"))
        .env("NOTIFY_SOCKET", folder.path().join("notify"))
        .stderr(log)
        .spawn()
        .unwrap();
    notify.recv(&mut [0; 64]).expect("it says that it is ready");
    let vault = processes::children(service.id())["vault"];
    processes::signal(vault, Signal::SIGKILL);
    let replaced = |pid: Option<&u32>| pid.is_some_and(|pid| *pid != vault);
    support::await_that("the vault is replaced", || replaced(processes::children(service.id()).get("vault")));
    processes::signal(service.id(), Signal::SIGTERM);
    support::await_that("it stops", || service.try_wait().unwrap().is_some());
    drop(reader);
}

#[test]
fn a_stop_finishes_the_transaction_at_hand_and_ends_the_other_sessions() {
    let mut service = Service::start();
    let secret = service.add_credential();
    let mut busy = service.log_in(&secret);
    assert_eq!((busy.say("MAIL FROM:<a@example.net>"), busy.say("RCPT TO:<b@example.org>")), (250, 250));
    assert_eq!(busy.say("DATA"), 354);
    let mut idle = service.log_in(&secret);
    service.signal(Signal::SIGTERM);
    assert_eq!(idle.code(), 421, "an idle session is told at once");
    assert!(service.is_running());
    assert_eq!(busy.say("From: a@example.net\r\nSubject: last\r\n\r\nx\r\n."), 250, "the message is kept");
    assert_eq!(busy.try_code(), Some(421));
    let received = service.sink.next(PATIENCE).expect("and delivered before the courier stops");
    assert!(String::from_utf8_lossy(&received.content).contains("Subject: last"));
    support::await_that("it has stopped", || !service.is_running());
    assert!(service.log().contains("stopped") && !service.log().contains("killed"), "{}", service.log());
}

#[test]
fn the_watchdog_is_fed_while_vault_and_sealer_answer_and_no_longer() {
    let service = Service::start_with(&Setting { watchdog: Some(Duration::from_secs(2)), ..Setting::default() });
    let fed = || {
        let mut word = [0; 64];
        let until = Instant::now() + Duration::from_secs(3);
        while Instant::now() < until {
            if service.notify.recv(&mut word).is_ok_and(|n| word[..n].starts_with(b"WATCHDOG=1")) {
                return true;
            }
        }
        false
    };
    assert!(fed() && fed(), "it is fed");
    let sealer = processes::children(service.pid())["sealer"];
    processes::signal(sealer, Signal::SIGSTOP);
    support::await_that("a stopped sealer lets the watchdog go hungry", || !fed());
    processes::signal(sealer, Signal::SIGCONT);
    support::await_that("it is fed again", fed);
    service.stop();
}
