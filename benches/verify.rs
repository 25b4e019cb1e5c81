//! How many events a full verification checks in a second, and that its memory doesn't grow with the log.

mod support;

use std::time::Instant;

use gatepost::vault::audit::verify::{Known, verify};
use support::{introduce, listed, median, memory, quick};

const ROUNDS: usize = 5;

fn main() {
    introduce("verification: every event, value, commitment, tile and signed head of a log");
    let sizes: &[u32] = if quick() { &[2_000] } else { &[100_000, 1_000_000] };
    for events in sizes {
        let home = tempfile::tempdir().unwrap();
        let key = support::ledger::grow(home.path(), *events);
        let audit = home.path().join("audit");
        let before = memory("self", "VmRSS");
        let mut rates = Vec::new();
        let mut most = 0;
        for _ in 0..if quick() { 1 } else { ROUNDS } {
            let started = Instant::now();
            let mut seen = 0;
            let sound = verify(&audit, &key, &Known::default(), |_| most = most.max(memory("self", "VmRSS")));
            seen += sound.unwrap_or_else(|fault| panic!("{fault}")).size;
            #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
            rates.push(seen as f64 / started.elapsed().as_secs_f64());
        }
        println!(
            "{events} events: {:.0} a second (rounds: {}); memory {before} KiB before, {most} KiB at most",
            median(&rates),
            listed(&rates)
        );
    }
}
