//! What a relay costs while a round lasts: the processor time of all its processes, and the most memory they had together.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::trial::processes;

/// Often enough to see a peak, seldom enough not to be one: the kernel walks all the pages for each look.
const EVERY: Duration = Duration::from_millis(250);
/// A clock tick of /proc/PID/stat is a hundredth of a second on Linux.
const TICKS: f64 = 100.0;

#[derive(Clone, Copy)]
pub struct Cost {
    /// Seconds, for 1,000 messages.
    pub processor: f64,
    /// MiB of proportional set size.
    pub memory: f64,
}

pub struct Meter {
    parent: u32,
    ticks: u64,
    over: Arc<AtomicBool>,
    memory: JoinHandle<u64>,
}

impl Meter {
    pub fn start(parent: u32) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&over);
        let memory = thread::spawn(move || {
            let mut most = 0;
            while !stop.load(Ordering::Relaxed) {
                most = most.max(family(parent).into_iter().map(pss).sum());
                thread::sleep(EVERY);
            }
            most
        });
        Self { parent, ticks: ticks(parent), over, memory }
    }

    pub fn stop(self, messages: u32) -> Cost {
        self.over.store(true, Ordering::Relaxed);
        let most = self.memory.join().unwrap();
        let seconds = (ticks(self.parent) - self.ticks) as f64 / TICKS;
        Cost { processor: seconds * 1000.0 / f64::from(messages), memory: most as f64 / 1024.0 }
    }
}

/// What a relay has in memory now: MiB of proportional set size.
pub fn memory(parent: u32) -> f64 {
    family(parent).into_iter().map(pss).sum::<u64>() as f64 / 1024.0
}

/// A process and all that come from it.
fn family(parent: u32) -> BTreeSet<u32> {
    let (mut all, mut new) = (BTreeSet::from([parent]), vec![parent]);
    while let Some(one) = new.pop() {
        new.extend(processes::all(one).into_iter().filter(|child| all.insert(*child)));
    }
    all
}

/// The time of those that live, and of those that were waited for.
fn ticks(parent: u32) -> u64 {
    family(parent)
        .into_iter()
        .map(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
            // utime, stime, cutime, cstime: fields 14 to 17 of proc_pid_stat(5), of which two are before the parenthesis.
            fields.split(' ').skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>()
        })
        .sum()
}

/// In KiB.
fn pss(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
