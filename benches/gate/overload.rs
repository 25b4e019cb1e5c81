//! Three times what is sustainable: who is put off, and by what; what those wait who are let in; how much memory it takes; and whether
//! all of it is over by itself when the load is. Half of what is sustainable is measured before and behind, on the same service.
//!
//! Here mail comes three times as fast as the upstream takes it. Two heavy credentials, one by SMTP and one by HTTP, offer most of it,
//! five light ones the rest. `shed_messages` is set low, so that the spool is at its thresholds within seconds instead of within an
//! hour; everything else is as it comes. Beside this, more clients than there are sessions: `crowd.rs`.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::drain::Drain;
use crate::http::{answer, request};
use crate::large::delivery;
use crate::meter::Meter;
use crate::pace::{self, Heard, Pace};
use crate::sender::{Sender, Told, content};
use crate::support::{LIMITS, introduce, quick};
use crate::trial::{Service, Setting, free_port};
use crate::waits::Waits;
use crate::{aims, crowd, devices};

/// Connections to the upstream, and how late each of its answers is: two of them for a message.
const OUTGOING: u32 = 8;
const LATE: Duration = Duration::from_millis(20);
const LIGHT: [&str; 5] = ["light1", "light2", "light3", "light4", "light5"];
pub const LENGTH: usize = 4096;
/// The spool's two thresholds, and the length of each phase.
const THRESHOLDS: [u32; 2] = [2_000, 4_000];
pub const TIME: Duration = Duration::from_secs(25);
/// MiB: what the issue of many large messages has is taken for this, too.
pub const MEMORY: f64 = 64.0;
/// How long a gate that was at its thresholds may take to be rid of it.
const PATIENCE: Duration = Duration::from_secs(120);

pub fn main() {
    introduce("three times the load that can be borne");
    queue();
    crowd::sessions();
}

fn queue() {
    let (thresholds, time) = if quick() { ([100, 200], Duration::from_secs(2)) } else { (THRESHOLDS, TIME) };
    let drain = Drain::start_at(Ipv4Addr::LOCALHOST, LATE);
    let port = free_port();
    let mut more = devices::listener(port) + &devices::credential("heavy", "127.1.0.0/16", "spool");
    for (number, id) in (2..).zip(LIGHT) {
        more += &devices::credential(id, &format!("127.{number}.0.0/16"), "spool");
    }
    more += &format!("[spool]\nshed_messages = [{}, {}]\n", thresholds[0], thresholds[1]);
    let service = Service::start_with(&Setting {
        host: Some(format!("127.0.0.1:{}", drain.port)),
        upstream: format!("tls = \"none\"\nconnections = {OUTGOING}\nmessages_per_connection = 10000"),
        limits: LIMITS.to_owned(),
        more,
        ..Setting::default()
    });
    let gate = Gate { request: request(&service.add_credential()), parent: service.pid(), http: service.http, port };
    delivery(&service, "pause");
    gate.fill(thresholds[0] / 2);
    let began = Instant::now();
    delivery(&service, "resume");
    drain.await_count(thresholds[0] / 2);
    let sustainable = f64::from(thresholds[0] / 2) / began.elapsed().as_secs_f64();
    println!("queue: the upstream takes {sustainable:.0} messages a second; thresholds {thresholds:?}");
    let mut accepted = thresholds[0] / 2;
    let mut phase = |name: &str, times: f64| {
        let phase = gate.offer(times * sustainable, time);
        accepted += phase.taken();
        phase.print(name);
        phase
    };
    let calm = phase("queue, half of it", 0.5);
    let over = phase("queue, three times", 3.0);
    let after = phase("queue, half of it at once", 0.5);
    let more = rest(&service);
    let behind = phase("queue, half of it again", 0.5);
    println!(
        "queue: by SMTP the last one was refused {:.1} s after the overload; {more:.1} s after that phase no mail was put off",
        after.heavy.last_refusal.max(after.light.last_refusal)
    );
    let ratio = over.dots(false).at(990) / calm.dots(false).at(990);
    println!("queue: the light ones' p99 at the dot is {ratio:.2} times that of before");
    aims::at_most("overload, queue: light messages that were refused", f64::from(over.refusals(false)), 0.0);
    aims::at_least("overload, queue: heavy messages that were refused", f64::from(over.refusals(true)), 1.0);
    aims::at_most("overload, queue: MiB of memory more than before", over.memory - calm.memory, MEMORY);
    aims::at_most("overload, queue: refused behind it", f64::from(behind.refusals(true) + behind.refusals(false)), 0.0);
    drain.await_count(accepted);
    assert_eq!(drain.settled_count(), accepted, "what was accepted is delivered, once");
    service.stop();
}

/// Seconds until no mail is put off any more.
fn rest(service: &Service) -> f64 {
    let began = Instant::now();
    loop {
        let output = service.command(&["status", "--json"]);
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if said["shedding"]["stage"] == "none" {
            return began.elapsed().as_secs_f64();
        }
        assert!(began.elapsed() < PATIENCE, "it stays in trouble: {said}");
        thread::sleep(Duration::from_millis(100));
    }
}

struct Gate {
    parent: u32,
    port: u16,
    http: u16,
    request: Vec<u8>,
}

/// What came of a phase: by SMTP of the heavy one, by HTTP of the other, and of the light ones.
struct Phase {
    heavy: Heard,
    http: Posted,
    light: Heard,
    memory: f64,
}

#[derive(Default)]
struct Posted {
    waits: Vec<f64>,
    refused: BTreeMap<u16, u32>,
}

impl Gate {
    /// Sends so many.
    fn fill(&self, messages: u32) {
        let mut sender = Sender::enter(self.port, Ipv4Addr::new(127, 1, 0, 1), "heavy");
        let content = content("heavy", LENGTH);
        for _ in 0..messages {
            assert!(matches!(sender.send(&content), Told::Taken(_)), "it can't be at its thresholds yet");
        }
    }

    /// So many a second: a tenth from the light ones, a quarter by HTTP, and the rest by SMTP.
    fn offer(&self, a_second: f64, time: Duration) -> Phase {
        let meter = Meter::start(self.parent);
        let pace = |id, number, share, sessions| Pace {
            id,
            from: Ipv4Addr::new(127, number, 0, 1),
            a_second: a_second * share,
            sessions,
            length: LENGTH,
        };
        let (heavy, http, light) = thread::scope(|scope| {
            let heavy = scope.spawn(|| pace::keep(self.port, &pace("heavy", 1, 0.65, 40), time));
            let http = scope.spawn(|| self.post(a_second * 0.25, time));
            let light: Vec<_> = (2u8..)
                .zip(LIGHT)
                .map(|(number, id)| scope.spawn(move || pace::keep(self.port, &pace(id, number, 0.02, 4), time)))
                .collect();
            let mut all = Heard::default();
            light.into_iter().for_each(|light| all.append(light.join().unwrap()));
            (heavy.join().unwrap(), http.join().unwrap(), all)
        });
        Phase { heavy, http, light, memory: meter.stop(1).memory }
    }

    /// Over some connections that stay open.
    fn post(&self, a_second: f64, time: Duration) -> Posted {
        const CONNECTIONS: u32 = 10;
        let all = Mutex::new(Posted::default());
        let began = Instant::now();
        thread::scope(|scope| {
            for first in 0..CONNECTIONS {
                let all = &all;
                scope.spawn(move || {
                    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.http)).unwrap();
                    stream.set_nodelay(true).unwrap();
                    let (mut reader, mut writer) = (BufReader::new(stream.try_clone().unwrap()), stream);
                    for number in (first..).step_by(CONNECTIONS as usize) {
                        let after = Duration::from_secs_f64(f64::from(number) / a_second);
                        if after >= time {
                            break;
                        }
                        thread::sleep((began + after).saturating_duration_since(Instant::now()));
                        let asked = Instant::now();
                        writer.write_all(&self.request).unwrap();
                        let answer = answer(&mut reader);
                        let code = answer.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
                        let mut all = all.lock().unwrap();
                        match code {
                            202 => all.waits.push(asked.elapsed().as_secs_f64() * 1000.0),
                            _ => *all.refused.entry(code).or_default() += 1,
                        }
                    }
                });
            }
        });
        all.into_inner().unwrap()
    }
}

impl Phase {
    fn taken(&self) -> u32 {
        u32::try_from(self.heavy.dots.len() + self.http.waits.len() + self.light.dots.len()).unwrap()
    }

    fn refusals(&self, heavy: bool) -> u32 {
        match heavy {
            true => self.heavy.refusals() + self.http.refused.values().sum::<u32>(),
            false => self.light.refusals(),
        }
    }

    fn dots(&self, heavy: bool) -> Waits {
        Waits::new(if heavy { self.heavy.dots.clone() } else { self.light.dots.clone() })
    }

    fn print(&self, name: &str) {
        println!(
            "{name}: heavy by SMTP: {} of {} taken, refused by {:?}; by HTTP: {} taken, refused by {:?}; light: {} of {} taken, refused by {:?}",
            self.heavy.dots.len(),
            self.heavy.offered(),
            self.heavy.refused,
            self.http.waits.len(),
            self.http.refused,
            self.light.dots.len(),
            self.light.offered(),
            self.light.refused
        );
        println!(
            "{name}: light, from the dot to its answer: {}; {:.0} MiB (PSS) at most",
            self.dots(false),
            self.memory
        );
        println!(
            "{name}: heavy, from the dot to its answer: {}; by HTTP: {}",
            self.dots(true),
            Waits::new(self.http.waits.clone())
        );
    }
}
