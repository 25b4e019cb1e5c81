//! What was done on a day, counted from the auditors' files: by credential, by upstream, and what was refused.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use serde_json::Value;

use crate::policy::principal::GATE;
use crate::policy::simulation::LANE;
use crate::vault::audit::query::{Filter, Found, first_since, query};

/// The microseconds of a day.
pub const DAY_US: u64 = 86_400_000_000;
/// Names that are counted apart, of credentials and reasons; the rest is counted together.
const NAMES: usize = 10_000;
/// What others are counted under.
pub const OTHERS: &str = "(others)";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfCredential {
    pub messages: u64,
    pub recipients: u64,
    pub octets: u64,
    pub delivered: u64,
    pub failed: u64,
    pub refused: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfUpstream {
    pub delivered: u64,
    pub deferred: u64,
    pub failed: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Days since 1970, in UTC.
    pub day: i64,
    /// The first and the last event of it, and how many there are.
    pub first: Option<u64>,
    pub last: u64,
    pub events: u64,
    pub sum: OfCredential,
    pub credentials: BTreeMap<String, OfCredential>,
    pub upstreams: BTreeMap<String, OfUpstream>,
    pub refused: BTreeMap<String, u64>,
    pub failed_logins: u64,
    /// Events that somebody should look at (severity 3 and worse), by their names.
    pub grave: BTreeMap<String, u64>,
}

/// Counts a day of the files at a path.
///
/// Errors: one of them can't be read, in words.
pub fn count(path: &Path, day: i64) -> Result<Counts, String> {
    let since_us = u64::try_from(day).unwrap_or_default().saturating_mul(DAY_US);
    let until_us = since_us.saturating_add(DAY_US);
    let mut counts = Counts { day, ..Counts::default() };
    // By places, which the pages are found by.
    let Some(from) = first_since(path, since_us)? else { return Ok(counts) };
    let filter = Filter { from: Some(from), to: first_since(path, until_us)?, ..Filter::default() };
    let mut intended = Intended::default();
    query(path, &filter, |found| counts.add(&found, intended.is_new(&found)))?;
    Ok(counts)
}

/// Messages that were to be delivered while their senders waited: one that is kept instead is told of twice.
#[derive(Debug, Default)]
pub struct Intended(HashSet<String>);

impl Intended {
    /// So many are kept in mind: what is more is counted twice where it is kept.
    const MOST: usize = 100_000;

    /// Whether that event takes a message in that was not taken in by one before it.
    pub fn is_new(&mut self, found: &Found) -> bool {
        let (Some(name), Some(message)) = (found.get("event"), found.get("msg_id")) else { return false };
        match name {
            "msg.intent" => self.0.len() >= Self::MOST || self.0.insert(message.to_owned()),
            "msg.accept" => !self.0.remove(message),
            _ => false,
        }
    }
}

impl Counts {
    fn add(&mut self, found: &Found, is_new: bool) {
        self.first.get_or_insert(found.seq());
        (self.last, self.events) = (found.seq(), self.events + 1);
        let number = |column| found.get(column).and_then(|text| text.parse::<u64>().ok());
        let (name, outcome) = (found.get("event").unwrap_or_default(), found.get("outcome"));
        let (mut own, mut by) = (OfCredential::default(), OfUpstream::default());
        match (name, outcome) {
            ("msg.accept" | "msg.intent", Some("success")) if is_new => {
                own.messages = 1;
                own.recipients = number("rcpt_count").unwrap_or(1);
                own.octets = number("bytes").unwrap_or_default();
            }
            ("msg.reject" | "rate.limited" | "quota.exceeded", _) => {
                own.refused = summed(found).or(number("rcpt_count")).unwrap_or(1).max(1);
                let reason = found.get("reason").unwrap_or(name);
                *named(&mut self.refused, reason) += own.refused;
            }
            ("deliver.success", _) => (own.delivered, by.delivered) = (1, 1),
            ("deliver.bounce" | "deliver.expire", _) => (own.failed, by.failed) = (1, 1),
            ("deliver.defer", _) => by.deferred = 1,
            ("auth.failure" | "auth.locked", _) => self.failed_logins += summed(found).unwrap_or(1),
            _ => {}
        }
        // What became of tests stands in a line of its own.
        if found.get("upstream") == Some(LANE) {
            (own.delivered, own.failed) = (0, 0);
        }
        if own != OfCredential::default() {
            self.sum.take(own);
            if let Some(account) = found.get("account").filter(|account| *account != GATE) {
                named(&mut self.credentials, account).take(own);
            }
        }
        if let (true, Some(upstream)) = (by != OfUpstream::default(), found.get("upstream")) {
            let known = named(&mut self.upstreams, upstream);
            known.delivered += by.delivered;
            known.deferred += by.deferred;
            known.failed += by.failed;
        }
        if number("severity").is_some_and(|severity| severity <= 3) {
            *named(&mut self.grave, name) += 1;
        }
    }
}

/// How many refusals an event stands for: beyond the first ones there is one for many.
pub fn summed(found: &Found) -> Option<u64> {
    let data: Value = serde_json::from_str(found.get("data")?).ok()?;
    data.get("refused")?.as_u64()
}

impl OfCredential {
    fn take(&mut self, more: Self) {
        self.messages += more.messages;
        self.recipients += more.recipients;
        self.octets = self.octets.saturating_add(more.octets);
        self.delivered += more.delivered;
        self.failed += more.failed;
        self.refused += more.refused;
    }
}

fn named<'m, T: Default>(all: &'m mut BTreeMap<String, T>, name: &str) -> &'m mut T {
    let is_room = all.len() < NAMES || all.contains_key(name);
    all.entry(if is_room { name } else { OTHERS }.to_owned()).or_default()
}
