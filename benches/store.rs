//! How many messages the store keeps in a second, by messages in one transaction, beside how often the disk can be synced.
//!
//! One unit is what one accepted message costs: its event with its personal values and its leaf, the message with a body of
//! 2 KiB, its recipient, and its use of the limits. Both are measured in turns, so that whatever else burdens the disk
//! burdens both.

mod support;

use std::time::Duration;

use support::units::{Raw, with_store};
use support::{introduce, listed, median, quick, rate};

const GROUPS: [u32; 4] = [1, 16, 64, 256];
/// What each is to be of the rate of syncs.
const AIMS: [f64; 4] = [0.6, 3.0, 15.0, 25.0];
const ROUNDS: usize = 7;

fn main() {
    introduce("the store: full units a second, by units in one transaction");
    let home = tempfile::tempdir().unwrap();
    let raw = Raw::new(home.path());
    let (rounds, time) = if quick() { (1, Duration::from_millis(50)) } else { (ROUNDS, Duration::from_secs(1)) };
    let mut syncs = Vec::new();
    let mut units = vec![Vec::new(); GROUPS.len()];
    with_store(home.path(), |store| {
        for round in 1..=rounds {
            syncs.push(rate(time, || raw.sync()));
            for (group, units) in GROUPS.iter().zip(&mut units) {
                units.push(rate(time, || store.keep(*group)));
            }
            let last: Vec<f64> = units.iter().filter_map(|units| units.last().copied()).collect();
            println!("round {round}: {:.0} syncs, units {}", syncs.last().copied().unwrap_or(0.0), listed(&last));
        }
    });
    let syncs = median(&syncs);
    println!("fdatasync of 4 KiB: {syncs:.0} a second");
    for ((group, units), aim) in GROUPS.iter().zip(&units).zip(AIMS) {
        let ratios: Vec<f64> = units.iter().map(|units| units / syncs).collect();
        println!(
            "groups of {group:3}: {:6.0} units a second, {:.2} times the syncs (aim {aim})",
            median(units),
            median(&ratios)
        );
    }
}
