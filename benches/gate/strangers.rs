//! What a client waits who comes, logs in by TLS, sends one message and goes, while strangers guess passwords, hold slow connections,
//! or connect as fast as they can; beside what it waits when nobody else is there, on the same service before.
//!
//! Strangers come from addresses of loopback that are theirs, a network each; caps by address and prefix are the defaults. They are
//! threads of this process and take their part of the same processors; those who guess do the other half of each handshake there, too.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;

use crate::devices::connect_from;
use crate::support::files::may_open;
use crate::support::{introduce, median, quick};
use crate::trial::smtp::trusting;
use crate::trial::{Service, Setting, Smtp, free_port};
use crate::waits::Waits;

const ROUNDS: usize = 3;
const PASSES: u32 = 200;
/// Of the honest client, between two passes.
const PAUSE: Duration = Duration::from_millis(20);
/// How long it tries to get in.
const PATIENCE: Duration = Duration::from_secs(60);
const GUESSERS: u32 = 200;
/// More than there are places for strangers, so that there is always somebody who must make room.
const SLOW: u32 = 2_500;
/// Between two octets of a slow one.
const DRIP: Duration = Duration::from_secs(5);
const FLOODERS: u32 = 4;
/// All who hold connections, and all else.
const FILES: u64 = 4_000;

/// What strangers did, so that it is seen that they did.
#[derive(Default)]
struct Deeds {
    over: AtomicBool,
    count: AtomicU32,
    turn: AtomicU32,
}

impl Deeds {
    fn go_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    fn done(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Another address than the one before, in a network (/24) that is one of 60,000.
    fn address(&self) -> Ipv4Addr {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let [_, a, b, c] = turn.to_be_bytes();
        Ipv4Addr::new(127, 16 + c % 220, b.max(1), a.max(1))
    }
}

/// Their name, how many threads of them there are, what one does, and what is counted of it.
type Kind = (&'static str, u32, fn(u16, &Arc<ClientConfig>, &Deeds), &'static str);

pub fn main() {
    introduce("a client who comes, logs in and sends, beside strangers");
    let kinds: [Kind; 3] = [
        ("guess passwords", GUESSERS, guess, "guesses answered"),
        ("hold slow connections", 1, hold, "connections begun"),
        ("connect without end", FLOODERS, flood, "connections made"),
    ];
    for kind in kinds {
        if may_open(FILES, kind.0) {
            let times: Vec<(f64, f64)> = (0..if quick() { 1 } else { ROUNDS }).map(|_| beside(kind)).collect();
            let of = |take: fn(&(f64, f64)) -> f64| median(&times.iter().map(take).collect::<Vec<_>>());
            println!(
                "{}: medians: {:.1} times as long (p50), {:.1} times (p99)",
                kind.0,
                of(|two| two.0),
                of(|two| two.1)
            );
        }
    }
}

/// How many times as long all of it took beside them, p50 and p99.
fn beside((what, threads, act, counted): Kind) -> (f64, f64) {
    let (passes, warm) = if quick() { (3, Duration::from_millis(300)) } else { (PASSES, Duration::from_secs(5)) };
    let port = free_port();
    // As `submission`, with the caps that a listener has of itself.
    let more = format!(
        "[[listener]]\nname = \"public\"\naddress = [\"127.0.0.1:{port}\"]\nprotocol = \"smtp\"\ntls = \"starttls\"\n"
    );
    let service = Service::start_with(&Setting { more, ..Setting::default() });
    let (secret, config) = (service.add_credential(), trusting(&service.pair));
    // It was right before, as in service: a first time is hashed, and `benches/guessing.rs` has those.
    assert!(pass(port, &secret, &config).is_some(), "a client was turned away before anybody came");
    let alone = Passes::make(port, &secret, &config, passes);
    alone.print(&format!("{what}: before they come"));
    let deeds = Deeds::default();
    let (among, a_second) = thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| act(port, &config, &deeds));
        }
        thread::sleep(warm);
        let (before, began) = (deeds.count.load(Ordering::Relaxed), Instant::now());
        let among = Passes::make(port, &secret, &config, passes);
        let done = deeds.count.load(Ordering::Relaxed) - before;
        deeds.over.store(true, Ordering::Relaxed);
        (among, f64::from(done) / began.elapsed().as_secs_f64())
    });
    among.print(&format!("{what}: beside them"));
    let times = |at| among.whole.at(at) / alone.whole.at(at);
    let (half, slow) = (times(500), times(990));
    println!("{what}: {a_second:.0} {counted} a second; in all {half:.1} times as long (p50), {slow:.1} times (p99)");
    service.stop();
    (half, slow)
}

/// What the honest client met.
struct Passes {
    /// From AUTH to its answer, from the dot to its answer, and from the first connection to the end of it.
    login: Waits,
    dot: Waits,
    whole: Waits,
    /// How often it was turned away or told to come again, and came.
    again: u32,
    gave_up: u32,
}

impl Passes {
    fn make(port: u16, secret: &str, config: &Arc<ClientConfig>, passes: u32) -> Self {
        let (mut login, mut dot, mut whole) = (Vec::new(), Vec::new(), Vec::new());
        let (mut again, mut gave_up) = (0, 0);
        for _ in 0..passes {
            let began = Instant::now();
            let made = loop {
                match pass(port, secret, config) {
                    Some(made) => break Some(made),
                    None if began.elapsed() > PATIENCE => break None,
                    None => {
                        again += 1;
                        thread::sleep(PAUSE);
                    }
                }
            };
            match made {
                Some((to_log_in, to_send)) => {
                    login.push(to_log_in);
                    dot.push(to_send);
                    whole.push(began.elapsed().as_secs_f64() * 1000.0);
                }
                None => {
                    gave_up += 1;
                    whole.push(PATIENCE.as_secs_f64() * 1000.0);
                }
            }
            thread::sleep(PAUSE);
        }
        Self { login: Waits::new(login), dot: Waits::new(dot), whole: Waits::new(whole), again, gave_up }
    }

    fn print(&self, what: &str) {
        let Self { login, dot, whole, again, gave_up } = self;
        println!("{what}: from AUTH to its answer: {login}");
        println!("{what}: from the dot to its answer: {dot}");
        println!("{what}: all of it: {whole}; {again} times it had to come again, {gave_up} times it gave up");
    }
}

/// Once through. None when it was turned away.
fn pass(port: u16, secret: &str, config: &Arc<ClientConfig>) -> Option<(f64, f64)> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    let mut session = Smtp::over(stream).try_secure(config)?;
    let asked = Instant::now();
    (session.try_log_in(secret)? == 235).then_some(())?;
    let login = asked.elapsed().as_secs_f64() * 1000.0;
    for (line, code) in [("MAIL FROM:<a@example.net>", 250), ("RCPT TO:<b@example.org>", 250), ("DATA", 354)] {
        (session.try_say(line)? == code).then_some(())?;
    }
    let content = "From: a@example.net\r\nTo: b@example.org\r\nSubject: beside\r\n\r\nHello.\r\n.";
    let sent = Instant::now();
    (session.try_say(content)? == 250).then_some(())?;
    let dot = sent.elapsed().as_secs_f64() * 1000.0;
    session.try_say("QUIT")?;
    Some((login, dot))
}

/// Guesses on one connection until it is closed, and comes again from elsewhere.
fn guess(port: u16, config: &Arc<ClientConfig>, deeds: &Deeds) {
    while deeds.go_on() {
        let Ok(stream) = connect_from(deeds.address(), port) else { continue };
        let Some(mut session) = Smtp::over(stream).try_secure(config) else { continue };
        for attempt in 0.. {
            let response = STANDARD.encode(format!("\0tester\0guess {attempt}"));
            match session.try_say(&format!("AUTH PLAIN {response}")) {
                Some(535 | 454) if deeds.go_on() => deeds.done(),
                _ => break,
            }
        }
    }
}

/// All who are slow, in one thread: each says an octet at a time, and whoever was let go comes again.
fn hold(port: u16, _: &Arc<ClientConfig>, deeds: &Deeds) {
    let (count, drip) = if quick() { (100, DRIP / 20) } else { (SLOW, DRIP) };
    let mut crowd: Vec<Option<TcpStream>> = (0..count).map(|_| None).collect();
    let mut letters = b"EHLO a.very.long.name.of.a.client.that.never.comes.to.its.end".iter().cycle();
    while deeds.go_on() {
        for place in &mut crowd {
            let letter = *letters.next().unwrap_or(&b'E');
            if !place.as_mut().is_some_and(|stream| say_on(stream, letter)) {
                *place = connect_from(deeds.address(), port).ok().filter(|stream| stream.set_nonblocking(true).is_ok());
                if place.is_some() {
                    deeds.done();
                }
            }
            thread::sleep(drip / count);
            if !deeds.go_on() {
                return;
            }
        }
    }
}

/// One octet more. False when it was let go.
fn say_on(stream: &mut TcpStream, letter: u8) -> bool {
    match stream.read(&mut [0; 512]) {
        Ok(0) => return false,
        Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return false,
        _ => {}
    }
    stream.write_all(&[letter]).is_ok()
}

/// Connects and leaves, without end.
fn flood(port: u16, _: &Arc<ClientConfig>, deeds: &Deeds) {
    while deeds.go_on() {
        if connect_from(deeds.address(), port).is_ok() {
            deeds.done();
        }
    }
}
