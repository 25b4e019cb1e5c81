//! What a credential has left of its limits: a look, which takes nothing and remembers nobody.

use super::Limits;
use super::clock::Now;
use super::key::{Key, Tier};
use super::origin::Origin;
use super::rate::Series;
use super::usage::Usage;
use crate::ipc::allowance::{Allowance, Left, Limit, Shared};
use crate::policy::limits::Rates;

impl Limits {
    /// As one message more would find it.
    pub fn left(&self, origin: &Origin<'_>, now: Now) -> Allowance {
        let nothing = Usage::default();
        let usage = self.own.get(&Key::new(Tier::Credential, origin.credential)).unwrap_or(&nothing);
        let suspended = self.suspensions.left(origin.credential, now);
        let rules = origin.rules.rates();
        let mut own: Vec<Left> = Limit::ALL.into_iter().filter_map(|limit| left(usage, limit, &rules, now)).collect();
        if let Some(seconds) = suspended {
            own.iter_mut().for_each(|one| (one.left, one.seconds) = (0, seconds));
        }
        Allowance { own, shared: shared(origin), suspended, violated: None }
    }

    /// The last day, in days since 1970, on which a credential sent something, of those that are remembered.
    pub fn last_day(&self, credential: &str) -> Option<i64> {
        self.own.get(&Key::new(Tier::Credential, credential))?.days().last()
    }
}

fn left(usage: &Usage, limit: Limit, rules: &Rates, now: Now) -> Option<Left> {
    let rate = |series: Series, quota: Option<u32>| {
        let (left, seconds) = usage.room(series, series.rate(rules)?, now);
        Some(Left { limit, quota: u64::from(quota?), left, seconds })
    };
    let today = usage.days().on(now.day());
    let quota = |most: Option<u64>, used: u64| {
        most.map(|quota| Left { limit, quota, left: quota.saturating_sub(used), seconds: now.left() })
    };
    match limit {
        Limit::PerMinute => rate(Series::PerMinute, rules.per_minute),
        Limit::PerHour => rate(Series::PerHour, rules.per_hour),
        Limit::RecipientsPerMinute => rate(Series::RecipientsPerMinute, rules.recipients_per_minute),
        Limit::RecipientsPerHour => rate(Series::RecipientsPerHour, rules.recipients_per_hour),
        Limit::PerDay => quota(rules.per_day.map(u64::from), today.messages.saturating_add(usage.held.messages)),
        Limit::RecipientsPerDay => {
            quota(rules.recipients_per_day.map(u64::from), today.recipients.saturating_add(usage.held.recipients))
        }
        Limit::BytesPerDay => quota(rules.bytes_per_day, today.bytes.saturating_add(usage.held.octets)),
    }
}

/// The tiers beside its own that a message of its counts in.
fn shared(origin: &Origin<'_>) -> Vec<Shared> {
    let (tiers, is_known) = (origin.tiers, origin.address.is_some());
    let domains = origin.rules.per_recipient_domain.is_some_and(|rules| rules.is_some());
    [
        (Shared::RecipientDomain, domains),
        (Shared::Global, tiers.global.is_some()),
        (Shared::Address, is_known && tiers.address.is_some()),
        (Shared::Prefix, is_known && tiers.prefix.is_some()),
        (Shared::WidePrefix, is_known && tiers.wide_prefix.is_some()),
    ]
    .into_iter()
    .filter_map(|(tier, counts)| counts.then_some(tier))
    .collect()
}
