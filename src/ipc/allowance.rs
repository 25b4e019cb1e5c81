//! What a credential has left of its limits, as far as its own client may know: of the limits that others share, that they are there.

use serde::{Deserialize, Serialize};

/// Seen at one moment. To look takes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// The credential's own limits, in the order of `Limit::ALL`; only those that there are.
    pub own: Vec<Left>,
    /// Whose else may refuse what it sends.
    pub shared: Vec<Shared>,
    /// It was suspended, and is for so many seconds more; then nothing is left of anything.
    pub suspended: Option<u32>,
    /// What kept out the message that this is told beside, when it was a limit.
    pub violated: Option<Violated>,
}

/// A limit that was in the way, as the client knows it. Of several it is the one that is for longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Violated {
    Own(Limit),
    Shared(Shared),
}

impl Violated {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Own(limit) => limit.word(),
            Self::Shared(shared) => shared.word(),
        }
    }
}

/// One limit, and what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    pub limit: Limit,
    /// How much there is in a window.
    pub quota: u64,
    /// How much may be used at once, now.
    pub left: u64,
    /// Seconds after which one more than that could be; of a quota, until the day is over.
    pub seconds: u32,
}

/// The limits of a credential as a whole, by their keys of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    PerMinute,
    PerHour,
    PerDay,
    RecipientsPerMinute,
    RecipientsPerHour,
    RecipientsPerDay,
    BytesPerDay,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Messages,
    Recipients,
    Octets,
}

impl Limit {
    pub const ALL: [Self; 7] = [
        Self::PerMinute,
        Self::PerHour,
        Self::PerDay,
        Self::RecipientsPerMinute,
        Self::RecipientsPerHour,
        Self::RecipientsPerDay,
        Self::BytesPerDay,
    ];

    pub const fn word(self) -> &'static str {
        match self {
            Self::PerMinute => "per_minute",
            Self::PerHour => "per_hour",
            Self::PerDay => "per_day",
            Self::RecipientsPerMinute => "recipients_per_minute",
            Self::RecipientsPerHour => "recipients_per_hour",
            Self::RecipientsPerDay => "recipients_per_day",
            Self::BytesPerDay => "bytes_per_day",
        }
    }

    pub const fn unit(self) -> Unit {
        match self {
            Self::PerMinute | Self::PerHour | Self::PerDay => Unit::Messages,
            Self::RecipientsPerMinute | Self::RecipientsPerHour | Self::RecipientsPerDay => Unit::Recipients,
            Self::BytesPerDay => Unit::Octets,
        }
    }

    /// Seconds of its window.
    pub const fn window(self) -> u32 {
        match self {
            Self::PerMinute | Self::RecipientsPerMinute => 60,
            Self::PerHour | Self::RecipientsPerHour => 3600,
            Self::PerDay | Self::RecipientsPerDay | Self::BytesPerDay => 86_400,
        }
    }
}

/// Limits of which a client is told no numbers: they would say what others send, or to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shared {
    /// Its own, for each domain that it sends to.
    RecipientDomain,
    Global,
    Address,
    Prefix,
    WidePrefix,
}

impl Shared {
    /// As the audit log has it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::RecipientDomain => "recipient-domain",
            Self::Global => "global",
            Self::Address => "address",
            Self::Prefix => "prefix",
            Self::WidePrefix => "wide-prefix",
        }
    }
}

impl Allowance {
    /// The limit of messages or recipients that would be used up first; or octets, when none are left. Every message has a
    /// recipient, so that no more of them can be sent than that.
    pub fn tightest<'a>(own: impl IntoIterator<Item = &'a Left>) -> Option<&'a Left> {
        let counts = |left: &&Left| left.limit.unit() != Unit::Octets || left.left == 0;
        own.into_iter().filter(counts).min_by_key(|left| (left.left, u32::MAX - left.seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_has_the_least_and_of_two_that_are_used_up_the_later() {
        let left = |limit, left, seconds| Left { limit, quota: 100, left, seconds };
        let own = [left(Limit::PerMinute, 4, 1), left(Limit::PerDay, 5, 9), left(Limit::BytesPerDay, 1, 9)];
        assert_eq!(Allowance::tightest(&own), Some(&own[0]));
        let own = [left(Limit::PerMinute, 0, 1), left(Limit::RecipientsPerDay, 0, 9), left(Limit::BytesPerDay, 0, 8)];
        assert_eq!(Allowance::tightest(&own), Some(&own[1]));
        assert_eq!(Allowance::tightest(&own[2..]), Some(&own[2]));
        assert_eq!(Allowance::tightest(&[left(Limit::BytesPerDay, 1, 9)]), None);
    }
}
