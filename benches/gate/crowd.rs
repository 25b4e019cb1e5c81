//! Three times as many clients as the edge holds sessions, each with one message per connection and at once again: what those wait who
//! are let in, and what the others are told. A quarter of what it holds is measured before and behind, on the same service: half of them
//! is what clients may take who are not known yet, and one who leaves is there for a moment after the next one came.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::drain::Drain;
use crate::meter::Meter;
use crate::overload::{LENGTH, MEMORY, TIME};
use crate::sender::{Sender, Told, content};
use crate::support::{LIMITS, quick};
use crate::trial::{Service, Setting, free_port, processes};
use crate::waits::Waits;
use crate::{aims, devices};

/// Sessions that the edge holds.
const HELD: u32 = 64;
/// How soon one comes again who was turned away: too soon for anybody's good.
const AGAIN: Duration = Duration::from_millis(100);

/// What a phase was like.
struct Crowd {
    /// Taken in a second.
    rate: f64,
    /// From the connection to the answer to the dot.
    whole: Waits,
    refused: BTreeMap<u16, u32>,
    memory: f64,
}

pub fn sessions() {
    let time = if quick() { Duration::from_secs(1) } else { TIME / 2 };
    let drain = Drain::start();
    let port = free_port();
    let service = Service::start_with(&Setting {
        host: Some(format!("127.0.0.1:{}", drain.port)),
        upstream: "tls = \"none\"\nconnections = 20".to_owned(),
        limits: format!("{LIMITS}\nsessions = {HELD}"),
        more: devices::listener(port) + &devices::credential("billing", "127.0.0.0/8", "spool"),
        ..Setting::default()
    });
    let phase = |name: &str, clients: u32| {
        let crowd = crowd(&service, port, clients, time);
        println!(
            "sessions, {name}: {clients} clients, {HELD} sessions at most: {:.0} messages a second; from the connection to the last answer: {}; turned away {:?}; {:.0} MiB",
            crowd.rate, crowd.whole, crowd.refused, crowd.memory
        );
        crowd
    };
    let calm = phase("a quarter of them", HELD / 4);
    let over = phase("three times as many", 3 * HELD);
    let behind = phase("a quarter of them again", HELD / 4);
    println!(
        "sessions: {:.2} times the messages a second, {:.2} times the p99 of those who are let in",
        over.rate / calm.rate,
        over.whole.at(990) / calm.whole.at(990)
    );
    for pid in processes::all(service.pid()) {
        let title = processes::title(pid).unwrap_or_default();
        println!(
            "    {title}: {} KiB of its own",
            processes::status(pid, "RssAnon").unwrap_or_default().trim_end_matches(" kB")
        );
    }
    println!("    {} messages were delivered by then", drain.count());
    let turned_away = |crowd: &Crowd| f64::from(crowd.refused.values().sum::<u32>());
    aims::at_least("overload, sessions: turned away", turned_away(&over), 1.0);
    aims::at_most("overload, sessions: MiB of memory more than before", over.memory - calm.memory, MEMORY);
    aims::at_most("overload, sessions: turned away behind it", turned_away(&behind), 0.0);
    service.stop();
}

fn crowd(service: &Service, port: u16, clients: u32, time: Duration) -> Crowd {
    let all = Mutex::new((Vec::new(), BTreeMap::<u16, u32>::new()));
    let meter = Meter::start(service.pid());
    let began = Instant::now();
    thread::scope(|scope| {
        for number in 0..clients {
            let all = &all;
            scope.spawn(move || {
                let content = content("billing", LENGTH);
                let [_, _, high, low] = number.to_be_bytes();
                let from = Ipv4Addr::new(127, 1, high, low.max(1));
                while began.elapsed() < time {
                    let came = Instant::now();
                    let told = match Sender::connect(port, from, "billing") {
                        Ok(mut sender) => sender.send(&content),
                        Err(code) => Told::Refused(code.unwrap_or(0)),
                    };
                    let code = match told {
                        Told::Taken(_) => {
                            all.lock().unwrap().0.push(came.elapsed().as_secs_f64() * 1000.0);
                            continue;
                        }
                        Told::Refused(code) => code,
                        Told::Gone => 0,
                    };
                    *all.lock().unwrap().1.entry(code).or_default() += 1;
                    thread::sleep(AGAIN);
                }
            });
        }
    });
    let (waits, refused) = all.into_inner().unwrap();
    let rate = waits.len() as f64 / began.elapsed().as_secs_f64();
    Crowd { rate, whole: Waits::new(waits), refused, memory: meter.stop(1).memory }
}
