//! A message as the fields of an API that makes a message of its own out of them. Whatever has no field there is either a reason not to
//! send it, or left out and told of, as the configuration says; recipients, attachments and text are never left out.

mod bounds;
mod encoding;
mod header;
mod parts;

use std::collections::BTreeMap;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use mail_parser::MessageParser;
use serde::Serializer;

use super::{Letter, words};
use crate::config::slice::OnUnsupported;
use crate::mail::address::Address;
use crate::mail::outcome::Said;

/// What an API can be told beside texts, names and files.
#[derive(Clone, Copy)]
pub struct Able {
    /// Attachments of one message.
    pub attachments: usize,
    /// Addresses of Reply-To.
    pub reply_to: usize,
    /// The type of an attachment. Where it can't, the name's ending says it.
    pub types: bool,
    /// Parts that another one shows, by their Content-ID.
    pub inline: bool,
    /// Whether a header field may be said. Errors: why not, as what is lost.
    pub header: fn(name: &str, text: &str) -> Result<(), String>,
}

/// The message. What it names nobody by is not there.
pub struct Fields {
    pub from: Author,
    pub to: Vec<String>,
    pub cc: Vec<String>,
    pub bcc: Vec<String>,
    pub reply_to: Vec<String>,
    pub subject: String,
    pub text: Option<String>,
    pub html: Option<String>,
    pub headers: BTreeMap<String, String>,
    pub attachments: Vec<Attachment>,
}

/// Whom From names; the name may be empty, and has no line break.
pub struct Author {
    pub name: String,
    pub address: String,
}

pub struct Attachment {
    pub filename: String,
    /// In small letters, without parameters.
    pub kind: String,
    pub content: Vec<u8>,
    /// What the part that shows it calls it, without the angle brackets.
    pub id: Option<String>,
}

/// For what is serialised: the octets of an attachment.
pub fn base64<S: Serializer>(octets: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Base64Display::new(octets, &STANDARD))
}

/// How many of these recipients, `most` at most, may be named in one request: where the header names none of them, each goes alone,
/// or one would read of another.
pub fn part(recipients: &[(u32, Address)], content: &[u8], most: usize) -> usize {
    let first = recipients.get(..most).unwrap_or(recipients);
    let is_named =
        MessageParser::default().parse_headers(content).is_some_and(|message| header::names_one_of(&message, first));
    if is_named { first.len() } else { 1 }
}

/// Errors: why it is not sent.
pub fn of(letter: &Letter<'_>, able: Able, on_unsupported: OnUnsupported) -> Result<Fields, Said> {
    bounds::keep_to(letter.content)
        .map_err(|what| unfit(format!("it has {what} that it is not read; it was not sent")))?;
    // Strangers wrote it and the reader isn't ours: what it falls over costs this message, and not the task with all that it sends.
    let message = std::panic::catch_unwind(|| MessageParser::default().parse(letter.content)).ok().flatten();
    let message = message.ok_or_else(|| unfit("it can't be read as a message; it was not sent".to_owned()))?;
    let (fields, mut lost) = header::of(&message, letter, able)
        .map_err(|why| unfit(format!("this API can't carry it: {why}; it was not sent")))?;
    lost.dedup();
    if !lost.is_empty() {
        let lost = words(lost.join("; ").as_bytes());
        match on_unsupported {
            OnUnsupported::Fail => return Err(unfit(format!("this API can't carry {lost}; it was not sent"))),
            OnUnsupported::Drop => {
                tracing::warn!(message = %letter.message, lost, "sent without what its API can't carry");
            }
        }
    }
    Ok(fields)
}

pub fn unfit(text: String) -> Said {
    Said { enhanced: Some("5.6.3".to_owned()), text, ..Said::default() }
}
