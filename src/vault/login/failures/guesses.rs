//! What is counted of one bucket of failed logins: its times with what is being looked at, without, and as the disk has them.

use crate::vault::limits::clock::Now;
use crate::vault::limits::key::{Key, Tier};
use crate::vault::limits::rate::{Rate, Series};
use crate::vault::limits::table::Content;
use crate::vault::store::consumption::Bucket;

/// The part of what may fail that is written down ahead at most. More saves writes, and costs more of it after a kill.
const AHEAD: u64 = 4;

#[derive(Debug, Default)]
pub struct Guesses {
    /// A time for each of `Series::OF_LOGINS`, with what is being looked at; the same without; and what the disk has for it.
    pub tats_us: [u64; 2],
    pub failed_us: [u64; 2],
    pub kept_us: [u64; 2],
    /// How many failed since the start, as long as any of them counts.
    fails: [u64; 2],
    /// When the times were loaded, until they are used.
    pub loaded_us: Option<u64>,
    /// Until when whoever logs in is taken for one who guesses.
    pub blamed_us: u64,
    /// The same for logins that were refused, in memory alone: a restart forgets what was right lately, too.
    pub refused_us: u64,
}

impl Content for Guesses {
    fn is_empty(&self, _: Tier, now: Now) -> bool {
        self.tats_us.iter().chain([&self.refused_us]).all(|tat| *tat <= now.us)
    }
}

impl Guesses {
    /// One more, for which there is room. Gives the times that it was taken up to.
    pub fn take(&mut self, rates: &[Rate; 2], now: Now) -> [u64; 2] {
        let mut until_us = [0; 2];
        let loaded = self.loaded_us.take();
        for (at, rate) in rates.iter().enumerate() {
            let [Some(tat), Some(failed), Some(kept), Some(until)] =
                [&mut self.tats_us, &mut self.failed_us, &mut self.kept_us, &mut until_us]
                    .map(|times| times.get_mut(at))
            else {
                continue;
            };
            if let Some(loaded) = loaded.filter(|loaded| rate.clamped(*tat, *loaded) != *tat) {
                // The disk is ahead of any clock: it is to be written anew.
                (*tat, *failed, *kept) = (rate.clamped(*tat, loaded), rate.clamped(*failed, loaded), 0);
            }
            *tat = (*tat).max(now.us).saturating_add(rate.step_us);
            *until = *tat;
        }
        until_us
    }

    /// One that was taken then has failed. Calls `keep` for what is to be written.
    pub fn fail(&mut self, rates: &[Rate; 2], began_us: u64, mut keep: impl FnMut(Series, u64)) {
        for (at, (rate, series)) in rates.iter().zip(Series::OF_LOGINS).enumerate() {
            let [Some(tat), Some(failed), Some(kept), Some(fails)] =
                [&mut self.tats_us, &mut self.failed_us, &mut self.kept_us, &mut self.fails].map(|all| all.get_mut(at))
            else {
                continue;
            };
            *fails = if *failed > began_us { *fails + 1 } else { 1 };
            // They may fail in another order than they were taken in.
            *failed = (*failed).max(began_us).saturating_add(rate.step_us).min(*tat);
            if *failed > *kept {
                let ahead = rate.step_us.saturating_mul(*fails).min(rate.tolerance_us / AHEAD);
                let full = began_us.saturating_add(rate.tolerance_us);
                *kept = failed.saturating_add(ahead).min(full).max(*failed);
                keep(series, *kept);
            }
        }
        self.blamed_us = self.tats_us.into_iter().fold(self.blamed_us, u64::max);
    }

    pub fn settle(&mut self, key: &Key, exact: &mut Vec<Bucket>) {
        for ((failed, kept), series) in self.failed_us.iter().zip(&mut self.kept_us).zip(Series::OF_LOGINS) {
            if *kept != *failed {
                *kept = *failed;
                exact.push(Bucket { tier: key.tier, series, name: key.name.to_string(), tat_us: *failed });
            }
        }
    }
}
