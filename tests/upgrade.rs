//! Claims: `gatepost upgrade` holds the listening sockets while the service is restarted, and no connection is refused; whatever goes
//! wrong is said, with how things stand, and stops no start. Only root and the service's own user are given the sockets.

#[path = "upgrade/clients.rs"]
mod clients;
#[path = "upgrade/manager.rs"]
mod manager;
mod support;

use std::fs;
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use clients::{Client, assert_once, knock};
use gatepost::ipc::loan::{self, Borrower, LENDER, Lender, Stage, UPGRADE};
use gatepost::sys::descriptor;
use manager::{Manager, done, failed, said, upgrade};
use nix::sys::signal::Signal;
use serde_json::Value;
use support::{PATIENCE, Service, await_that, gatepost, is_root, processes};

/// Neither root nor a user of the service.
const NOBODY: u32 = 65_534;
/// For a restart that comes: more than it takes on a busy machine.
const LONG: &str = "60s";

fn within(service: &Service, name: &str) -> PathBuf {
    service.folder.path().join("run").join(name)
}

#[test]
fn who_connects_during_an_upgrade_waits_and_nothing_that_was_acknowledged_is_lost() {
    const ROUNDS: usize = 3;
    let mut service = Service::start();
    let secret = service.add_credential();
    let (client, config, manager) = (Client::of(&service, &secret), service.config(), Manager::new(&service));
    let (smtp, http, first) = (service.smtp, service.http, service.pid());
    let mut acknowledged = Vec::new();
    std::thread::scope(|scope| {
        let talkers = ["smtp-a", "smtp-b"].map(|name| scope.spawn(|| client.talk(name, &manager.over)));
        let poster = scope.spawn(|| client.post("http", &manager.over));
        let service = &mut service;
        let keeper = scope.spawn(|| {
            let mut waiting = Vec::new();
            // Nobody accepts: they are greeted by the next one.
            let times = manager.run(service, || waiting.push((knock(smtp), knock(http))));
            (times, waiting)
        });
        let upgrades: Vec<Output> =
            (0..ROUNDS).map(|_| upgrade(&config, &["--timeout", LONG], &manager.line()).output().unwrap()).collect();
        manager.end();
        let (times, waiting) = keeper.join().unwrap();
        for output in &upgrades {
            let text = done(output);
            assert!(text.contains("its listening sockets are held") && text.contains("in the place of"), "{text}");
        }
        assert_eq!((times, waiting.len()), (ROUNDS, ROUNDS));
        // The last of them is greeted by who serves now; those before were, and then ended by the next stop.
        for (mut stream, _) in waiting {
            let mut greeting = [0; 4];
            stream.read_exact(&mut greeting).expect("who waited is greeted");
            assert_eq!(&greeting, b"220 ");
        }
        acknowledged.extend(talkers.into_iter().flat_map(|talker| talker.join().unwrap()));
        let posted = poster.join().unwrap();
        assert!(!posted.is_empty(), "something was taken by HTTP");
        acknowledged.extend(posted);
    });
    assert!(acknowledged.len() > ROUNDS, "{acknowledged:?}");
    assert_ne!(service.pid(), first);
    assert!(!within(&service, UPGRADE).exists(), "it is removed at the end");
    let log = service.log();
    assert_eq!(log.matches("listening sockets are taken over").count(), ROUNDS, "{log}");
    assert_eq!(log.matches("copies of the listening sockets are lent").count(), 2 * ROUNDS, "{log}");
    assert_once(&service, &acknowledged);
    let verdict = service.command(&["audit", "verify"]);
    assert!(verdict.status.success(), "{}", said(&verdict));
    service.stop();
}

#[test]
fn scripts_read_what_became_of_it() {
    let mut service = Service::start();
    let (config, manager, first) = (service.config(), Manager::new(&service), service.pid());
    let smtp = format!("127.0.0.1:{}", service.smtp);
    let output = std::thread::scope(|scope| {
        let keeper = scope.spawn(|| manager.run(&mut service, || ()));
        let output = upgrade(&config, &["--json", "--timeout", LONG], &manager.line()).output().unwrap();
        manager.end();
        keeper.join().unwrap();
        output
    });
    done(&output);
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (object["upgraded"].as_bool(), object["held"][0].as_str()),
        (Some(true), Some(smtp.as_str())),
        "{object}"
    );
    assert_eq!(
        (object["before"]["pid"].as_u64(), object["now"]["pid"].as_u64()),
        (Some(first.into()), Some(service.pid().into()))
    );
    assert_eq!(object["now"]["version"], env!("CARGO_PKG_VERSION"));

    // What a command prints that is run is not in between.
    let output = upgrade(&config, &["--json", "--timeout", "1s"], "echo noise").output().unwrap();
    failed(&output);
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((object["upgraded"].as_bool(), object["state"].as_str()), (Some(false), Some("unchanged")), "{object}");
    assert!(object["reason"].as_str().unwrap().contains("serves on as before"), "{object}");
    service.stop();
}

#[test]
fn what_goes_wrong_is_said_with_how_things_stand() {
    let mut service = Service::start();
    let (config, pid) = (service.config(), service.pid());
    let marker = service.folder.path().join("touched");
    let touch = format!("touch {}", marker.display());

    // A command that does nothing, and one that fails.
    let text = failed(&upgrade(&config, &["--timeout", LONG], "true").output().unwrap());
    assert!(text.contains(" ended, and nothing was restarted: the service"), "{text}");
    assert!(text.contains(&format!("process {pid}) serves on as before")), "{text}");
    let begun = Instant::now();
    let text = failed(&upgrade(&config, &["--timeout", LONG], "exit 3").output().unwrap());
    assert!(text.contains("exit status: 3") && text.contains("serves on as before"), "{text}");
    assert!(begun.elapsed() < PATIENCE, "it isn't waited to the end for what has failed");
    let mut missing = gatepost();
    missing.args(["upgrade", "--config"]).arg(&config).args(["--", "/nonexistent/rcctl", "restart"]);
    let text = failed(&missing.output().unwrap());
    assert!(text.contains("nothing was done"), "{text}");

    // A configuration with a mistake: nothing is run at all.
    let sound = fs::read_to_string(&config).unwrap();
    fs::write(&config, sound.replace("[limits]", "[limits]\nsesions = 3")).unwrap();
    let text = failed(&upgrade(&config, &[], &touch).output().unwrap());
    assert!(text.contains("sesions") && text.contains("nothing was done"), "{text}");
    fs::write(&config, sound).unwrap();
    assert!(!marker.exists(), "the command was run");

    // Two at a time, and Ctrl-C.
    let slow = upgrade(&config, &["--timeout", LONG], &format!("{touch}; exec sleep 100")).spawn().unwrap();
    await_that("the first one runs its command", || marker.exists());
    let text = failed(&upgrade(&config, &[], "true").output().unwrap());
    assert!(text.contains("another gatepost upgrade is under way"), "{text}");
    processes::signal(slow.id(), Signal::SIGINT);
    let text = failed(&ended(slow));
    assert!(text.contains("interrupted; sh -c") && text.contains("goes on: the service"), "{text}");
    assert!(text.contains("serves on as before") && !within(&service, UPGRADE).exists(), "{text}");
    assert_eq!(service.connect().code(), 220);

    // A command that stops it and starts nothing.
    let stop = format!("kill -TERM {pid}");
    let begun = upgrade(&config, &["--json", "--timeout", "10s"], &stop).spawn().unwrap();
    service.await_end();
    // Nobody is there, and nobody is refused.
    let mut waiting = knock(service.smtp);
    let output = ended(begun);
    let text = failed(&output);
    assert!(text.contains("nobody serves") && text.contains("the ports are let go now"), "{text}");
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["state"], "nobody");
    assert!(waiting.read(&mut [0; 1]).is_err(), "it is told that nobody comes");
    let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, service.smtp)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let text = failed(&upgrade(&config, &[], &touch).output().unwrap());
    assert!(text.contains("the service does not run"), "{text}");
    service.restart();
    service.stop();
}

/// Its output, without what its own command may still hold open.
fn ended(mut command: Child) -> Output {
    let status = command.wait().unwrap();
    let read = |pipe: &mut dyn Read| {
        let mut text = vec![0; 65_536];
        let length = pipe.read(&mut text).unwrap();
        text.truncate(length);
        text
    };
    Output { status, stdout: read(&mut command.stdout.unwrap()), stderr: read(&mut command.stderr.unwrap()) }
}

#[test]
fn what_a_killed_command_left_is_in_nobodys_way() {
    let mut service = Service::start();
    let (config, marker) = (service.config(), service.folder.path().join("touched"));
    let line = format!("touch {}; exec sleep 100", marker.display());
    let mut killed = upgrade(&config, &["--timeout", LONG], &line).spawn().unwrap();
    await_that("it runs its command", || marker.exists());
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(within(&service, UPGRADE).exists());
    service.end();
    service.restart();
    let manager = Manager::new(&service);
    let output = std::thread::scope(|scope| {
        let keeper = scope.spawn(|| manager.run(&mut service, || ()));
        let output = upgrade(&config, &["--timeout", LONG], &manager.line()).output().unwrap();
        manager.end();
        keeper.join().unwrap();
        output
    });
    done(&output);
    let log = service.log();
    assert_eq!(log.matches("listening sockets are taken over").count(), 1, "{log}");
    assert_eq!(log.matches("listening sockets can't be taken over").count(), 0, "{log}");
    service.stop();
}

#[test]
fn a_service_that_lends_nothing_is_restarted_only_when_that_is_wanted() {
    let mut service = Service::start();
    let (config, manager) = (service.config(), Manager::new(&service));
    // As of a version before this command.
    fs::remove_file(within(&service, LENDER)).unwrap();
    let text = failed(&upgrade(&config, &[], &manager.line()).output().unwrap());
    assert!(text.contains("connections are refused") && text.contains("Say it with --yes"), "{text}");
    assert!(!manager.asked.exists(), "it was restarted");
    let output = std::thread::scope(|scope| {
        let keeper = scope.spawn(|| manager.run(&mut service, || ()));
        let output = upgrade(&config, &["--yes", "--timeout", LONG], &manager.line()).output().unwrap();
        manager.end();
        keeper.join().unwrap();
        output
    });
    let text = done(&output);
    assert!(text.contains("the sockets of the one before were not held"), "{text}");
    service.stop();
}

/// Connects to a packet socket and tells how many octets come, and how many messages with a descriptor.
const BORROW: &str = "
import socket, sys
lender = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
lender.settimeout(20)
lender.connect(sys.argv[1])
octets = descriptors = 0
while True:
    try:
        data, files, _, _ = socket.recv_fds(lender, 4096, 8)
    except ConnectionResetError:
        break
    if not data:
        break
    octets, descriptors = octets + len(data), descriptors + len(files)
print(octets > 0, descriptors)
";

#[test]
fn only_root_and_the_services_own_user_are_lent_its_sockets() {
    let service = Service::start();
    let path = within(&service, LENDER);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let borrow = |user: Option<u32>| {
        let mut command = Command::new("python3");
        command.args(["-c", BORROW]).arg(&path).current_dir("/");
        user.map(|user| command.uid(user).gid(user));
        let output = command.output().expect("python3 is needed");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).trim().to_owned(), said(&output))
    };
    let (_, lent, text) = borrow(None);
    assert_eq!(lent, "True 2", "{text}");
    if !is_root() {
        return eprintln!("not root: another user can't be tried");
    }
    assert!(borrow(Some(NOBODY)).2.contains("PermissionError"), "the directory is closed");
    // With directory and socket open for everybody, it is looked who comes.
    support::open_folder(service.folder.path());
    support::open_folder(path.parent().unwrap());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let (_, lent, text) = borrow(Some(NOBODY));
    assert_eq!(lent, "False 0", "{text}");
    service.await_log(0, "the listening sockets were lent to nobody: not root");
    service.stop();
}

/// Lends something in the place of the command, to one who asks.
fn lend_instead(path: &Path, lend: impl FnOnce(&UnixListener) + Send + 'static) -> std::thread::JoinHandle<()> {
    let _ = fs::remove_file(path);
    let door = loan::open(path).unwrap();
    std::thread::spawn(move || lend(&door))
}

fn accept(door: &UnixListener) -> std::os::unix::net::UnixStream {
    let mut accepted = None;
    await_that("the service asks", || {
        accepted = door.accept().ok();
        accepted.is_some()
    });
    let (connection, _) = accepted.unwrap();
    connection.set_nonblocking(true).unwrap();
    connection
}

#[test]
fn whatever_is_lent_to_a_service_that_starts_it_starts() {
    let mut service = Service::start();
    let path = within(&service, UPGRADE);
    let again = |service: &mut Service, what: &str, lent: std::thread::JoinHandle<()>| {
        let from = service.log().len();
        service.end();
        service.restart();
        lent.join().unwrap();
        assert_eq!(service.connect().code(), 220, "{what}");
        service.await_log(from, what);
    };
    let lent = lend_instead(&path, |door| {
        let connection = accept(door);
        (0..5).for_each(|_| descriptor::send(connection.as_fd(), &[0xff; 400], None).unwrap());
    });
    again(&mut service, "listening sockets can't be taken over", lent);
    // It says nothing for as long as it is waited for.
    let lent = lend_instead(&path, |door| {
        let mut connection = accept(door);
        connection.set_nonblocking(false).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(connection.read(&mut [0; 1]).unwrap(), 0, "it is left");
    });
    again(&mut service, "listening sockets can't be taken over", lent);
    // What does not listen, or not where it should.
    let lent = lend_instead(&path, |door| {
        let connection = accept(door);
        let (elsewhere, datagrams) =
            (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let (read, _write) = nix::unistd::pipe().unwrap();
        let sockets = [elsewhere.as_fd(), datagrams.as_fd(), read.as_fd(), door.as_fd(), connection.as_fd()];
        let lender = Lender { version: "0".to_owned(), pid: 1, since: 1, stage: Stage::Serving };
        loan::lend(connection.as_fd(), lender, sockets.into_iter(), PATIENCE).unwrap();
    });
    again(&mut service, "listening sockets are taken over from who upgrades us pid=1 at=\"\"", lent);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "no socket").unwrap();
    again(&mut service, "listening sockets can't be taken over", std::thread::spawn(|| ()));
    // Nothing of all that is still open.
    assert!(Borrower::connect(&within(&service, LENDER), PATIENCE).unwrap().is_some());
    service.stop();
}

/// Lends at a path as whoever it is told to be, once it listens.
const STRANGER: &str = "
import os, socket, sys
path, owner, listener = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
lender = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
lender.bind(path)
os.chown(path, owner, owner)
os.seteuid(listener)
lender.listen(8)
print('listens', flush=True)
lender.settimeout(60)
asked, _ = lender.accept()
asked.settimeout(20)
asked.recv(1)
";

#[test]
fn a_socket_of_a_stranger_is_not_asked_for_anything() {
    if !is_root() {
        return eprintln!("not root: nobody else can be had");
    }
    let mut service = Service::start();
    let path = within(&service, UPGRADE);
    for (owner, listener, why) in [(NOBODY, 0, "no socket of root"), (0, NOBODY, "answers, and not root")] {
        let _ = fs::remove_file(&path);
        let from = service.log().len();
        service.end();
        let mut stranger = Command::new("python3")
            .args(["-c", STRANGER])
            .arg(&path)
            .args([owner, listener].map(|user| user.to_string()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 is needed");
        let mut word = [0; 8];
        stranger.stdout.as_mut().unwrap().read_exact(&mut word).unwrap();
        service.restart();
        stranger.kill().unwrap();
        stranger.wait().unwrap();
        service.await_log(from, why);
        assert_eq!(service.connect().code(), 220);
    }
    service.stop();
}
