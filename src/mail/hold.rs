//! How long a sender wants its message held before it is delivered: RFC 4865.

use jiff::Timestamp;
use jiff::civil::DateTime;

/// What MAIL says: a wait, or a point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Seconds from now on.
    For(u32),
    Until(Timestamp),
}

impl Hold {
    /// HOLDFOR: one to nine digits, and not nothing (RFC 4865 section 4, `future-release-integer`).
    pub fn seconds(text: &str) -> Option<Self> {
        let sound = text.len() <= 9 && text.bytes().all(|octet| octet.is_ascii_digit());
        text.parse().ok().filter(|seconds| sound && *seconds > 0).map(Self::For)
    }

    /// HOLDUNTIL: a date-time of RFC 3339 section 5.6, in the one form that it has.
    pub fn until(text: &str) -> Option<Self> {
        let (stem, rest) = text.split_at_checked(19)?;
        let form = stem.bytes().zip(b"0000-00-00T00:00:00").all(|(octet, wanted)| match wanted {
            b'0' => octet.is_ascii_digit(),
            sign => octet == *sign,
        });
        let fraction = rest.strip_prefix('.').map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
        let zone = fraction.unwrap_or(rest);
        let zoned = zone == "Z" || (zone.len() == 6 && zone.starts_with(['+', '-']) && zone.get(3..4) == Some(":"));
        let time = text.parse().ok().or_else(|| last(stem, zone));
        time.filter(|_| form && zoned).map(Self::Until)
    }

    /// In microseconds since 1970, for a message that comes now. What is over is now.
    pub fn release_us(self, now_us: u64) -> u64 {
        match self {
            Self::For(seconds) => now_us.saturating_add(u64::from(seconds) * 1_000_000),
            Self::Until(time) => u64::try_from(time.as_microsecond()).unwrap_or(0).max(now_us),
        }
    }
}

/// A time in the last hours of the year 9999 is one, and later than any timestamp: whoever writes it means never.
fn last(stem: &str, zone: &str) -> Option<Timestamp> {
    let is_time = stem.starts_with("9999-12-3") && stem.parse::<DateTime>().is_ok();
    let is_zone = || format!("2000-01-01T00:00:00{zone}").parse::<Timestamp>().is_ok();
    (is_time && is_zone()).then_some(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_x10_a_wait_is_a_number_and_a_time_has_one_form() {
        assert_eq!(Hold::seconds("86400"), Some(Hold::For(86_400)));
        assert_eq!(Hold::seconds("999999999").map(|hold| hold.release_us(1)), Some(999_999_999_000_001));
        for bad in ["", "0", "-1", "+1", "1e3", "1.5", "1000000000", "0x10", "1 "] {
            assert_eq!(Hold::seconds(bad), None, "{bad}");
        }
        for good in ["2026-11-26T09:00:00Z", "2026-11-26T10:00:00+01:00", "2026-11-26T09:00:00.000Z"] {
            assert_eq!(Hold::until(good).map(|hold| hold.release_us(0)), Some(1_795_683_600_000_000), "{good}");
        }
        for bad in [
            "",
            "2026-11-26",
            "2026-11-26T09:00:00",
            "2026-11-26 09:00:00Z",
            "2026-11-26T09:00Z",
            "2026-13-26T09:00:00Z",
            "2026-11-31T09:00:00Z",
            "2026-11-26T09:00:00z",
            "2026-11-26T09:00:00+0100",
            "2026-11-26T09:00:00Z[UTC]",
            "1795683600",
            "9999-12-32T00:00:00Z",
            "9999-12-31T24:00:00Z",
            "9999-12-31T00:00:00+99:00",
        ] {
            assert_eq!(Hold::until(bad), None, "{bad}");
        }
        for last in ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.9Z", "9999-12-31T00:00:00-12:00"] {
            assert_eq!(Hold::until(last), Some(Hold::Until(Timestamp::MAX)), "{last}");
        }
        assert_eq!(Hold::until("1969-12-31T00:00:00Z").map(|hold| hold.release_us(7)), Some(7), "that is over");
    }
}
