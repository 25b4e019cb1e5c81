//! Months of UTC: the log is kept in one file for each.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;

/// A month of a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    year: i16,
    month: i8,
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl FromStr for Month {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (year, month) = text.split_once('-').ok_or(())?;
        let (year, month) = (year.parse().map_err(|_| ())?, month.parse().map_err(|_| ())?);
        Date::new(year, month, 1).map_err(|_| ())?;
        Ok(Self { year, month })
    }
}

impl Month {
    /// The first instant after it; none when that can't be said.
    pub fn end_us(self) -> Option<u64> {
        let (year, month) = if self.month == 12 { (self.year.checked_add(1)?, 1) } else { (self.year, self.month + 1) };
        let next = Date::new(year, month, 1).ok()?.to_zoned(TimeZone::UTC).ok()?;
        u64::try_from(next.timestamp().as_microsecond()).ok()
    }
}

fn day(time_us: u64) -> Date {
    let time =
        i64::try_from(time_us).ok().and_then(|us| Timestamp::from_microsecond(us).ok()).unwrap_or(Timestamp::MAX);
    time.to_zoned(TimeZone::UTC).date()
}

/// The month a time is in.
pub fn of(time_us: u64) -> Month {
    let day = day(time_us);
    Month { year: day.year(), month: day.month() }
}

/// The first instant of the month a time is in; none when that can't be said.
pub fn start(time_us: u64) -> Option<u64> {
    let Month { year, month } = of(time_us);
    let first = date(year, month, 1).to_zoned(TimeZone::UTC).ok()?;
    u64::try_from(first.timestamp().as_microsecond()).ok()
}

/// Days since 1970, in UTC, and the seconds left of the day.
pub fn today(time_us: u64) -> (i64, u32) {
    let seconds = time_us / 1_000_000;
    let left = 86_400 - seconds % 86_400;
    (i64::try_from(seconds / 86_400).unwrap_or(i64::MAX), u32::try_from(left).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_at_midnight_of_utc() {
        let us = |text: &str| u64::try_from(text.parse::<Timestamp>().unwrap().as_microsecond()).unwrap();
        assert_eq!(of(us("2026-01-31T23:59:59.999999Z")).to_string(), "2026-01");
        assert_eq!(of(us("2026-02-01T00:00:00Z")).to_string(), "2026-02");
        assert_eq!(start(us("2026-02-17T12:00:00Z")), Some(us("2026-02-01T00:00:00Z")));
        assert_eq!(of(us("2026-02-17T12:00:00Z")).end_us(), Some(us("2026-03-01T00:00:00Z")));
        assert_eq!(of(us("2026-12-31T23:59:59Z")).end_us(), Some(us("2027-01-01T00:00:00Z")));
        assert_eq!(today(us("1970-01-02T23:59:50Z")), (1, 10));
    }
}
