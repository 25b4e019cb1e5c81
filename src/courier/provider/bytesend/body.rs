//! What a request for one message holds.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::courier::provider::fields::{self, Author, Fields};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Body<'a> {
    from: Cow<'a, str>,
    to: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    cc: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    bcc: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    reply_to: &'a [String],
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
struct Attachment<'a> {
    filename: &'a str,
    #[serde(serialize_with = "fields::base64")]
    content: &'a [u8],
}

impl<'a> Body<'a> {
    pub fn of(fields: &'a Fields) -> Self {
        let attached = |file: &'a fields::Attachment| Attachment { filename: &file.filename, content: &file.content };
        Self {
            from: written(&fields.from),
            to: &fields.to,
            cc: &fields.cc,
            bcc: &fields.bcc,
            reply_to: &fields.reply_to,
            subject: &fields.subject,
            text: fields.text.as_deref(),
            html: fields.html.as_deref(),
            headers: &fields.headers,
            attachments: fields.attachments.iter().map(attached).collect(),
        }
    }
}

/// `Name <address>`, with the name as a quoted string.
fn written(author: &Author) -> Cow<'_, str> {
    if author.name.is_empty() {
        return Cow::Borrowed(&author.address);
    }
    let quoted = author.name.replace('\\', "\\\\").replace('"', "\\\"");
    Cow::Owned(format!("\"{quoted}\" <{}>", author.address))
}
