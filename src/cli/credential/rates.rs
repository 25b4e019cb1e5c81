//! The options that say how often and how much.

use clap::Args;

/// Each is at least one: a limit of nothing is what `disable` is for.
const LEAST: std::ops::RangeFrom<i64> = 1..;

#[derive(Debug, Default, Args)]
pub struct Rates {
    /// Messages per minute
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(LEAST))]
    per_minute: Option<u32>,
    /// Messages per hour
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(LEAST))]
    per_hour: Option<u32>,
    /// Messages per day (UTC)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(LEAST))]
    per_day: Option<u32>,
    /// Messages at once, by the shortest rate; by default ten, or a sixth of the rate if that is more
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(LEAST))]
    burst: Option<u32>,
    /// Recipients of all messages per minute
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(LEAST))]
    recipients_per_minute: Option<u32>,
    /// Recipients per hour
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(LEAST))]
    recipients_per_hour: Option<u32>,
    /// Recipients per day (UTC)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(LEAST))]
    recipients_per_day: Option<u32>,
    /// Recipients at once, by the shortest rate
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(LEAST))]
    recipients_burst: Option<u32>,
    /// Octets of all messages per day (UTC)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    bytes_per_day: Option<u64>,
    /// Messages per minute to one recipient domain
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(LEAST))]
    domain_per_minute: Option<u32>,
    /// Messages per hour to one recipient domain
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(LEAST))]
    domain_per_hour: Option<u32>,
    /// Messages per day (UTC) to one recipient domain
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(LEAST))]
    domain_per_day: Option<u32>,
}

/// The name of each option and its place in a policy.
pub const PLACES: [(&str, &[&str]); 12] = [
    ("per-minute", &["limits", "per_minute"]),
    ("per-hour", &["limits", "per_hour"]),
    ("per-day", &["limits", "per_day"]),
    ("burst", &["limits", "burst"]),
    ("recipients-per-minute", &["limits", "recipients_per_minute"]),
    ("recipients-per-hour", &["limits", "recipients_per_hour"]),
    ("recipients-per-day", &["limits", "recipients_per_day"]),
    ("recipients-burst", &["limits", "recipients_burst"]),
    ("bytes-per-day", &["limits", "bytes_per_day"]),
    ("domain-per-minute", &["limits", "per_recipient_domain", "per_minute"]),
    ("domain-per-hour", &["limits", "per_recipient_domain", "per_hour"]),
    ("domain-per-day", &["limits", "per_recipient_domain", "per_day"]),
];

impl Rates {
    /// What was given, in the order of `PLACES`.
    pub fn values(&self) -> [Option<u64>; PLACES.len()] {
        [
            self.per_minute.map(u64::from),
            self.per_hour.map(u64::from),
            self.per_day.map(u64::from),
            self.burst.map(u64::from),
            self.recipients_per_minute.map(u64::from),
            self.recipients_per_hour.map(u64::from),
            self.recipients_per_day.map(u64::from),
            self.recipients_burst.map(u64::from),
            self.bytes_per_day,
            self.domain_per_minute.map(u64::from),
            self.domain_per_hour.map(u64::from),
            self.domain_per_day.map(u64::from),
        ]
    }
}
