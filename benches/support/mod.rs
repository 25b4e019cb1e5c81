//! What all benchmarks share: the machine they ran on, rounds and their median, and an honest message to write down.

#![allow(dead_code, reason = "each benchmark uses its part")]

pub mod backlog;
pub mod files;
pub mod ledger;
pub mod machine;
pub mod units;
pub mod vault;

use std::fs;
use std::time::{Duration, Instant};

pub use machine::{introduce, quick};

/// Limits that are counted and kept as always, and too wide to be met.
pub const LIMITS: &str = "global = { per_minute = 100000000 }\naddress = { per_minute = 100000000 }";

/// Thresholds that no round reaches: how mail is put off beyond them is another part's (`overload`).
pub const ROOMY: &str = "[spool]\nshed_messages = [5000000, 6000000]\n\n";

/// Whether that one of these parts is to be measured: the command line names it, or none of them.
pub fn is_wanted(part: &str, parts: &[&str]) -> bool {
    let is_named = |part: &str| std::env::args().skip(1).any(|word| word == part);
    is_named(part) || !parts.iter().any(|part| is_named(part))
}

/// How often something happens in a second, when it is done again and again for so long. `work` says how much it did.
pub fn rate(time: Duration, mut work: impl FnMut() -> u32) -> f64 {
    let (started, mut done) = (Instant::now(), 0);
    while done == 0 || started.elapsed() < time {
        done += work();
    }
    f64::from(done) / started.elapsed().as_secs_f64()
}

pub fn median(figures: &[f64]) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

pub fn listed(figures: &[f64]) -> String {
    figures.iter().map(|figure| format!("{figure:.0}")).collect::<Vec<_>>().join(" ")
}

/// Memory of a process that is in use, in KiB: a field of /proc/PID/status.
pub fn memory(process: &str, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
