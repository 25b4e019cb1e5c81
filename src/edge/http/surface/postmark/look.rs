//! What became of messages, as Postmark says it: a search over them, and one with what happened to it.

use std::collections::BTreeMap;

use hyper::StatusCode;
use jiff::Timestamp;
use serde::Serialize;

use crate::edge::http::letter::flaw;
use crate::edge::http::members::{Findings, Table};
use crate::edge::http::query::{Query, invalid, number};
use crate::edge::http::reply::{self, Fault, Reply};
use crate::edge::http::submissions;
use crate::ipc::happening::{Happening, Kind};
use crate::ipc::inquiry::{Page, Recipient, Status, Submission};
use crate::mail::address::Address;
use crate::mail::id::MessageId;

/// Messages of a page, as its documents have it; and how far one may go back in this way, which looks at all before it.
const MOST_COUNT: u32 = 500;
const MOST_REACH: u32 = 1000;
/// Where the client doesn't say.
const COUNT: u32 = 100;

/// What is searched by, and what it has that says nothing here; whatever else is asked by is refused, for an answer to another question
/// would be a wrong one.
const PARAMETERS: &Table =
    &[("count", &[]), ("offset", &[]), ("recipient", &[]), ("tag", &[]), ("status", &[]), ("messagestream", &[])];

/// What is searched for.
#[derive(Debug)]
pub struct Search {
    pub count: usize,
    pub offset: usize,
    pub page: Page,
}

/// Reads a query.
pub fn search(query: Option<&str>) -> Result<Search, Fault> {
    let mut findings = Findings::default();
    // Its clients write forms, in which a blank is a plus.
    let query = query.map(|query| query.replace('+', "%20"));
    let query = Query::read(&mut findings, PARAMETERS, query.as_deref());
    let count = query.take(&mut findings, "count", |text| number(text, 1, MOST_COUNT)).unwrap_or(COUNT);
    let offset = query.take(&mut findings, "offset", |text| number(text, 0, MOST_REACH)).unwrap_or(0);
    if count.saturating_add(offset) > MOST_REACH {
        let message =
            format!("and count together are more than {MOST_REACH}: read what is older by GET /v1/submissions");
        findings.add("offset", flaw("too_many", message));
    }
    let recipient = query.take(&mut findings, "recipient", |text| {
        Address::parse(text).map_err(|_| invalid("an address, as it was sent to"))
    });
    let tag = query.take(&mut findings, "tag", submissions::tag);
    let status =
        query.take(&mut findings, "status", |text| statuses(text).ok_or_else(|| invalid("queued, sent or processed")));
    findings.verdict()?;
    let page = Page { tag, recipient, status: status.unwrap_or_default(), ..Page::default() };
    let size = |number: u32| usize::try_from(number).unwrap_or_default();
    Ok(Search { count: size(count), offset: size(offset), page })
}

/// Its word for where a message stands, and what that is here.
const STATUSES: [(&str, &[Status]); 3] = [
    ("Queued", &[Status::Received, Status::Scheduled, Status::Started, Status::Deferred, Status::Held]),
    ("Sent", &[Status::Accepted]),
    ("Processed", &[Status::Failed, Status::Canceled, Status::Moved, Status::Expired]),
];

fn statuses(text: &str) -> Option<Vec<Status>> {
    STATUSES.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, statuses)| statuses.to_vec())
}

fn word(status: Status) -> &'static str {
    STATUSES.iter().find(|(_, statuses)| statuses.contains(&status)).map_or("Processed", |(word, _)| word)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Messages<'a> {
    total_count: usize,
    messages: Vec<Message<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Message<'a> {
    tag: Option<&'a str>,
    #[serde(rename = "MessageID")]
    message_id: String,
    message_stream: &'static str,
    to: Vec<Mailbox<'a>>,
    cc: Vec<Mailbox<'a>>,
    bcc: Vec<Mailbox<'a>>,
    recipients: Vec<&'a str>,
    received_at: String,
    from: &'a str,
    subject: &'a str,
    /// What isn't kept.
    attachments: [&'static str; 0],
    status: &'static str,
    track_opens: bool,
    track_links: &'static str,
    metadata: BTreeMap<&'a str, &'a str>,
    sandboxed: bool,
    #[serde(flatten)]
    details: Option<Details<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Mailbox<'a> {
    email: &'a str,
    name: Option<&'static str>,
}

/// What a search leaves out. Bodies aren't shown.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Details<'a> {
    text_body: Option<&'static str>,
    html_body: Option<&'static str>,
    body: &'static str,
    message_events: Vec<Event<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Event<'a> {
    recipient: &'a str,
    r#type: &'static str,
    received_at: String,
    details: BTreeMap<&'static str, String>,
}

/// A page of them, and how many there are as far as is known.
pub fn messages(all: &[Submission], total_count: usize, id: MessageId) -> Reply {
    reply::json(StatusCode::OK, &Messages { total_count, messages: all.iter().map(message).collect() }, id)
}

/// One, and what happened to it.
pub fn details(found: &Submission, happened: &[Happening], id: MessageId) -> Reply {
    let message_events = happened.iter().filter_map(event).collect();
    let details = Some(Details { text_body: None, html_body: None, body: "", message_events });
    reply::json(StatusCode::OK, &Message { details, ..message(found) }, id)
}

fn message(found: &Submission) -> Message<'_> {
    let [to, cc, bcc] = found.sorted().map(mailboxes);
    let label = found.label.as_deref();
    Message {
        tag: label.and_then(|label| label.tags.first()).map(|tag| tag.name.as_str()),
        message_id: found.message.to_string(),
        message_stream: "outbound",
        to,
        cc,
        bcc,
        recipients: found.recipients.iter().map(|one| one.address.as_str()).collect(),
        received_at: time(found.accepted_us),
        from: found.from.as_deref().unwrap_or_default(),
        subject: label.and_then(|label| label.subject.as_deref()).unwrap_or_default(),
        attachments: [],
        status: word(found.status),
        track_opens: false,
        track_links: "None",
        metadata: label.iter().flat_map(|label| &label.metadata).map(|(name, value)| (&**name, &**value)).collect(),
        sandboxed: found.test,
        details: None,
    }
}

fn mailboxes(list: Vec<&Recipient>) -> Vec<Mailbox<'_>> {
    list.into_iter().map(|one| Mailbox { email: &one.address, name: None }).collect()
}

/// In its words. That an upstream has it is none of them: it isn't delivered yet.
fn event(happening: &Happening) -> Option<Event<'_>> {
    let reply = [happening.code.map(|code| code.to_string()), happening.enhanced.clone(), happening.reply.clone()];
    let reply = reply.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let (r#type, name, words) = match happening.kind {
        Kind::Delivered => ("Delivered", "DeliveryMessage", reply),
        Kind::Deferred => ("Transient", "DeliveryMessage", reply),
        Kind::Bounced => ("Bounced", "Summary", reply),
        Kind::Failed => ("Bounced", "Summary", "it was given up here".to_owned()),
        Kind::Sent | Kind::Canceled | Kind::Moved | Kind::Complained => return None,
    };
    let details = [(name, words)].into_iter().collect();
    Some(Event { recipient: &happening.address, r#type, received_at: time(happening.number), details })
}

/// As it writes times.
fn time(us: u64) -> String {
    let time = i64::try_from(us).ok().and_then(|us| Timestamp::from_microsecond(us).ok()).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S%.7fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_read_and_what_is_not_searched_by_is_refused() {
        let found =
            search(Some("count=50&offset=7&recipient=b@example.org&tag=Order+17&status=sent&messagestream=x")).unwrap();
        assert_eq!((found.count, found.offset, found.page.tag.as_deref()), (50, 7, Some("Order 17")));
        assert_eq!(found.page.status, [Status::Accepted]);
        assert_eq!(found.page.recipient.unwrap().to_string(), "b@example.org");
        assert_eq!((search(None).unwrap().count, search(Some("count=500&offset=500")).unwrap().offset), (100, 500));
        for bad in [
            "count=0",
            "count=501",
            "count=500&offset=501",
            "offset=-1",
            "recipient=x",
            "status=opened",
            "subject=hello",
            "fromdate=2026-01-01",
            "metadata_a=b",
        ] {
            assert!(search(Some(bad)).is_err(), "{bad}");
        }
    }
}
