//! Sessions that say nothing: how much memory all processes of the service take together for 100, 1,000 and 10,000 of them,
//! strangers without TLS and clients who have logged in under it, and whether mail still goes through beside them.
//!
//! Memory is the proportional set size (PSS) of the parent and its children; what the kernel holds for sockets is not in it.
//! Each connection comes by PROXY header from an address of its own, those who log in from 100 addresses.

mod support;
#[path = "../tests/support/mod.rs"]
mod trial;

use std::fs;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use support::files::may_open;
use support::{introduce, quick};
use trial::smtp::{Tls, trusting};
use trial::{Service, Setting, Smtp, processes};

/// How many sessions are open when memory is looked at.
const STEPS: [u32; 3] = [100, 1_000, 10_000];
/// As many, and all else.
const FILES: u64 = 11_000;
/// Those who log in come from so many addresses: the second login from one is answered without hashing.
const HOMES: u32 = 100;
/// How long a service may take to be rid of a round's sessions.
const REST: Duration = Duration::from_secs(60);

fn main() {
    introduce("idle sessions");
    if !may_open(FILES, "all of it") {
        return;
    }
    for (what, enter) in [("strangers", stranger as Enter), ("logged in under TLS", client)] {
        hold(what, enter);
    }
}

/// One session as the service is to hold it; its socket.
type Enter = fn(&Service, &str, u32, &Arc<ClientConfig>) -> TcpStream;

fn hold(what: &str, enter: Enter) {
    let limits = "sessions = 12000\nstrangers = 12000\nidle_strange = \"10m\"\nidle = \"60m\"".to_owned();
    let listener = "proxy_from = [\"127.0.0.1\"]".to_owned();
    let service = Service::start_with(&Setting { limits, listener, ..Setting::default() });
    let secret = service.add_credential();
    let config = trusting(&service.pair);
    // What is made once is there before anything is counted.
    let first = enter(&service, &secret, 0, &config);
    drop(first);
    std::thread::sleep(Duration::from_secs(1));
    let before = memory(&service);
    let mut sessions = Vec::new();
    println!("{what}: {} MiB of PSS without sessions, in {} processes", before >> 10, everybody(&service).len());
    let began = Instant::now();
    for step in STEPS.iter().take(if quick() { 1 } else { STEPS.len() }) {
        for n in u32::try_from(sessions.len()).unwrap()..*step {
            sessions.push(enter(&service, &secret, n, &config));
        }
        let more = memory(&service).saturating_sub(before);
        println!(
            "{what}: {step} sessions: {:.1} MiB more, {:.1} KiB for each ({:.0} s since the first)",
            more as f64 / 1024.0,
            more as f64 / f64::from(*step),
            began.elapsed().as_secs_f64()
        );
    }
    for pid in everybody(&service) {
        let title = processes::title(pid).unwrap_or_else(|| "parent".to_owned());
        println!("    {title}: {} MiB", pss(pid) >> 10);
    }
    let asked = Instant::now();
    let mut session = secure(&service, "192.0.2.1", &config);
    assert_eq!(session.log_in(&secret), 235);
    assert_eq!(session.send("beside them"), 250);
    println!("{what}: one who comes, logs in and sends beside them: {} ms", asked.elapsed().as_millis());
    // None of them was let go meanwhile.
    let open = sessions.iter().filter(|socket| is_open(socket)).count();
    assert_eq!(open, sessions.len(), "sessions that the service ended");
    drop(sessions);
    let until = Instant::now() + REST;
    let edge = processes::child(service.pid(), "edge-smtp main");
    let descriptors = || fs::read_dir(format!("/proc/{edge}/fd")).map_or(0, Iterator::count);
    while descriptors() > STEPS[0] as usize && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("{what}: {} MiB more when they are gone", memory(&service).saturating_sub(before) >> 10);
    service.stop();
}

fn connect(service: &Service, address: &str) -> Smtp<TcpStream> {
    let mut session = Smtp::connect(service.smtp);
    let header = format!("PROXY TCP4 {address} 127.0.0.1 40000 587\r\n");
    std::io::Write::write_all(session.stream(), header.as_bytes()).unwrap();
    session
}

fn secure(service: &Service, address: &str, config: &Arc<ClientConfig>) -> Smtp<Tls> {
    connect(service, address).secure(config)
}

fn stranger(service: &Service, _: &str, n: u32, _: &Arc<ClientConfig>) -> TcpStream {
    let mut session = connect(service, &format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255));
    assert_eq!(session.code(), 220);
    assert_eq!(session.say("EHLO client.example"), 250);
    session.stream().try_clone().unwrap()
}

fn client(service: &Service, secret: &str, n: u32, config: &Arc<ClientConfig>) -> TcpStream {
    let mut session = secure(service, &format!("10.0.{}.1", n % HOMES), config);
    assert_eq!(session.log_in(secret), 235);
    session.stream().sock.try_clone().unwrap()
}

fn is_open(socket: &TcpStream) -> bool {
    socket.set_nonblocking(true).unwrap();
    matches!(socket.peek(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

/// The parent and its children.
fn everybody(service: &Service) -> Vec<u32> {
    let parent = service.pid();
    std::iter::once(parent).chain(processes::all(parent)).collect()
}

/// In KiB.
fn memory(service: &Service) -> u64 {
    everybody(service).into_iter().map(pss).sum()
}

fn pss(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
