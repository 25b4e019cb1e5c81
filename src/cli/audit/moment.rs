//! A time as it is given to a command.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Octets of a day alone.
const DAY: usize = "2026-11-20".len();

/// Reads a time with its offset (RFC 3339), or a day, which is its first moment in UTC.
///
/// Errors: it is neither, with an example.
pub fn moment(text: &str) -> Result<Timestamp, String> {
    let day = || text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok().map(|midnight| midnight.timestamp());
    let found = if text.len() == DAY { day() } else { text.parse().ok() };
    found.ok_or_else(|| {
        "write 2026-11-20T08:00:00Z, 2026-11-20T09:00:00+01:00, or 2026-11-20 for midnight UTC".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_its_midnight_in_utc_and_a_time_needs_its_offset() {
        for text in ["2026-11-20", "2026-11-20T00:00:00Z", "2026-11-20T01:00:00+01:00"] {
            assert_eq!(moment(text).unwrap().to_string(), "2026-11-20T00:00:00Z", "{text}");
        }
        for text in ["", "yesterday", "2026-11-20T08:00:00", "2026-11-31", "2026-11-200", "20261120"] {
            assert!(moment(text).unwrap_err().contains("2026-11-20T08:00:00Z"), "{text}");
        }
    }
}
