//! The digest of a day: on a screen, in a mail, and as an object.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::counts::{Counts, DAY_US, OfCredential, OfUpstream};
use crate::ipc::admin::digest::Standing;
use crate::vault::alerts::span;
use crate::vault::feedback::happened::time;

/// Lines of one kind; the object has all.
const SHOWN: usize = 20;

/// A day as it is written, such as 2026-11-27.
pub fn day(day: i64) -> String {
    let us = u64::try_from(day).unwrap_or_default().saturating_mul(DAY_US);
    let moment = i64::try_from(us).ok().and_then(|us| Timestamp::from_microsecond(us).ok()).unwrap_or_default();
    moment.to_string().chars().take(10).collect()
}

/// Names and what others have named may hold anything: the lines are still to be made plain.
pub fn lines(counts: &Counts, standing: Option<&Standing>, now_us: u64) -> Vec<String> {
    let Counts { sum, credentials, upstreams, refused, failed_logins, grave, first, last, events, .. } = counts;
    let mut lines = vec![
        format!("day         {} (UTC)", day(counts.day)),
        format!("accepted    {} messages to {} recipients, {} octets", sum.messages, sum.recipients, sum.octets),
        format!("delivered   {} recipients; {} failed", sum.delivered, sum.failed),
    ];
    let mut by: Vec<(&String, &OfCredential)> = credentials.iter().collect();
    by.sort_by_key(|(_, own)| std::cmp::Reverse(own.recipients.saturating_add(own.refused)));
    some(&mut lines, &by, |(id, own)| {
        let OfCredential { messages, recipients, delivered, failed, refused, .. } = own;
        format!(
            "  credential {id}: messages={messages} recipients={recipients} delivered={delivered} failed={failed} refused={refused}"
        )
    });
    let by: Vec<(&String, &OfUpstream)> = upstreams.iter().collect();
    some(&mut lines, &by, |(name, own)| {
        let OfUpstream { delivered, deferred, failed } = own;
        format!("  upstream {name}: delivered={delivered} deferred={deferred} failed={failed}")
    });
    lines.push(format!("refused     {}; {failed_logins} logins failed", sum.refused));
    tally(&mut lines, refused);
    lines.push(format!("grave       {} events", grave.values().sum::<u64>()));
    tally(&mut lines, grave);
    lines.push(match first {
        Some(first) => format!("log         events {first} to {last}, {events} of them"),
        None => "log         no event of that day".to_owned(),
    });
    if let Some(standing) = standing {
        lines.extend(now(standing, now_us));
    }
    lines
}

/// How it stands when it is asked.
fn now(standing: &Standing, now_us: u64) -> Vec<String> {
    let Standing { free, reserve, messages, oldest_us, certificates, upstreams, edges, more, head, alerts, .. } =
        standing;
    let free = free.map_or_else(|| "-".to_owned(), |free| free.to_string());
    let oldest = oldest_us
        .map_or_else(String::new, |then| format!("; the oldest has waited for {}", span(now_us.saturating_sub(then))));
    let mut lines = vec![
        format!("now         {}", time(now_us)),
        format!("disk        free={free} reserve={reserve}"),
        format!("queue       {messages} messages{oldest}"),
    ];
    some(&mut lines, upstreams, |(name, word)| format!("  upstream {name}: {word}"));
    lines.extend(certificates.iter().map(|(listeners, days)| format!("certificate {listeners}: {days} days")));
    lines.push(match head {
        Some((size, then)) => format!("head        {size} events are signed, since {}", time(*then)),
        None => "head        nothing is signed".to_owned(),
    });
    let near = edges.len() as u64 + more;
    lines.push(format!("limits      {near} near their edge"));
    some(&mut lines, edges, |edge| {
        let suspended = if edge.suspended { " suspended" } else { "" };
        format!("  {} {}: left={}/{}{suspended}", edge.credential, edge.limit.word(), edge.left, edge.quota)
    });
    lines.push(format!("alerts      {} go on", alerts.len()));
    some(&mut lines, alerts, |alert| format!("  {alert}"));
    lines
}

fn tally(lines: &mut Vec<String>, all: &BTreeMap<String, u64>) {
    let mut by: Vec<(&String, &u64)> = all.iter().collect();
    by.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    some(lines, &by, |(word, count)| format!("  {word}: {count}"));
}

fn some<T>(lines: &mut Vec<String>, all: &[T], line: impl Fn(&T) -> String) {
    lines.extend(all.iter().take(SHOWN).map(line));
    if let Some(more) = all.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        lines.push(format!("  and {more} more: gatepost digest --json has all"));
    }
}

pub fn object(counts: &Counts, standing: Option<&Standing>, now_us: u64) -> Value {
    let of_credential = |own: &OfCredential| {
        let OfCredential { messages, recipients, octets, delivered, failed, refused } = own;
        json!({
            "messages": messages, "recipients": recipients, "octets": octets, "delivered": delivered, "failed": failed,
            "refused": refused,
        })
    };
    let of_upstream = |own: &OfUpstream| {
        let OfUpstream { delivered, deferred, failed } = own;
        json!({ "delivered": delivered, "deferred": deferred, "failed": failed })
    };
    let credentials = counts.credentials.iter().map(|(id, own)| (id.clone(), of_credential(own)));
    let upstreams = counts.upstreams.iter().map(|(name, own)| (name.clone(), of_upstream(own)));
    let now = standing.map(|standing| {
        let certificates = standing.certificates.iter();
        let edge = |edge: &crate::ipc::admin::overview::Edge| {
            json!({
                "credential": edge.credential, "limit": edge.limit.word(), "quota": edge.quota, "left": edge.left,
                "suspended": edge.suspended,
            })
        };
        json!({
            "time": time(now_us), "free": standing.free, "reserve": standing.reserve, "messages": standing.messages,
            "oldest": standing.oldest_us.map(time),
            "certificates": certificates.map(|(of, days)| json!({ "listeners": of, "days": days })).collect::<Vec<_>>(),
            "upstreams": standing.upstreams.iter().cloned().map(|(name, word)| (name, word.into()))
                .collect::<serde_json::Map<String, Value>>(),
            "limits": standing.edges.iter().map(edge).collect::<Vec<_>>(),
            "limits_more": standing.more,
            "head": standing.head.map(|(size, then)| json!({ "events": size, "stored": time(then) })),
            "alerts": standing.alerts,
        })
    });
    json!({
        "day": day(counts.day),
        "sum": of_credential(&counts.sum),
        "credentials": credentials.collect::<serde_json::Map<String, Value>>(),
        "upstreams": upstreams.collect::<serde_json::Map<String, Value>>(),
        "refused": counts.refused,
        "failed_logins": counts.failed_logins,
        "grave": counts.grave,
        "events": { "first": counts.first, "last": counts.first.map(|_| counts.last), "count": counts.events },
        "now": now,
    })
}
