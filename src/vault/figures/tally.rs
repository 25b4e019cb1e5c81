//! What is counted as it happens, by whoever sees it: numbers in memory, which begin at 0 with the vault. Counting never waits for
//! anything, and what there can be of it is bounded by the words of this program and the names of upstreams.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::config::slice::Protocol;
use crate::ipc::figures::family::{Family, Series, Spread, Value};
use crate::ipc::figures::metric::Metric;
use crate::ipc::session::Denial;
use crate::policy::refusal::Refusal;
use crate::vault::limits::denial::{By, Denied};
use crate::vault::limits::key::Tier;
use crate::vault::sender::Sender;

/// More than there are words and upstreams: reached only by reloads that give upstreams new names again and again.
const MOST: usize = 64 * 1024;

/// What a message was submitted by, and the word for it.
pub const PROTOCOLS: [&str; 3] = ["smtp", "http", COMMAND];
/// `gatepost send`.
const COMMAND: &str = "command";
pub const ACCEPTED: &str = "accepted";
pub const REJECTED: &str = "rejected";
/// What an upstream said to a message that was delivered while its sender waited.
pub const UPSTREAM: &str = "upstream";
/// As much of a login as its client is told.
pub const LOGINS: [&str; 4] = ["ok", "failed", "busy", "locked"];

type Label = Cow<'static, str>;
/// A metric has two labels at most; the rest is empty.
type Labels = [Label; 2];

/// Clones count together.
#[derive(Clone, Default)]
pub struct Tally(Arc<Mutex<Counts>>);

type Counts = BTreeMap<(Metric, Labels), Value>;

impl Tally {
    /// So many more, or one of so much.
    pub fn add(&self, metric: Metric, labels: [impl Into<Label>; 2], much: u64) {
        let (key, mut counts) = ((metric, labels.map(Into::into)), self.counts());
        if counts.len() < MOST || counts.contains_key(&key) {
            counts.entry(key).or_insert_with(|| Value::none(metric)).add(metric, much);
        }
    }

    /// So many more in each bucket.
    pub fn merge(&self, metric: Metric, labels: [impl Into<Label>; 2], spread: &Spread) {
        let (key, mut counts) = ((metric, labels.map(Into::into)), self.counts());
        if counts.len() >= MOST && !counts.contains_key(&key) {
            return;
        }
        if let Value::Spread(own) = counts.entry(key).or_insert_with(|| Value::none(metric)) {
            own.merge(spread);
        }
    }

    /// It is so much now.
    pub fn set(&self, metric: Metric, number: u64) {
        self.counts().insert((metric, Default::default()), Value::Number(number));
    }

    /// A metric under each of these labels, also where nothing was counted yet.
    pub fn family(&self, metric: Metric, all: impl IntoIterator<Item = Vec<String>>) -> Family {
        let counts = self.counts();
        let series = |labels: Vec<String>| {
            let mut own = labels.iter();
            let mut next = || Label::Owned(own.next().cloned().unwrap_or_default());
            let value = counts.get(&(metric, [next(), next()])).cloned();
            Series { labels, value: value.unwrap_or_else(|| Value::none(metric)) }
        };
        Family { metric, series: all.into_iter().map(series).collect() }
    }

    /// A metric without labels that is only known once it was set.
    pub fn known(&self, metric: Metric) -> Option<Family> {
        let is_known = self.counts().contains_key(&(metric, Default::default()));
        is_known.then(|| self.family(metric, [Vec::new()]))
    }

    /// All that was counted under those of a metric's labels.
    pub fn total(&self, metric: Metric, want: impl Fn(&[Cow<'static, str>; 2]) -> bool) -> u64 {
        let counts = self.counts();
        let wanted = counts.iter().filter(|((of, labels), _)| *of == metric && want(labels));
        let number = |value: &Value| if let Value::Number(number) = value { *number } else { 0 };
        wanted.fold(0, |sum, (_, value)| sum.saturating_add(number(value)))
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message was taken in, to so many recipients.
    pub fn accepted(&self, sender: &Sender, octets: u64, recipients: usize) {
        self.add(Metric::MessagesReceived, [protocol(sender), ACCEPTED], 1);
        self.add(Metric::MessageSize, ["", ""], octets);
        self.add(Metric::MessageRecipients, ["", ""], u64::try_from(recipients).unwrap_or(u64::MAX));
    }

    /// A message was refused when it was to be written.
    pub fn refused(&self, sender: &Sender, refusal: Refusal) {
        self.rejected(protocol(sender), refusal.word());
    }

    /// The same of one that nothing proves a person to have written, or that nobody was asked of because of a limit.
    pub fn unproven(&self, sender: &Sender, refusal: Refusal, by: Option<&By>) {
        self.refused(sender, refusal);
        if let Some(by) = by {
            self.limited(by.key.tier);
        }
    }

    /// The same, of one that came so.
    pub fn rejected(&self, protocol: &'static str, reason: &'static str) {
        self.add(Metric::MessagesRejected, [protocol, reason], 1);
    }

    /// A message was refused by policy or a limit.
    pub fn denied(&self, protocol: &'static str, denied: &Denied) {
        self.rejected(protocol, denied.refusal.word());
        if let Some(by) = &denied.by {
            self.limited(by.key.tier);
        }
    }

    fn limited(&self, tier: Tier) {
        self.add(Metric::RateLimited, [tier.word(), ""], 1);
    }

    /// A login was decided.
    pub fn login<T>(&self, protocol: Protocol, decided: &Result<T, Denial>) {
        let [ok, failed, busy, locked] = LOGINS;
        let result = match decided {
            Ok(_) => ok,
            Err(Denial::Invalid) => failed,
            Err(Denial::Busy | Denial::Away) => busy,
            Err(Denial::Wait(_)) => locked,
        };
        self.add(Metric::AuthAttempts, [spoken(protocol), result], 1);
    }

    /// A transaction was committed.
    pub fn committed(&self, took: Duration) {
        self.add(Metric::CommitDuration, ["", ""], u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
}

pub const fn spoken(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Smtp => "smtp",
        Protocol::Http => "http",
    }
}

pub fn protocol(sender: &Sender) -> &'static str {
    if sender.actor.is_some() { COMMAND } else { spoken(sender.listener.protocol) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_counted_is_0_and_what_has_no_place_is_not_shown() {
        let tally = Tally::default();
        tally.rejected("smtp", "size");
        tally.clone().rejected("smtp", "size");
        tally.rejected("smtp", "a stranger's word");
        let all = ["size", "loop"].map(|reason| vec!["smtp".to_owned(), reason.to_owned()]);
        let family = tally.family(Metric::MessagesRejected, all);
        let shown: Vec<_> = family.series.into_iter().map(|series| (series.labels.join(" "), series.value)).collect();
        assert_eq!(shown, [("smtp size".to_owned(), Value::Number(2)), ("smtp loop".to_owned(), Value::Number(0))]);
        assert_eq!(tally.known(Metric::ReloadTime), None);
        tally.set(Metric::ReloadTime, 7);
        assert_eq!(tally.known(Metric::ReloadTime), Some(Family::plain(Metric::ReloadTime, 7)));
    }

    #[test]
    fn there_is_an_end_to_what_is_kept() {
        let tally = Tally::default();
        (0..MOST + 9).for_each(|n| tally.add(Metric::Attempts, [n.to_string(), String::new()], 1));
        tally.add(Metric::Attempts, ["0".to_owned(), String::new()], 1);
        assert_eq!(tally.counts().len(), MOST);
        let family = tally.family(Metric::Attempts, [vec!["0".to_owned(), String::new()]]);
        assert_eq!(family.series[0].value, Value::Number(2));
    }
}
