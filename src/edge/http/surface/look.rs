//! Look-ups of the surfaces: what became of a message, of all of them, taking one back, and giving one another time, asked of the vault as `/v1` asks it and
//! answered in their clients' words.

use std::time::Duration;

use hyper::http::request::Parts;

use super::{Call, postmark, resend, single};
use crate::config::slice::Desk;
use crate::edge::http::login::Seat;
use crate::edge::http::members::{Findings, Table};
use crate::edge::http::query::{Query, number};
use crate::edge::http::reply::{Code, Fault, Reply};
use crate::edge::http::submissions::{self, id as read_id};
use crate::ipc::happening::{Happening, Span};
use crate::ipc::inquiry::{Cursor, Finding, Inquiry, Listed, MOST_LISTED, Page, Submission};
use crate::mail::id::MessageId;

/// Messages of a page of Resend's where the client doesn't say.
const LIMIT: u32 = 20;
const RESEND: &Table = &[("limit", &[]), ("after", &[]), ("before", &[])];
/// Pages that the vault is asked for at most for one of Postmark's: as many as a credential may ask at once.
const MOST_PAGES: usize = 20;
/// Seconds that such an answer waits at most until the credential may ask again.
const MOST_WAIT: u32 = 10;

/// Answers a look-up. The body, if some client sends one, says nothing.
pub async fn answer(seat: &mut Seat, call: Call, head: &Parts, id: MessageId) -> Result<Reply, Fault> {
    let path = head.uri.path();
    match call {
        Call::ResendOne => Ok(resend::email(&*find(seat, path).await?, id)),
        Call::ResendCancel => {
            let message = named(path).ok_or_else(submissions::unknown)?;
            Ok(resend::changed(&*submissions::canceled(seat, message).await?, id))
        }
        Call::ResendAll => {
            let Listed { all, next } = listed(seat, page(head.uri.query())?, &mut Patience::none()).await?;
            Ok(resend::emails(&all, next.is_some(), id))
        }
        Call::PostmarkOne => {
            let found = find(seat, path).await?;
            let events = happened(seat, found.message, &mut Patience::default()).await?;
            Ok(postmark::details(&found, &events, id))
        }
        _ => {
            let search = postmark::search(head.uri.query())?;
            let (all, total) = searched(seat, &search).await?;
            Ok(postmark::messages(&all, total, id))
        }
    }
}

/// Gives a message the time that the body has.
pub async fn update(seat: &mut Seat, desk: &Desk, path: &str, octets: &[u8], id: MessageId) -> Result<Reply, Fault> {
    let time = resend::time(octets)?;
    let message = named(path).ok_or_else(submissions::unknown)?;
    Ok(resend::changed(&*submissions::rescheduled(seat, desk, message, time).await?, id))
}

/// The message whose id stands in a path, behind the name of what it is one of.
fn named(path: &str) -> Option<MessageId> {
    let mut segments = single(path).split('/').skip_while(|segment| !matches!(*segment, "emails" | "outbound"));
    segments.nth(1).and_then(read_id)
}

async fn find(seat: &mut Seat, path: &str) -> Result<Box<Submission>, Fault> {
    let message = named(path).ok_or_else(submissions::unknown)?;
    submissions::submission(seat, message).await?.ok_or_else(submissions::unknown)
}

async fn listed(seat: &mut Seat, page: Page, patience: &mut Patience) -> Result<Listed, Fault> {
    patient(seat, Inquiry::List(page), patience).await.and_then(|finding| match finding {
        Finding::Listed(listed) => Ok(listed),
        _ => Err(submissions::astray()),
    })
}

/// What happened to one, as far as that many pages of it go: its end is behind what put it off.
async fn happened(seat: &mut Seat, message: MessageId, patience: &mut Patience) -> Result<Vec<Happening>, Fault> {
    let (mut all, mut after) = (Vec::new(), 0);
    for _ in 0..MOST_PAGES {
        let span = Span { limit: MOST_LISTED, after, message: Some(message), ..Span::default() };
        let Finding::Happened(happened) = patient(seat, Inquiry::Events(span), patience).await? else {
            return Err(submissions::astray());
        };
        all.extend(happened.all);
        let Some(last) = happened.last.filter(|_| happened.more) else { break };
        after = last;
    }
    Ok(all)
}

/// Seconds that an answer of several questions still waits for the key's next ones: what was found by the first would be lost, and
/// the same again would never do.
struct Patience(u32);

impl Default for Patience {
    fn default() -> Self {
        Self(MOST_WAIT)
    }
}

impl Patience {
    /// Of one question: its client can ask it again.
    const fn none() -> Self {
        Self(0)
    }
}

/// Asks again where the key asks too often, as long as there is patience.
async fn patient(seat: &mut Seat, inquiry: Inquiry, patience: &mut Patience) -> Result<Finding, Fault> {
    loop {
        let fault = match submissions::ask(seat, inquiry.clone()).await {
            Err(fault) if fault.code == Code::RateLimited => fault,
            other => return other,
        };
        let seconds = fault.retry_after.unwrap_or(1).max(1);
        let Some(left) = patience.0.checked_sub(seconds) else { return Err(fault) };
        patience.0 = left;
        tokio::time::sleep(Duration::from_secs(seconds.into())).await;
    }
}

/// A page of Resend's. Parameters that aren't known are passed over, as its clients expect.
fn page(query: Option<&str>) -> Result<Page, Fault> {
    let mut findings = Findings::default();
    let query = Query::read(&mut findings, RESEND, known(query, RESEND).as_deref());
    let limit = query.take(&mut findings, "limit", |text| number(text, 1, MOST_LISTED));
    let after = query.take(&mut findings, "after", submissions::cursor);
    let before = query.take(&mut findings, "before", submissions::cursor);
    if query.get("after").is_some() && query.get("before").is_some() {
        findings.add("before", crate::edge::http::query::invalid("given without after"));
    }
    findings.verdict()?;
    let from = after.map(Cursor::After).or_else(|| before.map(Cursor::Before));
    Ok(Page { limit: limit.unwrap_or(LIMIT), from, with_recipients: true, ..Page::default() })
}

/// The part of a query whose names are known.
pub fn known(query: Option<&str>, table: &Table) -> Option<String> {
    let is_known = |part: &&str| table.iter().any(|(name, _)| *name == part.split('=').next().unwrap_or_default());
    query.map(|query| query.split('&').filter(is_known).collect::<Vec<_>>().join("&"))
}

/// A page of Postmark's, which counts from the newest on. Gives how many there are up to its end, and one more where there are more.
async fn searched(seat: &mut Seat, search: &postmark::Search) -> Result<(Vec<Submission>, usize), Fault> {
    let (mut all, mut skipped, mut from, mut more) = (Vec::new(), 0, None, true);
    let mut patience = Patience::default();
    for _ in 0..MOST_PAGES {
        let (to_skip, wanted) = (search.offset - skipped, search.count - all.len());
        if wanted == 0 || !more {
            break;
        }
        let skips = to_skip > 0;
        let limit = if skips { to_skip } else { wanted };
        let limit = u32::try_from(limit).unwrap_or(MOST_LISTED).min(MOST_LISTED);
        let page = Page { limit, from, with_recipients: !skips, ..search.page.clone() };
        let listed = listed(seat, page, &mut patience).await?;
        if skips {
            skipped += listed.all.len();
        } else {
            all.extend(listed.all);
        }
        from = listed.next.map(Cursor::After);
        more = from.is_some();
    }
    // A short page would say that there are no more.
    if more && all.len() < search.count {
        return Err(Fault::new(
            Code::ValidationFailed,
            "the search looks at more messages than one request may: narrow it (recipient, tag, a smaller count or offset), or read \
             GET /v1/submissions",
        ));
    }
    let total = skipped + all.len() + usize::from(more);
    Ok((all, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_in_each_form_of_a_path() {
        let id = MessageId::now();
        for path in [
            format!("/emails/{id}"),
            format!("//emails/{id}/cancel"),
            format!("/resend/emails/{id}"),
            format!("/messages/outbound/{id}/details"),
            format!("/postmark/messages/outbound/{id}/details"),
        ] {
            assert_eq!(named(&path), Some(id), "{path}");
        }
        for path in ["/emails/x", "/emails", "/messages/outbound//details"] {
            assert_eq!(named(path), None, "{path}");
        }
    }

    #[test]
    fn a_page_of_resends_passes_over_what_it_does_not_know() {
        let id = MessageId::now();
        let read = page(Some(&format!("limit=5&after={id}&include=x&x"))).unwrap();
        assert_eq!((read.limit, read.from), (5, Some(Cursor::After(id))));
        for bad in ["limit=0", "limit=101", "after=x", &format!("after={id}&before={id}")] {
            assert!(page(Some(bad)).is_err(), "{bad}");
        }
    }
}
