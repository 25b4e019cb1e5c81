//! One message per connection, as scripts and printers send: TCP, STARTTLS with a whole handshake of TLS 1.3, AUTH PLAIN, one
//! message of 4 KiB, QUIT; beside Postfix with SASL, which does the same work, with an RSA and with a P-256 certificate.
//!
//! Eight clients at a time are threads of this process, and their half of each handshake is on the same cores: at the head of
//! each part stands what such clients do alone, against a server of this process that only shakes hands. Gatepost has seen the
//! password before, as it has in service. Both relays pass the message on to the same sink. Needs root, for Postfix's master.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::aims;
use crate::drain::Drain;
use crate::meter::Meter;
use crate::support::machine::has;
use crate::support::{LIMITS, introduce, median, quick};
use crate::trial;
use crate::trial::postfix::Postfix;
use crate::trial::smtp::{Tls, trusting};
use crate::trial::{CREDENTIAL, Pair, Service, Setting, Smtp, smarthost};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::client::Resumption;
use rustls::{ClientConfig, ServerConnection, StreamOwned};

/// What Gatepost's are to be of Postfix's.
const AIM: f64 = 5.0;
const CLIENTS: u32 = 8;
const ROUNDS: usize = 5;
const MESSAGES: u32 = 1500;
const LENGTH: usize = 4096;

pub fn main() {
    introduce("one message per connection, with TLS and a login");
    if !trial::is_root() {
        return println!("NOT RUN: the comparison with Postfix, whose master must be root");
    }
    if !has("postconf") || !has("saslpasswd2") {
        return println!(
            "NOT RUN: the comparison with Postfix and SASL (Debian: postfix libsasl2-modules-db sasl2-bin)"
        );
    }
    for (kind, pair) in [("P-256", Pair::ecdsa()), ("RSA-2048", Pair::rsa())] {
        compare(kind, &pair);
    }
}

fn compare(kind: &str, pair: &Pair) {
    let (rounds, messages) = if quick() { (1, 40) } else { (ROUNDS, MESSAGES) };
    let drain = Drain::start();
    let config = client(pair);
    println!("{kind}: handshakes alone, both halves: {:.0} a second", handshakes(pair, &config, messages));
    let service = Service::start_with(&Setting {
        pair: pair.clone(),
        host: Some(format!("127.0.0.1:{}", drain.port)),
        upstream: "tls = \"none\"\nconnections = 20".to_owned(),
        limits: LIMITS.to_owned(),
        ..Setting::default()
    });
    let secret = service.add_credential();
    let relay =
        format!("default_transport = smtp\nrelayhost = [127.0.0.1]:{}\nsmtp_host_lookup = native\n", drain.port);
    let postfix = smarthost::start("plain", &relay, pair);
    let ours = Client { port: service.smtp, login: login(CREDENTIAL, &secret), config: &config };
    let theirs = Client { port: postfix.port(), login: login(smarthost::USER, smarthost::PASSWORD), config: &config };
    let mut all = [Vec::new(), Vec::new()];
    for round in 1..=rounds {
        for (at, (name, client, parent)) in
            [("postfix", &theirs, postfix.pid()), ("gatepost", &ours, service.pid())].into_iter().enumerate()
        {
            let before = drain.count();
            let meter = Meter::start(parent);
            let began = Instant::now();
            client.send_all(messages);
            let accepted = f64::from(messages) / began.elapsed().as_secs_f64();
            drain.await_count(before + messages);
            let cost = meter.stop(messages);
            println!(
                "round {round}: {kind}: {name:8} accepts {accepted:5.0} a second; {:.2} s of processor for 1,000",
                cost.processor
            );
            all[at].push((accepted, cost.processor));
        }
    }
    let [theirs, ours] = &all;
    let ratio = |take: fn(&(f64, f64)) -> f64| {
        median(&theirs.iter().zip(ours).map(|(theirs, ours)| take(ours) / take(theirs)).collect::<Vec<_>>())
    };
    let times = ratio(|(rate, _)| *rate);
    println!(
        "{kind}: gatepost {:.0}, postfix {:.0} a second, ratio {:.2}; processor, ratio {:.2}",
        median(&ours.iter().map(|(rate, _)| *rate).collect::<Vec<_>>()),
        median(&theirs.iter().map(|(rate, _)| *rate).collect::<Vec<_>>()),
        times,
        ratio(|(_, processor)| *processor)
    );
    aims::at_least(&format!("handshake, {kind}: accepted, times Postfix"), times, AIM);
    drop::<Postfix>(postfix);
    service.stop();
}

fn login(user: &str, password: &str) -> String {
    format!("AUTH PLAIN {}", STANDARD.encode(format!("\0{user}\0{password}")))
}

/// Each connection is one of a client who was never there.
fn client(pair: &Pair) -> Arc<ClientConfig> {
    let mut config = (*trusting(pair)).clone();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

struct Client<'a> {
    port: u16,
    login: String,
    config: &'a Arc<ClientConfig>,
}

impl Client<'_> {
    fn send_all(&self, messages: u32) {
        let left = AtomicU32::new(messages);
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    let take = |left: u32| left.checked_sub(1);
                    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
                        self.send();
                    }
                });
            }
        });
    }

    fn send(&self) {
        let mut session: Smtp<Tls> = Smtp::connect(self.port).secure(self.config);
        assert_eq!(session.say(&self.login), 235);
        let text = "All work and no play makes a dull mail.\r\n".repeat(LENGTH / 41);
        for (line, code) in [
            ("MAIL FROM:<a@example.net>", 250),
            ("RCPT TO:<b@example.org>", 250),
            ("DATA", 354),
            (&format!("From: a@example.net\r\nTo: b@example.org\r\nSubject: A bill\r\n\r\n{text}."), 250),
            ("QUIT", 221),
        ] {
            assert_eq!(session.say(line), code, "{line}");
        }
    }
}

/// What handshakes alone allow: as many clients, and a server that does nothing else.
fn handshakes(pair: &Pair, config: &Arc<ClientConfig>, count: u32) -> f64 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (address, server) = (listener.local_addr().unwrap(), pair.server());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let server = Arc::clone(&server);
            thread::spawn(move || {
                let mut stream = StreamOwned::new(ServerConnection::new(server).unwrap(), stream);
                let mut octet = [0];
                if stream.read_exact(&mut octet).is_ok() {
                    // A client that has gone by then has had its handshake.
                    let _ = stream.write_all(&octet);
                }
            });
        }
    });
    let left = AtomicU32::new(count);
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                    let stream = TcpStream::connect(address).unwrap();
                    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
                    let mut session = Smtp::over(stream).shake_hands(config);
                    session.stream().write_all(b"x").unwrap();
                    session.stream().read_exact(&mut [0]).unwrap();
                }
            });
        }
    });
    f64::from(count) / began.elapsed().as_secs_f64()
}
