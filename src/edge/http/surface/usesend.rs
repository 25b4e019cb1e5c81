//! useSend's API: `POST /api/v1/emails` and `/api/v1/emails/batch`, read and answered as its clients expect.

use hyper::StatusCode;
use serde::Serialize;

use super::tree::{Object, Renaming, each, invalid};
use crate::edge::http::json::Node;
use crate::edge::http::letter::Letter;
use crate::edge::http::reply::{self, Code, Fault, Reply};
use crate::edge::http::v1;
use crate::ipc::label::Dialect;
use crate::mail::id::MessageId;

pub const MAX_BATCH: usize = 100;

const EMAIL: &Renaming = &[
    ("from", "from"),
    ("to", "to"),
    ("cc", "cc"),
    ("bcc", "bcc"),
    ("replyTo", "reply_to"),
    ("subject", "subject"),
    ("text", "text"),
    ("html", "html"),
    ("headers", "headers"),
    ("scheduledAt", "scheduled_at"),
    ("attachments", "attachments"),
    ("test", "test"),
];
const FILE: &Renaming = &[("filename", "filename"), ("content", "content")];

/// One email. Members that we have no use for are passed over.
pub fn letter(node: Node<'_>) -> Result<Letter, Fault> {
    let mut email = Object::of(node)?;
    if email.take("templateId").is_some() {
        let message = "templates are not supported by this gate";
        return Err(invalid("templates_not_supported", "/templateId", message.into()));
    }
    if let Some(name) = ["from", "to", "subject"].iter().find(|name| !email.has(name)) {
        return Err(invalid("required", &format!("/{name}"), "is missing".into()));
    }
    let mut members = email.renamed(EMAIL);
    for (name, node) in &mut members {
        if name == "attachments" {
            *node = each(std::mem::replace(node, Node::Null), FILE);
        }
    }
    let mut letter = v1::letter_of(&Node::Map(members))?;
    letter.label.dialect = Dialect::Usesend;
    Ok(letter)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Email {
    email_id: String,
}

/// An email is kept.
pub fn accepted(kept: MessageId, id: MessageId) -> Reply {
    reply::json(StatusCode::OK, &Email { email_id: kept.to_string() }, id)
}

#[derive(Serialize)]
struct Batch {
    data: Vec<Email>,
}

/// All emails of a batch are kept.
pub fn batch(kept: Vec<MessageId>, id: MessageId) -> Reply {
    let data = kept.into_iter().map(|kept| Email { email_id: kept.to_string() }).collect();
    reply::json(StatusCode::OK, &Batch { data }, id)
}

#[derive(Serialize)]
struct Wire<'a> {
    error: Said<'a>,
}

#[derive(Serialize)]
struct Said<'a> {
    code: &'static str,
    message: &'a str,
}

/// A sentence with the places of its members under the names that its client wrote.
fn in_its_names(message: &str) -> String {
    let other = EMAIL.iter().filter(|(theirs, ours)| theirs != ours);
    other.fold(message.to_owned(), |text, (theirs, ours)| text.replace(&format!("/{ours}"), &format!("/{theirs}")))
}

/// A refusal.
pub fn fault(fault: &Fault, id: MessageId) -> Reply {
    let (_, status, _) = fault.code.row();
    let status = if fault.code == Code::IdempotencyMismatch { StatusCode::CONFLICT } else { status };
    let code = match fault.code {
        Code::Unauthorized => "UNAUTHORIZED",
        Code::Forbidden | Code::ForbiddenSender | Code::InsufficientScope | Code::TurnstileFailed => "FORBIDDEN",
        Code::NotFound | Code::SubmissionNotFound => "NOT_FOUND",
        Code::MethodNotAllowed => "METHOD_NOT_ALLOWED",
        Code::RateLimited | Code::QuotaExceeded => "RATE_LIMITED",
        _ if status == StatusCode::CONFLICT => "NOT_UNIQUE",
        _ if status.is_server_error() => "INTERNAL_SERVER_ERROR",
        _ => "BAD_REQUEST",
    };
    reply::json(status, &Wire { error: Said { code, message: &in_its_names(&fault.message) } }, id)
}
