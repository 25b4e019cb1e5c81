//! `POST /v1/send-bulk`: many messages of `/v1/send` in one request, each with an answer of its own in their order.

use hyper::StatusCode;
use jiff::Timestamp;
use serde::Serialize;

use crate::edge::http::json::{self, Node};
use crate::edge::http::letter::{Letter, Mailbox, flaw};
use crate::edge::http::members::{At, Findings, Members, Table};
use crate::edge::http::parcel::Kept;
use crate::edge::http::reply::{self, Code, Fault, Issue, MAX_ISSUES, Reply};
use crate::edge::http::{mime, request, v1, warnings};
use crate::mail::address::Address;
use crate::mail::id::MessageId;

/// Messages of one request: as many as a batch of the providers has.
pub const MAX_MESSAGES: usize = 100;
const BODY: &Table = &[("messages", &[])];

/// Whether all messages are to be refused with the first that is: `?atomic=true`. A word that is misread could send half of a batch
/// that was to go whole or not at all, so any other query is refused. So is one without a key: a limit may come between two
/// messages, and then the key alone keeps the next try from sending the first ones again.
pub fn is_atomic(query: Option<&str>, has_key: bool) -> Result<bool, Fault> {
    match query {
        None | Some("" | "atomic=false") => Ok(false),
        Some("atomic=true") if has_key => Ok(true),
        Some("atomic=true") => {
            let mut findings = Findings::default();
            let message =
                "is missing: with atomic=true a batch is known by it, so that the next try sends only what is left";
            findings.add("Idempotency-Key", flaw("required", message));
            findings.verdict().map(|()| true)
        }
        Some(_) => Err(Fault::new(Code::BadRequest, "the query of this path can only be atomic=true or atomic=false")),
    }
}

/// The letters, whose findings have their places within each.
pub fn letters(body: &[u8], only_sender: Option<&Address>) -> Result<Vec<Result<Letter, Fault>>, Fault> {
    let (root, mut findings) = (json::parse_batch(body)?, Findings::default());
    let members = Members::read(&mut findings, BODY, &At { node: &root, pointer: String::new() });
    let messages = members.as_ref().and_then(|members| members.get("messages")).map(|at| at.node);
    let wrong = match messages {
        None if members.is_none() => None,
        None => Some(flaw("required", "is missing: an array of messages")),
        Some(Node::List(list)) if list.is_empty() => Some(flaw("required", "holds no message")),
        Some(Node::List(list)) if list.len() > MAX_MESSAGES => {
            Some(flaw("too_many", format!("holds more than {MAX_MESSAGES} messages")))
        }
        Some(Node::List(_)) => None,
        Some(other) => Some(flaw("wrong_type", format!("must be an array of messages and is {}", other.kind()))),
    };
    wrong.into_iter().for_each(|wrong| findings.add("/messages", wrong));
    findings.verdict()?;
    let Some(Node::List(list)) = messages else { return Ok(Vec::new()) };
    Ok(list.iter().map(|node| v1::letter_at(&At { node, pointer: String::new() }, only_sender)).collect())
}

fn place(n: usize) -> String {
    format!("/messages/{n}")
}

fn issues_at(n: usize, mut issues: Vec<Issue>) -> Vec<Issue> {
    issues.iter_mut().for_each(|issue| issue.pointer.insert_str(0, &place(n)));
    issues
}

/// A fault of the message with this number, with its place in the whole body.
pub fn placed(n: usize, mut fault: Fault) -> Fault {
    if fault.issues.is_empty() {
        fault.message = format!("{}: {}", place(n), fault.message);
        return fault;
    }
    let Fault { message, issues, .. } = Fault::of(fault.code, issues_at(n, fault.issues));
    Fault { message, issues, ..fault }
}

/// What the answer says of a message beside what became of it.
#[derive(Debug, Default)]
pub struct Echo {
    message_id: Option<String>,
    scheduled_at: Option<Timestamp>,
    named: Vec<Mailbox>,
    written: Vec<Issue>,
}

impl Echo {
    pub fn of(letter: &Result<Letter, Fault>) -> Self {
        let of = |letter: &Letter| Self {
            message_id: letter.message_id.clone(),
            scheduled_at: letter.scheduled_at,
            named: letter.recipients().cloned().collect(),
            written: warnings::of(letter),
        };
        letter.as_ref().map(of).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Bulk {
    /// Of all messages: `accepted`, `partly_accepted` or `rejected`.
    status: &'static str,
    request_id: String,
    accepted: usize,
    rejected: usize,
    results: Vec<Outcome>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Outcome {
    Accepted {
        status: &'static str,
        request_id: String,
        id: String,
        message_id: String,
        submission: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        scheduled_at: Option<String>,
        warnings: Vec<Issue>,
    },
    Rejected {
        status: &'static str,
        code: &'static str,
        message: String,
        retryable: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_seconds: Option<u32>,
        errors: Vec<Issue>,
    },
}

/// What became of each message: 202, whatever that is.
pub fn answer(results: Vec<Result<Kept, Fault>>, echoes: Vec<Echo>, hostname: &str, id: MessageId) -> Reply {
    let accepted = results.iter().filter(|result| result.is_ok()).count();
    let status = match accepted {
        0 => "rejected",
        _ if accepted == results.len() => "accepted",
        _ => "partly_accepted",
    };
    let rejected = results.len() - accepted;
    let outcome = |(n, (result, echo)): (usize, (Result<Kept, Fault>, Echo))| match result {
        Ok(kept) => Outcome::Accepted {
            status: "accepted",
            request_id: kept.id.request_id(),
            id: kept.id.to_string(),
            warnings: issues_at(n, [warnings::suppressed(&kept, &echo.named), echo.written].concat()),
            message_id: format!("<{}>", echo.message_id.unwrap_or_else(|| mime::message_id(kept.id, hostname))),
            submission: request::submission_of(kept.id),
            scheduled_at: echo.scheduled_at.map(|time| time.to_string()),
        },
        Err(fault) => {
            let Fault { code, message, mut issues, retry_after, .. } = placed(n, fault);
            issues.truncate(MAX_ISSUES);
            let (code, _, retryable) = code.row();
            Outcome::Rejected {
                status: "error",
                code,
                message,
                retryable,
                retry_after_seconds: retry_after,
                errors: issues,
            }
        }
    };
    let results = results.into_iter().zip(echoes).enumerate().map(outcome).collect();
    reply::json(StatusCode::ACCEPTED, &Bulk { status, request_id: id.request_id(), accepted, rejected, results }, id)
}
