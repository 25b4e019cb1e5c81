//! `POST /v1/send` over 50 connections that stay open, bodies of 2 KiB: how many are accepted in a second, each synced with its
//! event and its use of the limits before 202 is said, and how long an answer takes; beside what the same store keeps when nothing
//! but it works, in the same run.
//!
//! The clients are threads of this process, on the same cores. In the first rows delivery is paused, so that accepting is seen
//! alone; in the second what is accepted is delivered to a sink meanwhile.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::aims;
use crate::drain::Drain;
use crate::support::units::{Raw, with_store};
use crate::support::{LIMITS, ROOMY, introduce, median, quick, rate};
use crate::trial::{Service, Setting};
use crate::waits::Waits;

const CONNECTIONS: usize = 50;
const BODY: usize = 2048;
const ROUNDS: usize = 5;
/// Under load the writer's groups are as large as what waits: with 50 clients, this many.
const GROUP: u32 = 50;
/// What the answers a second are to be.
const AIM: f64 = 5000.0;

pub fn main() {
    introduce("POST /v1/send, accepted durably");
    let (rounds, time) = if quick() { (1, Duration::from_millis(200)) } else { (ROUNDS, Duration::from_secs(5)) };
    let home = tempfile::tempdir().unwrap();
    let raw = Raw::new(home.path());
    let drain = Drain::start();
    let setting = Setting {
        host: Some(format!("127.0.0.1:{}", drain.port)),
        upstream: "tls = \"none\"\nconnections = 20".to_owned(),
        limits: LIMITS.to_owned(),
        more: ROOMY.to_owned(),
        ..Setting::default()
    };
    let service = Service::start_with(&setting);
    let secret = service.add_credential();
    let request = request(&secret);
    // The key is checked once, and known from then on: fifty clients that have never been there would wait for two hashing threads.
    let mut first = TcpStream::connect((Ipv4Addr::LOCALHOST, service.http)).unwrap();
    first.write_all(&request).unwrap();
    let accepted = answer(&mut BufReader::new(first));
    assert!(accepted.starts_with("HTTP/1.1 202"), "{accepted}");
    let mut sent = 1;
    with_store(home.path(), |store| {
        for paused in [true, false] {
            let word = if paused { "pause" } else { "resume" };
            let output = service.command(&["route", word, "sink"]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let what = if paused { "delivery paused" } else { "with delivery" };
            let (mut accepted, mut kept, mut syncs, mut waits) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            for round in 1..=rounds {
                // What was accepted before is delivered before anything is measured.
                if !paused {
                    drain.await_count(sent);
                }
                syncs.push(rate(time / 5, || raw.sync()));
                kept.push(rate(time / 2, || store.keep(GROUP)));
                let (count, a_second, mut took) = flood(service.http, &request, time);
                sent += count;
                println!(
                    "round {round}: {what}: {a_second:.0} accepted a second; the store alone {:.0}, {:.0} syncs",
                    kept[kept.len() - 1],
                    syncs[syncs.len() - 1]
                );
                accepted.push(a_second);
                waits.append(&mut took);
            }
            let waits = Waits::new(waits);
            let ratios: Vec<f64> = accepted.iter().zip(&kept).map(|(accepted, kept)| accepted / kept).collect();
            println!(
                "{what}: {:.0} accepted a second, {:.2} of what the store alone keeps in groups of {GROUP}; an answer takes {waits}",
                median(&accepted),
                median(&ratios)
            );
            aims::at_least(&format!("http, {what}: accepted a second"), median(&accepted), AIM);
        }
    });
    drain.await_count(sent);
    assert_eq!(drain.settled_count(), sent, "something was delivered twice");
}

pub fn request(secret: &str) -> Vec<u8> {
    let envelope = r#"{"from":"billing@example.net","to":"person@example.org","subject":"A bill","text":""#;
    let text = "All work and no play makes a dull mail. ".repeat(BODY / 40);
    let mut body = format!("{envelope}{text}");
    body.truncate(BODY - 2);
    body.push_str("\"}");
    format!(
        "POST /v1/send HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// All connections ask as fast as they are answered. How many were accepted, how many in a second, and what each answer took, in ms.
fn flood(port: u16, request: &[u8], time: Duration) -> (u32, f64, Vec<f64>) {
    let (over, accepted, waits) = (AtomicBool::new(false), AtomicU32::new(0), Mutex::new(Vec::new()));
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
                stream.set_nodelay(true).unwrap();
                let (mut reader, mut writer) = (BufReader::new(stream.try_clone().unwrap()), stream);
                let mut own = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    writer.write_all(request).unwrap();
                    let answer = answer(&mut reader);
                    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
                    own.push(asked.elapsed().as_secs_f64() * 1000.0);
                    accepted.fetch_add(1, Ordering::Relaxed);
                }
                waits.lock().unwrap().append(&mut own);
            });
        }
        thread::sleep(time);
        over.store(true, Ordering::Relaxed);
    });
    let accepted = accepted.into_inner();
    (accepted, f64::from(accepted) / began.elapsed().as_secs_f64(), waits.into_inner().unwrap())
}

/// One answer: its head, and its body read over.
pub fn answer(reader: &mut BufReader<TcpStream>) -> String {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let from = head.len();
        assert!(reader.read_line(&mut head).unwrap() > 0, "the connection was closed: {head}");
        let line = head[from..].to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    head + &String::from_utf8_lossy(&body)
}
