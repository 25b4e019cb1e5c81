//! `POST /send`, as a gateway to Cloudflare's Email Service has it: one message, and whom it went to.

use std::time::Duration;

use hyper::StatusCode;
use serde::Serialize;

use super::tree::{Object, Renaming, each, invalid};
use crate::edge::http::json::Node;
use crate::edge::http::letter::Letter;
use crate::edge::http::parcel::Kept;
use crate::edge::http::reply::{self, Code, Fault, Reply};
use crate::edge::http::{submit, v1};
use crate::ipc::inquiry::{Recipient, Status, Submission};
use crate::ipc::label::Dialect;
use crate::mail::id::MessageId;

const LETTER: &Renaming = &[
    ("from", "from"),
    ("to", "to"),
    ("cc", "cc"),
    ("bcc", "bcc"),
    ("reply_to", "reply_to"),
    ("subject", "subject"),
    ("text", "text"),
    ("html", "html"),
    ("headers", "headers"),
    ("attachments", "attachments"),
    ("test", "test"),
];
const FILE: &Renaming =
    &[("filename", "filename"), ("content", "content"), ("type", "content_type"), ("disposition", "disposition")];
/// Somebody waits for it still.
const QUEUED: &str = "queued";
/// How long a client waits to hear what became of its message: its answer has room for that. Longer than most deliveries take, and
/// shorter than clients wait for an answer: one that gave up before it came would send again.
pub const WAIT: Duration = Duration::from_secs(3);
/// What a message must say itself; a text is asked for by who reads the rest.
const NEEDED: [&str; 3] = ["from", "to", "subject"];

/// A message. Members that we have no use for are passed over.
pub fn letter(node: Node<'_>) -> Result<Letter, Fault> {
    let letter = Object::of(node)?;
    if let Some(name) = NEEDED.iter().find(|name| !letter.has(name)) {
        return Err(invalid("required", &format!("/{name}"), "is missing".into()));
    }
    let mut members = letter.renamed(LETTER);
    for (name, node) in &mut members {
        if name == "attachments" {
            *node = each(std::mem::replace(node, Node::Null), FILE);
        }
    }
    // Texts and lists that are empty are absent.
    members.retain(|(name, node)| match node {
        Node::Text(text) => name == "subject" || !text.is_empty(),
        Node::List(list) => !list.is_empty(),
        _ => true,
    });
    let mut letter = v1::letter_of(&Node::Map(members))?;
    letter.label.dialect = Dialect::Send;
    Ok(letter)
}

#[derive(Serialize)]
struct Summary {
    ok: bool,
    id: String,
    outcome: &'static str,
    delivered: Vec<String>,
    queued: Vec<String>,
    /// To whom nothing is sent, or nothing any more.
    bounced: Vec<String>,
}

/// Everybody whom a message would go to, each once, as the vault counts them.
pub fn recipients(letter: &Letter) -> Vec<String> {
    submit::recipients(letter).iter().map(ToString::to_string).collect()
}

/// Where somebody stands, as far as this API has words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Delivered,
    Queued,
    Bounced,
}

impl Standing {
    const fn of(status: Status) -> Self {
        match status {
            Status::Accepted => Self::Delivered,
            Status::Failed | Status::Canceled | Status::Expired => Self::Bounced,
            // Another gate has it, and goes on with it.
            Status::Moved
            | Status::Received
            | Status::Scheduled
            | Status::Started
            | Status::Deferred
            | Status::Held => Self::Queued,
        }
    }
}

/// A message is kept, and this is known of those whom it named; where nothing is, they wait.
pub fn accepted(kept: &Kept, named: &[String], known: Option<&Submission>, id: MessageId) -> Reply {
    let suppressed: Vec<String> = kept.suppressed.iter().map(ToString::to_string).collect();
    let status = |number: usize| {
        let of = |one: &&Recipient| usize::try_from(one.number) == Ok(number);
        known.and_then(|found| found.recipients.iter().find(of)).map(|one| one.status)
    };
    let standing = |(number, address): (usize, &String)| match status(number) {
        _ if suppressed.contains(address) => Standing::Bounced,
        Some(status) => Standing::of(status),
        None => Standing::Queued,
    };
    let standings: Vec<Standing> = named.iter().enumerate().map(standing).collect();
    let those = |wanted| {
        let all = named.iter().zip(&standings).filter(|(_, own)| **own == wanted);
        all.map(|(address, _)| address.clone()).collect::<Vec<_>>()
    };
    let (delivered, queued) = (those(Standing::Delivered), those(Standing::Queued));
    let outcome = match (delivered.is_empty(), queued.is_empty()) {
        _ if named.is_empty() => QUEUED,
        (_, false) => QUEUED,
        (false, true) => "delivered",
        (true, true) => "bounced",
    };
    let bounced = those(Standing::Bounced);
    let summary = Summary { ok: true, id: kept.id.to_string(), outcome, delivered, queued, bounced };
    reply::json(StatusCode::OK, &summary, id)
}

#[derive(Serialize)]
struct Wire<'a> {
    error: &'a str,
    code: &'static str,
    request_id: String,
}

/// A refusal: what is wrong in a sentence, and one of few words for it; beyond those, the word that `/v1` has.
pub fn fault(fault: &Fault, id: MessageId) -> Reply {
    let (word, status, _) = fault.code.row();
    let finding = fault.issues.first().map(|issue| issue.code);
    let (status, code) = match (fault.code, finding) {
        (Code::ValidationFailed, Some("recipient_not_allowed" | "suppressed" | "test_address" | "test_rejected")) => {
            (StatusCode::FORBIDDEN, "forbidden_recipient")
        }
        (Code::ValidationFailed | Code::BadRequest, _) => (status, "invalid"),
        // A key that is unknown is as good as none.
        (Code::Forbidden, _) => (StatusCode::UNAUTHORIZED, word),
        _ => (status, word),
    };
    reply::json(status, &Wire { error: &fault.message, code, request_id: id.request_id() }, id)
}
