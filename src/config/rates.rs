//! How often and how much, as it may be set: rates and quotas of every tier, failed logins, and what counts as far beyond a
//! credential's history.

use std::time::Duration;

use super::file::{self, At};
use super::findings::Findings;
use super::limits::{Bound, duration, whole};
use super::plan::word;
use super::slice::VaultLimits;
use crate::policy::Limits;
use crate::policy::limits::{Action, Anomaly, FailedLogins, Failures, Rates, Tiers};

/// The two windows. The short one is the patience of somebody who mistyped; the long one stops who has more of it.
const WINDOW: Bound<Duration> =
    Bound { key: "windows", default: seconds(300), least: seconds(10), most: seconds(86_400) };
const LONG_WINDOW: Bound<Duration> =
    Bound { key: "windows", default: seconds(86_400), least: seconds(60), most: seconds(7 * 86_400) };

/// Failed logins in the two windows. An application with a wrong password tries a few times a minute and is to be found in
/// the log, not to be helped; nobody mistypes a hundred times a day.
const PER_ADDRESS: [u32; 2] = [20, 100];
/// A network of so many addresses has more people in it, but not as many as it has addresses.
const PER_PREFIX: [u32; 2] = [60, 300];
const PER_WIDE_PREFIX: [u32; 2] = [200, 1000];
/// One name, guessed at from a whole prefix.
const PER_CREDENTIAL: [u32; 2] = [20, 100];
const FAILURES: Bound<u32> = Bound { key: "failed_logins", default: 0, least: 1, most: 1_000_000 };

/// Five times what all but two days of four weeks had is more than growth or a busy week.
const FACTOR: Bound<u32> = Bound { key: "factor", default: 5, least: 2, most: 10_000 };
/// Below a hundred recipients a multiple of next to nothing says nothing.
const MINIMUM: Bound<u32> = Bound { key: "minimum", default: 100, least: 1, most: u32::MAX };

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

const fn rate(key: &'static str) -> Bound<u32> {
    Bound { key, default: 0, least: 1, most: u32::MAX }
}

/// The part of `[limits]` that is the vault's. There is no rate by default: who can send is known, one address may be a whole
/// office or a web server, and what the upstream bears only its operator knows.
pub fn plan(written: &file::Limits, findings: &mut Findings<'_>) -> VaultLimits {
    VaultLimits {
        tiers: Tiers {
            global: rates(&written.global, "global", findings),
            address: rates(&written.address, "address", findings),
            prefix: rates(&written.prefix, "prefix", findings),
            wide_prefix: rates(&written.wide_prefix, "wide_prefix", findings),
        },
        failed_logins: failed_logins(&written.failed_logins, findings),
        anomaly: anomaly(&written.anomaly, findings),
    }
}

/// `limits` of a credential.
pub fn limits(written: &file::CredentialLimits, findings: &mut Findings<'_>) -> Limits {
    let own = file::Rates {
        per_minute: written.per_minute.clone(),
        per_hour: written.per_hour.clone(),
        per_day: written.per_day.clone(),
        burst: written.burst.clone(),
        recipients_per_minute: written.recipients_per_minute.clone(),
        recipients_per_hour: written.recipients_per_hour.clone(),
        recipients_per_day: written.recipients_per_day.clone(),
        recipients_burst: written.recipients_burst.clone(),
        bytes_per_day: written.bytes_per_day.clone(),
    };
    let own = rates(&own, "limits", findings);
    let domain = written.per_recipient_domain.as_ref();
    Limits {
        per_minute: own.per_minute,
        per_hour: own.per_hour,
        per_day: own.per_day,
        burst: own.burst,
        recipients_per_minute: own.recipients_per_minute,
        recipients_per_hour: own.recipients_per_hour,
        recipients_per_day: own.recipients_per_day,
        recipients_burst: own.recipients_burst,
        bytes_per_day: own.bytes_per_day,
        per_recipient_domain: domain.map(|rules| rates(rules, "per_recipient_domain", findings)),
        anomaly: written.anomaly.as_ref().map(|rule| anomaly(rule, findings)),
    }
}

fn rates(written: &file::Rates, table: &str, findings: &mut Findings<'_>) -> Rates {
    for (burst, key, rates, named) in [
        (&written.burst, "burst", [&written.per_minute, &written.per_hour], "per_minute or per_hour"),
        (
            &written.recipients_burst,
            "recipients_burst",
            [&written.recipients_per_minute, &written.recipients_per_hour],
            "recipients_per_minute or recipients_per_hour",
        ),
    ] {
        if let (Some(burst), [None, None]) = (burst, rates) {
            findings.refuse(burst.span(), format!("{table}: {key}: is part of a rate: give {named} beside it"));
        }
    }
    let mut limit = |value: &Option<At<i64>>, key| value.as_ref().map(|_| whole(value, &rate(key), findings));
    Rates {
        per_minute: limit(&written.per_minute, "per_minute"),
        per_hour: limit(&written.per_hour, "per_hour"),
        per_day: limit(&written.per_day, "per_day"),
        burst: limit(&written.burst, "burst"),
        recipients_per_minute: limit(&written.recipients_per_minute, "recipients_per_minute"),
        recipients_per_hour: limit(&written.recipients_per_hour, "recipients_per_hour"),
        recipients_per_day: limit(&written.recipients_per_day, "recipients_per_day"),
        recipients_burst: limit(&written.recipients_burst, "recipients_burst"),
        bytes_per_day: written.bytes_per_day.as_ref().map(|_| {
            let bound = Bound { key: "bytes_per_day", default: 0, least: 1, most: i64::MAX.unsigned_abs() };
            whole(&written.bytes_per_day, &bound, findings)
        }),
    }
}

fn failed_logins(written: &file::FailedLogins, findings: &mut Findings<'_>) -> FailedLogins {
    let windows = match written.windows.as_deref() {
        None => [WINDOW.default, LONG_WINDOW.default],
        Some([short, long]) => {
            let (first, second) = (duration(short, &WINDOW, findings), duration(long, &LONG_WINDOW, findings));
            if first >= second {
                findings.refuse(long.span(), "windows: the second one must be longer than the first");
            }
            [first, second]
        }
        Some(other) => {
            let text = "failed_logins: windows is two lengths of time, such as [\"5m\", \"1d\"]";
            refuse_list(other.first().map(At::span), text, findings);
            [WINDOW.default, LONG_WINDOW.default]
        }
    };
    FailedLogins {
        windows: windows.map(|window| u32::try_from(window.as_secs()).unwrap_or(u32::MAX)),
        address: failures(&written.per_address, "per_address", PER_ADDRESS, findings),
        prefix: failures(&written.per_prefix, "per_prefix", PER_PREFIX, findings),
        wide_prefix: failures(&written.per_wide_prefix, "per_wide_prefix", PER_WIDE_PREFIX, findings),
        credential: failures(&written.per_credential, "per_credential", PER_CREDENTIAL, findings),
    }
}

fn failures(
    written: &Option<Vec<At<i64>>>,
    key: &'static str,
    default: Failures,
    findings: &mut Findings<'_>,
) -> Failures {
    let bound = Bound { key, ..FAILURES };
    match written.as_deref() {
        None => default,
        Some([short, long]) => [short, long].map(|limit| whole(&Some(limit.clone()), &bound, findings)),
        Some(other) => {
            let text = format!("failed_logins: {key} is two numbers, for the short and the long window");
            refuse_list(other.first().map(At::span), &text, findings);
            default
        }
    }
}

fn refuse_list(place: Option<std::ops::Range<usize>>, text: &str, findings: &mut Findings<'_>) {
    match place {
        Some(place) => findings.refuse(place, text),
        None => findings.refuse_whole(text),
    }
}

fn anomaly(written: &file::Anomaly, findings: &mut Findings<'_>) -> Anomaly {
    let actions = [Action::Event, Action::Suspend, Action::Off].map(|action| (action.word(), action));
    let action = written.action.as_ref().and_then(|action| word(action, "action", &actions, &[], findings));
    Anomaly {
        factor: whole(&written.factor, &FACTOR, findings),
        minimum: whole(&written.minimum, &MINIMUM, findings),
        action: action.unwrap_or(Action::Event),
    }
}
