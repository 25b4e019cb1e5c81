//! A credential as `/v1` shows it. What isn't set is `null`.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::config::slice::Serve;
use crate::edge::http::Session;
use crate::ipc::card::{Card, CardKey};
use crate::policy::limits::Rates;
use crate::policy::mask::Mask;

const DAY_S: i64 = 86_400;

#[derive(Serialize)]
pub struct Rendered<'a> {
    id: &'a str,
    enabled: bool,
    expired: bool,
    keys: Vec<RenderedKey<'a>>,
    scopes: Vec<&'static str>,
    senders: Vec<String>,
    recipients: Recipients,
    networks: Vec<String>,
    certificate_required: bool,
    limits: Limits,
    max_size_bytes: u64,
    max_recipients: u32,
    delivery: &'static str,
    /// What it sends never leaves.
    test: bool,
    /// Auditors, and itself in what became of its mail, don't see addresses whole.
    masked: bool,
    created_at: Option<String>,
    expires_at: Option<String>,
    last_sent_on: Option<String>,
    /// What this listener serves.
    dialects: Vec<&'static str>,
}

#[derive(Serialize)]
struct RenderedKey<'a> {
    id: &'a str,
    expires_at: Option<String>,
}

#[derive(Serialize)]
struct Recipients {
    allow: Vec<String>,
    deny: Vec<String>,
}

#[derive(Serialize)]
struct Limits {
    #[serde(flatten)]
    whole: Rates,
    per_recipient_domain: Option<Rates>,
}

impl<'a> Rendered<'a> {
    pub fn of(card: &'a Card, session: &Session) -> Self {
        let max_size = session.front.max_size;
        Self {
            id: &card.id,
            enabled: card.enabled,
            expired: card.expired,
            keys: card.keys.iter().map(key).collect(),
            scopes: card.scopes.0.iter().map(|scope| scope.word()).collect(),
            senders: texts(&card.senders),
            recipients: Recipients { allow: texts(&card.recipients.allow), deny: texts(&card.recipients.deny) },
            networks: texts(&card.networks),
            certificate_required: card.certificate,
            limits: Limits { whole: card.limits.rates(), per_recipient_domain: card.limits.per_recipient_domain },
            max_size_bytes: card.max_size.map_or(max_size, |own| own.min(max_size)),
            max_recipients: card.max_recipients,
            delivery: card.delivery.word(),
            test: card.test,
            masked: card.mask != Mask::None,
            created_at: card.created_us.and_then(time),
            expires_at: card.expires_us.and_then(time),
            last_sent_on: card.last_day.and_then(day).map(|day| day.to_string()),
            dialects: session.front.desk.serve.iter().filter_map(|serve| dialect(*serve)).collect(),
        }
    }
}

fn key(key: &CardKey) -> RenderedKey<'_> {
    RenderedKey { id: &key.id, expires_at: key.expires_us.and_then(time) }
}

fn texts<T: ToString>(all: &[T]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

const fn dialect(serve: Serve) -> Option<&'static str> {
    match serve {
        Serve::V1 => Some("v1"),
        Serve::Ops | Serve::Hooks => None,
        Serve::Send => Some("send"),
        Serve::Resend => Some("resend"),
        Serve::Postmark => Some("postmark"),
        Serve::Usesend => Some("usesend"),
    }
}

/// RFC 3339, in UTC.
fn time(us: u64) -> Option<String> {
    Timestamp::from_microsecond(i64::try_from(us).ok()?).ok().map(|time| time.to_string())
}

fn day(day: i64) -> Option<Date> {
    let begun = Timestamp::from_second(day.checked_mul(DAY_S)?).ok()?;
    Some(begun.to_zoned(TimeZone::UTC).date())
}
