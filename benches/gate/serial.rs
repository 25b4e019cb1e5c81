//! One client that keeps its connection and sends one message after the other, each when the one before was answered: nothing shares
//! its syncs, so that the disk is the limit; beside how often that disk is synced when nothing else is done, by turns in the same run.
//!
//! In the first rows delivery is paused; in the second each message leaves meanwhile, which is synced, too.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::aims;
use crate::devices;
use crate::drain::Drain;
use crate::sender::{Sender, Told, content};
use crate::support::units::Raw;
use crate::support::{LIMITS, ROOMY, introduce, median, quick, rate};
use crate::trial::{Service, Setting, free_port};

const ID: &str = "printer";
const LENGTH: usize = 4096;
const ROUNDS: usize = 5;
/// What the messages a second are to be of the syncs.
const AIM: f64 = 0.6;

pub fn main() {
    introduce("one client on one connection, beside syncs of the disk");
    let (rounds, time) = if quick() { (1, Duration::from_millis(200)) } else { (ROUNDS, Duration::from_secs(4)) };
    let (drain, port) = (Drain::start(), free_port());
    let setting = Setting {
        host: Some(format!("127.0.0.1:{}", drain.port)),
        upstream: "tls = \"none\"".to_owned(),
        limits: LIMITS.to_owned(),
        more: devices::listener(port) + &devices::credential(ID, "127.0.0.0/8", "spool") + ROOMY,
        ..Setting::default()
    };
    let service = Service::start_with(&setting);
    // On the disk of the service.
    let raw = Raw::new(service.folder.path());
    let mut sender = Sender::enter(port, Ipv4Addr::LOCALHOST, ID);
    let (content, mut sent) = (content(ID, LENGTH), 0);
    for paused in [true, false] {
        let word = if paused { "pause" } else { "resume" };
        let output = service.command(&["route", word, "sink"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let what = if paused { "delivery paused" } else { "with delivery" };
        let mut ratios = Vec::new();
        for round in 1..=rounds {
            // What was accepted before is delivered before anything is measured.
            if !paused {
                drain.await_count(sent);
            }
            let syncs = rate(time / 4, || raw.sync());
            let accepted = rate(time, || match sender.send(&content) {
                Told::Taken(_) => {
                    sent += 1;
                    1
                }
                Told::Refused(code) => panic!("it was refused by {code}"),
                Told::Gone => panic!("the connection was closed"),
            });
            println!("round {round}: {what}: {accepted:.0} accepted a second; {syncs:.0} syncs");
            ratios.push(accepted / syncs);
        }
        println!("{what}: {:.2} of the syncs", median(&ratios));
        aims::at_least(&format!("serial, {what}: of the rate of syncs"), median(&ratios), AIM);
    }
}
