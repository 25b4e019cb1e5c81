//! Every limit that can be set: its default with the reason, and how far it can be moved.

use std::fmt::Display;
use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo};

use super::file::{self, At};
use super::findings::Findings;
use super::rates;
use super::shedding;
use super::slice::VaultLimits;
use crate::ipc::delivery::MAX_SLOTS;
use crate::policy::thresholds::Shedding;

/// A setting's key, default and range.
pub struct Bound<T> {
    pub key: &'static str,
    pub default: T,
    pub least: T,
    pub most: T,
}

/// Sessions one edge process holds. Each takes a descriptor, idle some 16 KiB, under TLS 23, and up to 200 KiB while a message comes; the
/// channels between processes are laid out for twice as many.
const SESSIONS: Bound<u32> = Bound { key: "sessions", default: 4096, least: 1, most: 16_384 };
/// How many of them may be of clients that have not logged in: with fewer than this there is nobody to choose from who should
/// make room. The default goes by `sessions`.
const STRANGERS: Bound<u32> = Bound { key: "strangers", default: 2048, least: 8, most: 16_384 };
/// Octets of a message. The large providers stop at 25 MiB; below 64 KiB a gate may not go (RFC 5321 section 4.5.3.1.7).
const MAX_SIZE: Bound<u64> = Bound { key: "max_size", default: 25 << 20, least: 64 << 10, most: 1 << 30 };
/// A whole TLS handshake: three slow round trips, not a stranger who holds the door.
const HANDSHAKE: Bound<Duration> =
    Bound { key: "handshake", default: seconds(10), least: seconds(1), most: minutes(2) };
/// One signature of the keyholder: milliseconds, unless it is stuck or swamped.
const SIGNING: Bound<Duration> = Bound { key: "signing", default: seconds(5), least: seconds(1), most: minutes(1) };
/// Waiting for a command of one who has not logged in. RFC 5321 asks for five minutes between known partners; a stranger
/// gets less, so that idle connections are no way to fill the gate.
const IDLE_STRANGE: Bound<Duration> =
    Bound { key: "idle_strange", default: seconds(30), least: seconds(5), most: minutes(10) };
/// Waiting for a command after login: RFC 5321 section 4.5.3.2.7.
const IDLE: Bound<Duration> = Bound { key: "idle", default: minutes(5), least: seconds(5), most: minutes(60) };
/// Connecting to one host of an upstream. A smart host is near; the next one in the list shouldn't have to wait (rule Q2).
const CONNECT: Bound<Duration> = Bound { key: "connect", default: seconds(5), least: seconds(1), most: seconds(5) };
/// Threads that hash passwords. Each takes 19 MiB and a processor while it does.
const HASHERS: Bound<u16> = Bound { key: "hashers", default: 2, least: 1, most: 64 };
/// Logins that may wait for one of them: a second's worth. Beyond it a login is told to come again (454).
const HASH_QUEUE: Bound<u16> = Bound { key: "hash_queue", default: 64, least: 1, most: 4096 };
/// How long a login may take to be checked, waiting included. Beyond it the client is told to come again, and no work is
/// spent on it any more. An edge waits half a minute for an answer, so it must be less.
const HASH_DEADLINE: Bound<Duration> =
    Bound { key: "hash_deadline", default: seconds(10), least: seconds(1), most: seconds(20) };

/// Deaths of the vault within ten minutes that are mended by a new one. Beyond it the vault stays down, because one that
/// can't stand may be harming what it keeps.
const VAULT_DEATHS: Bound<u32> = Bound { key: "vault_deaths", default: 3, least: 0, most: 1000 };

/// Sessions from one address: a busy web server's worth of workers.
pub const PER_ADDRESS: Bound<u32> = Bound { key: "per_address", default: 100, least: 1, most: 8192 };
/// Sessions from one prefix (/24, /56): a few such servers.
pub const PER_PREFIX: Bound<u32> = Bound { key: "per_prefix", default: 400, least: 1, most: 8192 };
/// Connections a courier keeps to its upstream. Providers commonly allow ten to twenty.
pub const CONNECTIONS: Bound<u16> = Bound { key: "connections", default: 4, least: 1, most: MAX_SLOTS };

/// Programs that an upstream of kind sendmail runs at once. Each has a message in memory, and a queue's disk has one arm.
pub const RUNS: Bound<u16> = Bound { key: "connections", default: 4, least: 1, most: 64 };
/// How long one may take over a message: queueing takes well under a second; one that delivers itself waits for a server, which may
/// think for minutes. What is ended with a whole message may have taken it, so that patience is cheaper than haste.
pub const TIME_LIMIT: Bound<Duration> =
    Bound { key: "time_limit", default: minutes(5), least: seconds(1), most: minutes(60) };

/// A connection's wait for its next message: less than servers wait for us (RFC 5321 has 5 minutes, busy ones have 10 seconds), long
/// enough for the next of a batch.
pub const KEPT_IDLE: Bound<Duration> = Bound { key: "idle", default: seconds(8), least: seconds(1), most: minutes(5) };
/// A balancer that has taken a host out gets rid of us after this time.
pub const KEPT_AGE: Bound<Duration> =
    Bound { key: "max_age", default: minutes(5), least: seconds(10), most: minutes(60) };
/// Messages over one connection (rule U11): many servers stop at 100, and fresh connections spread over a balancer.
pub const KEPT_MESSAGES: Bound<u32> = Bound { key: "messages_per_connection", default: 100, least: 1, most: 10_000 };

/// Waits between attempts: soon at first, for greylisting and restarts, then seldom (RFC 5321 section 4.5.4.1).
const RETRY: [Duration; 7] = [minutes(1), minutes(2), minutes(5), minutes(10), minutes(20), minutes(30), minutes(60)];
const RETRY_WAIT: Bound<Duration> = Bound { key: "retry", default: minutes(30), least: seconds(1), most: days(1) };
/// More steps than this say nothing: the last one repeats.
const MOST_RETRY: usize = 32;
/// How long a message is tried: RFC 5321 section 4.5.4.1 says at least four to five days.
const LIFETIME: Bound<Duration> = Bound { key: "lifetime", default: days(4), least: minutes(1), most: days(30) };

/// How long one waits before its sender is told: as Sendmail does it. Whoever wants to call instead should know it on the same
/// day.
const DELAY_REPORT: Bound<Duration> =
    Bound { key: "delay_report", default: minutes(240), least: seconds(1), most: days(30) };
/// The word for that the sender is never told, and that nothing is ever held.
pub const NEVER: &str = "never";

/// How long a message may ask to be held (RFC 4865); what is held fills the disk. The default is that of HTTP; over SMTP
/// nothing is held without the key.
pub const FUTURE_RELEASE: Bound<Duration> =
    Bound { key: "future_release", default: days(3), least: minutes(1), most: days(30) };

/// How often the sealer keeps a head in a file or hands it to syslog: a line an hour is 2 MB a year, and what an intruder
/// could rewrite unseen is at most the last hour.
pub const ANCHOR_NEAR: Bound<Duration> = Bound { key: "every", default: minutes(60), least: minutes(1), most: days(7) };
/// How often it is mailed: somebody is to look at it.
pub const ANCHOR_MAIL: Bound<Duration> = Bound { key: "every", default: days(1), least: minutes(60), most: days(30) };
/// How often a witness is asked. It costs it a signature; public ones expect logs of their kind at that pace.
pub const ANCHOR_WITNESS: Bound<Duration> =
    Bound { key: "every", default: minutes(5), least: minutes(1), most: days(7) };
/// An anchor without a success for so long is an alarm: a daily mail may fail once.
pub const ANCHOR_OVERDUE: Bound<Duration> =
    Bound { key: "anchor_overdue", default: days(2), least: minutes(5), most: days(90) };

/// How long a webhook is tried for one event: as long as the waits of the standard take, and their last once more.
pub const WEBHOOK_LIFETIME: Bound<Duration> =
    Bound { key: "lifetime", default: days(4), least: minutes(1), most: days(30) };

/// Octets free on the disk below which no mail is taken: several of the largest messages, and the log of an hour.
const RESERVE: Bound<u64> = Bound { key: "reserve", default: 128 << 20, least: 1 << 20, most: 1 << 40 };
/// Octets of the file that is thrown off when the disk is full after all: outcomes and events of all that is under way.
const BALLAST: Bound<u64> = Bound { key: "ballast", default: 64 << 20, least: 0, most: 1 << 30 };

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub const fn minutes(n: u64) -> Duration {
    seconds(60 * n)
}

pub const fn days(n: u64) -> Duration {
    minutes(24 * 60 * n)
}

/// The limits as they hold.
#[derive(Clone, Debug)]
pub struct Limits {
    pub sessions: u32,
    /// How many of them may be of clients that have not logged in.
    pub strangers: u32,
    pub max_size: u64,
    pub handshake: Duration,
    pub signing: Duration,
    pub idle_strange: Duration,
    pub idle: Duration,
    pub connect: Duration,
    pub hashers: u16,
    pub hash_queue: u16,
    pub hash_deadline: Duration,
    pub vault_deaths: u32,
    pub vault: VaultLimits,
}

/// How long and how often the spool tries.
#[derive(Clone, Debug)]
pub struct Spool {
    /// Waits between attempts; the last one repeats. Never empty.
    pub retry: Vec<Duration>,
    pub lifetime: Duration,
    /// How long one waits before its sender is told.
    pub delay_report: Option<Duration>,
    pub reserve: u64,
    pub ballast: u64,
    pub shedding: Shedding,
}

pub fn limits(written: &file::Limits, findings: &mut Findings<'_>) -> Limits {
    let sessions = whole(&written.sessions, &SESSIONS, findings);
    Limits {
        sessions,
        strangers: strangers(&written.strangers, sessions, findings),
        max_size: whole(&written.max_size, &MAX_SIZE, findings),
        handshake: time(&written.handshake, &HANDSHAKE, findings),
        signing: time(&written.signing, &SIGNING, findings),
        idle_strange: time(&written.idle_strange, &IDLE_STRANGE, findings),
        idle: time(&written.idle, &IDLE, findings),
        connect: time(&written.connect, &CONNECT, findings),
        hashers: whole(&written.hashers, &HASHERS, findings),
        hash_queue: whole(&written.hash_queue, &HASH_QUEUE, findings),
        hash_deadline: time(&written.hash_deadline, &HASH_DEADLINE, findings),
        vault_deaths: whole(&written.vault_deaths, &VAULT_DEATHS, findings),
        vault: rates::plan(written, findings),
    }
}

/// Half of the sessions, unless it is said otherwise; where these are few, as many as there are.
fn strangers(written: &Option<At<i64>>, sessions: u32, findings: &mut Findings<'_>) -> u32 {
    if written.is_none() {
        return (sessions / 2).max(STRANGERS.least).min(sessions);
    }
    let strangers = whole(written, &STRANGERS, findings);
    if let Some(place) = written.as_ref().filter(|_| strangers > sessions) {
        findings.refuse(place.span(), format!("strangers: there are only {sessions} sessions (limits.sessions)"));
    }
    strangers
}

pub fn spool(written: &file::Spool, findings: &mut Findings<'_>) -> Spool {
    let lifetime = time(&written.lifetime, &LIFETIME, findings);
    let (reserve, ballast) = (whole(&written.reserve, &RESERVE, findings), whole(&written.ballast, &BALLAST, findings));
    let delay_report = delay_report(&written.delay_report, lifetime, findings);
    let shedding = shedding::plan(written, findings);
    let Some(list) = &written.retry else {
        return Spool { retry: RETRY.to_vec(), lifetime, delay_report, reserve, ballast, shedding };
    };
    if let Some(beyond) = list.get(MOST_RETRY) {
        findings.refuse(beyond.span(), format!("retry: at most {MOST_RETRY} waits; the last one repeats"));
    }
    let retry: Vec<Duration> = list.iter().map(|wait| duration(wait, &RETRY_WAIT, findings)).collect();
    if retry.is_empty() {
        findings.refuse_whole("spool: retry is empty: give at least one wait, or leave the key out");
    }
    if let (Some(first), Some(place)) = (retry.first(), list.first())
        && *first > lifetime
    {
        findings.refuse(place.span(), "retry: the first wait is longer than lifetime: nothing would be tried twice");
    }
    Spool { retry, lifetime, delay_report, reserve, ballast, shedding }
}

fn delay_report(written: &Option<At<String>>, lifetime: Duration, findings: &mut Findings<'_>) -> Option<Duration> {
    if written.as_ref().is_some_and(|word| word.get_ref() == NEVER) {
        return None;
    }
    let wait = time(written, &DELAY_REPORT, findings);
    if let Some(place) = written.as_ref().filter(|_| wait >= lifetime) {
        let text = "delay_report: it is not shorter than lifetime, so no delay is ever reported: write \"never\"";
        findings.warn(Some(place.span()), text);
    }
    Some(wait)
}

/// A whole number within its bounds, or the default.
pub fn whole<T>(written: &Option<At<i64>>, bound: &Bound<T>, findings: &mut Findings<'_>) -> T
where
    T: TryFrom<i64> + PartialOrd + Copy + Display,
{
    let Some(written) = written else { return bound.default };
    match T::try_from(*written.get_ref()) {
        Ok(value) if bound.least <= value && value <= bound.most => value,
        _ => {
            let Bound { key, least, most, .. } = bound;
            findings.refuse(written.span(), format!("{key}: must be from {least} to {most}"));
            bound.default
        }
    }
}

/// A length of time within its bounds, or the default.
pub fn time(written: &Option<At<String>>, bound: &Bound<Duration>, findings: &mut Findings<'_>) -> Duration {
    written.as_ref().map_or(bound.default, |written| duration(written, bound, findings))
}

pub fn duration(written: &At<String>, bound: &Bound<Duration>, findings: &mut Findings<'_>) -> Duration {
    let Bound { key, least, most, .. } = bound;
    match parse(written.get_ref()) {
        Some(value) if *least <= value && value <= *most => value,
        Some(_) => {
            let range = format!("{key}: must be from {} to {}", friendly(*least), friendly(*most));
            findings.refuse(written.span(), range);
            bound.default
        }
        None => {
            let text =
                format!("{key}: {:?} is not a length of time: write \"30s\", \"5m\" or \"1h 30m\"", written.get_ref());
            findings.refuse(written.span(), text);
            bound.default
        }
    }
}

/// "1h 30m", with days of 24 hours.
pub fn parse(text: &str) -> Option<Duration> {
    let span: Span = text.parse().ok()?;
    span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?.try_into().ok()
}

fn friendly(duration: Duration) -> String {
    SignedDuration::try_from(duration).map_or_else(|_| format!("{duration:?}"), |duration| format!("{duration:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_as_people_write_them() {
        for (text, expected) in
            [("30s", seconds(30)), ("5m", minutes(5)), ("1h 30m", minutes(90)), ("5d", days(5)), ("1w", days(7))]
        {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        for text in ["", "5", "-5m", "1 month", "soon"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_default_lies_within_its_bounds() {
        for bound in [SESSIONS, PER_ADDRESS, PER_PREFIX] {
            assert!(bound.least <= bound.default && bound.default <= bound.most, "{}", bound.key);
        }
        let anchors = [ANCHOR_NEAR, ANCHOR_MAIL, ANCHOR_WITNESS, ANCHOR_OVERDUE];
        let others = [
            HANDSHAKE,
            SIGNING,
            IDLE_STRANGE,
            IDLE,
            CONNECT,
            HASH_DEADLINE,
            RETRY_WAIT,
            LIFETIME,
            KEPT_IDLE,
            KEPT_AGE,
            DELAY_REPORT,
            WEBHOOK_LIFETIME,
        ];
        for bound in others.iter().chain(&anchors) {
            assert!(bound.least <= bound.default && bound.default <= bound.most, "{}", bound.key);
        }
        for wait in RETRY {
            assert!(RETRY_WAIT.least <= wait && wait <= RETRY_WAIT.most);
        }
    }
}
