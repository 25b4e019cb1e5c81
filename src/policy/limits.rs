//! How often and how much: the rules of one tier, as they are written. The arithmetic is the vault's.

use serde::{Deserialize, Serialize};

/// The rates and quotas of one tier. Absent: no such limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rates {
    pub per_minute: Option<u32>,
    pub per_hour: Option<u32>,
    /// In a UTC day.
    pub per_day: Option<u32>,
    /// Messages at once, by the shortest rate there is.
    pub burst: Option<u32>,
    pub recipients_per_minute: Option<u32>,
    pub recipients_per_hour: Option<u32>,
    pub recipients_per_day: Option<u32>,
    /// Recipients at once, by the shortest rate there is.
    pub recipients_burst: Option<u32>,
    /// Octets of messages in a UTC day.
    pub bytes_per_day: Option<u64>,
}

/// What is at once unless somebody says otherwise: ten seconds' worth of a rate by the minute, ten minutes' worth of one by
/// the hour, and never less than a handful.
pub const fn default_burst(rate: u32) -> u32 {
    if rate / 6 > 10 { rate / 6 } else { 10 }
}

impl Rates {
    /// Whether anything is limited.
    pub fn is_some(&self) -> bool {
        *self != Self::default()
    }

    /// Whether anything is limited by the day.
    pub fn has_quotas(&self) -> bool {
        self.per_day.is_some() || self.recipients_per_day.is_some() || self.bytes_per_day.is_some()
    }

    /// The most messages at once, by the minute and by the hour. What is said of bursts is said of the shortest rate.
    pub fn bursts(&self) -> (u32, u32) {
        bursts(self.burst, self.per_minute, self.per_hour)
    }

    /// The most recipients at once, by the minute and by the hour.
    pub fn recipients_bursts(&self) -> (u32, u32) {
        bursts(self.recipients_burst, self.recipients_per_minute, self.recipients_per_hour)
    }

    /// The most recipients that one message can ever have by these rules; more would never fit, however long one waits.
    pub fn most_recipients(&self) -> u32 {
        let (minute, hour) = self.recipients_bursts();
        let by = |rate: Option<u32>, burst: u32| rate.map_or(u32::MAX, |_| burst);
        let day = self.recipients_per_day.unwrap_or(u32::MAX);
        by(self.recipients_per_minute, minute).min(by(self.recipients_per_hour, hour)).min(day).max(1)
    }
}

fn bursts(said: Option<u32>, per_minute: Option<u32>, per_hour: Option<u32>) -> (u32, u32) {
    let default = |rate: Option<u32>| default_burst(rate.unwrap_or(0));
    match (said, per_minute) {
        (Some(burst), Some(_)) => (burst, default(per_hour).max(burst)),
        (Some(burst), None) => (burst, burst),
        (None, _) => (default(per_minute), default(per_hour).max(default(per_minute))),
    }
}

/// What a credential is held to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub per_minute: Option<u32>,
    pub per_day: Option<u32>,
    /// Messages at once; max(10, rate / 6) when absent.
    pub burst: Option<u32>,
    pub per_hour: Option<u32>,
    pub recipients_per_minute: Option<u32>,
    pub recipients_per_hour: Option<u32>,
    pub recipients_per_day: Option<u32>,
    pub recipients_burst: Option<u32>,
    pub bytes_per_day: Option<u64>,
    /// For each domain that it sends to, by itself.
    pub per_recipient_domain: Option<Rates>,
    /// Instead of what holds for all credentials.
    pub anomaly: Option<Anomaly>,
}

impl Limits {
    /// The rules of the credential as a whole.
    pub fn rates(&self) -> Rates {
        Rates {
            per_minute: self.per_minute,
            per_hour: self.per_hour,
            per_day: self.per_day,
            burst: self.burst,
            recipients_per_minute: self.recipients_per_minute,
            recipients_per_hour: self.recipients_per_hour,
            recipients_per_day: self.recipients_per_day,
            recipients_burst: self.recipients_burst,
            bytes_per_day: self.bytes_per_day,
        }
    }

    /// As `Rates::most_recipients`.
    pub fn most_recipients(&self) -> u32 {
        self.rates().most_recipients()
    }
}

/// How many messages an upstream is given. Absent: no such limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    pub per_second: Option<u32>,
    pub per_minute: Option<u32>,
    /// In any 24 hours.
    pub per_day: Option<u32>,
}

impl Pace {
    /// Whether anything is limited.
    pub fn is_some(&self) -> bool {
        *self != Self::default()
    }
}

/// The limits that aren't a credential's: of the whole gate, and of where mail comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tiers {
    pub global: Rates,
    /// An address, and the networks around it: /32 /24 /20, and /64 /56 /48 of IPv6.
    pub address: Rates,
    pub prefix: Rates,
    pub wide_prefix: Rates,
}

/// When a credential sends far beyond its own history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anomaly {
    /// So many times what is usual.
    pub factor: u32,
    /// Recipients in the hour or day below which nothing is odd.
    pub minimum: u32,
    pub action: Action,
}

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Nobody looks.
    Off,
    /// The audit log says so.
    Event,
    /// And the credential sends nothing more until the day ends or it is enabled again.
    Suspend,
}

impl Action {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Event => "event",
            Self::Suspend => "suspend",
        }
    }
}

/// How many logins may fail: in the short window and in the long one.
pub type Failures = [u32; 2];

/// How many logins may fail, from where and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedLogins {
    /// The two windows, in seconds.
    pub windows: [u32; 2],
    pub address: Failures,
    pub prefix: Failures,
    pub wide_prefix: Failures,
    /// For one name from one prefix.
    pub credential: Failures,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_of_before_is_read_and_what_is_unknown_is_not() {
        let old = r#"{"per_minute":60,"per_day":null,"burst":7}"#;
        let limits: Limits = serde_json::from_str(old).unwrap();
        assert_eq!(limits, Limits { per_minute: Some(60), burst: Some(7), ..Limits::default() });
        let again: Limits = serde_json::from_str(&serde_json::to_string(&limits).unwrap()).unwrap();
        assert_eq!(again, limits);
        assert!(serde_json::from_str::<Limits>(r#"{"per_second":1}"#).is_err());
    }

    #[test]
    fn a_burst_is_of_the_shortest_rate_and_a_longer_one_never_allows_less() {
        let rates = |per_minute, per_hour, burst| Rates { per_minute, per_hour, burst, ..Rates::default() };
        assert_eq!(rates(Some(60), None, None).bursts().0, 10);
        assert_eq!(rates(Some(600), None, None).bursts().0, 100);
        assert_eq!(rates(Some(60), Some(6000), Some(3)).bursts(), (3, 1000));
        assert_eq!(rates(Some(600), Some(120), None).bursts(), (100, 100));
        assert_eq!(rates(None, Some(6000), Some(3)).bursts().1, 3);
    }

    #[test]
    fn a_message_has_no_more_recipients_than_could_ever_fit() {
        let rates = Rates { recipients_per_minute: Some(60), recipients_per_day: Some(7), ..Rates::default() };
        assert_eq!(rates.most_recipients(), 7);
        let rates = Rates { recipients_per_day: None, recipients_burst: Some(25), ..rates };
        assert_eq!(rates.most_recipients(), 25);
        assert_eq!(Rates::default().most_recipients(), u32::MAX);
    }
}
