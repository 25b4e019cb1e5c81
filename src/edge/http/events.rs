//! `GET /v1/events`: what happened to a key's own mail, in order, for those who ask instead of being told by a webhook.

use std::collections::BTreeMap;

use hyper::StatusCode;
use hyper::http::request::Parts;
use serde::Serialize;
use tokio::time::Instant;

use super::Session;
use super::letter::{Flaw, flaw};
use super::members::{Findings, Table};
use super::query::{Query, invalid, number};
use super::reply::{self, Fault, Reply};
use super::schedule;
use super::submissions::{ask, astray, id as read_id, time};
use crate::ipc::happening::{Happened, Happening, Kind, Span};
use crate::ipc::inquiry::{Finding, Inquiry, MOST_LISTED};
use crate::mail::id::MessageId;

/// Events of a page where the client doesn't say.
const LIMIT: u32 = 20;
/// What the id of an event begins with; its number follows in decimal digits.
const PREFIX: &str = "evt_";
/// The longest number, in digits.
const DIGITS: usize = 19;

const PARAMETERS: &Table =
    &[("limit", &[]), ("after", &[]), ("type", &[]), ("submission", &[]), ("since", &[]), ("until", &[])];

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    has_more: bool,
    data: Vec<Event<'a>>,
    /// What the next question says as `after`, whether there is more by now or not.
    next_after: Option<String>,
}

#[derive(Serialize)]
struct Event<'a> {
    id: String,
    r#type: &'static str,
    created_at: Option<String>,
    data: Data<'a>,
}

/// In the words of webhooks.
#[derive(Serialize)]
struct Data<'a> {
    email_id: String,
    request_id: String,
    from: Option<&'a str>,
    to: [&'a str; 1],
    number: u32,
    attempts: u32,
    next_attempt_at: Option<String>,
    reply: Option<Answer<'a>>,
    /// It is of a test: nothing was sent.
    test: bool,
    may_be_delivered: bool,
    message_id: Option<String>,
    tags: BTreeMap<&'a str, &'a str>,
    metadata: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct Answer<'a> {
    code: Option<u16>,
    enhanced: Option<&'a str>,
    text: Option<&'a str>,
}

/// A page of what happened to mail of whoever asks.
pub async fn list(session: &Session, head: &Parts, id: MessageId, until: Instant) -> Result<Reply, Fault> {
    let mut seat = session.seat.lock().await;
    seat.visit.turn_until(until);
    seat.enter(session, &head.headers).await?;
    let (span, given) = span(head.uri.query())?;
    let Finding::Happened(Happened { all, last, more }) = ask(&mut seat, Inquiry::Events(span)).await? else {
        return Err(astray());
    };
    let list = List {
        object: "list",
        has_more: more,
        data: all.iter().map(event).collect(),
        next_after: last.or(given).map(|number| format!("{PREFIX}{number}")),
    };
    Ok(reply::json(StatusCode::OK, &list, id))
}

/// What a query asks for, and the event that it begins behind, if it names one.
fn span(query: Option<&str>) -> Result<(Span, Option<u64>), Fault> {
    let mut findings = Findings::default();
    let query = Query::read(&mut findings, PARAMETERS, query);
    let limit = query.take(&mut findings, "limit", |text| number(text, 1, MOST_LISTED));
    let after = query.take(&mut findings, "after", cursor);
    let kind = query.take(&mut findings, "type", kind);
    let message = query.take(&mut findings, "submission", |text| {
        read_id(text).ok_or_else(|| invalid("the id of a message, as its answer had it"))
    });
    let since = query.take(&mut findings, "since", microseconds);
    let until = query.take(&mut findings, "until", microseconds);
    findings.verdict()?;
    // Numbers are times: what begins then is behind the moment before it.
    let after_us = since.map_or(0, |since| since.saturating_sub(1)).max(after.unwrap_or_default());
    Ok((Span { limit: limit.unwrap_or(LIMIT), after: after_us, until, kind, message }, after))
}

fn cursor(text: &str) -> Result<u64, Flaw> {
    let digits = text.strip_prefix(PREFIX).filter(|digits| digits.bytes().all(|octet| octet.is_ascii_digit()));
    let number = digits.filter(|digits| digits.len() <= DIGITS).and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| invalid("the id of an event, as next_after and each id are"))
}

fn kind(text: &str) -> Result<Kind, Flaw> {
    let named = Kind::ALL.into_iter().find(|(kind, _)| kind.word() == text);
    named.map(|(kind, _)| kind).ok_or_else(|| {
        let words: Vec<_> = Kind::ALL.into_iter().map(|(kind, _)| kind.word()).collect();
        invalid(format_args!("one of {}", words.join(", ")))
    })
}

fn microseconds(text: &str) -> Result<u64, Flaw> {
    let time = schedule::time(text).map_err(|_| {
        flaw(
            "invalid_time",
            "must be a time with its offset, such as 2026-11-26T09:00:00Z or 2026-11-26T10:00:00+01:00",
        )
    })?;
    Ok(u64::try_from(time.as_microsecond()).unwrap_or_default())
}

fn event(happening: &Happening) -> Event<'_> {
    let Happening {
        number,
        kind,
        message,
        recipient,
        address,
        from,
        attempts,
        next_us,
        code,
        enhanced,
        reply,
        doubt,
        label,
        test,
    } = happening;
    let is_said = code.is_some() || reply.is_some();
    let label = label.as_deref();
    Event {
        id: format!("{PREFIX}{number}"),
        r#type: kind.word(),
        created_at: time(*number),
        data: Data {
            email_id: message.to_string(),
            request_id: message.request_id(),
            from: from.as_deref(),
            to: [address],
            number: *recipient,
            attempts: *attempts,
            next_attempt_at: next_us.and_then(time),
            reply: is_said.then_some(Answer { code: *code, enhanced: enhanced.as_deref(), text: reply.as_deref() }),
            test: *test,
            may_be_delivered: *doubt,
            message_id: label.and_then(|label| label.message_id.as_ref()).map(|id| format!("<{id}>")),
            tags: label
                .iter()
                .flat_map(|label| &label.tags)
                .map(|tag| (&*tag.name, tag.value.as_deref().unwrap_or_default()))
                .collect(),
            metadata: label.iter().flat_map(|label| &label.metadata).map(|(name, value)| (&**name, &**value)).collect(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_and_all_that_is_wrong_with_one_is_told_at_once() {
        let id = MessageId::now();
        let (read, given) = span(Some(&format!(
            "limit=5&after=evt_1700000000000001&type=email.bounced&submission={id}&since=1970-01-01T00:00:01Z"
        )))
        .unwrap();
        let after = 1_700_000_000_000_001;
        let expected = Span { limit: 5, after, until: None, kind: Some(Kind::Bounced), message: Some(id) };
        assert_eq!((read, given), (expected, Some(after)));
        let (read, given) = span(Some("since=1970-01-01T00:00:01Z&until=1970-01-01T00:00:02Z")).unwrap();
        assert_eq!(read, Span { limit: LIMIT, after: 999_999, until: Some(2_000_000), ..Span::default() });
        assert_eq!(given, None);
        let fault = span(Some("limit=0&after=17&type=sent&submission=x&since=now&until=then&status=a")).unwrap_err();
        let found: Vec<_> = fault.issues.iter().map(|issue| (issue.code, issue.pointer.as_str())).collect();
        let expected = [
            ("unknown_member", "status"),
            ("invalid_parameter", "limit"),
            ("invalid_parameter", "after"),
            ("invalid_parameter", "type"),
            ("invalid_parameter", "submission"),
            ("invalid_time", "since"),
            ("invalid_time", "until"),
        ];
        assert_eq!(found, expected);
        for bad in ["evt_", "evt_-1", "evt_+1", "evt_1a", "evt_99999999999999999999", "1700000000000001"] {
            assert!(cursor(bad).is_err(), "{bad}");
        }
    }
}
