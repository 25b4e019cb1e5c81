//! Resend's API: `POST /emails` and `/emails/batch`, read and answered as its clients expect, what became of emails (`look`), and
//! another time for one (`update`).

mod look;
mod update;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::header::HeaderMap;
use jiff::Timestamp;
use serde::Serialize;

use super::tree::{Object, Renaming, invalid};
use crate::edge::http::json::Node;
use crate::edge::http::letter::Letter;
use crate::edge::http::reply::{self, Code, Fault, Issue, MAX_ISSUES, Reply};
use crate::edge::http::{schedule, v1};
use crate::ipc::label::Dialect;
use crate::mail::id::MessageId;

pub use look::{changed, email, emails};
pub use update::time;

pub const MAX_BATCH: usize = 100;
/// How a batch is judged: `strict` or `permissive`.
const VALIDATION: &str = "x-batch-validation";

const EMAIL: &Renaming = &[
    ("from", "from"),
    ("to", "to"),
    ("cc", "cc"),
    ("bcc", "bcc"),
    ("reply_to", "reply_to"),
    ("subject", "subject"),
    ("text", "text"),
    ("html", "html"),
    ("headers", "headers"),
    ("scheduled_at", "scheduled_at"),
    ("tags", "tags"),
    ("test", "test"),
];
const FILE: &Renaming = &[
    ("filename", "filename"),
    ("content", "content"),
    ("content_type", "content_type"),
    ("content_id", "content_id"),
    ("inline_content_id", "content_id"),
    ("path", "path"),
];

/// One email. Members that we have no use for, such as topics, are passed over.
pub fn letter(node: Node<'_>) -> Result<Letter, Fault> {
    let mut email = Object::of(node)?;
    if email.take("template").is_some() {
        return Err(invalid("templates_not_supported", "/template", "templates are not supported by this gate".into()));
    }
    if let Some(name) = ["from", "to", "subject"].iter().find(|name| !email.has(name)) {
        return Err(invalid("required", &format!("/{name}"), "is missing".into()));
    }
    let files = email.take("attachments");
    let mut members = email.renamed(EMAIL);
    members.extend(files.map(|files| ("attachments".into(), attachments(files))));
    let mut ahead = None;
    for (name, node) in &mut members {
        match (&**name, &*node) {
            ("tags", _) => *node = tags(std::mem::replace(node, Node::Null)),
            ("scheduled_at", Node::Text(text)) => {
                if let Some((wait, time)) = schedule::ahead(text).and_then(|wait| Some((wait, from_now(wait)?))) {
                    (ahead, *node) = (Some(wait), Node::Text(time.to_string().into()));
                }
            }
            _ => {}
        }
    }
    let mut letter = v1::letter_of(&Node::Map(members))?;
    (letter.label.dialect, letter.scheduled_in) = (Dialect::Resend, ahead);
    Ok(letter)
}

/// The time that lies so far ahead. None: there is none so far.
fn from_now(wait: Duration) -> Option<Timestamp> {
    Timestamp::now().checked_add(wait).ok()
}

/// Some clients write a tag as an object of its name and value.
fn tags(node: Node<'_>) -> Node<'_> {
    let Node::List(list) = node else { return node };
    let mut tags = Vec::new();
    for node in list {
        match node {
            Node::Map(pairs) if !pairs.iter().any(|(name, _)| name == "name" || name == "value") => {
                let tag = |(name, value)| Node::Map(vec![("name".into(), Node::Text(name)), ("value".into(), value)]);
                tags.extend(pairs.into_iter().map(tag));
            }
            other => tags.push(other),
        }
    }
    Node::List(tags)
}

/// Files as base64, also those that come as octets.
fn attachments(node: Node<'_>) -> Node<'_> {
    let mut node = super::tree::each(node, FILE);
    if let Node::List(list) = &mut node {
        for member in
            list.iter_mut().filter_map(|node| if let Node::Map(file) = node { Some(file) } else { None }).flatten()
        {
            match &member.1 {
                Node::Octets(octets) => member.1 = Node::Text(STANDARD.encode(octets).into()),
                // So does an empty file as octets look.
                Node::List(none) if none.is_empty() && member.0 == "content" => member.1 = Node::Text("".into()),
                _ => {}
            }
        }
    }
    node
}

/// Whether those of a batch that are sound are sent though others aren't.
pub fn is_permissive(headers: &HeaderMap) -> bool {
    headers.get(VALIDATION).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"permissive"))
}

#[derive(Serialize)]
struct Email {
    id: String,
}

/// An email is kept.
pub fn accepted(kept: MessageId, id: MessageId) -> Reply {
    reply::json(StatusCode::OK, &Email { id: kept.to_string() }, id)
}

#[derive(Serialize)]
struct Batch {
    data: Vec<Email>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<Refused>>,
}

#[derive(Serialize)]
struct Refused {
    index: usize,
    message: String,
}

/// What became of each email of a batch. Only a permissive one says what was refused; a strict one has nothing to say of it.
pub fn batch(results: Vec<Result<MessageId, Fault>>, is_permissive: bool, id: MessageId) -> Reply {
    let (mut data, mut errors) = (Vec::new(), Vec::new());
    for (index, result) in results.into_iter().enumerate() {
        match result {
            Ok(kept) => data.push(Email { id: kept.to_string() }),
            Err(fault) => errors.push(Refused { index, message: fault.message }),
        }
    }
    reply::json(StatusCode::OK, &Batch { data, errors: is_permissive.then_some(errors) }, id)
}

#[derive(Serialize)]
struct List {
    object: &'static str,
    has_more: bool,
    data: [Email; 0],
}

/// A list of what there is none of here: domains and keys are the operator's.
pub fn nothing(id: MessageId) -> Reply {
    reply::json(StatusCode::OK, &List { object: "list", has_more: false, data: [] }, id)
}

#[derive(Serialize)]
struct Wire<'a> {
    #[serde(rename = "statusCode")]
    status: u16,
    message: &'a str,
    name: &'static str,
    /// What follows is ours; clients pass over it.
    code: &'static str,
    request_id: String,
    errors: &'a [Issue],
}

/// A refusal. Some clients go by the status in the body, others by the name, which must be one of theirs.
pub fn fault(fault: &Fault, id: MessageId) -> Reply {
    let (status, name) = row(fault);
    let wire = Wire {
        status: status.as_u16(),
        message: &fault.message,
        name,
        code: fault.code.row().0,
        request_id: id.request_id(),
        errors: fault.issues.get(..MAX_ISSUES).unwrap_or(&fault.issues),
    };
    reply::json(status, &wire, id)
}

/// The registry's column: status and name. A code that isn't named here goes by its status.
fn row(fault: &Fault) -> (StatusCode, &'static str) {
    let (_, status, _) = fault.code.row();
    match fault.code {
        Code::ValidationFailed => (StatusCode::UNPROCESSABLE_ENTITY, finding(fault.issues.first())),
        Code::Unauthorized => (status, "missing_api_key"),
        Code::Forbidden => (status, "invalid_api_key"),
        Code::InsufficientScope => (StatusCode::UNAUTHORIZED, "restricted_api_key"),
        Code::NotFound | Code::SubmissionNotFound => (status, "not_found"),
        Code::IdempotencyKeyInvalid => (status, "invalid_idempotency_key"),
        Code::MethodNotAllowed => (status, "method_not_allowed"),
        Code::RateLimited => (status, "rate_limit_exceeded"),
        Code::QuotaExceeded => (status, "daily_quota_exceeded"),
        Code::RequestTimeout
        | Code::Misdirected
        | Code::QueueFull
        | Code::StoreUnavailable
        | Code::TurnstileUnavailable => (status, "application_error"),
        Code::InternalError => (status, "internal_server_error"),
        Code::IdempotencyInProgress => (status, "concurrent_idempotent_requests"),
        Code::IdempotencyMismatch => (StatusCode::CONFLICT, "invalid_idempotent_request"),
        _ => (status, "validation_error"),
    }
}

fn finding(issue: Option<&Issue>) -> &'static str {
    let Some(issue) = issue else { return "validation_error" };
    // In a batch the message's number stands in front.
    let place = issue.pointer.trim_start_matches(|c: char| c == '/' || c.is_ascii_digit());
    match place.split('/').next().unwrap_or_default() {
        _ if issue.code == "required" => "missing_required_field",
        _ if issue.code == "invalid_parameter" => "invalid_parameter",
        "from" => "invalid_from_address",
        "attachments" => "invalid_attachment",
        _ => "validation_error",
    }
}
