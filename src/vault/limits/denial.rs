//! Why a message may not be sent now: the refusal, and which limit of which tier it was.

use super::key::{Key, Tier};
use crate::ipc::allowance::{Limit, Shared, Violated};
use crate::policy::refusal::Refusal;

/// A decision against a message. Nothing was taken for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    pub refusal: Refusal,
    /// Which limit, when it was one.
    pub by: Option<By>,
    /// The upstream that too much waits for, when it is that.
    pub upstream: Option<String>,
}

/// One limit of one tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    pub key: Key,
    /// The word for the limit: the key of the configuration.
    pub limit: &'static str,
    /// The time it counts by: it is told once in it.
    pub window_us: u64,
}

impl By {
    /// As the client may know it whose message was kept out. None of what is no limit of messages.
    pub fn violated(&self) -> Option<Violated> {
        let shared = match self.key.tier {
            Tier::Credential => {
                return Limit::ALL.into_iter().find(|limit| limit.word() == self.limit).map(Violated::Own);
            }
            Tier::RecipientDomain => Shared::RecipientDomain,
            Tier::Global => Shared::Global,
            Tier::Address => Shared::Address,
            Tier::Prefix => Shared::Prefix,
            Tier::WidePrefix => Shared::WidePrefix,
            Tier::CredentialPrefix => return None,
        };
        Some(Violated::Shared(shared))
    }
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, by: None, upstream: None }
    }
}

impl Denied {
    /// The one of two that keeps a message out for longer: what can never be comes before what can be later.
    pub fn or_longer(self, other: Self) -> Self {
        let weight = |denied: &Self| denied.refusal.wait().map_or(u64::MAX, u64::from);
        if weight(&other) > weight(&self) { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_wait_is_told() {
        let denied = |refusal| Denied::from(refusal);
        let (short, long) = (denied(Refusal::RateLimited(7)), denied(Refusal::QuotaExceeded(70)));
        assert_eq!(short.clone().or_longer(long.clone()), long);
        assert_eq!(long.clone().or_longer(short), long);
        assert_eq!(long.or_longer(denied(Refusal::TooManyRecipients)), denied(Refusal::TooManyRecipients));
    }

    #[test]
    fn each_limit_of_a_message_has_the_name_by_which_its_client_knows_it() {
        let by = |tier, limit| By { key: Key::new(tier, "shop"), limit, window_us: 1 };
        for limit in Limit::ALL {
            assert_eq!(by(Tier::Credential, limit.word()).violated(), Some(Violated::Own(limit)));
        }
        assert_eq!(by(Tier::Credential, "anomaly").violated(), None);
        for tier in Tier::ALL {
            let word = by(tier, "per_minute").violated().map(Violated::word);
            match tier {
                Tier::Credential => assert_eq!(word, Some("per_minute")),
                Tier::CredentialPrefix => assert_eq!(word, None),
                _ => assert_eq!(word, Some(tier.word())),
            }
        }
    }
}
