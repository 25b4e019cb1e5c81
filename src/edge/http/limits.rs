//! What is left of a key's limits: `GET /v1/limits`, and the fields that every answer to a known key has
//! (draft-ietf-httpapi-ratelimit-headers). The numbers are the vault's; whole numbers all of them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{self, HeaderName, HeaderValue};
use serde::Serialize;
use tokio::time::Instant;

use super::Session;
use super::login::{Seat, away};
use super::reply::{self, Code, Fault, Reply};
use super::submissions::refused;
use crate::edge::conversation::Lost;
use crate::ipc::allowance::{Allowance, Left, Unit, Violated};
use crate::ipc::inquiry::{Finding, Inquiry};
use crate::mail::id::MessageId;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// What clients of providers read, of the tightest limit alone.
const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
/// How long an answer that is ready waits for its numbers: without them it is as good.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// The largest whole number of a structured field (RFC 9651 section 3.3.1).
const LARGEST: u64 = 999_999_999_999_999;

#[derive(Serialize)]
struct Rendered {
    limits: Vec<RenderedLeft>,
    /// Limits that others share, or that are of each domain by itself: that they are there.
    shared: Vec<&'static str>,
    suspended_seconds: Option<u32>,
}

#[derive(Serialize)]
struct RenderedLeft {
    policy: &'static str,
    unit: &'static str,
    limit: u64,
    window_seconds: u32,
    remaining: u64,
    reset_seconds: u32,
}

/// `GET /v1/limits`, of whoever sits there.
pub async fn answer(seat: &mut Seat, id: MessageId) -> Result<Reply, Fault> {
    let allowance = match seat.visit.inquire(Inquiry::Allowance).await.map_err(away)? {
        Ok(Finding::Allowance(allowance)) => *allowance,
        Ok(_) => return Err(away(Lost)),
        Err(refusal) => return Err(refused(seat, refusal)),
    };
    let rendered = all(&allowance);
    // The head of this answer says what its body does.
    seat.allowance = Some(allowance);
    Ok(reply::json(StatusCode::OK, &rendered, id))
}

fn all(allowance: &Allowance) -> Rendered {
    let limits = allowance.own.iter().map(rendered).collect();
    let shared = allowance.shared.iter().map(|shared| shared.word()).collect();
    Rendered { limits, shared, suspended_seconds: allowance.suspended }
}

fn rendered(one: &Left) -> RenderedLeft {
    RenderedLeft {
        policy: one.limit.word(),
        unit: match one.limit.unit() {
            Unit::Messages => "messages",
            Unit::Recipients => "recipients",
            Unit::Octets => "bytes",
        },
        limit: one.quota,
        window_seconds: one.limit.window(),
        remaining: one.left,
        reset_seconds: one.seconds,
    }
}

/// Says of a refusal which limit was in the way, where the vault said so.
pub async fn blame(session: &Session, fault: &mut Fault) {
    let is_over = matches!(fault.code, Code::RateLimited | Code::QuotaExceeded);
    if !is_over || !session.entered.load(Ordering::Relaxed) {
        return;
    }
    let mut seat = session.seat.lock().await;
    // The head of the answer is written from it, too.
    seat.allowance = seat.allowance.take().or(seat.visit.allowance());
    fault.violated = seat.allowance.as_ref().and_then(|told| told.violated).map(Violated::word);
}

/// Writes into the head of an answer what is left, when it is an answer to somebody who is known.
pub async fn tell(session: &Session, reply: &mut Reply) {
    // Nobody is asked about a stranger, and nobody waits for the seat of one.
    if !session.entered.swap(false, Ordering::Relaxed) {
        return;
    }
    let mut seat = session.seat.lock().await;
    let (asked, told) = (seat.allowance.take(), seat.visit.allowance());
    let allowance = match asked.or(told) {
        Some(allowance) => allowance,
        // The vault decided nothing: the edge itself refused, or had nothing to ask.
        None => {
            seat.visit.turn_until(Instant::now() + TOLD_WITHIN);
            match seat.visit.inquire(Inquiry::Allowance).await {
                Ok(Ok(Finding::Allowance(allowance))) => *allowance,
                _ => return,
            }
        }
    };
    write(reply, &allowance);
}

/// Retry-After is never earlier than what is said of a limit here: then only those stand here that are of that time.
fn write(reply: &mut Reply, allowance: &Allowance) {
    let after = reply.headers().get(header::RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse::<u32>().ok());
    let told: Vec<&Left> =
        allowance.own.iter().filter(|left| after.is_none_or(|after| left.seconds <= after)).collect();
    let policies = allowance.own.iter().map(|left| {
        let unit = match left.limit.unit() {
            Unit::Messages => "",
            Unit::Recipients => ";qu=\"recipients\"",
            Unit::Octets => ";qu=\"content-bytes\"",
        };
        format!("\"{}\";q={}{unit};w={}", left.limit.word(), left.quota.min(LARGEST), left.limit.window())
    });
    let lefts =
        told.iter().map(|one| format!("\"{}\";r={};t={}", one.limit.word(), one.left.min(LARGEST), one.seconds));
    let lists = [(POLICY, policies.collect::<Vec<_>>()), (RATE_LIMIT, lefts.collect())];
    let tightest = Allowance::tightest(told).map(|left| {
        [(LIMIT, left.quota.min(LARGEST)), (REMAINING, left.left.min(LARGEST)), (RESET, u64::from(left.seconds))]
    });
    let headers = reply.headers_mut();
    // An empty list is no field.
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        headers.extend(HeaderValue::from_str(&list.join(", ")).map(|value| (name, value)));
    }
    for (name, number) in tightest.into_iter().flatten() {
        headers.insert(name, number.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::allowance::Limit;

    fn written(allowance: &Allowance, after: Option<u32>) -> Vec<Option<String>> {
        let fault = Fault { retry_after: after, ..Fault::new(Code::RateLimited, "later") };
        let mut reply = reply::fault(&fault, MessageId::now());
        write(&mut reply, allowance);
        let text = |name| reply.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        [POLICY, RATE_LIMIT, LIMIT, REMAINING, RESET].into_iter().map(text).collect()
    }

    fn some(all: [&str; 5]) -> Vec<Option<String>> {
        all.into_iter().map(|text| Some(text.to_owned())).collect()
    }

    #[test]
    fn rule_p18_fields_say_what_is_left_and_retry_after_is_never_earlier() {
        let own = vec![
            Left { limit: Limit::PerMinute, quota: 30, left: 0, seconds: 2 },
            Left { limit: Limit::RecipientsPerDay, quota: 1000, left: 7, seconds: 4000 },
            Left { limit: Limit::BytesPerDay, quota: u64::MAX, left: u64::MAX, seconds: 4000 },
        ];
        let allowance = Allowance { own, ..Allowance::default() };
        let policy = "\"per_minute\";q=30;w=60, \"recipients_per_day\";q=1000;qu=\"recipients\";w=86400, \
                      \"bytes_per_day\";q=999999999999999;qu=\"content-bytes\";w=86400";
        let all =
            "\"per_minute\";r=0;t=2, \"recipients_per_day\";r=7;t=4000, \"bytes_per_day\";r=999999999999999;t=4000";
        assert_eq!(written(&allowance, None), some([policy, all, "30", "0", "2"]));
        assert_eq!(written(&allowance, Some(2)), some([policy, "\"per_minute\";r=0;t=2", "30", "0", "2"]));
        let none = written(&allowance, Some(1));
        assert_eq!(none, [Some(policy.to_owned()), None, None, None, None]);
        assert_eq!(written(&Allowance::default(), None), [None, None, None, None, None]);
    }

    #[test]
    fn a_key_that_is_suspended_hears_for_how_long() {
        let told = |suspended| serde_json::to_value(all(&Allowance { suspended, ..Allowance::default() })).unwrap();
        assert_eq!(told(Some(7)), serde_json::json!({"limits": [], "shared": [], "suspended_seconds": 7}));
        assert!(told(None)["suspended_seconds"].is_null());
    }
}
