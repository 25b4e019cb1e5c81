//! The same work beside Postfix and beside a Node.js relay: take messages by SMTP, and pass each on to the same sink, on the same
//! machine in the same run.
//!
//! - **spool**: Gatepost keeps a message, synced, with its event and its use of the limits, before it says 250; so does Postfix
//!   keep it, synced, without a log that proves or limits of that kind.
//! - **direct**: Gatepost says what the sink said, and has the intent on disk before; the Node relay (`smtp-server`, and a pooled
//!   `nodemailer`) has nothing on disk at all.
//!
//! Messages come from `smtp-source`, over connections that stay open, and go to a sink in this process, which counts them. Rounds
//! alternate, so that whatever else burdens the machine burdens all. Processor time and memory (PSS) are those of all the
//! processes of a relay; generator and sink are apart. Postfix needs root, which its master insists on.

use std::time::Duration;

use crate::contestants::Contestant;
use crate::drain::Drain;
use crate::meter::{Cost, Meter};
use crate::support::machine::has;
use crate::support::{introduce, is_wanted, median, quick};
use crate::{aims, contestants, source, trial};

/// `cargo bench --bench gate -- relay direct` does one of them.
const PARTS: [&str; 2] = ["spool", "direct"];
/// Medians of fewer say little.
const ROUNDS: usize = 5;
/// Long enough for either to be at its speed: some seconds of Gatepost, half a minute of Postfix.
const MESSAGES: u32 = 20_000;
/// So much of a message is its text; the header comes on top.
pub const LENGTH: u32 = 4096;
/// Connections of the generator, kept open.
pub const CONNECTIONS: u32 = 50;
/// What the ratios are to be: delivered a second, processor and memory of Postfix's; delivered a second of the Node.js relay's.
const SPOOL: f64 = 8.0;
const COST: f64 = 0.15;
const MOST: f64 = 0.3;
const DIRECT: f64 = 3.0;

/// What one round showed.
struct Figures {
    accepted: f64,
    delivered: f64,
    cost: Cost,
}

pub fn main() {
    introduce("messages through a relay to a sink, beside other relays");
    let (rounds, messages) = if quick() { (1, 200) } else { (ROUNDS, MESSAGES) };
    println!("{messages} messages of {LENGTH} octets over {CONNECTIONS} connections, {rounds} rounds, by smtp-source");
    if !has("smtp-source") {
        return println!("NOT RUN: all of it: its generator is Postfix's smtp-source (Debian: postfix)");
    }
    let drain = Drain::start();
    let alone = source::send(drain.port, messages);
    drain.await_count(messages);
    println!("generator and sink alone: {:.0} a second", f64::from(messages) / alone.as_secs_f64());
    if is_wanted("spool", &PARTS) {
        spool(&drain, rounds, messages);
    }
    if is_wanted("direct", &PARTS) {
        direct(&drain, rounds, messages);
    }
}

fn spool(drain: &Drain, rounds: usize, messages: u32) {
    if !trial::is_root() {
        return println!("NOT RUN: the comparison with Postfix, whose master must be root");
    }
    compare("spool", &[contestants::postfix(drain), contestants::spool(drain)], drain, rounds, messages);
}

fn direct(drain: &Drain, rounds: usize, messages: u32) {
    match contestants::node(drain) {
        Ok(node) => compare("direct", &[node, contestants::direct(drain)], drain, rounds, messages),
        Err(why) => println!("NOT RUN: the comparison with Node.js: {why}"),
    }
}

/// Rounds by turns; the last contestant is told in ratios to the first.
fn compare(what: &str, contestants: &[Contestant], drain: &Drain, rounds: usize, messages: u32) {
    println!("-- {what}");
    for contestant in contestants {
        println!("{}: {}", contestant.name, contestant.settings);
    }
    let mut all: Vec<Vec<Figures>> = contestants.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        for (contestant, figures) in contestants.iter().zip(&mut all) {
            let one = run(contestant, drain, messages);
            println!(
                "round {round}: {:9} accepts {:6.0}, delivers {:6.0} a second; {:.2} s of processor for 1,000; {:.0} MiB",
                contestant.name, one.accepted, one.delivered, one.cost.processor, one.cost.memory
            );
            figures.push(one);
        }
    }
    let [of, to] = [&all[0], &all[all.len() - 1]];
    for (figure, take) in FIGURES {
        let [of_median, to_median] = [of, to].map(|all| median(&all.iter().map(take).collect::<Vec<_>>()));
        let ratios: Vec<f64> = of.iter().zip(to).map(|(of, to)| take(to) / take(of)).collect();
        let ratio = median(&ratios);
        let [first, last] = [&contestants[0], &contestants[contestants.len() - 1]].map(|one| one.name);
        println!("{what}: {figure}: {first} {of_median:.2}, {last} {to_median:.2}, ratio {ratio:.2}");
        match (what, figure) {
            ("spool", DELIVERED) => aims::at_least("spool: delivered, times Postfix", ratio, SPOOL),
            ("spool", PROCESSOR) => aims::at_most("spool: of Postfix's processor time for a message", ratio, COST),
            ("spool", MEMORY) => aims::at_most("spool: of Postfix's memory", ratio, MOST),
            ("direct", DELIVERED) => aims::at_least("direct: delivered, times the Node.js relay", ratio, DIRECT),
            _ => {}
        }
    }
}

/// What is compared, and where it stands.
type Figure = (&'static str, fn(&Figures) -> f64);
const FIGURES: [Figure; 4] = [
    ("accepted a second", |figures| figures.accepted),
    (DELIVERED, |figures| figures.delivered),
    (PROCESSOR, |figures| figures.cost.processor),
    (MEMORY, |figures| figures.cost.memory),
];
const DELIVERED: &str = "delivered a second";
const PROCESSOR: &str = "seconds of processor for 1,000";
const MEMORY: &str = "MiB at most";

fn run(contestant: &Contestant, drain: &Drain, messages: u32) -> Figures {
    let before = drain.count();
    let meter = Meter::start(contestant.parent());
    let began = std::time::Instant::now();
    let accepted = source::send(contestant.port, messages);
    drain.await_count(before + messages);
    let delivered = began.elapsed();
    let rate = |time: Duration| f64::from(messages) / time.as_secs_f64();
    // Nothing of this round is left for the next one, and what is written down of the last messages is a part of its cost.
    assert_eq!(drain.settled_count(), before + messages, "{} delivered something twice", contestant.name);
    Figures { accepted: rate(accepted), delivered: rate(delivered), cost: meter.stop(messages) }
}
