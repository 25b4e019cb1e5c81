//! `GET /v1/submissions`: all that a key has sent, a page at a time.

use hyper::StatusCode;
use hyper::http::request::Parts;
use serde::Serialize;
use tokio::time::Instant;

use super::rendering::{Rendered, statuses, word};
use super::{Finding, Inquiry, ask, astray, id as read_id};
use crate::edge::http::Session;
use crate::edge::http::letter::{Flaw, flaw};
use crate::edge::http::login::Seat;
use crate::edge::http::members::{Findings, Table};
use crate::edge::http::query::{Query, invalid, number};
use crate::edge::http::reply::{self, Fault, Reply};
use crate::edge::http::schedule;
use crate::ipc::inquiry::{Cursor, Listed, MOST_LISTED, Page, Status};
use crate::ipc::label;
use crate::mail::id::MessageId;

/// Messages of a page where the client doesn't say.
const LIMIT: u32 = 20;

const PARAMETERS: &Table =
    &[("limit", &[]), ("after", &[]), ("before", &[]), ("status", &[]), ("tag", &[]), ("since", &[]), ("until", &[])];

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    has_more: bool,
    data: Vec<Rendered<'a>>,
    /// Where the next page begins: of what is older, or of what is newer where that was asked for.
    next_after: Option<String>,
    next_before: Option<String>,
}

/// A page of what whoever asks has sent.
pub async fn list(session: &Session, head: &Parts, id: MessageId, until: Instant) -> Result<Reply, Fault> {
    let mut seat = session.seat.lock().await;
    seat.visit.turn_until(until);
    seat.enter(session, &head.headers).await?;
    let page = page(head.uri.query())?;
    let is_up = matches!(page.from, Some(Cursor::Before(_)));
    let Listed { all, next } = listed(&mut seat, page).await?;
    let next = next.map(MessageId::request_id);
    let list = List {
        object: "list",
        has_more: next.is_some(),
        data: all.iter().map(Rendered::summary).collect(),
        next_after: next.clone().filter(|_| !is_up),
        next_before: next.filter(|_| is_up),
    };
    Ok(reply::json(StatusCode::OK, &list, id))
}

async fn listed(seat: &mut Seat, page: Page) -> Result<Listed, Fault> {
    match ask(seat, Inquiry::List(page)).await? {
        Finding::Listed(listed) => Ok(listed),
        _ => Err(astray()),
    }
}

/// What a query asks for.
fn page(query: Option<&str>) -> Result<Page, Fault> {
    let mut findings = Findings::default();
    let query = Query::read(&mut findings, PARAMETERS, query);
    let limit = query.take(&mut findings, "limit", |text| number(text, 1, MOST_LISTED));
    let after = query.take(&mut findings, "after", cursor);
    let before = query.take(&mut findings, "before", cursor);
    if query.get("after").is_some() && query.get("before").is_some() {
        findings.add("before", flaw("duplicate_member", "and after exclude each other: give one of them"));
    }
    let status = query.take(&mut findings, "status", status);
    let tag = query.take(&mut findings, "tag", tag);
    let since_ms = query.take(&mut findings, "since", milliseconds);
    let until_ms = query.take(&mut findings, "until", milliseconds);
    findings.verdict()?;
    Ok(Page {
        limit: limit.unwrap_or(LIMIT),
        from: after.map(Cursor::After).or_else(|| before.map(Cursor::Before)),
        since_ms,
        until_ms,
        status: status.unwrap_or_default(),
        tag,
        ..Page::default()
    })
}

/// Any id will do: it is a place in the order, whose message may be forgotten by now.
pub fn cursor(text: &str) -> Result<MessageId, Flaw> {
    read_id(text).ok_or_else(|| invalid("an id, as next_after and each request_id are"))
}

fn status(text: &str) -> Result<Vec<Status>, Flaw> {
    let named: Vec<Status> = statuses().into_iter().filter(|status| word(*status) == text).collect();
    if named.is_empty() {
        let mut words: Vec<_> = statuses().into_iter().map(word).collect();
        words.dedup();
        return Err(invalid(format_args!("one of {}", words.join(", "))));
    }
    Ok(named)
}

/// What stands in a tag, or in a name and a value.
pub fn tag(text: &str) -> Result<String, Flaw> {
    let longest = label::MOST_FREE_TAG.max(2 * label::MOST_TAG + 1);
    if text.chars().count() > longest {
        return Err(invalid(format_args!("a tag's name, or name:value, of at most {longest} characters")));
    }
    Ok(text.to_owned())
}

fn milliseconds(text: &str) -> Result<u64, Flaw> {
    let time = schedule::time(text).map_err(|_| {
        flaw(
            "invalid_time",
            "must be a time with its offset, such as 2026-11-26T09:00:00Z or 2026-11-26T10:00:00+01:00",
        )
    })?;
    Ok(u64::try_from(time.as_millisecond()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_and_all_that_is_wrong_with_one_is_told_at_once() {
        assert_eq!(page(None).unwrap(), Page { limit: LIMIT, ..Page::default() });
        let id = MessageId::now();
        let read =
            page(Some(&format!("limit=5&after={id}&status=canceled&since=1970-01-01T01:00:01%2B01:00"))).unwrap();
        let status = vec![Status::Canceled, Status::Moved];
        assert_eq!(
            read,
            Page { limit: 5, from: Some(Cursor::After(id)), since_ms: Some(1000), status, ..Page::default() }
        );
        let before = page(Some(&format!("before={}", id.request_id()))).unwrap();
        assert_eq!(before.from, Some(Cursor::Before(id)));
        let fault =
            page(Some(&format!("limit=0&after={id}&before=7&status=sent&since=yesterday&until=2026&ofset=3&limit=3")))
                .unwrap_err();
        let found: Vec<_> = fault.issues.iter().map(|issue| (issue.code, issue.pointer.as_str())).collect();
        let expected = [
            ("unknown_member", "ofset"),
            ("duplicate_member", "limit"),
            ("invalid_parameter", "limit"),
            ("invalid_parameter", "before"),
            ("duplicate_member", "before"),
            ("invalid_parameter", "status"),
            ("invalid_time", "since"),
            ("invalid_time", "until"),
        ];
        assert_eq!(found, expected);
        assert!(fault.issues[5].message.contains("smtp_accepted, smtp_failed, canceled, expired"), "{fault:?}");
    }
}
