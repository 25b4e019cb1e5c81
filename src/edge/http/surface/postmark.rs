//! Postmark's API: `POST /email` and `/email/batch`, read and answered as its clients expect, and what became of messages (`look`).

mod look;

use std::borrow::Cow;
use std::collections::HashSet;

use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderValue};
use serde::Serialize;

use super::addresses::{self, shown};
use super::tree::{Object, Renaming, each, invalid};
use crate::edge::http::json::Node;
use crate::edge::http::letter::Letter;
use crate::edge::http::parcel::Kept;
use crate::edge::http::reply::{self, Code, Fault, Issue, Reply};
use crate::edge::http::{label, mime, v1};
use crate::ipc::label::Dialect;
use crate::mail::address::Address;
use crate::mail::id::MessageId;

pub use look::{Search, details, messages, search};

pub const MAX_BATCH: usize = 500;
/// Octets of a list of addresses in one text: more than all recipients with the longest names, and no more than what is made of
/// it may cost.
const MAX_LIST: usize = 48 * 1024;
/// Where its clients put their key.
const TOKEN: &str = "x-postmark-server-token";
/// The token of tests: what is asked for is checked, and nothing is sent.
const TEST_TOKEN: &[u8] = b"POSTMARK_API_TEST";
/// Behind each list of addresses that nothing is sent to.
const INACTIVE: &str =
    "Inactive recipients are ones that have generated a hard bounce, a spam complaint, or a manual suppression.";
const NO_TOKEN: &str = "Request does not contain a valid Server token.";

const EMAIL: &Renaming = &[
    ("From", "from"),
    ("To", "to"),
    ("Cc", "cc"),
    ("Bcc", "bcc"),
    ("ReplyTo", "reply_to"),
    ("Subject", "subject"),
    ("TextBody", "text"),
    ("HtmlBody", "html"),
    ("Headers", "headers"),
    ("Attachments", "attachments"),
    ("Metadata", "metadata"),
    ("Tag", "tags"),
    ("test", "test"),
];
const FIELD: &Renaming = &[("Name", "name"), ("Value", "value")];
const FILE: &Renaming =
    &[("Name", "filename"), ("Content", "content"), ("ContentType", "content_type"), ("ContentID", "content_id")];
/// Members that hold several addresses in one text.
const LISTS: [&str; 4] = ["to", "cc", "bcc", "reply_to"];
/// Its members that send what is stored elsewhere.
const TEMPLATE: [&str; 3] = ["TemplateId", "TemplateAlias", "TemplateModel"];

/// The request's fields with the key where all clients of ours have it.
pub fn credentials(headers: &HeaderMap) -> Result<HeaderMap, Fault> {
    let mut headers = headers.clone();
    let Some(token) = headers.remove(TOKEN) else { return Ok(headers) };
    let bearer = [b"Bearer ", token.as_bytes()].concat();
    let mut bearer = HeaderValue::from_bytes(&bearer).map_err(|_| Fault::new(Code::Unauthorized, NO_TOKEN))?;
    bearer.set_sensitive(true);
    match headers.insert(header::AUTHORIZATION, bearer) {
        None => Ok(headers),
        Some(_) => Err(Fault::new(Code::BadRequest, "send the key once: as X-Postmark-Server-Token")),
    }
}

/// Whether nothing is to be sent.
pub fn is_test(headers: &HeaderMap) -> bool {
    headers.get(TOKEN).is_some_and(|token| token.as_bytes() == TEST_TOKEN)
}

/// What the answer to an email says of it.
#[derive(Debug, Default)]
pub struct Echo {
    to: Option<String>,
    cc: Option<String>,
    /// The single addresses of each list, by the list's name in `/v1/send`.
    lists: Vec<(&'static str, Vec<String>)>,
    /// Of everybody whom it would go to, each once.
    recipients: Vec<String>,
}

/// One email. Members that we have no use for, such as streams and tracking, are passed over.
pub fn letter(node: Node<'_>, echo: &mut Echo) -> Result<Letter, Fault> {
    read(node, echo).map_err(|fault| echo.explain(fault))
}

fn read(node: Node<'_>, echo: &mut Echo) -> Result<Letter, Fault> {
    let email = Object::of(node)?;
    if TEMPLATE.iter().any(|name| email.has(name)) {
        return Err(no_templates());
    }
    let mut members = email.renamed(EMAIL);
    // Free text, which is no tag elsewhere.
    let tag = members.iter().position(|(name, _)| name == "tags").map(|at| members.swap_remove(at).1);
    let tag = match tag {
        None => None,
        Some(Node::Text(text)) if text.is_empty() => None,
        Some(Node::Text(text)) => {
            Some(label::free_tag(&text).map_err(|flaw| invalid(flaw.code, "/tags", flaw.message))?)
        }
        Some(other) => {
            return Err(invalid("wrong_type", "/tags", format!("must be a string and is {}", other.kind())));
        }
    };
    for (name, node) in &mut members {
        let list = LISTS.iter().find(|list| *list == name);
        match (list, std::mem::replace(node, Node::Null)) {
            (Some(_), Node::Text(text)) if text.len() > MAX_LIST => {
                let message = format!("is longer than {MAX_LIST} octets, for all addresses together");
                return Err(invalid("too_long", &format!("/{name}"), message));
            }
            (Some(list), Node::Text(text)) => {
                let single = addresses::split(&text);
                if *list == "to" {
                    echo.to = Some(text.into_owned());
                } else if *list == "cc" {
                    echo.cc = Some(text.into_owned());
                }
                *node = Node::List(single.iter().map(|one| Node::Text(one.clone().into())).collect());
                echo.lists.push((list, single));
            }
            (_, Node::List(list)) if name == "headers" => *node = each(Node::List(list), FIELD),
            (_, Node::List(list)) if name == "attachments" => *node = files(Node::List(list)),
            (_, other) => *node = other,
        }
    }
    // What is empty is absent, as null is.
    members.retain(|(name, node)| match node {
        Node::Text(text) => name == "subject" || !text.is_empty(),
        Node::List(list) => !list.is_empty(),
        _ => true,
    });
    let mut letter = v1::letter_of(&Node::Map(members))?;
    letter.label.dialect = Dialect::Postmark;
    letter.label.tags.extend(tag);
    let mut known = HashSet::new();
    let all = letter.recipients().map(|one| one.address.to_string().to_ascii_lowercase());
    echo.recipients = all.filter(|one| known.insert(one.clone())).collect();
    Ok(letter)
}

/// A file without an id often has an empty one.
fn files(node: Node<'_>) -> Node<'_> {
    let mut node = each(node, FILE);
    let Node::List(list) = &mut node else { return node };
    for file in list {
        if let Node::Map(members) = file {
            members.retain(|(name, node)| name != "content_id" || !matches!(node, Node::Text(text) if text.is_empty()));
        }
    }
    node
}

impl Echo {
    /// The fault in words that clients read addresses from. Those are the client's own, and nothing else of it is repeated.
    pub fn explain(&self, mut fault: Fault) -> Fault {
        let Some(first) = fault.issues.first() else { return fault };
        let name = place(&first.pointer);
        fault.message = match first.code {
            "suppressed" => format!(
                "You tried to send to a recipient that has been marked as inactive. Found inactive addresses: {}. {INACTIVE}",
                self.recipients.join(", ")
            ),
            "invalid_address" => match self.address(&first.pointer) {
                Some(address) => format!("Invalid '{name}' address: '{address}'."),
                None => format!("Invalid '{name}' address: it {}.", first.message),
            },
            "templates_not_supported" => return fault,
            _ if name.is_empty() => format!("The body {}.", first.message),
            _ => format!("'{name}' {}.", first.message),
        };
        fault
    }

    /// The address at a place such as `/to/1`, if it can be shown.
    fn address(&self, pointer: &str) -> Option<&str> {
        let (list, at) = pointer.strip_prefix('/')?.split_once('/')?;
        let (_, list) = self.lists.iter().find(|(name, _)| *name == list)?;
        shown(list.get(at.parse::<usize>().ok()?)?)
    }
}

/// A place in its words: `Attachments[1].Content` for `/attachments/1/content`, and `To` for `/to/0`.
fn place(pointer: &str) -> String {
    let mut segments = pointer.split('/').skip(1);
    let Some(first) = segments.next() else { return String::new() };
    let theirs = |table: &Renaming, ours: &str| {
        table.iter().find(|row| row.1 == ours).map_or_else(|| ours.to_owned(), |row| row.0.to_owned())
    };
    let mut place = theirs(EMAIL, first);
    if LISTS.contains(&first) {
        return place;
    }
    let table = if first == "headers" { FIELD } else { FILE };
    for segment in segments {
        if segment.bytes().all(|b| b.is_ascii_digit()) {
            place += &format!("[{segment}]");
        } else {
            place += &format!(".{}", theirs(table, segment));
        }
    }
    place
}

pub fn no_templates() -> Fault {
    let message = "templates are not supported by this gate: send the finished text";
    Fault { message: message.into(), ..invalid("templates_not_supported", "", message.into()) }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Sent {
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cc: Option<String>,
    submitted_at: String,
    #[serde(rename = "MessageID")]
    message_id: String,
    error_code: u16,
    message: Cow<'static, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Wire {
    error_code: u16,
    message: String,
}

#[derive(Serialize)]
#[serde(untagged)]
pub enum Outcome {
    Sent(Sent),
    Refused(Wire),
}

/// What became of one email, as its answer and as an element of a batch's.
pub fn outcome(result: Result<Kept, Fault>, echo: Echo, is_test: bool) -> Outcome {
    match result {
        Ok(kept) => Outcome::Sent(Sent {
            to: echo.to,
            cc: echo.cc,
            submitted_at: mime::now().strftime("%Y-%m-%dT%H:%M:%S%.7fZ").to_string(),
            message_id: kept.id.to_string(),
            error_code: 0,
            message: if is_test { "Test job accepted".into() } else { taken(&kept.suppressed) },
        }),
        Err(fault) => Outcome::Refused(wire(&fault).1),
    }
}

/// In words that clients read the addresses from: some look for where the list ends, too.
fn taken(inactive: &[Address]) -> Cow<'static, str> {
    if inactive.is_empty() {
        return "OK".into();
    }
    let inactive: Vec<String> = inactive.iter().map(ToString::to_string).collect();
    format!("Message OK, but will not deliver to these inactive addresses: {}. {INACTIVE}", inactive.join(", ")).into()
}

/// An answer that is no refusal of the whole request.
pub fn answered<T: Serialize>(body: &T, id: MessageId) -> Reply {
    reply::json(StatusCode::OK, body, id)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Server {
    #[serde(rename = "ID")]
    id: u8,
    name: String,
    api_tokens: [&'static str; 0],
    smtp_api_activated: bool,
    delivery_type: &'static str,
    track_opens: bool,
    track_links: &'static str,
}

/// What there is to say of the server that a key belongs to: the gate, which follows nobody. A test key's is what a sandbox is there.
pub fn server(hostname: &str, is_test: bool) -> Server {
    Server {
        id: 1,
        name: hostname.to_owned(),
        api_tokens: [],
        smtp_api_activated: true,
        delivery_type: if is_test { "Sandbox" } else { "Live" },
        track_opens: false,
        track_links: "None",
    }
}

/// A refusal.
pub fn fault(fault: &Fault, id: MessageId) -> Reply {
    let (status, wire) = wire(fault);
    reply::json(status, &wire, id)
}

/// The registry's column: status and number. A code that isn't named here has its own status and the number of what is wrong
/// in a request.
fn wire(fault: &Fault) -> (StatusCode, Wire) {
    const UNPROCESSABLE: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;
    let (_, status, _) = fault.code.row();
    let (status, error_code) = match fault.code {
        Code::BadRequest => (UNPROCESSABLE, 402),
        Code::ValidationFailed => (UNPROCESSABLE, finding(fault.issues.first())),
        Code::ForbiddenSender => (UNPROCESSABLE, 400),
        Code::Unauthorized | Code::Forbidden | Code::InsufficientScope => (StatusCode::UNAUTHORIZED, 10),
        Code::NotFound => (status, 404),
        // An id that it doesn't know isn't a path that it doesn't have.
        Code::SubmissionNotFound => (UNPROCESSABLE, 701),
        Code::UnsupportedMediaType => (status, 409),
        Code::RateLimited | Code::QuotaExceeded => (status, 429),
        Code::QueueFull | Code::StoreUnavailable | Code::TurnstileUnavailable | Code::IdempotencyInProgress => {
            (status, 100)
        }
        Code::InternalError => (status, 500),
        _ => (status, 300),
    };
    let message = match fault.code {
        Code::Unauthorized => NO_TOKEN.to_owned(),
        Code::Forbidden => format!("{NO_TOKEN} {}", fault.message),
        _ => fault.message.clone(),
    };
    (status, Wire { error_code, message })
}

fn finding(issue: Option<&Issue>) -> u16 {
    match issue.map(|issue| (issue.code, issue.pointer.as_str())) {
        Some(("suppressed", _)) => 406,
        Some(("templates_not_supported", _)) => 1101,
        Some(("too_many", "")) => 410,
        _ => 300,
    }
}
