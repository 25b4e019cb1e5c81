//! Messages that are to leave later: the time that a client gives, and how late it may be.

use std::time::Duration;

use jiff::{Timestamp, Zoned};

use super::letter::{Flaw, flaw};
use super::reply::{Code, Fault, Issue};
use crate::config::slice::Desk;
use crate::mail::hold::Hold;

pub const TOO_LATE: &str = "scheduled_too_late";
pub const POINTER: &str = "/scheduled_at";

/// A time in the one form of RFC 3339 that SMTP has too. Words such as "tomorrow" would mean what each reader takes them for.
pub fn time(text: &str) -> Result<Timestamp, Flaw> {
    match Hold::until(text) {
        Some(Hold::Until(time)) => Ok(time),
        _ => Err(flaw(
            "invalid_time",
            "must be a time with its offset, such as 2026-11-26T09:00:00Z or 2026-11-26T10:00:00+01:00; \
             words such as \"tomorrow\" are not read",
        )),
    }
}

/// What one of each is, in seconds, by its names in English. No month or year: how long those are, nobody says.
const UNITS: [(&[&str], u64); 5] = [
    (&["s", "sec", "secs", "second", "seconds"], 1),
    (&["min", "mins", "minute", "minutes"], 60),
    (&["h", "hr", "hrs", "hour", "hours"], 3600),
    (&["day", "days"], 86_400),
    (&["week", "weeks"], 7 * 86_400),
];

/// How far ahead a time lies that is said by that alone, as clients of Resend say it: "in 1 min", "in 2 hours", "in an hour". It is the
/// same for every reader; "tomorrow" would not be.
pub fn ahead(text: &str) -> Option<Duration> {
    let text = text.to_ascii_lowercase();
    let mut words = text.split_ascii_whitespace();
    let ("in", count, unit, None) = (words.next()?, words.next()?, words.next()?, words.next()) else { return None };
    let count = match count {
        "a" | "an" => 1,
        digits => digits.parse::<u32>().ok().filter(|_| digits.bytes().all(|octet| octet.is_ascii_digit()))?,
    };
    let (_, seconds) = UNITS.iter().find(|(names, _)| names.contains(&unit))?;
    Some(Duration::from_secs(u64::from(count).checked_mul(*seconds)?))
}

/// Whether a message that was written at `when` may leave then: it is still to come, and this listener holds messages for so long. Of
/// those that are done once it is asked after the vault: when their first request was done, another answer may have been right.
pub fn may_wait(time: Timestamp, when: &Zoned, desk: &Desk) -> Result<(), Fault> {
    fits(time, when, desk)?;
    lies_ahead(time, when)
}

/// The vault, which asks again, refused it: why, as far as this listener knows. It may have been changed meanwhile.
pub fn held_too_long(time: Timestamp, when: &Zoned, desk: &Desk) -> Fault {
    fits(time, when, desk).err().unwrap_or_else(|| too_late(None))
}

fn fits(time: Timestamp, when: &Zoned, desk: &Desk) -> Result<(), Fault> {
    let Some(longest) = desk.future_release else {
        let message = "nothing is sent later by this listener: leave it out";
        return Err(refused("scheduling_not_supported", message.to_owned()));
    };
    if time > when.timestamp().saturating_add(longest).unwrap_or(Timestamp::MAX) {
        return Err(too_late(Some(longest.as_secs())));
    }
    Ok(())
}

fn lies_ahead(time: Timestamp, when: &Zoned) -> Result<(), Fault> {
    if time > when.timestamp() {
        return Ok(());
    }
    Err(refused(
        "scheduled_in_the_past",
        "is over: give a time that lies ahead, or leave it out to send at once".to_owned(),
    ))
}

/// None: nobody here knows how long it holds them.
pub fn too_late(longest: Option<u64>) -> Fault {
    let message = longest.map_or_else(
        || "this listener holds nothing for so long".to_owned(),
        |seconds| format!("this listener holds nothing for more than {seconds} seconds"),
    );
    refused(TOO_LATE, message)
}

fn refused(code: &'static str, message: String) -> Fault {
    Fault::of(Code::ValidationFailed, vec![Issue { code, pointer: POINTER.to_owned(), message }])
}

/// In microseconds since 1970, as the vault counts.
pub fn release_us(time: Timestamp) -> u64 {
    Hold::Until(time).release_us(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::edge::http::tests::house::front;

    #[test]
    fn how_far_ahead_a_time_lies_is_a_number_and_a_unit_and_nothing_else() {
        for (text, seconds) in [
            ("in 1 min", 60),
            ("in 90 seconds", 90),
            ("In 2 Hours", 7200),
            ("in  an hour ", 3600),
            ("in a week", 604_800),
            ("in 3 days", 259_200),
            ("in 0 min", 0),
            ("in 4294967295 weeks", 4_294_967_295 * 604_800),
        ] {
            assert_eq!(ahead(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for bad in [
            "",
            "in",
            "in 1",
            "1 min",
            "in min",
            "in -1 min",
            "in +1 min",
            "in 1.5 hours",
            "in 1 hour 30 min",
            "in 1 month",
            "in 4294967296 min",
            "tomorrow",
            "in one hour",
        ] {
            assert_eq!(ahead(bad), None, "{bad}");
        }
    }

    #[test]
    fn rule_x10_a_time_lies_ahead_and_not_further_than_the_listener_holds() {
        let when = "2026-11-26T09:00:00Z".parse::<Timestamp>().unwrap().to_zoned(TimeZone::UTC);
        let desk = |longest| front(|desk| desk.future_release = longest).0.desk.clone();
        let asked = |text: &str, longest| {
            let time = time(text).map_err(|flaw| flaw.code)?;
            may_wait(time, &when, &desk(longest)).map_err(|fault| fault.issues[0].code)
        };
        let hour = Some(Duration::from_secs(3600));
        for good in ["2026-11-26T09:00:00.001Z", "2026-11-26T10:00:00Z", "2026-11-26T11:00:00+01:00"] {
            assert_eq!(asked(good, hour), Ok(()), "{good}");
            assert_eq!(asked(good, None), Err("scheduling_not_supported"), "{good}");
        }
        for over in ["2026-11-26T09:00:00Z", "2026-11-26T09:30:00+01:00", "1969-01-01T00:00:00Z"] {
            assert_eq!(asked(over, hour), Err("scheduled_in_the_past"), "{over}");
        }
        for late in
            ["2026-11-26T10:00:00.000001Z", "2026-11-26T10:30:00-00:30", "9999-12-30T00:00:00Z", "9999-12-31T23:59:59Z"]
        {
            assert_eq!(asked(late, hour), Err(TOO_LATE), "{late}");
        }
        for bad in ["in 1 hour", "tomorrow", "", "2026-11-26", "2026-11-26T10:00:00", "1795683600"] {
            assert_eq!(asked(bad, hour), Err("invalid_time"), "{bad}");
        }
        assert_eq!(release_us(time("2026-11-26T09:00:00Z").unwrap()), 1_795_683_600_000_000);
    }
}
