//! The `/v1/send` body: from JSON to a letter, with every mistake named at its place.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::field::{self, Field};
use super::json::{self, Node};
use super::label;
use super::letter::{self, Attachment, Flaw, HeaderText, Letter, Mailbox, flaw};
use super::members::{At, Findings, Members, Table, elements};
use super::reply::Fault;
use super::schedule;
use crate::ipc::label::Label;
use crate::mail::address::Address;
use crate::mail::facts::Changes;

pub const LETTER: &Table = &[
    ("to", &[]),
    ("cc", &[]),
    ("bcc", &[]),
    ("from", &[]),
    ("from_name", &[]),
    ("reply_to", &[]),
    ("subject", &[]),
    ("text", &["body"]),
    ("html", &["html_body", "body_html"]),
    ("headers", &[]),
    ("attachments", &[]),
    ("scheduled_at", &[]),
    ("message_id", &[]),
    ("test", &[]),
    ("tags", &[]),
    ("metadata", &[]),
];
const MAILBOX: &Table = &[("email", &["address"]), ("name", &[])];
pub const FIELD: &Table = &[("name", &[]), ("value", &[])];
pub const ATTACHMENT: &Table = &[
    ("filename", &["name"]),
    ("content", &["data"]),
    ("content_type", &["type", "contentType"]),
    ("content_id", &["contentId", "cid", "inline_content_id"]),
    ("disposition", &[]),
    ("path", &[]),
];
const BINARY: &str = "application/octet-stream";

/// Reads a body, of somebody who may have only one sender. All mistakes that can be seen without the vault are found at once.
pub fn letter(body: &[u8], only_sender: Option<&Address>) -> Result<Letter, Fault> {
    letter_at(&At { node: &json::parse(body)?, pointer: String::new() }, only_sender)
}

/// The same from a tree: dialects put theirs into these members. They all say whom a message is from.
pub fn letter_of(node: &Node<'_>) -> Result<Letter, Fault> {
    letter_at(&At { node, pointer: String::new() }, None)
}

/// The same from a place in a tree.
pub fn letter_at(at: &At<'_, '_>, only_sender: Option<&Address>) -> Result<Letter, Fault> {
    let mut findings = Findings::default();
    let read = read(&mut findings, at, only_sender);
    findings.verdict()?;
    // Without findings there is a letter: what is missing is a finding.
    read.ok_or_else(|| Fault::new(super::reply::Code::InternalError, "the body could not be read"))
}

fn read(findings: &mut Findings, at: &At<'_, '_>, only_sender: Option<&Address>) -> Option<Letter> {
    let members = Members::read(findings, LETTER, at)?;
    let list = |findings: &mut Findings, name| members.get(name).map(|at| mailboxes(findings, at)).unwrap_or_default();
    let (to, cc, bcc) = (list(findings, "to"), list(findings, "cc"), list(findings, "bcc"));
    let reply_to = list(findings, "reply_to");
    if ["to", "cc", "bcc"].iter().all(|name| members.get(name).is_none_or(|at| *at.node == Node::List(vec![]))) {
        findings
            .add(&members.place("to"), flaw("required", "is missing: name at least one recipient in to, cc or bcc"));
    }
    if to.len() + cc.len() + bcc.len() > letter::MAX_RECIPIENTS {
        let message = format!("to, cc and bcc hold more than {} recipients together", letter::MAX_RECIPIENTS);
        findings.add(&members.place("to"), flaw("too_many", message));
    }
    if reply_to.len() > letter::MAX_REPLY_TO {
        let message = format!("holds more than {} addresses", letter::MAX_REPLY_TO);
        findings.add(&members.place("reply_to"), flaw("too_many", message));
    }
    let from = author(findings, &members, only_sender);
    let subject = optional(findings, &members, "subject", |text| HeaderText::parse(text, letter::MAX_SUBJECT));
    let text = optional(findings, &members, "text", letter::text);
    let html = optional(findings, &members, "html", letter::text);
    if members.get("text").is_none() && members.get("html").is_none() {
        findings.add(&members.place("text"), flaw("required", "is missing: a message needs text, html or both"));
    }
    let fields = members.get("headers").map(|at| fields(findings, at)).unwrap_or_default();
    let attachments = members.get("attachments").map(|at| attachments(findings, at)).unwrap_or_default();
    let scheduled_at = optional(findings, &members, "scheduled_at", schedule::time);
    let message_id = optional(findings, &members, "message_id", letter::message_id);
    let test = members.get("test").and_then(|at| findings.truth(at)).unwrap_or_default();
    let tags = members.get("tags").map(|at| label::tags(findings, at)).unwrap_or_default();
    let metadata = members.get("metadata").map(|at| label::metadata(findings, at)).unwrap_or_default();
    Some(Letter {
        from: from?,
        to,
        cc,
        bcc,
        reply_to,
        subject,
        text,
        html,
        fields,
        attachments,
        scheduled_at,
        scheduled_in: None,
        message_id,
        test,
        label: Label { tags, metadata, ..Label::default() },
        proof: None,
        changes: Changes::default(),
    })
}

/// Whom it is from: who is named, or the only one whom the client may name, under a name of the client's choice.
fn author(findings: &mut Findings, members: &Members<'_, '_>, only_sender: Option<&Address>) -> Option<Mailbox> {
    let name = members.get("from_name");
    if let Some(at) = members.get("from") {
        if let Some(name) = name {
            let message = "is for messages without from: put the name into from";
            findings.add(&name.pointer, flaw("unknown_member", message));
        }
        return mailbox(findings, at);
    }
    let Some(sender) = only_sender else {
        let message = "is missing: this key may send from other than one address, so each message says from which";
        findings.add(&members.place("from"), flaw("required", message));
        return None;
    };
    let text = name.map_or(Some(""), |at| findings.text(at))?;
    let pointer = members.place("from");
    let only = Mailbox::named("", &sender.to_string(), &pointer).map_err(|_| {
        flaw(
            "required",
            "is missing, and this key's only sender is an address that can't be used over HTTP: ask the operator",
        )
    });
    findings.take(&pointer, only)?;
    findings.take(&members.place("from_name"), Mailbox::named(text, &sender.to_string(), &pointer))
}

/// A text member that may be absent, checked.
fn optional<T>(
    findings: &mut Findings,
    members: &Members<'_, '_>,
    name: &str,
    check: impl FnOnce(&str) -> Result<T, Flaw>,
) -> Option<T> {
    let at = members.get(name)?;
    let text = findings.text(at)?;
    findings.take(&at.pointer, check(text))
}

/// One address, or a list of them.
fn mailboxes(findings: &mut Findings, at: &At<'_, '_>) -> Vec<Mailbox> {
    match at.node {
        Node::List(list) => elements(list, &at.pointer).iter().filter_map(|at| mailbox(findings, at)).collect(),
        _ => mailbox(findings, at).into_iter().collect(),
    }
}

/// `"a@b"`, `"Name <a@b>"` or `{"email": "a@b", "name": "Name"}`.
fn mailbox(findings: &mut Findings, at: &At<'_, '_>) -> Option<Mailbox> {
    match at.node {
        Node::Text(text) => findings.take(&at.pointer, Mailbox::parse(text, &at.pointer)),
        Node::Map(_) => {
            let members = Members::read(findings, MAILBOX, at)?;
            let name = members.get("name").map_or(Some(""), |at| findings.text(at))?;
            let email = required(findings, &members, "email", "is missing: an address is needed")?;
            findings.take(&at.pointer, Mailbox::named(name, email, &at.pointer))
        }
        other => {
            findings.wrong_type(&at.pointer, other, "an address: a string or an object with email and name");
            None
        }
    }
}

fn required<'n>(findings: &mut Findings, members: &Members<'n, '_>, name: &str, missing: &str) -> Option<&'n str> {
    match members.get(name) {
        Some(at) => findings.text(at),
        None => {
            findings.add(&members.place(name), flaw("required", missing));
            None
        }
    }
}

/// A map of names to values, or a list of `{"name", "value"}`.
fn fields(findings: &mut Findings, at: &At<'_, '_>) -> Vec<Field> {
    let mut pairs: Vec<(&str, &str, String)> = Vec::new();
    match at.node {
        Node::Map(members) => {
            for (name, node) in members {
                let pointer =
                    json::shown(name).map_or_else(|| at.pointer.clone(), |name| format!("{}/{name}", at.pointer));
                let place = At { node, pointer };
                pairs.extend(findings.text(&place).map(|value| (&**name, value, place.pointer)));
            }
        }
        Node::List(list) => {
            for at in elements(list, &at.pointer) {
                let Some(members) = Members::read(findings, FIELD, &at) else { continue };
                let name = required(findings, &members, "name", "is missing");
                let value = required(findings, &members, "value", "is missing");
                pairs.extend(name.zip(value).map(|(name, value)| (name, value, at.pointer)));
            }
        }
        other => findings.wrong_type(&at.pointer, other, "an object of names and values"),
    }
    if pairs.len() > field::MAX_FIELDS {
        findings.add(&at.pointer, flaw("too_many", format!("holds more than {} fields", field::MAX_FIELDS)));
        return Vec::new();
    }
    let mut fields: Vec<Field> = Vec::new();
    for (name, value, pointer) in pairs {
        let Some(field) = findings.take(&pointer, Field::parse(name, value)) else { continue };
        if fields.iter().any(|known| known.name.eq_ignore_ascii_case(name)) {
            findings.add(&pointer, flaw("duplicate_member", "stands twice; names differ by more than case"));
        } else {
            fields.push(field);
        }
    }
    if fields.iter().map(Field::octets).sum::<usize>() > field::MAX_TOTAL {
        findings.add(&at.pointer, flaw("too_long", format!("is longer than {} octets in all", field::MAX_TOTAL)));
    }
    fields
}

fn attachments(findings: &mut Findings, at: &At<'_, '_>) -> Vec<Attachment> {
    let Node::List(list) = at.node else {
        findings.wrong_type(&at.pointer, at.node, "an array of attachments");
        return Vec::new();
    };
    if list.len() > letter::MAX_ATTACHMENTS {
        findings.add(&at.pointer, flaw("too_many", format!("holds more than {} files", letter::MAX_ATTACHMENTS)));
        return Vec::new();
    }
    let mut room = letter::MAX_ATTACHED;
    elements(list, &at.pointer).iter().filter_map(|at| attachment(findings, at, &mut room)).collect()
}

fn attachment(findings: &mut Findings, at: &At<'_, '_>, room: &mut usize) -> Option<Attachment> {
    let members = Members::read(findings, ATTACHMENT, at)?;
    if let Some(path) = members.get("path") {
        // Whoever could make us fetch an address could look around in our network.
        let message = "files are not fetched from elsewhere: put the file into content";
        findings.add(&path.pointer, flaw("remote_attachments_disabled", message));
        return None;
    }
    let filename = required(findings, &members, "filename", "is missing: an attachment needs a name");
    let filename = filename.and_then(|text| findings.take(&members.place("filename"), letter::filename(text)));
    let media = members.get("content_type").map_or(Some(BINARY), |at| findings.text(at));
    let media = media.and_then(|text| findings.take(&members.place("content_type"), letter::attachment_type(text)));
    let content_id = optional(findings, &members, "content_id", letter::content_id);
    let inline = optional(findings, &members, "disposition", disposition);
    let content = required(findings, &members, "content", "is missing: the file in base64");
    let content = content.and_then(|text| findings.take(&members.place("content"), decoded(text, room)));
    // A part that the text refers to is shown there, unless the client says otherwise.
    let inline = inline.unwrap_or(content_id.is_some());
    Some(Attachment { filename: filename?, media: media?, content_id, inline, content: content? })
}

fn disposition(text: &str) -> Result<bool, Flaw> {
    match text {
        "inline" => Ok(true),
        "attachment" => Ok(false),
        _ => Err(flaw("invalid_disposition", "must be \"attachment\" or \"inline\"")),
    }
}

/// Base64 as clients write it: with line breaks, or as a `data:` address. Its length is checked before it is decoded.
fn decoded(text: &str, room: &mut usize) -> Result<Vec<u8>, Flaw> {
    let text = match text.strip_prefix("data:") {
        Some(rest) => rest
            .split_once(";base64,")
            .map(|(_, content)| content)
            .ok_or_else(|| flaw("invalid_base64", "a data: address must hold ;base64,"))?,
        None => text,
    };
    let folded = text.bytes().any(|b| b.is_ascii_whitespace());
    let plain = if folded {
        Cow::Owned(text.bytes().filter(|b| !b.is_ascii_whitespace()).collect::<Vec<u8>>())
    } else {
        Cow::Borrowed(text.as_bytes())
    };
    if plain.len() / 4 * 3 > room.saturating_add(2) {
        return Err(flaw("too_long", format!("all files together are longer than {} octets", letter::MAX_ATTACHED)));
    }
    let content = STANDARD.decode(&plain).map_err(|error| {
        let place = match error {
            base64::DecodeError::InvalidByte(at, _) if folded => format!(" at byte {at}, white space not counted"),
            base64::DecodeError::InvalidByte(at, _) => format!(" at byte {at}"),
            _ => String::from(": it is cut off, or its padding is wrong"),
        };
        flaw("invalid_base64", format!("is not valid base64{place}"))
    })?;
    *room = room.checked_sub(content.len()).ok_or_else(|| {
        flaw("too_long", format!("all files together are longer than {} octets", letter::MAX_ATTACHED))
    })?;
    Ok(content)
}

#[cfg(test)]
mod tests;
