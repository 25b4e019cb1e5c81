//! A submission as `/v1` says it. What isn't known is `null`, or left out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::ipc::inquiry::{Cause, Counts, Over, Recipient, Status, Submission};

#[derive(Debug, Serialize)]
pub struct Rendered<'a> {
    request_id: String,
    id: String,
    status: &'static str,
    /// The word for a failure, that of errors.
    pub code: Option<&'static str>,
    pub message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_domains: Option<Vec<&'a str>>,
    recipient_count: Option<u64>,
    created_at: Option<String>,
    updated_at: Option<String>,
    expires_at: Option<String>,
    scheduled_at: Option<String>,
    size_bytes: u64,
    /// What its client said of it, by HTTP.
    surface: Option<&'static str>,
    message_id: Option<String>,
    tags: Vec<Marked<'a>>,
    metadata: BTreeMap<&'a str, &'a str>,
    /// It was sent for a test, and has gone nowhere.
    pub test: bool,
    pub may_be_delivered: bool,
    pub counts: Option<Standings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipients: Option<Vec<Stop<'a>>>,
    /// Some of them don't stand there.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipients_truncated: Option<bool>,
    /// Where it was waited for: why it is no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    wait: Option<&'static str>,
}

/// A tag; one without a value has none.
#[derive(Debug, Serialize)]
pub struct Marked<'a> {
    name: &'a str,
    value: Option<&'a str>,
}

#[derive(Debug, Serialize)]
pub struct Standings {
    waiting: u64,
    accepted: u64,
    failed: u64,
    canceled: u64,
    expired: u64,
}

impl From<Counts> for Standings {
    fn from(Counts { waiting, accepted, failed, canceled, expired }: Counts) -> Self {
        Self { waiting, accepted, failed, canceled, expired }
    }
}

#[derive(Debug, Serialize)]
struct Stop<'a> {
    number: u32,
    address: &'a str,
    status: &'static str,
    code: Option<&'a str>,
    reply: Option<String>,
    attempts: u32,
    next_attempt_at: Option<String>,
    may_be_delivered: bool,
}

impl<'a> Rendered<'a> {
    pub fn of(submission: &'a Submission) -> Self {
        let mut recipient_domains: Vec<&str> = Vec::new();
        for (_, domain) in submission.recipients.iter().filter_map(|one| one.address.rsplit_once('@')) {
            if !recipient_domains.contains(&domain) {
                recipient_domains.push(domain);
            }
        }
        Self {
            recipient_domains: Some(recipient_domains),
            recipients: Some(submission.recipients.iter().map(stop).collect()),
            recipients_truncated: Some(
                submission.count.is_some_and(|count| count > submission.recipients.len() as u64),
            ),
            ..Self::summary(submission)
        }
    }

    /// With why it is not waited for any more.
    pub fn waited(self, waited: Option<Over>) -> Self {
        Self { wait: waited.map(over), ..self }
    }

    /// As it stands in a list, without its recipients.
    pub fn summary(submission: &'a Submission) -> Self {
        Self {
            request_id: submission.message.request_id(),
            id: submission.message.to_string(),
            status: word(submission.status),
            code: code(submission),
            message: sentence(submission.status),
            recipient_domains: None,
            recipient_count: submission.count,
            created_at: time(submission.accepted_us),
            updated_at: submission.ended_us.and_then(time),
            expires_at: time(submission.expires_us),
            scheduled_at: submission.scheduled_us.and_then(time),
            size_bytes: submission.size,
            surface: submission.label.as_ref().map(|label| label.dialect.word()),
            message_id: message_id(submission),
            tags: tags(submission),
            metadata: metadata(submission),
            test: submission.test,
            may_be_delivered: submission.doubt,
            counts: submission.counts.map(Standings::from),
            recipients: None,
            recipients_truncated: None,
            wait: None,
        }
    }
}

/// In its brackets.
pub fn message_id(submission: &Submission) -> Option<String> {
    submission.label.as_ref().and_then(|label| label.message_id.as_ref()).map(|id| format!("<{id}>"))
}

pub fn tags(submission: &Submission) -> Vec<Marked<'_>> {
    let tags = submission.label.iter().flat_map(|label| &label.tags);
    tags.map(|tag| Marked { name: &tag.name, value: tag.value.as_deref() }).collect()
}

pub fn metadata(submission: &Submission) -> BTreeMap<&str, &str> {
    let pairs = submission.label.iter().flat_map(|label| &label.metadata);
    pairs.map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn stop(one: &Recipient) -> Stop<'_> {
    Stop {
        number: one.number,
        address: &one.address,
        status: word(one.status),
        code: one.enhanced.as_deref().filter(|enhanced| !enhanced.is_empty()),
        reply: said(one),
        attempts: one.attempts,
        next_attempt_at: one.next_us.and_then(time),
        may_be_delivered: one.doubt,
    }
}

/// The last answer in one line, as much of it as may be seen.
fn said(one: &Recipient) -> Option<String> {
    match (one.code, one.reply.as_deref()) {
        (Some(code), Some(text)) => Some(format!("{code} {text}")),
        (Some(code), None) => Some(code.to_string()),
        (None, text) => text.map(str::to_owned),
    }
}

/// All states, those of one word together.
pub const fn statuses() -> [Status; 10] {
    [
        Status::Received,
        Status::Scheduled,
        Status::Started,
        Status::Deferred,
        Status::Held,
        Status::Accepted,
        Status::Failed,
        Status::Canceled,
        Status::Moved,
        Status::Expired,
    ]
}

/// Why a message is not waited for any more.
const fn over(over: Over) -> &'static str {
    match over {
        Over::Ended => "ended",
        Over::Elapsed => "elapsed",
        Over::Crowded => "crowded",
        Over::Left => "cut_short",
    }
}

/// The states that `/v1` names.
pub const fn word(status: Status) -> &'static str {
    match status {
        Status::Received => "received",
        Status::Scheduled => "scheduled",
        Status::Started => "smtp_submission_started",
        Status::Deferred => "deferred",
        Status::Held => "held",
        Status::Accepted => "smtp_accepted",
        Status::Failed => "smtp_failed",
        Status::Canceled | Status::Moved => "canceled",
        Status::Expired => "expired",
    }
}

const fn code(submission: &Submission) -> Option<&'static str> {
    match (submission.status, submission.cause) {
        (Status::Moved, _) => Some("moved"),
        (_, Some(Cause::Unknown)) => Some("delivery_unknown"),
        (_, Some(Cause::Rejected)) => Some("smtp_rejected"),
        (_, Some(Cause::Unavailable)) => Some("smtp_unavailable"),
        (_, Some(Cause::Withheld)) => Some("not_sent"),
        (_, None) => None,
    }
}

const fn sentence(status: Status) -> &'static str {
    match status {
        Status::Received => "it waits for its first attempt",
        Status::Scheduled => "it waits for its time",
        Status::Started => "it is being delivered",
        Status::Deferred => "it was put off and is tried again",
        Status::Accepted => "the upstream has taken it for all its recipients",
        Status::Failed => "it can't be delivered to one of its recipients or more: see recipients",
        Status::Held => "it is held until an operator releases it",
        Status::Moved => "it was given to another gate, which delivers it: don't send it again",
        Status::Canceled => "it was taken back before all its recipients had it",
        Status::Expired => "its time was over before all its recipients had it",
    }
}

/// RFC 3339, in UTC.
pub fn time(us: u64) -> Option<String> {
    let us = i64::try_from(us).ok()?;
    Timestamp::from_microsecond(us).ok().map(|time| time.to_string())
}
