//! How far a long task is, for whoever watches it on a terminal; programs and files are told nothing.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// As often as eyes want it.
const EVERY: Duration = Duration::from_millis(250);

pub struct Progress {
    /// None when nobody watches.
    watched: Option<Watched>,
}

struct Watched {
    what: &'static str,
    first: u64,
    end: u64,
    start: Instant,
    shown: Option<Instant>,
}

impl Progress {
    /// A task over the events from `first` up to `end`.
    pub fn new(what: &'static str, quiet: bool, range: impl FnOnce() -> Option<(u64, u64)>) -> Self {
        let range = if !quiet && io::stderr().is_terminal() { range() } else { None };
        let watched = |(first, end)| Watched { what, first, end, start: Instant::now(), shown: None };
        Self { watched: range.map(watched) }
    }

    /// It has come to that event.
    pub fn at(&mut self, seq: u64) {
        let Some(watched) = &mut self.watched else { return };
        let now = Instant::now();
        if watched.shown.unwrap_or(watched.start) + EVERY > now {
            return;
        }
        watched.shown = Some(now);
        eprint!("\r{}\x1b[K", line(watched.what, watched.first, watched.end, seq, now - watched.start));
    }
}

/// Leaves a clean line behind.
impl Drop for Progress {
    fn drop(&mut self) {
        if self.watched.as_ref().is_some_and(|watched| watched.shown.is_some()) {
            eprint!("\r\x1b[K");
        }
    }
}

fn line(what: &str, first: u64, end: u64, seq: u64, passed: Duration) -> String {
    let (done, all) = (seq.saturating_sub(first), end.saturating_sub(first).max(1));
    let (percent, rate) = (done.min(all) * 100 / all, u128::from(done) * 1000 / passed.as_millis().max(1));
    format!("{what}: {percent} %, {done} of {all} events, {rate} a second")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_share_count_and_speed() {
        let told = line("verifying", 1000, 5000, 2000, Duration::from_millis(500));
        assert_eq!(told, "verifying: 25 %, 1000 of 4000 events, 2000 a second");
        assert_eq!(line("verifying", 0, 0, 9, Duration::ZERO), "verifying: 100 %, 9 of 1 events, 9000 a second");
    }

    #[test]
    fn programs_are_told_nothing_and_not_even_asked_for() {
        let mut progress = Progress::new("verifying", true, || panic!("nobody watches"));
        progress.at(7);
    }
}
