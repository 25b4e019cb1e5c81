//! What a request to `send` holds: the message as fields.

use std::collections::BTreeMap;

use serde::Serialize;

use super::header;
use crate::courier::provider::fields::{self, Able, Fields};

/// It makes one field of Reply-To, and its other limits are of sizes.
pub const ABLE: Able =
    Able { attachments: usize::MAX, reply_to: 1, types: true, inline: true, header: header::is_taken };

#[derive(Serialize)]
pub struct Body<'a> {
    from: From<'a>,
    to: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    cc: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    bcc: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<&'a str>,
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<Attachment<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum From<'a> {
    Address(&'a str),
    Named { address: &'a str, name: &'a str },
}

#[derive(Serialize)]
struct Attachment<'a> {
    #[serde(serialize_with = "fields::base64")]
    content: &'a [u8],
    filename: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    disposition: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_id: Option<&'a str>,
}

impl<'a> Body<'a> {
    pub fn of(fields: &'a Fields) -> Self {
        let fields::Author { name, address } = &fields.from;
        Self {
            from: if name.is_empty() { From::Address(address) } else { From::Named { address, name } },
            to: &fields.to,
            cc: &fields.cc,
            bcc: &fields.bcc,
            reply_to: fields.reply_to.first().map(String::as_str),
            subject: &fields.subject,
            text: fields.text.as_deref(),
            html: fields.html.as_deref(),
            headers: &fields.headers,
            attachments: fields.attachments.iter().map(Attachment::of).collect(),
        }
    }
}

impl<'a> Attachment<'a> {
    fn of(file: &'a fields::Attachment) -> Self {
        Self {
            content: &file.content,
            filename: &file.filename,
            kind: &file.kind,
            disposition: if file.id.is_some() { "inline" } else { "attachment" },
            content_id: file.id.as_deref(),
        }
    }
}
