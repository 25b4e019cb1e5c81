//! Where a message comes from, as far as limits care: in which tiers it counts, and by which rules.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::key::{Key, Tier};
use crate::ipc::inquiry::{Batch, OfDomain};
use crate::mail::address::Address;
use crate::policy::limits::{Anomaly, Limits, Rates, Tiers};

/// Who sends from where, and what they are held to.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    pub credential: &'a str,
    pub rules: &'a Limits,
    pub tiers: &'a Tiers,
    pub anomaly: Anomaly,
    /// None where it says nothing: behind a proxy every client has the proxy's.
    pub address: Option<IpAddr>,
}

/// One tier that a message counts in, or a batch of them.
#[derive(Clone, Debug)]
pub struct Count {
    pub key: Key,
    pub rules: Rates,
    pub messages: u64,
    pub recipients: u64,
}

impl Origin<'_> {
    /// All tiers that a message counts in. Before its recipients are known it has one, at no domain in particular.
    pub fn counts(&self, recipients: Option<&[Address]>) -> Vec<Count> {
        let all = recipients.map_or(1, |recipients| u64::try_from(recipients.len()).unwrap_or(u64::MAX));
        let mut domains: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for recipient in recipients.unwrap_or_default() {
            domains.entry(recipient.domain()).or_insert((1, 0)).1 += 1;
        }
        self.counts_of((1, all), domains)
    }

    /// The same of a batch. Of its domains those count that it names.
    pub fn counts_in_all(&self, batch: &Batch) -> Vec<Count> {
        let of_domain =
            |of: &OfDomain| (of.domain.to_ascii_lowercase(), (u64::from(of.messages), u64::from(of.recipients)));
        let domains: BTreeMap<String, (u64, u64)> = batch.domains.iter().map(of_domain).collect();
        let domains = domains.iter().map(|(domain, counts)| (domain.as_str(), *counts));
        self.counts_of((u64::from(batch.messages), u64::from(batch.recipients)), domains)
    }

    /// Messages and recipients, of all and of each domain.
    fn counts_of<'d>(
        &self,
        (messages, all): (u64, u64),
        domains: impl IntoIterator<Item = (&'d str, (u64, u64))>,
    ) -> Vec<Count> {
        // The credential counts without any rule too: its days are its history.
        let own = Key::new(Tier::Credential, self.credential);
        let mut counts = vec![Count { key: own, rules: self.rules.rates(), messages, recipients: all }];
        if let Some(rules) = self.rules.per_recipient_domain.filter(Rates::is_some) {
            counts.extend(domains.into_iter().map(|(domain, (messages, recipients))| {
                // An id has no blank.
                let key = Key::new(Tier::RecipientDomain, format!("{} {domain}", self.credential));
                Count { key, rules, messages, recipients }
            }));
        }
        if self.tiers.global.is_some() {
            let key = Key::new(Tier::Global, "");
            counts.push(Count { key, rules: self.tiers.global, messages, recipients: all });
        }
        let places = Tier::PLACES.into_iter().zip([self.tiers.address, self.tiers.prefix, self.tiers.wide_prefix]);
        for (tier, rules) in places.filter(|(_, rules)| rules.is_some()) {
            let key = self.address.and_then(|address| Key::place(tier, address));
            counts.extend(key.map(|key| Count { key, rules, messages, recipients: all }));
        }
        counts
    }
}
