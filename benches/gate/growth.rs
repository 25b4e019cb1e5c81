//! What becomes of the throughput, and of a start, when there is more of everything: open sessions, messages that wait, credentials,
//! events in the log. Each is beside a small one in the same run, two services that take turns.
//!
//! - **sessions** are of clients who are known by their network and say nothing behind EHLO.
//! - **queue**: messages whose upstream was away and is tried again tomorrow; what is measured passes them by. **events**: of accepted
//!   messages. Both are put into the state of a stopped service (`support/backlog.rs`). A million messages and ten million events
//!   take long to put there: `GATEPOST_BENCH_LARGEST=1` does it.
//! - **credentials** stand in the configuration, each with a secret of its own key; one hash serves all, since nobody logs in.
//!
//! Throughput is messages through the gate to a sink, by 20 sessions that stay open, until the last is delivered. A start is what
//! lies between the beginning of the parent and READY, after a clean stop.

use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use gatepost::vault::login::{hashing, key};

use crate::drain::Drain;
use crate::meter::memory;
use crate::sender::{Sender, Told, content};
use crate::support::backlog;
use crate::support::files::may_open;
use crate::support::{LIMITS, ROOMY, introduce, is_wanted, median, quick};
use crate::trial::{Service, Setting, Smtp, free_port};
use crate::{aims, devices};

/// `cargo bench --bench gate -- growth queue` does one of them.
const PARTS: [&str; 4] = ["sessions", "queue", "credentials", "events"];
/// 10,000 sessions, and all else.
const FILES: u64 = 11_000;
const SENDERS: u32 = 20;
const LENGTH: usize = 4096;
const ROUNDS: usize = 3;
const MESSAGES: u32 = 1_500;
/// Of a body that waits; a row each.
const WAITING: usize = 2048;
/// Of what the small one does, and seconds.
const AIM: f64 = 0.75;
const START: f64 = 3.0;

pub fn main() {
    introduce("throughput and start, when there is more of everything");
    let largest = std::env::var_os("GATEPOST_BENCH_LARGEST").is_some();
    if !largest && !quick() {
        println!(
            "NOT RUN: 1,000,000 messages that wait and 10,000,000 events, which need GATEPOST_BENCH_LARGEST=1, half an hour and 20 GB of disk"
        );
    }
    let wanted = |part| is_wanted(part, &PARTS);
    if wanted("sessions") && may_open(FILES, "growth sessions") {
        sessions();
    }
    if wanted("queue") {
        let (few, many) = if quick() { (100, vec![1_000]) } else { (1_000, vec![100_000]) };
        grown("messages that wait", few, &with(many, largest, 1_000_000), put_messages);
    }
    if wanted("credentials") {
        credentials();
    }
    if wanted("events") {
        let (few, many) = if quick() { (100, vec![1_000]) } else { (1_000, vec![1_000_000]) };
        grown("events in the log", few, &with(many, largest, 10_000_000), put_events);
    }
}

fn with(mut sizes: Vec<u32>, largest: bool, size: u32) -> Vec<u32> {
    if largest && !quick() {
        sizes.push(size);
    }
    sizes
}

/// A gate with its sink.
struct House {
    service: Service,
    port: u16,
    drain: Drain,
}

impl House {
    fn build(more: &str) -> Self {
        let (drain, port) = (Drain::start(), free_port());
        let networks = [("billing", "127.0.0.0/16"), ("idle", "127.200.0.0/16")];
        let known: String = networks.map(|(id, network)| devices::credential(id, network, "spool")).concat();
        let service = Service::start_with(&Setting {
            host: Some(format!("127.0.0.1:{}", drain.port)),
            upstream: "tls = \"none\"\nconnections = 20".to_owned(),
            limits: format!("{LIMITS}\nsessions = 12000\nstrangers = 12000\nidle = \"60m\"\nidle_strange = \"10m\""),
            more: devices::listener(port) + &known + ROOMY + more,
            ..Setting::default()
        });
        Self { service, port, drain }
    }

    /// Messages that came through in a second.
    fn rate(&self, messages: u32) -> f64 {
        let mut senders: Vec<Sender> =
            (0..SENDERS).map(|_| Sender::enter(self.port, Ipv4Addr::LOCALHOST, "billing")).collect();
        let (left, content, before) = (AtomicU32::new(messages), content("billing", LENGTH), self.drain.count());
        let began = Instant::now();
        thread::scope(|scope| {
            for sender in &mut senders {
                scope.spawn(|| {
                    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                        match sender.send(&content) {
                            Told::Taken(_) => {}
                            Told::Refused(code) => panic!("a message was refused: {code}"),
                            Told::Gone => panic!("a session was closed"),
                        }
                    }
                });
            }
        });
        self.drain.await_count(before + messages);
        f64::from(messages) / began.elapsed().as_secs_f64()
    }

    /// Seconds from the beginning of a process to READY, after a clean stop.
    fn start_again(&mut self) -> f64 {
        self.service.end();
        let began = Instant::now();
        self.service.restart();
        began.elapsed().as_secs_f64()
    }
}

/// By turns, so that whatever else burdens the machine burdens both.
fn compare(what: &str, small: &House, large: &House) {
    let (rounds, messages) = if quick() { (1, 100) } else { (ROUNDS, MESSAGES) };
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        let (few, many) = (small.rate(messages), large.rate(messages));
        println!("round {round}: {what}: {many:.0} messages a second, {few:.0} with few: {:.2}", many / few);
        ratios.push(many / few);
    }
    aims::at_least(&format!("growth, {what}: of the throughput with few"), median(&ratios), AIM);
}

fn starts(what: &str, small: &mut House, large: &mut House) {
    let rounds = if quick() { 1 } else { ROUNDS };
    let mut all = Vec::new();
    for round in 1..=rounds {
        let (few, many) = (small.start_again(), large.start_again());
        println!("round {round}: {what}: ready after {many:.2} s, {few:.2} s with few");
        all.push(many);
    }
    aims::at_most(&format!("growth, {what}: seconds until it is ready"), median(&all), START);
}

fn sessions() {
    let steps: &[u32] = if quick() { &[100] } else { &[100, 1_000, 10_000] };
    let (small, large) = (House::build(""), House::build(""));
    let mut open: Vec<TcpStream> = Vec::new();
    let _few: Vec<TcpStream> = (0..10).map(|number| idle(small.port, number)).collect();
    for step in steps {
        open.extend((u32::try_from(open.len()).unwrap()..*step).map(|number| idle(large.port, number)));
        compare(&format!("{step} open sessions beside 10"), &small, &large);
    }
    let lost = open.iter().filter(|socket| !is_open(socket)).count();
    println!("{} sessions were open, {lost} of them closed meanwhile", open.len());
    small.service.stop();
    large.service.stop();
}

fn idle(port: u16, number: u32) -> TcpStream {
    let [_, _, high, low] = number.to_be_bytes();
    let mut session = Smtp::over(devices::connect_from(Ipv4Addr::new(127, 200, high, low), port).unwrap());
    assert_eq!(session.code(), 220);
    assert_eq!(session.say("EHLO client.example"), 250);
    session.stream().try_clone().unwrap()
}

fn is_open(socket: &TcpStream) -> bool {
    socket.set_nonblocking(true).unwrap();
    matches!(socket.peek(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

fn put_messages(state: &std::path::Path, count: u32) {
    backlog::messages(state, "sink", WAITING, count);
}

fn put_events(state: &std::path::Path, count: u32) {
    backlog::events(state, count);
}

/// Puts many into one state and few into the other, and compares.
fn grown(what: &str, few: u32, sizes: &[u32], put: fn(&std::path::Path, u32)) {
    let mut small = House::build("");
    fill(&mut small, few, put);
    let (mut large, mut there) = (House::build(""), 0);
    for size in sizes {
        let began = Instant::now();
        fill(&mut large, size - there, put);
        there = *size;
        println!(
            "{size} {what}: put there in {:.0} s, a thousand in a transaction; {:.0} MiB (PSS), {:.0} with {few}",
            began.elapsed().as_secs_f64(),
            memory(large.service.pid()),
            memory(small.service.pid())
        );
        let name = format!("{size} {what} beside {few}");
        compare(&name, &small, &large);
        starts(&name, &mut small, &mut large);
    }
    small.service.stop();
    large.service.stop();
}

fn fill(house: &mut House, count: u32, put: fn(&std::path::Path, u32)) {
    house.service.end();
    put(&house.service.folder.path().join("state"), count);
    house.service.restart();
}

fn credentials() {
    let many = if quick() { 100 } else { 10_000 };
    let (_, password) = key::generate().unwrap();
    let hash = hashing::hash_here(&password).unwrap();
    let all: String = (0..many)
        .map(|number| {
            let hash = hash.expose();
            format!(
                "[[credential]]\nid = \"account{number}\"\nsecrets = [{{ key = \"key{number:05}\", hash = \"{hash}\" }}]\n\
                 senders = [\"account{number}@example.net\"]\nlimits = {{ per_day = 1000 }}\n\n"
            )
        })
        .collect();
    let (mut small, mut large) = (House::build(""), House::build(&all));
    println!(
        "{many} credentials: a configuration of {} KiB; {:.0} MiB (PSS), {:.0} with 2",
        all.len() / 1024,
        memory(large.service.pid()),
        memory(small.service.pid())
    );
    let name = format!("{many} credentials beside 2");
    compare(&name, &small, &large);
    starts(&name, &mut small, &mut large);
    small.service.stop();
    large.service.stop();
}
