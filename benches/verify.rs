//! How many events a full verification checks in a second, and that its memory doesn't grow with the log.

mod support;

use std::time::Instant;

use gatepost::vault::audit::event::Event;
use gatepost::vault::audit::verify::{Known, verify};
use support::ledger::{accepted, refused};
use support::{introduce, listed, median, memory, quick};

const ROUNDS: usize = 5;

/// Makes the event of that number.
type Maker = fn(u32) -> Event;

fn main() {
    introduce("verification: every event, value, commitment, tile and signed head of a log");
    let sizes: &[u32] = if quick() { &[2_000] } else { &[100_000, 1_000_000] };
    let kinds: [(&str, Maker); 2] = [("accepted messages", accepted), ("failed logins", refused)];
    for (events, (kind, event)) in sizes.iter().flat_map(|events| kinds.map(|kind| (events, kind))) {
        let home = tempfile::tempdir().unwrap();
        let key = support::ledger::grow(home.path(), *events, event);
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
            "{events} {kind}: {:.0} events a second (rounds: {}); memory {before} KiB before, {most} KiB at most",
            median(&rates),
            listed(&rates)
        );
    }
}
