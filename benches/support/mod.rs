//! What all benchmarks share: the machine they ran on, rounds and their median, and an honest message to write down.

#![allow(dead_code, reason = "each benchmark uses its part")]

pub mod backlog;
pub mod ledger;
pub mod units;
pub mod vault;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// Limits that are counted and kept as always, and too wide to be met.
pub const LIMITS: &str = "global = { per_minute = 100000000 }\naddress = { per_minute = 100000000 }";

/// `cargo bench -- --quick`: a few iterations, to see that they still run. The figures mean nothing then.
pub fn quick() -> bool {
    std::env::args().any(|word| word == "--quick")
}

/// Says where the figures below come from.
pub fn introduce(what: &str) {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let said = |program: &str, words: &[&str]| {
        let output = Command::new(program).args(words).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    };
    println!("== {what}{}", if quick() { " (--quick: the figures mean nothing)" } else { "" });
    println!(
        "{} x {}; {}; {}; gatepost {}; SQLite {}; load {}",
        std::thread::available_parallelism().map_or(1, usize::from),
        model.unwrap_or("unknown processor"),
        said("uname", &["-sr"]),
        said("rustc", &["--version"]),
        env!("CARGO_PKG_VERSION"),
        rusqlite::version(),
        fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or_default(),
    );
    let folder = std::env::temp_dir();
    println!("files in {} ({})", folder.display(), said("stat", &["-f", "-c", "%T", folder.to_str().unwrap_or(".")]));
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
