//! Failed logins by where they come from and whom they are for: an address, the two networks around it, and one name from
//! one prefix, each in a short and in a long window.
//!
//! It is asked before anything is hashed, and counts a login as failed until it is known to be none, so that many at once
//! can't slip through together. Who guesses from elsewhere takes nothing from the owner: there is no count of a name alone.
//! And where a credential is at home, only failures of its own name at that address count, in a table of its own: strangers
//! without number have to share buckets with each other, but never with who is at home.
//!
//! Only what has failed is written down, before its answer. The disk is told ahead: a bucket is kept as if more had failed
//! than did, by as many as failed in this run, and again when that is passed. So a restart or a kill forgets nothing, makes
//! nobody's failures more than twice as many however often it happens, and guessing buys few writes.

mod guesses;

use std::collections::HashMap;
use std::net::IpAddr;

use super::homes::{Home, Homes};
use super::line::Claim;
use crate::policy::limits::FailedLogins;
use crate::vault::limits::clock::Now;
use crate::vault::limits::denial::By;
use crate::vault::limits::key::{Key, Tier};
use crate::vault::limits::rate::{Full, Rate, Series, left};
use crate::vault::limits::table::{Hasher, Table, Tables};
use crate::vault::store::consumption::Bucket;
use guesses::Guesses;

/// Who tries to log in from where.
#[derive(Clone, Copy, Debug)]
pub struct From<'a> {
    /// None where it says nothing: behind a proxy every client has the proxy's.
    pub address: Option<IpAddr>,
    /// The name, or the public part of a key.
    pub name: &'a str,
}

/// Refused logins of one name from one place in a day, after which it is not even compared with what was right lately. A
/// client with a stale password, every ten seconds, doesn't get there; who guesses as fast as the line allows does.
const REFUSED: u32 = 10_000;
const DAY_US: u64 = 86_400_000_000;

/// What stands before the alias of a home in its key; no other key begins with it.
const HOME: char = '@';

pub struct Failures {
    tables: Tables<Guesses>,
    /// Where a credential is at home. It needs no bound: there are no more than there are homes.
    at_home: Table<Guesses>,
    hasher: Hasher,
    pub homes: Homes,
    /// Failures through each listener behind a proxy, in memory alone: nobody is refused by them.
    proxied: HashMap<String, u64>,
    /// Whether any login was refused since nobody's refusals count: most logins need not look.
    refused: bool,
}

/// A login that is counted as failed.
#[derive(Debug)]
pub struct Attempt {
    began_us: u64,
    taken: Vec<Taken>,
    /// Who goes first where many wait.
    pub claim: Claim,
}

/// What it counts in.
#[derive(Debug)]
struct Taken {
    key: Key,
    rates: [Rate; 2],
    /// The times that it was taken up to.
    until_us: [u64; 2],
}

/// What the disk should have instead, when a login turned out to be no failure.
#[derive(Debug, Default)]
pub struct Mercy {
    pub exact: Vec<Bucket>,
    pub home: Option<Home>,
    /// Homes that made room.
    pub left: Vec<String>,
}

/// There were too many failures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    /// Seconds until it may be tried again.
    pub wait: u32,
    /// It is not for failures but for logins that are being looked at: none of them need be one.
    pub is_crowd: bool,
    /// The limit that it is longest for.
    pub by: By,
}

impl Failures {
    pub fn new(hasher: Hasher) -> Self {
        let (tables, at_home) = (Tables::new(hasher), Table::new(usize::MAX, hasher));
        Self { tables, at_home, hasher, homes: Homes::default(), proxied: HashMap::new(), refused: false }
    }

    fn table(&mut self, key: &Key) -> &mut Table<Guesses> {
        if key.name.starts_with(HOME) { &mut self.at_home } else { self.tables.of(key.tier) }
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Table<Guesses>> {
        self.tables.iter_mut().chain([&mut self.at_home])
    }

    /// What the store remembers.
    pub fn load(&mut self, buckets: &[Bucket], homes: Vec<Home>, now: Now) {
        self.homes.load(homes);
        for Bucket { tier, series, name, tat_us } in buckets {
            let Some(at) = Series::OF_LOGINS.iter().position(|known| known == series) else { continue };
            let key = Key::new(*tier, name.as_str());
            let table = self.table(&key);
            let key = table.resolve(key, now);
            let guesses = table.entry(&key);
            guesses.loaded_us = Some(now.us);
            for times in [&mut guesses.tats_us, &mut guesses.failed_us, &mut guesses.kept_us] {
                if let Some(time) = times.get_mut(at) {
                    *time = (*tat_us).max(*time);
                }
            }
            guesses.blamed_us = guesses.blamed_us.max(*tat_us);
        }
    }

    /// Counts a login as failed until `forgive` says otherwise.
    ///
    /// Errors: there were too many. Then nothing is counted.
    pub fn begin(&mut self, from: From<'_>, rules: &FailedLogins, now: Now) -> Result<Attempt, Locked> {
        let mut keys = self.keys(from, rules, now);
        let mut locked: Option<Locked> = None;
        for (key, rates) in &mut keys {
            *key = self.table(key).resolve(key.clone(), now);
            for (at, series) in Series::OF_LOGINS.into_iter().enumerate() {
                let Some((rate, [tat, failed])) = rates.get(at).zip(self.times(key, at, rates)) else { continue };
                let wait = |tat| match rate.fits(tat, 1, 0, now.us) {
                    Ok(_) => None,
                    Err(Full::For(wait)) => Some(wait),
                    Err(Full::Ever) => Some(u32::MAX),
                };
                let (failed, any) = (wait(failed), wait(tat));
                let Some(wait) = failed.or(any) else { continue };
                let (is_crowd, window_us) = (failed.is_none(), rate.tolerance_us);
                // What has failed comes before what is being looked at, and the longest wait before others.
                if locked.as_ref().is_none_or(|before| (before.is_crowd, wait) > (is_crowd, before.wait)) {
                    let by = By { key: key.clone(), limit: series.word(), window_us };
                    locked = Some(Locked { wait, is_crowd, by });
                }
            }
        }
        if let Some(locked) = locked {
            self.refused = true;
            // Who is refused makes no entry: that would fill the table without any work.
            if let Some((key, _)) = keys.last().filter(|(key, _)| key.tier == Tier::CredentialPrefix)
                && let Some(guesses) = self.table(key).get_mut(key)
            {
                let refused = Rate::new(REFUSED, DAY_US, REFUSED);
                guesses.refused_us = refused.fits(guesses.refused_us, 1, 0, now.us).unwrap_or(guesses.refused_us);
            }
            return Err(locked);
        }
        let (claim, mut taken) = (self.claim(&keys, now), Vec::new());
        for (key, rates) in keys {
            let until_us = self.table(&key).entry(&key).take(&rates, now);
            taken.push(Taken { key, rates, until_us });
        }
        Ok(Attempt { began_us: now.us, taken, claim })
    }

    /// It failed. Gives what must be on the disk before anybody is told.
    pub fn fail(&mut self, attempt: &Attempt) -> Vec<Bucket> {
        let mut ahead = Vec::new();
        for Taken { key, rates, .. } in &attempt.taken {
            // What is gone from the table has drained away.
            let Some(guesses) = self.table(key).get_mut(key) else { continue };
            guesses.fail(rates, attempt.began_us, |series, tat_us| {
                ahead.push(Bucket { tier: key.tier, series, name: key.name.to_string(), tat_us });
            });
        }
        ahead
    }

    /// Whether a password may be compared with what was right lately, which is not counted and not refused: not by who was
    /// refused too often.
    pub fn may_recall(&mut self, from: From<'_>, now: Now) -> bool {
        if !self.refused {
            return true;
        }
        let Some(key) = self.of_name(from, now) else { return true };
        // Refusals without an entry are not counted: then only homes are known well enough.
        let unknown = from.address.is_none() || self.is_at_home(from, now);
        let table = self.table(&key);
        let key = table.resolve(key, now);
        let refused = Rate::new(REFUSED, DAY_US, REFUSED);
        table.get(&key).map_or(unknown, |guesses| refused.fits(guesses.refused_us, 1, 0, now.us).is_ok())
    }

    /// What a login may claim before anything of it is looked at: it follows from what is counted alone, which is counted
    /// for every name, known or not, and from being at home.
    fn claim(&mut self, keys: &[(Key, [Rate; 2])], now: Now) -> Claim {
        let has_failed =
            |(key, _): &(Key, [Rate; 2])| self.table(key).get(key).is_some_and(|guesses| guesses.blamed_us > now.us);
        match keys {
            keys if keys.iter().any(has_failed) => Claim::Failed,
            [(key, _)] if key.name.starts_with(HOME) => Claim::Known,
            _ => Claim::New,
        }
    }

    /// A login from there was right.
    pub fn remember(&mut self, from: From<'_>, now: Now) -> Option<Home> {
        self.home(from).and_then(|alias| self.homes.remember(alias, now.day()))
    }

    /// It was no failure after all. Gives what the disk should have instead.
    pub fn forgive(&mut self, attempt: &Attempt, now: Now) -> Mercy {
        self.take_back(attempt, now);
        let mut exact = Vec::new();
        for Taken { key, .. } in &attempt.taken {
            if let Some(guesses) = self.table(key).get_mut(key) {
                guesses.settle(key, &mut exact);
                if key.tier == Tier::CredentialPrefix {
                    // Who gets in had mistyped before.
                    guesses.blamed_us = 0;
                }
            }
        }
        Mercy { exact, ..Mercy::default() }
    }

    /// It was not looked at. The disk keeps what it was told ahead until somebody is forgiven: who is turned away without any
    /// work must cost no write either.
    pub fn take_back(&mut self, attempt: &Attempt, now: Now) {
        for Taken { key, rates, until_us } in &attempt.taken {
            let Some(guesses) = self.table(key).get_mut(key) else { continue };
            for (tat, (rate, until)) in guesses.tats_us.iter_mut().zip(rates.iter().zip(until_us)) {
                *tat = tat.saturating_sub(left(rate.step_us, *until, now.us));
            }
        }
    }

    /// One more failure through a listener behind a proxy, where no address tells strangers apart. Whether they are few enough
    /// to be told each by itself: as many as of a wide prefix elsewhere.
    pub fn is_told(&mut self, listener: &str, rules: &FailedLogins, now: Now) -> bool {
        let ([seconds, _], [limit, _]) = (rules.windows, rules.wide_prefix);
        let rate = Rate::new(limit, u64::from(seconds) * 1_000_000, limit);
        let tat = self.proxied.entry(listener.to_owned()).or_default();
        let fits = rate.fits(*tat, 1, 0, now.us);
        *tat = fits.unwrap_or(*tat);
        fits.is_ok()
    }

    /// What the disk should have when nothing more will come: what failed, and nothing ahead.
    pub fn settle(&mut self) -> Vec<Bucket> {
        let mut exact = Vec::new();
        self.all().flat_map(Table::iter_mut).for_each(|(key, guesses)| guesses.settle(key, &mut exact));
        exact
    }

    pub fn sweep(&mut self, now: Now) {
        self.all().for_each(|table| table.sweep(now));
        let refused = self.all().flat_map(Table::iter_mut).any(|(_, guesses)| guesses.refused_us > now.us);
        self.refused = refused;
        self.homes.sweep(now.day());
    }

    /// A time with what is being looked at, and without.
    fn times(&mut self, key: &Key, at: usize, rates: &[Rate; 2]) -> Option<[u64; 2]> {
        let Some(guesses) = self.table(key).get(key) else { return Some([0, 0]) };
        let (tat, failed, rate) = (guesses.tats_us.get(at)?, guesses.failed_us.get(at)?, rates.get(at)?);
        Some([*tat, *failed].map(|time| guesses.loaded_us.map_or(time, |loaded| rate.clamped(time, loaded))))
    }

    /// The alias of a name's home at an address.
    fn home(&self, from: From<'_>) -> Option<String> {
        let address = Tier::Address.network(from.address?)?;
        let alias = |name: &str| self.hasher.alias(name);
        (!from.name.is_empty()).then(|| format!("{} {}", alias(from.name), alias(&format!("{} {address}", from.name))))
    }

    pub fn is_at_home(&self, from: From<'_>, now: Now) -> bool {
        self.home(from).is_some_and(|alias| self.homes.knows(&alias, now.day()))
    }

    /// Where failures of one name count: at home, from that address alone; elsewhere from its prefix.
    fn of_name(&self, from: From<'_>, now: Now) -> Option<Key> {
        if let Some(home) = self.home(from).filter(|home| self.homes.knows(home, now.day())) {
            return Some(Key::new(Tier::CredentialPrefix, format!("{HOME}{home}")));
        }
        // Whoever comes through a proxy is counted by name alone.
        let network = from.address.and_then(|address| Tier::Prefix.network(address));
        let place = network.map_or_else(|| "proxy".to_owned(), |network| network.to_string());
        let name = format!("{} {place}", self.hasher.alias(from.name));
        (!from.name.is_empty()).then(|| Key::new(Tier::CredentialPrefix, name))
    }

    /// Everything that a login counts in, with its rates; its name last.
    fn keys(&self, from: From<'_>, rules: &FailedLogins, now: Now) -> Vec<(Key, [Rate; 2])> {
        let rates = |limits: [u32; 2]| {
            [0, 1].map(|at| {
                let seconds = rules.windows.get(at).copied().unwrap_or(1);
                let limit = limits.get(at).copied().unwrap_or(1);
                Rate::new(limit, u64::from(seconds) * 1_000_000, limit)
            })
        };
        let mut keys = Vec::new();
        if let Some(address) = from.address.filter(|_| !self.is_at_home(from, now)) {
            let limits = [rules.address, rules.prefix, rules.wide_prefix];
            keys.extend(
                Tier::PLACES
                    .into_iter()
                    .zip(limits)
                    .filter_map(|(tier, limits)| Some((Key::place(tier, address)?, rates(limits)))),
            );
        }
        keys.extend(self.of_name(from, now).map(|key| (key, rates(rules.credential))));
        keys
    }
}

#[cfg(test)]
mod tests;
