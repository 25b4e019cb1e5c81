//! How long a client waits for the answer to its dot, at 500 messages a second, with an upstream 50 milliseconds away: kept on disk
//! before 250 (`spool`), and passed on while the client waits (`direct`), where two round trips to the upstream are part of it. A message
//! that is passed on directly keeps one of the courier's connections for three, which bounds that: so it is measured at half the pace, too.
//!
//! Messages are due at fixed times, whether or not the ones before were answered; beside the wait from the dot stands that from when
//! each was due, which is longer where clients had to wait for a session that was still busy. Beside each round stands how often the
//! same disk syncs in a second.

use std::net::Ipv4Addr;
use std::time::Duration;

use gatepost::ipc::delivery::MAX_SLOTS;

use crate::drain::Drain;
use crate::pace::{self, Heard, Pace};
use crate::support::units::Raw;
use crate::support::{LIMITS, introduce, quick, rate};
use crate::trial::{Service, Setting, free_port};
use crate::waits::Waits;
use crate::{away, devices};

const A_SECOND: f64 = 500.0;
const ROUNDS: usize = 3;
/// A round's length, and what goes before the first so that all connections are there.
const TIME: Duration = Duration::from_secs(15);
const BEFORE: Duration = Duration::from_secs(3);
const SESSIONS: u32 = 150;
const LENGTH: usize = 4096;
/// As many as a courier may have.
const OUTGOING: u16 = MAX_SLOTS;

pub fn main() {
    introduce("latency at the dot, with an upstream far away");
    let Some((drain, host)) = away::upstream("latency") else { return };
    for (delivery, a_second) in [("spool", A_SECOND), ("direct", A_SECOND / 2.0), ("direct", A_SECOND)] {
        measure(delivery, a_second, &drain, &host);
    }
}

fn measure(delivery: &str, a_second: f64, drain: &Drain, host: &str) {
    let quickly = Duration::from_secs(1);
    let (rounds, time, before, a_second) =
        if quick() { (1, quickly, quickly, a_second / 5.0) } else { (ROUNDS, TIME, BEFORE, a_second) };
    let port = free_port();
    let service = Service::start_with(&Setting {
        host: Some(host.to_owned()),
        upstream: format!("tls = \"none\"\nconnections = {OUTGOING}\nmessages_per_connection = 10000"),
        limits: LIMITS.to_owned(),
        more: devices::listener(port) + &devices::credential("billing", "127.0.0.0/8", delivery),
        ..Setting::default()
    });
    let raw = Raw::new(service.folder.path());
    let pace = Pace { id: "billing", from: Ipv4Addr::LOCALHOST, a_second, sessions: SESSIONS, length: LENGTH };
    println!(
        "-- {delivery}: {a_second} messages of {LENGTH} octets a second over {SESSIONS} sessions, {OUTGOING} connections to the upstream"
    );
    let delivered = drain.count();
    let mut taken = pace::keep(port, &pace, before).dots.len();
    let mut all = Heard::default();
    for round in 1..=rounds {
        let syncs = rate(time / 20, || raw.sync());
        let heard = pace::keep(port, &pace, time);
        println!(
            "round {round}: {delivery}: from the dot: {}; {:.0} answered a second; {} refused {:?}; {syncs:.0} syncs a second",
            Waits::new(heard.dots.clone()),
            heard.dots.len() as f64 / heard.elapsed,
            heard.refusals(),
            heard.refused
        );
        all.append(heard);
    }
    taken += all.dots.len();
    println!("{delivery}: from the dot to its answer: {}", Waits::new(all.dots));
    println!("{delivery}: from when it was due: {}; {:?} refused", Waits::new(all.since_due), all.refused);
    drain.await_count(delivered + u32::try_from(taken).unwrap());
    service.stop();
}
