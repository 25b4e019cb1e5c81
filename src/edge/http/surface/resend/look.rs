//! What became of emails, as Resend says it. All members are always there: some of its clients fail without one.

use hyper::StatusCode;
use jiff::Timestamp;
use serde::Serialize;

use crate::edge::http::reply::{self, Reply};
use crate::ipc::inquiry::{Cause, Status, Submission};
use crate::mail::id::MessageId;

const OBJECT: &str = "email";

#[derive(Serialize)]
struct Email<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<&'static str>,
    id: String,
    message_id: Option<String>,
    to: Vec<&'a str>,
    from: &'a str,
    created_at: Option<String>,
    /// Empty where it isn't kept: clients want a text.
    subject: &'a str,
    cc: Option<Vec<&'a str>>,
    bcc: Option<Vec<&'a str>>,
    /// What isn't kept.
    reply_to: Option<[&'a str; 0]>,
    last_event: &'static str,
    scheduled_at: Option<String>,
    #[serde(flatten)]
    whole: Option<Whole<'a>>,
}

/// What a list leaves out. Bodies aren't shown.
#[derive(Serialize)]
struct Whole<'a> {
    html: Option<&'a str>,
    text: Option<&'a str>,
    tags: Vec<Tag<'a>>,
}

#[derive(Serialize)]
struct Tag<'a> {
    name: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    has_more: bool,
    data: Vec<Email<'a>>,
}

#[derive(Serialize)]
struct Changed {
    object: &'static str,
    id: String,
}

/// One email.
pub fn email(found: &Submission, id: MessageId) -> Reply {
    let tags = found.label.iter().flat_map(|label| &label.tags);
    let tags = tags.map(|tag| Tag { name: &tag.name, value: tag.value.as_deref().unwrap_or_default() }).collect();
    let whole = Some(Whole { html: None, text: None, tags });
    reply::json(StatusCode::OK, &Email { object: Some(OBJECT), whole, ..summary(found) }, id)
}

/// A page of them.
pub fn emails(all: &[Submission], has_more: bool, id: MessageId) -> Reply {
    let list = List { object: "list", has_more, data: all.iter().map(summary).collect() };
    reply::json(StatusCode::OK, &list, id)
}

/// It was taken back, or has another time.
pub fn changed(found: &Submission, id: MessageId) -> Reply {
    reply::json(StatusCode::OK, &Changed { object: OBJECT, id: found.message.to_string() }, id)
}

fn summary(found: &Submission) -> Email<'_> {
    let [to, cc, bcc] = found.sorted().map(|list| list.into_iter().map(|one| one.address.as_str()).collect::<Vec<_>>());
    let label = found.label.as_deref();
    Email {
        object: None,
        id: found.message.to_string(),
        message_id: label.and_then(|label| label.message_id.as_ref()).map(|id| format!("<{id}>")),
        to,
        from: found.from.as_deref().unwrap_or_default(),
        created_at: time(found.accepted_us),
        subject: label.and_then(|label| label.subject.as_deref()).unwrap_or_default(),
        cc: Some(cc).filter(|list| !list.is_empty()),
        bcc: Some(bcc).filter(|list| !list.is_empty()),
        reply_to: None,
        last_event: last_event(found),
        scheduled_at: found.scheduled_us.and_then(time),
        whole: None,
    }
}

/// One of the words that its clients know. That an upstream has it doesn't say that it was delivered.
const fn last_event(found: &Submission) -> &'static str {
    match (found.status, found.cause) {
        (Status::Received | Status::Started, _) => "queued",
        (Status::Scheduled, _) => "scheduled",
        (Status::Deferred | Status::Held, _) => "delivery_delayed",
        (Status::Accepted, _) => "sent",
        (Status::Failed, Some(Cause::Rejected)) => "bounced",
        (Status::Failed | Status::Expired, _) => "failed",
        (Status::Canceled | Status::Moved, _) => "canceled",
    }
}

/// As it writes times.
fn time(us: u64) -> Option<String> {
    let time = i64::try_from(us).ok().and_then(|us| Timestamp::from_microsecond(us).ok())?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string())
}
