//! The model: many runs with kills, restarts and clocks that are set, against a list of everything that was admitted.

use super::*;
use crate::policy::limits::FailedLogins;
use crate::vault::login::failures::{Failures, From};

/// A generator of numbers that a seed repeats (xorshift64*).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }

    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A machine: time as it really passes, the wall's clock, and the clock of the run.
struct Machine {
    real: u64,
    /// What the wall's clock is ahead of real time, in microseconds.
    ahead: i64,
    /// When the run began, by both.
    run: (u64, u64),
}

impl Machine {
    fn new() -> Self {
        Self { real: NOON, ahead: 0, run: (NOON, NOON) }
    }

    fn wall(&self) -> u64 {
        self.real.saturating_add_signed(self.ahead)
    }

    fn now(&self) -> Now {
        Now { us: self.run.1 + (self.real - self.run.0), wall_us: self.wall() }
    }

    /// The process is gone and back after a while.
    fn restart(&mut self, down: u64) {
        self.real += down;
        self.run = (self.real, self.wall());
    }
}

/// Admitted units at their real times: in no window are there more than the burst and the rate.
fn hold(admitted: &[(u64, u64)], burst: u64, step_us: u64, slack: u64, what: &str) {
    // As a bucket that never forgets: it is full at most.
    let mut level = 0u64;
    let mut before = 0;
    for (time, units) in admitted {
        level = level.saturating_sub(time - before) + units * step_us;
        before = *time;
        let most = (burst + slack) * step_us;
        assert!(level <= most + slack.min(1), "{what}: {level} of {most} at {time}");
    }
}

#[test]
fn no_message_beyond_burst_and_rate_whatever_is_killed_and_whichever_way_the_clock_is_set() {
    let (mut kills, mut admitted_in_all, mut writes) = (0, 0, 0);
    for seed in 1..=400 {
        let mut dice = Dice::new(seed);
        let (per_minute, burst) = (1 + dice.below(600) as u32, 1 + dice.below(20) as u32);
        let recipients_burst = 3 + dice.below(20) as u32;
        let mut desk = Desk::new(Rules {
            per_minute: Some(per_minute),
            burst: Some(burst),
            recipients_per_minute: Some(per_minute),
            recipients_burst: Some(recipients_burst),
            ..Rules::default()
        });
        let step = 60_000_000u64.div_ceil(u64::from(per_minute));
        let (mut machine, mut disk) = (Machine::new(), Disk::default());
        let (mut messages, mut recipients) = (Vec::new(), Vec::new());
        let mut refused_since: Option<u64> = None;
        for _ in 0..300 {
            machine.real += dice.below(2 * step);
            if dice.once_in(12) {
                // Steps within a run, both ways: nothing may come of them.
                machine.ahead = dice.below(4_000_000_000) as i64 - 2_000_000_000;
            }
            if dice.once_in(10) {
                kills += 1;
                // Between two runs no clock can tell a step from time: back it must lock nobody out, ahead it is
                // time that passed.
                let behind = machine.now().us;
                machine.ahead = machine.ahead.min(behind as i64 - machine.real as i64);
                machine.restart(dice.below(step));
                desk.limits = disk.start(machine.now());
                refused_since = None;
            }
            let now = machine.now();
            let n = 1 + dice.below(3);
            let to: Vec<String> = (0..n).map(|n| format!("u{n}@example.org")).collect();
            match desk.send(&to.iter().map(String::as_str).collect::<Vec<_>>(), now) {
                Ok(used) => {
                    writes += used.buckets.len();
                    disk.write(&used.buckets);
                    messages.push((machine.real, 1));
                    recipients.push((machine.real, n));
                    admitted_in_all += 1;
                    refused_since = None;
                }
                Err(denied) => {
                    let wait = u64::from(denied.refusal.wait().unwrap());
                    let most = (u64::from(burst.max(recipients_burst)) + 3) * step / SECOND + 1;
                    assert!(wait <= most, "seed {seed}: {wait} of {most}");
                    // Nobody is refused for longer than a full bucket takes to drain.
                    let since = *refused_since.get_or_insert(machine.real);
                    assert!(machine.real - since <= most * SECOND, "seed {seed}: locked out");
                }
            }
        }
        hold(&messages, u64::from(burst), step, 0, &format!("seed {seed}: messages"));
        hold(&recipients, u64::from(recipients_burst), step, 0, &format!("seed {seed}: recipients"));
    }
    assert!(kills > 5000 && admitted_in_all > 20_000, "{kills} {admitted_in_all}");
    assert_eq!(writes, 2 * admitted_in_all, "one row for each bucket of a message, and none for a refusal");
}

/// What a kill leaves: the last value that was written of each bucket.
#[derive(Default)]
struct Disk(Vec<Bucket>);

impl Disk {
    fn write(&mut self, buckets: &[Bucket]) {
        for bucket in buckets {
            self.0.retain(|kept| (kept.tier, kept.series, &kept.name) != (bucket.tier, bucket.series, &bucket.name));
            self.0.push(bucket.clone());
        }
    }

    fn start(&self, now: Now) -> Limits {
        limits(Consumed { buckets: self.0.clone(), ..Consumed::default() }, now)
    }
}

#[test]
fn no_guess_beyond_burst_and_rate_though_the_disk_is_told_ahead() {
    let hasher = Hasher::new([9; 32]);
    let (mut kills, mut guesses, mut writes) = (0u64, 0u64, 0u64);
    for seed in 1..=400 {
        let mut dice = Dice::new(seed);
        let limit = |dice: &mut Dice| 1 + dice.below(40) as u32;
        let (short, long) = (limit(&mut dice), 40 + limit(&mut dice));
        let rules = FailedLogins {
            windows: [60, 3600],
            address: [short, long],
            prefix: [1000, 10_000],
            wide_prefix: [1000, 10_000],
            credential: [1000, 10_000],
        };
        let step = 60_000_000u64.div_ceil(u64::from(short));
        let (mut machine, mut disk) = (Machine::new(), Disk::default());
        let mut failures = Failures::new(hasher);
        let (mut failed, mut refused_since) = (Vec::new(), None);
        for _ in 0..300 {
            machine.real += dice.below(2 * step);
            if dice.once_in(12) {
                machine.ahead = dice.below(4_000_000_000) as i64 - 2_000_000_000;
            }
            if dice.once_in(10) {
                kills += 1;
                machine.ahead = machine.ahead.min(machine.now().us as i64 - machine.real as i64);
                machine.restart(dice.below(step));
                failures = Failures::new(hasher);
                failures.load(&disk.0, vec![], machine.now());
                refused_since = None;
            }
            let from = From { address: Some("192.0.2.1".parse().unwrap()), name: "shop" };
            match failures.begin(from, &rules, machine.now()) {
                Ok(attempt) => {
                    refused_since = None;
                    if dice.once_in(5) {
                        disk.write(&failures.forgive(&attempt, machine.now()).exact);
                        continue;
                    }
                    let ahead = failures.fail(&attempt);
                    disk.write(&ahead);
                    let first = ahead.iter().filter(|bucket| bucket.tier == Tier::Address).count();
                    (guesses, writes) = (guesses + 2, writes + first as u64);
                    failed.push((machine.real, 1));
                }
                Err(locked) => {
                    let most = 3600;
                    assert!(locked.wait <= most, "seed {seed}: {}", locked.wait);
                    let since = *refused_since.get_or_insert(machine.real);
                    assert!(machine.real - since <= u64::from(most) * SECOND, "seed {seed}: locked out");
                }
            }
        }
        hold(&failed, u64::from(short), step, 0, &format!("seed {seed}: short"));
        let long_step = 3_600_000_000u64.div_ceil(u64::from(long));
        hold(&failed, u64::from(long), long_step, 0, &format!("seed {seed}: long"));
    }
    assert!(kills > 5000 && guesses > 20_000, "{kills} {guesses}");
    // Of each bucket of a guess that was let in, well under one write.
    assert!(writes * 10 < guesses * 7, "{writes} writes for {guesses} buckets of guesses");
}

#[test]
fn who_failed_seldom_or_never_is_never_locked_out_whatever_is_killed_and_whichever_way_the_clock_is_set() {
    let hasher = Hasher::new([9; 32]);
    let rules = FailedLogins {
        windows: [300, 86_400],
        address: [20, 100],
        prefix: [60, 300],
        wide_prefix: [200, 1000],
        credential: [20, 100],
    };
    let (mut kills, mut logins) = (0u64, 0u64);
    for seed in 1..=400 {
        let mut dice = Dice::new(seed);
        let (mut machine, mut disk, mut stamp) = (Machine::new(), Disk::default(), 0);
        let mut failures = Failures::new(hasher);
        // Twice as many may count, and not one of them in another place.
        let mut may_fail = [0, 9];
        for _ in 0..300 {
            machine.real += dice.below(3 * SECOND);
            if dice.once_in(12) {
                machine.ahead = dice.below(200_000_000_000_000) as i64 - 100_000_000_000_000;
            }
            let (address, own) = if dice.once_in(2) { ("192.0.2.1", 0) } else { ("198.51.100.1", 1) };
            let from = From { address: Some(address.parse().unwrap()), name: "shop" };
            let begun = failures.begin(from, &rules, machine.now());
            let attempt = begun.unwrap_or_else(|locked| panic!("seed {seed}: {address}: {locked:?}"));
            logins += 1;
            let is_killed = dice.once_in(10);
            if may_fail[own] > 0 && dice.once_in(5) {
                may_fail[own] -= 1;
                disk.write(&failures.fail(&attempt));
                stamp = machine.now().us;
            } else if !is_killed {
                let exact = failures.forgive(&attempt, machine.now()).exact;
                stamp = if exact.is_empty() { stamp } else { machine.now().us };
                disk.write(&exact);
            }
            if is_killed {
                kills += 1;
                machine.restart(dice.below(SECOND));
                let behind = stamp.saturating_sub(machine.now().us);
                for bucket in &mut disk.0 {
                    bucket.tat_us = bucket.tat_us.saturating_sub(behind);
                }
                stamp -= behind;
                failures = Failures::new(hasher);
                failures.load(&disk.0, vec![], machine.now());
            }
        }
    }
    assert!(kills > 10_000 && logins == 120_000, "{kills} {logins}");
}
