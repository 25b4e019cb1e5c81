//! Claims: any process can fall at any moment and is replaced, and nobody gets stuck; a stalled keyholder or a slow disk is
//! noticed only by those who need it.
//!
//! `GATEPOST_LONG=1` runs them at full length (the long tier); otherwise they are the same in short.

mod support;

use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use support::smtp::{Tls, trusting};
use support::{PATIENCE, Pair, Service, Setting, Smtp, await_that, is_root, processes};

/// Each test has the machine to itself: they measure, and two at once would measure each other.
static ALONE: Mutex<()> = Mutex::new(());

fn long() -> bool {
    std::env::var_os("GATEPOST_LONG").is_some()
}

/// Strangers who connect all the time, take the greeting and go.
struct Pump {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
    greeted: Arc<AtomicU64>,
    turned: Arc<AtomicU64>,
}

impl Pump {
    fn start(port: u16) -> Self {
        let (stop, greeted, turned) = (Arc::new(AtomicBool::new(false)), Arc::default(), Arc::default());
        let (ended, hello, no): (Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicU64>) =
            (Arc::clone(&stop), Arc::clone(&greeted), Arc::clone(&turned));
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the port refused a connection");
                let mut session = Smtp::over(stream);
                match session.try_code() {
                    Some(220) => hello.fetch_add(1, Ordering::Relaxed),
                    // Turned away, or its edge fell: both end the session at once, which is what must happen.
                    _ => no.fetch_add(1, Ordering::Relaxed),
                };
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        Self { stop, thread, greeted, turned }
    }

    fn stop(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the port refused a connection, or a session hung");
        (self.greeted.load(Ordering::Relaxed), self.turned.load(Ordering::Relaxed))
    }
}

#[test]
fn every_process_can_fall_again_and_again_and_nobody_gets_stuck() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (live, kills) = if long() { (5000, 100) } else { (200, 24) };
    let cap = live + 100;
    let limits = format!("sessions = {cap}\nstrangers = {cap}\nvault_deaths = 1000\nidle_strange = \"10m\"");
    raise_own_limit();
    let service = Service::start_with(&Setting { limits, ..Setting::default() });
    let secret = service.add_credential();
    let titles: Vec<String> = processes::children(service.pid()).into_keys().collect();
    assert_eq!(titles.len(), 8, "{titles:?}");
    let mut sent = Vec::new();
    let mut deliver = |name: String| {
        // The process it meets may fall under it: then it says so and sends again, as any client would.
        let deadline = Instant::now() + PATIENCE;
        while !attempt(&service, &secret, &name) {
            assert!(Instant::now() < deadline, "{name} could not be sent:\n{}", service.log());
            std::thread::sleep(Duration::from_millis(100));
        }
        sent.push(name);
    };
    deliver("before".to_owned());
    // Everything that is opened when it is first needed is open: the auditors' files are, when the log verifies.
    service.await_sound("at rest");
    await_that("descriptors at rest", || descriptors(&service).is_some() || !is_root());
    std::thread::sleep(Duration::from_secs(1));
    let at_rest = descriptors(&service);

    let mut sessions: Vec<Smtp<TcpStream>> = (0..live).map(|_| service.connect()).collect();
    for session in &mut sessions {
        assert_eq!(session.code(), 220);
    }
    let pump = Pump::start(service.smtp);
    for kill in 0..kills {
        let title = &titles[kill % titles.len()];
        let pid = processes::child(service.pid(), title);
        processes::signal(pid, Signal::SIGKILL);
        await_that("a fallen process is replaced", || {
            processes::children(service.pid()).get(title).is_some_and(|now| *now != pid)
        });
        deliver(format!("after kill {kill} of {title}"));
    }

    // Over the limit: some are turned away, none is refused by the port, and when they go there is room again.
    let crowd: Vec<TcpStream> =
        (0..cap + 50).map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, service.smtp)).unwrap()).collect();
    drop(crowd);
    deliver("after the crowd".to_owned());

    let (greeted, turned) = pump.stop();
    println!("{kills} kills: {greeted} strangers greeted meanwhile, {turned} turned away or cut off");
    assert!(greeted > 0);
    for session in &mut sessions {
        // It lives and answers, or it is closed: what it may not do is neither (that would time out and fail the test).
        let started = Instant::now();
        let _ = session.try_say("NOOP");
        assert!(started.elapsed() < PATIENCE, "a session is stuck");
    }
    drop(sessions);
    service.await_arrival(sent);
    if let Some(at_rest) = at_rest {
        await_that("every process has as many descriptors as at the start", || {
            descriptors(&service).is_some_and(|now| now <= at_rest)
        });
    } else {
        println!("not root: the descriptors of other processes can't be counted here; the run as root does it");
    }
    let log = service.stop();
    assert!(!log.contains("SIGSYS"), "a system call filter killed somebody:\n{log}");
}

/// One message on a session of its own; false when somebody fell on the way.
fn attempt(service: &Service, secret: &str, subject: &str) -> bool {
    let mut session = service.connect();
    if session.try_code() != Some(220) || session.try_say("EHLO client.example") != Some(250) {
        return false;
    }
    drop(session);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut session = service.connect().secure(&trusting(&service.pair));
        session.log_in(secret) == 235 && session.send(subject) == 250
    }));
    outcome.unwrap_or(false)
}

/// The descriptors of parent and children together. They come and go by one or two while a process is replaced.
fn descriptors(service: &Service) -> Option<usize> {
    let children = processes::children(service.pid()).into_values();
    children.chain([service.pid()]).map(processes::descriptors).sum()
}

/// The test itself holds as many sockets as the service.
fn raise_own_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

#[test]
fn a_stalled_keyholder_is_noticed_by_new_handshakes_only() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let setting = Setting {
        pair: Pair::rsa(),
        limits: "signing = \"1s\"\nhandshake = \"3s\"\nidle_strange = \"1m\"".to_owned(),
        ..Setting::default()
    };
    let service = Service::start_with(&setting);
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    let flood = Flood::start(&service);
    let under_flood = slowest(&mut session, if long() { 300 } else { 40 });
    let keyholder = processes::child(service.pid(), "keyholder");
    processes::signal(keyholder, Signal::SIGSTOP);
    let stalled = slowest(&mut session, 30);
    let started = Instant::now();
    let mut newcomer = service.connect();
    assert_eq!((newcomer.code(), newcomer.say("EHLO x.example"), newcomer.say("STARTTLS")), (220, 250, 220));
    let mut rest = Vec::new();
    let hello = client_hello(&service);
    std::io::Write::write_all(newcomer.stream(), &hello).unwrap();
    // Whether by an alert, a close or a reset: it ends.
    let _ = newcomer.stream().read_to_end(&mut rest);
    let patience = started.elapsed();
    processes::signal(keyholder, Signal::SIGCONT);
    let handshakes = flood.stop();
    println!(
        "{handshakes} RSA-2048 handshakes; slowest NOOP {under_flood:?} under them, {stalled:?} with the keyholder stopped"
    );
    assert!(handshakes > 10, "there was no flood: {handshakes}");
    assert!(under_flood < Duration::from_secs(5), "a live session noticed the flood of handshakes: {under_flood:?}");
    assert!(patience < Duration::from_secs(30), "a handshake without a keyholder took {patience:?} to end");
    assert!(stalled < Duration::from_secs(5), "a live session noticed the stalled keyholder: {stalled:?}");
    await_that("handshakes work again", || {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| service.log_in(&secret))).is_ok()
    });
    service.stop();
}

/// The first flight of a TLS client.
fn client_hello(service: &Service) -> Vec<u8> {
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let mut client = rustls::ClientConnection::new(trusting(&service.pair), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

/// The slowest of so many NOOPs.
fn slowest(session: &mut Smtp<Tls>, count: u32) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..count {
        let started = Instant::now();
        assert_eq!(session.say("NOOP"), 250);
        slowest = slowest.max(started.elapsed());
        // A session may say ten such commands a second; more would end it.
        std::thread::sleep(Duration::from_millis(110));
    }
    slowest
}

/// Handshakes as fast as they come.
struct Flood {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<u64>,
}

impl Flood {
    fn start(service: &Service) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (ended, port, config) = (Arc::clone(&stop), service.smtp, trusting(&service.pair));
        let thread = std::thread::spawn(move || {
            let mut done = 0;
            while !ended.load(Ordering::Relaxed) {
                let once =
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| Smtp::connect(port).secure(&config)));
                done += u64::from(once.is_ok());
            }
            done
        });
        Self { stop, thread }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

#[test]
fn logins_do_not_wait_for_a_slow_disk() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if !is_root() {
        println!("NOT RUN: slowing another process's disk needs root; the run as root does it");
        return;
    }
    let service = Service::start();
    let secret = service.add_credential();
    let mut sender = service.log_in(&secret);
    assert_eq!(sender.send("before"), 250);
    let vault = processes::child(service.pid(), "vault");
    // Every sync of the vault takes this much longer from here on, in whatever thread it happens.
    let delay = Duration::from_secs(2);
    let calls = "fsync,fdatasync";
    let inject = format!("inject={calls}:delay_enter={}", delay.as_micros());
    let mut strace = processes::traced(vault, &["-f", "-e", &format!("trace={calls}"), "-e", &inject]);
    let started = Instant::now();
    assert_eq!(sender.send("slow"), 250);
    let commit = started.elapsed();
    assert!(commit >= delay, "the disk was not slow: {commit:?}");

    // One client keeps the disk busy with messages, so that there is always a commit, a checkpoint or a publication under
    // way; logins whose password was verified before go on beside it.
    let stop = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&stop);
    let busy = std::thread::spawn(move || {
        while !ended.load(Ordering::Relaxed) {
            assert_eq!(sender.send("busy"), 250);
        }
    });
    let mut times: Vec<Duration> = (0..if long() { 60 } else { 20 })
        .map(|_| {
            let mut session = service.connect().secure(&trusting(&service.pair));
            let started = Instant::now();
            assert_eq!(session.log_in(&secret), 235);
            started.elapsed()
        })
        .collect();
    stop.store(true, Ordering::Relaxed);
    busy.join().unwrap();
    let _ = strace.kill();
    let _ = strace.wait();
    times.sort();
    println!(
        "with {delay:?} a sync: a commit took {commit:?}; cached logins: median {:?}, slowest {:?}",
        times[times.len() / 2],
        times[times.len() - 1]
    );
    // A login and its handshake may wait for a processor, never for a sync: nine of ten on a busy machine.
    assert!(times[times.len() * 9 / 10] < delay, "logins wait for the disk: {times:?}");
    service.stop();
}

#[test]
fn a_vault_that_keeps_falling_stays_down_and_clients_are_told() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut service = Service::start();
    let secret = service.add_credential();
    // Three are mended, as the default of `limits.vault_deaths` says.
    for death in 1..=4 {
        await_that("a vault to kill", || processes::children(service.pid()).contains_key("vault"));
        let vault = processes::child(service.pid(), "vault");
        processes::signal(vault, Signal::SIGKILL);
        await_that("it is gone", || processes::children(service.pid()).get("vault") != Some(&vault));
        if death <= 3 {
            await_that("its successor serves", || attempt(&service, &secret, &format!("after death {death}")));
        }
    }
    service.await_log(0, "stays down");
    let mut session = service.connect().secure(&trusting(&service.pair));
    assert_eq!(session.log_in(&secret), 421);
    let response = service.http(&format!(
        "POST /v1/send HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\nContent-Type: application/json\r\n\
         Content-Length: 2\r\nConnection: close\r\n\r\n{{}}"
    ));
    assert!(response.starts_with("HTTP/1.1 503 ") && response.contains("store_unavailable"), "{response}");
    assert!(service.is_running(), "the parent and the others go on");
    service.stop();
}

#[test]
fn when_the_parent_dies_everybody_goes() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let service = Service::start();
    let children = processes::children(service.pid());
    service.signal(Signal::SIGKILL);
    await_that("no child outlives its parent", || {
        children.values().all(|pid| processes::title(*pid).is_none_or(|title| title.is_empty()))
    });
}
