//! What one key has used: a bucket for each rate, and its days.

use super::clock::Now;
use super::days::{Day, Days};
use super::denial::{By, Denied};
use super::key::{Key, Tier};
use super::rate::{Full, HOUR_US, MINUTE_US, Rate, Series, left};
use super::table::Content;
use crate::policy::limits::Rates;
use crate::policy::refusal::Refusal;

const DAY_US: u64 = 24 * HOUR_US;

/// Room that is kept for what may still come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Messages between MAIL and the dot, and those of a batch that weren't asked for yet.
    pub messages: u64,
    /// Recipients and octets of batches alone: of another message nobody knows them before they come.
    pub recipients: u64,
    pub octets: u64,
}

impl Held {
    /// A message whose recipients aren't known.
    pub const ONE: Self = Self { messages: 1, recipients: 0, octets: 0 };

    pub fn add(&mut self, more: Self) {
        self.messages = self.messages.saturating_add(more.messages);
        self.recipients = self.recipients.saturating_add(more.recipients);
        self.octets = self.octets.saturating_add(more.octets);
    }

    pub fn sub(&mut self, less: Self) {
        self.messages = self.messages.saturating_sub(less.messages);
        self.recipients = self.recipients.saturating_sub(less.recipients);
        self.octets = self.octets.saturating_sub(less.octets);
    }
}

#[derive(Debug, Default)]
pub struct Usage {
    /// A time for each of `Series::OF_MESSAGES`.
    tats_us: [u64; 4],
    /// When the times were loaded, until they are used.
    loaded_us: Option<u64>,
    pub held: Held,
    days: Days,
}

/// What a message is to the limits, or a batch of them.
#[derive(Clone, Copy, Debug)]
pub struct Weight {
    pub messages: u64,
    pub recipients: u64,
    /// Octets; none before they are known.
    pub bytes: Option<u64>,
}

/// What was taken from one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub key: Key,
    /// How far each bucket was moved, and to where.
    moved: [(u64, u64); 4],
    /// Whether it was counted in its day.
    pub counted: bool,
    pub day: i64,
    pub hour: i64,
    pub recipients: u64,
    pub bytes: u64,
}

impl Content for Usage {
    fn is_empty(&self, tier: Tier, now: Now) -> bool {
        // A credential's days are its history.
        let since = if tier == Tier::Credential { now.day() - super::days::KEPT } else { now.day() };
        self.held == Held::default() && self.tats_us.iter().all(|tat| *tat <= now.us) && self.days.are_before(since)
    }
}

impl Usage {
    pub fn load_bucket(&mut self, series: Series, tat_us: u64, now: Now) {
        if let Some(tat) = self.tats_us.get_mut(series as usize) {
            // Whatever found no place of its own is added up here, and the fuller one holds.
            *tat = tat_us.max(*tat);
            self.loaded_us = Some(now.us);
        }
    }

    pub fn load_day(&mut self, day: Day) {
        self.days.load(day);
    }

    pub fn days(&self) -> &Days {
        &self.days
    }

    /// The time of a bucket, as it is to be kept.
    pub fn tat_us(&self, series: Series) -> u64 {
        self.tats_us.get(series as usize).copied().unwrap_or(0)
    }

    fn effective(&self, series: Series, rate: Rate) -> u64 {
        let tat = self.tat_us(series);
        self.loaded_us.map_or(tat, |loaded| rate.clamped(tat, loaded))
    }

    /// How many more of what a rate counts there is room for, beside the messages that are held, and the seconds until there is for one
    /// beyond them.
    pub fn room(&self, series: Series, rate: Rate, now: Now) -> (u64, u32) {
        let held = if series.counts_recipients() { self.held.recipients } else { self.held.messages };
        rate.room(self.effective(series, rate), held, now.us)
    }

    /// Whether there is room for so much more beside what is held.
    pub fn check(&self, key: &Key, rules: &Rates, weight: Weight, now: Now) -> Result<(), Denied> {
        let mut denied: Option<Denied> = None;
        let mut deny = |refusal, limit, window_us| {
            let one = Denied { refusal, by: Some(By { key: key.clone(), limit, window_us }), upstream: None };
            denied = Some(match denied.take() {
                Some(before) => before.or_longer(one),
                None => one,
            });
        };
        for series in Series::OF_MESSAGES {
            let Some(rate) = series.rate(rules) else { continue };
            let (units, held) = match series.counts_recipients() {
                true => (weight.recipients, self.held.recipients),
                false => (weight.messages, self.held.messages),
            };
            let window =
                if matches!(series, Series::PerHour | Series::RecipientsPerHour) { HOUR_US } else { MINUTE_US };
            match rate.fits(self.effective(series, rate), units, held, now.us) {
                Ok(_) => {}
                Err(Full::For(seconds)) => deny(Refusal::RateLimited(seconds), series.word(), window),
                Err(Full::Ever) => deny(Refusal::TooManyRecipients, series.word(), window),
            }
        }
        let today = self.days.on(now.day());
        let mut quota = |most: Option<u64>, used: u64, more: u64, limit, never| {
            let Some(most) = most else { return };
            if more > most {
                deny(never, limit, DAY_US);
            } else if used.saturating_add(more) > most {
                deny(Refusal::QuotaExceeded(now.left()), limit, DAY_US);
            }
        };
        let over = Refusal::TooManyRecipients;
        let messages = today.messages.saturating_add(self.held.messages);
        quota(rules.per_day.map(u64::from), messages, weight.messages, "per_day", over);
        let (most, recipients) =
            (rules.recipients_per_day.map(u64::from), today.recipients.saturating_add(self.held.recipients));
        quota(most, recipients, weight.recipients, "recipients_per_day", over);
        // Before it is known how large it is, one octet must fit.
        let bytes = today.bytes.saturating_add(self.held.octets);
        quota(rules.bytes_per_day, bytes, weight.bytes.unwrap_or(1), "bytes_per_day", Refusal::TooBig);
        denied.map_or(Ok(()), Err)
    }

    /// Takes what `check` found room for, of one message.
    pub fn take(&mut self, key: &Key, rules: &Rates, weight: Weight, now: Now) -> Taken {
        let mut moved = [(0, 0); 4];
        for ((series, tat), moved) in Series::OF_MESSAGES.into_iter().zip(&mut self.tats_us).zip(&mut moved) {
            let Some(rate) = series.rate(rules) else { continue };
            let before = self.loaded_us.map_or(*tat, |loaded| rate.clamped(*tat, loaded));
            let by = rate.step_us.saturating_mul(if series.counts_recipients() { weight.recipients } else { 1 });
            *tat = before.max(now.us).saturating_add(by);
            *moved = (by, *tat);
        }
        self.loaded_us = None;
        let (day, hour, bytes) = (now.day(), now.hour(), weight.bytes.unwrap_or(0));
        let counted = key.tier == Tier::Credential || rules.has_quotas();
        if counted {
            self.days.add(day, hour, weight.recipients, bytes);
        }
        Taken { key: key.clone(), moved, counted, day, hour, recipients: weight.recipients, bytes }
    }

    pub fn give_back(&mut self, taken: &Taken, now: Now) {
        for (tat, (by, until)) in self.tats_us.iter_mut().zip(taken.moved) {
            *tat = tat.saturating_sub(left(by, until, now.us));
        }
        if taken.counted {
            self.days.give_back(taken.day, taken.hour, taken.recipients, taken.bytes);
        }
    }
}

impl Taken {
    /// The buckets that it moved.
    pub fn series(&self) -> impl Iterator<Item = Series> {
        Series::OF_MESSAGES.into_iter().zip(self.moved).filter(|(_, (by, _))| *by > 0).map(|(series, _)| series)
    }
}
