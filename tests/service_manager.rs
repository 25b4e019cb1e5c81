//! Claims: under a service manager Gatepost takes the sockets it is passed, says when it is ready, feeds the watchdog as long
//! as vault and sealer answer, and no longer, stops in order when it is told to, and refuses no connection while it is restarted.

mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gatepost::sys::descriptor;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use support::{PATIENCE, Service, Setting, configuration, free_port, gatepost, processes};
use tempfile::TempDir;

/// Does what a service manager does: a socket as descriptor 3, named, for exactly this process.
const ACTIVATE: &str = "
import os, socket, sys
listening = socket.socket()
listening.bind(('127.0.0.1', int(sys.argv[1])))
listening.listen(64)
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
    // Whoever was accepted last, the next order is heard: the socket is one that waits, as a service manager makes them.
    assert_eq!(support::Smtp::connect(smtp).code(), 220);
    let config = folder.path().join("gatepost.toml");
    let reload = gatepost().arg("reload").arg("--config").arg(config).output().unwrap();
    assert!(reload.status.success(), "{}", String::from_utf8_lossy(&reload.stderr));
    assert_eq!(support::Smtp::connect(smtp).code(), 220);
    processes::signal(service.id(), Signal::SIGTERM);
    assert!(service.wait().unwrap().success());
}

/// Hands what is its standard input to exactly this process, as a service manager hands what it kept.
const HAND_BACK: &str = "
import os, sys
os.dup2(0, 3)
os.dup2(os.open('/dev/null', os.O_RDONLY), 0)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES='gatepost-kept')
os.execv(sys.argv[1], sys.argv[1:])
";

/// A service manager that keeps sockets, and its service.
struct Manager {
    folder: TempDir,
    notify: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let notify = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        notify.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { folder, notify }
    }

    fn listen_on(&self, ports: &[u16], http: u16) {
        let setting = Setting::default();
        setting.pair.write(self.folder.path());
        let text = configuration(self.folder.path(), ports[0], http, 1, &setting);
        let of = |port: &u16| format!("\"127.0.0.1:{port}\"");
        let all = ports.iter().map(of).collect::<Vec<_>>().join(", ");
        fs::write(self.folder.path().join("gatepost.toml"), text.replace(&of(&ports[0]), &all)).unwrap();
    }

    /// Starts it with what was kept of it, if anything.
    fn start(&self, kept: Option<OwnedFd>) -> Running {
        let mut command = match &kept {
            Some(_) => Command::new("python3"),
            None => gatepost(),
        };
        if kept.is_some() {
            command.args(["-c", HAND_BACK]).arg(gatepost().get_program());
        }
        // It has one of its own, until it is told to forget it.
        let mut own = kept.as_ref().map(|kept| kept.try_clone().unwrap());
        let config = self.folder.path().join("gatepost.toml");
        command.args(["serve", "--fallback-ids", "--config"]).arg(config).stderr(Stdio::null());
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify")).env("FDSTORE", "9");
        command.stdin(kept.map_or_else(Stdio::null, Stdio::from));
        let running = Running(command.spawn().expect("python3 is needed"));
        drop(command);
        // Behind what its predecessor said of its end.
        loop {
            match self.hear().0.as_str() {
                "READY=1" => break,
                "FDSTOREREMOVE=1\nFDNAME=gatepost-kept" => own = None,
                _ => {}
            }
        }
        drop(own);
        running
    }

    /// One message, and the socket that came with it.
    fn hear(&self) -> (String, Option<OwnedFd>) {
        let mut buffer = [0; 256];
        let received = descriptor::receive(self.notify.as_fd(), &mut buffer).expect("a message");
        let text = String::from_utf8(buffer[..received.length].to_vec()).unwrap();
        (text, received.descriptors.into_iter().next())
    }

    /// What it wants to be kept from now on: one for each address of its own.
    fn keep(&self, count: usize) -> Vec<OwnedFd> {
        // Others say something, too: that it reloads, that it is alive.
        while self.hear().0 != "FDSTOREREMOVE=1\nFDNAME=gatepost-kept" {}
        let given = (0..count).map(|_| self.hear());
        given
            .map(|(text, socket)| {
                assert_eq!(text, "FDSTORE=1\nFDNAME=gatepost-kept");
                socket.expect("a socket comes with it")
            })
            .collect()
    }
}

struct Running(Child);

impl Running {
    fn stop(&mut self) {
        processes::signal(self.0.id(), Signal::SIGTERM);
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn who_connects_while_it_is_restarted_waits_and_is_not_refused() {
    let manager = Manager::new();
    let (smtp, other, http) = (free_port(), free_port(), free_port());
    manager.listen_on(&[smtp, other], http);
    let mut first = manager.start(None);
    let at = |socket: &OwnedFd| TcpListener::from(socket.try_clone().unwrap()).local_addr().unwrap().port();
    assert_eq!(manager.keep(3).iter().map(at).collect::<Vec<_>>(), [smtp, other, http]);
    // A reload makes it those of the new configuration.
    manager.listen_on(&[smtp], http);
    processes::signal(first.0.id(), Signal::SIGHUP);
    let kept = manager.keep(2);
    assert_eq!(kept.iter().map(at).collect::<Vec<_>>(), [smtp, http]);
    first.stop();

    // The manager hands back one alone: the others are bound anew.
    let kept = kept.into_iter().next().unwrap();
    let mut waiting = TcpStream::connect((Ipv4Addr::LOCALHOST, smtp)).expect("nobody is refused");
    manager.listen_on(&[smtp, other], http);
    let mut second = manager.start(Some(kept));
    waiting.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut greeting = [0; 4];
    waiting.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"220 ");
    let kept = manager.keep(3).into_iter().next().unwrap();
    second.stop();

    // What was kept for an address that is configured no more is closed before others are bound, which it would be in the way of.
    drop(waiting);
    manager.listen_on(&[smtp], http);
    let config = manager.folder.path().join("gatepost.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace(&format!("127.0.0.1:{smtp}"), &format!("0.0.0.0:{smtp}"))).unwrap();
    let mut third = manager.start(Some(kept));
    assert_eq!(manager.keep(2).iter().map(at).collect::<Vec<_>>(), [smtp, http]);
    assert_eq!(support::Smtp::connect(smtp).code(), 220);
    third.stop();
}

#[test]
fn a_reader_of_the_log_that_has_stopped_keeps_the_parent_from_nothing() {
    for full_at_first in [true, false] {
        let mut stuck = Stuck::start(full_at_first);
        // It had a reader until now: the next line is one that the parent waits with.
        fill(&stuck.reader);
        let pid = stuck.service.id();
        let vault = processes::child(pid, "vault");
        processes::signal(vault, Signal::SIGKILL);
        stuck.insist("the vault is replaced", |_| {
            processes::children(pid).get("vault").is_some_and(|successor| *successor != vault)
        });
        processes::signal(pid, Signal::SIGTERM);
        stuck.insist("it stops", |service| service.try_wait().unwrap().is_some());
        assert!(stuck.service.wait().unwrap().success());
    }
}

/// A service whose log nobody reads.
struct Stuck {
    _folder: TempDir,
    service: Child,
    reader: OwnedFd,
}

impl Stuck {
    /// Starts it and waits until it says that it is ready.
    fn start(full: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let setting = Setting::default();
        setting.pair.write(folder.path());
        let config = folder.path().join("gatepost.toml");
        fs::write(&config, configuration(folder.path(), free_port(), free_port(), 1, &setting)).unwrap();
        let notify = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        notify.set_nonblocking(true).unwrap();
        let (reader, log) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
        if full {
            fill(&reader);
        }
        let service = gatepost()
            .args(["serve", "--fallback-ids", "--config"])
            .arg(config)
            .env("NOTIFY_SOCKET", folder.path().join("notify"))
            .stderr(log)
            .spawn()
            .unwrap();
        let mut stuck = Self { _folder: folder, service, reader };
        let mut word = [0; 64];
        stuck.insist("it says that it is ready", |_| {
            notify.recv(&mut word).is_ok_and(|n| word[..n].starts_with(b"READY=1"))
        });
        stuck
    }

    /// Waits until something holds, and sends the parent signals all the while: whatever it waits for is interrupted.
    fn insist(&mut self, what: &str, mut holds: impl FnMut(&mut Child) -> bool) {
        let deadline = Instant::now() + PATIENCE + PATIENCE;
        while !holds(&mut self.service) {
            assert!(Instant::now() < deadline, "never came true: {what}\n{}", self.account());
            processes::signal(self.service.id(), Signal::SIGCHLD);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What can be told of it: how it is, and what it says when its log is read after all.
    fn account(&mut self) -> String {
        let pid = self.service.id();
        let state = (processes::status(pid, "State"), fs::read_to_string(format!("/proc/{pid}/wchan")));
        let children = (processes::children(pid), self.service.try_wait());
        fcntl(&self.reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        let (mut log, mut part) = (Vec::new(), [0; 4096]);
        for _ in 0..100 {
            while let Ok(n @ 1..) = nix::unistd::read(&self.reader, &mut part) {
                log.extend_from_slice(&part[..n]);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = String::from_utf8_lossy(&log).into_owned();
        format!("{state:?} {children:?}\n{}", log.replace(&"x".repeat(64), ""))
    }
}

/// Fills a pipe, by an end of its own that does not wait.
fn fill(pipe: &OwnedFd) {
    let end = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    let mut end = File::options().write(true).custom_flags(libc::O_NONBLOCK).open(end).unwrap();
    while end.write(b"x").is_ok() {}
}

impl Drop for Stuck {
    fn drop(&mut self) {
        let _ = self.service.kill();
        let _ = self.service.wait();
    }
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
    let fed_within = |time| {
        let mut word = [0; 64];
        let until = Instant::now() + time;
        while Instant::now() < until {
            if service.notify.recv(&mut word).is_ok_and(|n| word[..n].starts_with(b"WATCHDOG=1")) {
                return true;
            }
        }
        false
    };
    assert!(fed_within(PATIENCE) && fed_within(PATIENCE), "it is fed");
    let sealer = processes::child(service.pid(), "sealer");
    processes::signal(sealer, Signal::SIGSTOP);
    support::await_that("a stopped sealer lets the watchdog go hungry", || !fed_within(Duration::from_secs(3)));
    processes::signal(sealer, Signal::SIGCONT);
    assert!(fed_within(PATIENCE), "it is fed again");
    service.stop();
}
