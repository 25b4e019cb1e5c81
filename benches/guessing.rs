//! A login through the whole service, by STARTTLS, while 200 connections guess passwords: how long an honest client waits for
//! the answer to AUTH, and for all of it from the connection on.
//!
//! Each connection comes by PROXY header from a network of its own, one of 200 in the first run: those have failed before, soon.
//! In the second run it is one of 5,000, so that most have not. It guesses until it is closed, and connects again. The guessers
//! are threads of this process and take their part of the same cores, the other half of each handshake among it.

mod support;
#[path = "../tests/support/mod.rs"]
mod trial;

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;
use support::{introduce, quick};
use trial::smtp::{Tls, trusting};
use trial::{Service, Setting, Smtp};

const CONNECTIONS: u32 = 200;
const NETWORKS: [u32; 2] = [CONNECTIONS, 5_000];
/// How long an honest client tries.
const PATIENCE: Duration = Duration::from_secs(60);

/// What guesses were answered with.
#[derive(Default)]
struct Answers {
    wrong: AtomicU32,
    later: AtomicU32,
    closed: AtomicU32,
}

fn main() {
    introduce("an honest login while 200 connections guess, through the whole service");
    for networks in NETWORKS {
        println!("guesses from {networks} networks:");
        beside(networks);
    }
}

fn beside(networks: u32) {
    let honest = if quick() { 3 } else { 200 };
    let listener = "proxy_from = [\"127.0.0.1\"]".to_owned();
    let service = Service::start_with(&Setting { listener, ..Setting::default() });
    let secret = service.add_credential();
    let config = trusting(&service.pair);
    let (over, answers, turn) = (Arc::new(AtomicBool::new(false)), Arc::new(Answers::default()), Arc::default());
    let guessers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (config, over) = (Arc::clone(&config), Arc::clone(&over));
            let (answers, turn): (_, Arc<AtomicU32>) = (Arc::clone(&answers), Arc::clone(&turn));
            let port = service.smtp;
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    guess(port, turn.fetch_add(1, Ordering::Relaxed), networks, &config, &answers);
                }
            })
        })
        .collect();
    // All of them are at it.
    let tried = |answers: &Answers| answers.wrong.load(Ordering::Relaxed) + answers.later.load(Ordering::Relaxed);
    while tried(&answers) < if quick() { 10 } else { 2 * CONNECTIONS } {
        thread::sleep(Duration::from_millis(10));
    }
    let (began, before) = (Instant::now(), tried(&answers));
    let (mut whole, mut login, mut again) = (Vec::new(), Vec::new(), 0);
    let mut gave_up = 0;
    for n in 0..honest {
        let connected = Instant::now();
        let Some(mut session) = enter(service.smtp, &format!("198.51.{}.{}", n / 250, n % 250 + 1), &config) else {
            panic!("an honest client was not let in");
        };
        let said = Instant::now();
        let mut code = session.log_in(&secret);
        // Told to come again, as a client does that doesn't wait for it: the gate has.
        while code == 454 && said.elapsed() < PATIENCE {
            again += 1;
            code = session.log_in(&secret);
        }
        assert!(code == 235 || code == 454, "an honest login: {code}");
        gave_up += u32::from(code == 454);
        login.push(said.elapsed().as_secs_f64() * 1000.0);
        whole.push(connected.elapsed().as_secs_f64() * 1000.0);
    }
    let rate = f64::from(tried(&answers) - before) / began.elapsed().as_secs_f64();
    over.store(true, Ordering::Relaxed);
    print("from AUTH to its answer", &mut login);
    print("from the connection to the answer", &mut whole);
    println!(
        "  {again} times told to come again, {gave_up} gave up; guesses: {rate:.0} a second, {} refused, {} told to wait, {} connections closed",
        answers.wrong.load(Ordering::Relaxed),
        answers.later.load(Ordering::Relaxed),
        answers.closed.load(Ordering::Relaxed)
    );
    guessers.into_iter().for_each(|guesser| guesser.join().unwrap());
    service.stop();
}

fn print(what: &str, waits: &mut [f64]) {
    waits.sort_by(f64::total_cmp);
    let at = |share: usize| waits[(waits.len() * share / 100).min(waits.len() - 1)];
    let [median, p95, p99, slowest] = [50, 95, 99, 100].map(at);
    println!(
        "  {what}: median {median:.0} ms, p95 {p95:.0} ms, p99 {p99:.0} ms, slowest {slowest:.0} ms of {}",
        waits.len()
    );
}

/// A session under TLS that a proxy says comes from there; none when it was turned away.
fn enter(port: u16, address: &str, config: &Arc<ClientConfig>) -> Option<Smtp<Tls>> {
    let mut plain = Smtp::over(TcpStream::connect(("127.0.0.1", port)).ok()?);
    std::io::Write::write_all(plain.stream(), format!("PROXY TCP4 {address} 127.0.0.1 40000 587\r\n").as_bytes())
        .ok()?;
    plain.try_secure(config)
}

/// One connection's guesses, until it is closed.
fn guess(port: u16, turn: u32, networks: u32, config: &Arc<ClientConfig>, answers: &Answers) {
    let network = turn % networks;
    let address = format!("10.{}.{}.1", network / 250, network % 250);
    let Some(mut session) = enter(port, &address, config) else { return };
    for attempt in 0.. {
        let response = STANDARD.encode(format!("\0name{network}\0guess {turn} {attempt}"));
        match session.try_say(&format!("AUTH PLAIN {response}")) {
            Some(535) => answers.wrong.fetch_add(1, Ordering::Relaxed),
            Some(454) => answers.later.fetch_add(1, Ordering::Relaxed),
            _ => {
                answers.closed.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
    }
}
