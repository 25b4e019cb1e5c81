//! The parts of a message as one text, one HTML and attachments.

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{Encoding, Message, MessagePart, MimeHeaders, PartType};

use super::{Able, Attachment, encoding};

/// Where an attachment has a name and no type: which names say which types. Of application/octet-stream nothing is lost.
const TYPES: [(&str, &str); 23] = [
    ("pdf", "application/pdf"),
    ("txt", "text/plain"),
    ("html", "text/html"),
    ("htm", "text/html"),
    ("csv", "text/csv"),
    ("xml", "text/xml"),
    ("xml", "application/xml"),
    ("json", "application/json"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("svg", "image/svg+xml"),
    ("webp", "image/webp"),
    ("zip", "application/zip"),
    ("gz", "application/gzip"),
    ("eml", "message/rfc822"),
    ("doc", "application/msword"),
    ("xls", "application/vnd.ms-excel"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("mp4", "video/mp4"),
];

pub struct Body {
    able: Able,
    pub text: Option<String>,
    pub html: Option<String>,
    pub attachments: Vec<Attachment>,
    /// What has no place in it.
    pub lost: Vec<String>,
}

/// What a part stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Mixed,
    Alternative,
    /// Behind the first of multipart/related: another part refers to it.
    Related,
}

/// Errors: what must not be lost, or changed.
pub fn read(message: &Message<'_>, able: Able) -> Result<Body, String> {
    check_ends(message)?;
    let mut body = Body { able, text: None, html: None, attachments: Vec::new(), lost: Vec::new() };
    body.take(message, 0, Within::Mixed)?;
    if body.attachments.len() > able.attachments {
        return Err(format!("it has more than {} attachments", able.attachments));
    }
    if body.text.is_none() && body.html.is_none() {
        body.lost.push("a message without text".to_owned());
        body.text = Some(" ".to_owned());
    }
    for text in [&mut body.text, &mut body.html].into_iter().flatten() {
        // It would be taken for something else than a text.
        if text.is_empty() || text == "true" || text == "false" {
            text.push_str("\r\n");
        }
    }
    Ok(body)
}

/// Whether text in this charset can be read: UTF-8, and those of one octet for a character. Others the parser knows by name alone, and
/// takes their octets for UTF-8.
pub fn is_known(charset: &str) -> bool {
    let charset = charset.to_ascii_lowercase();
    let is_plain = ["utf-8", "utf8", "us-ascii", "ascii"].contains(&charset.as_str());
    let is_single = ["iso-8859-", "windows-125", "cp125", "koi8-"].iter().any(|family| charset.starts_with(family));
    is_plain || is_single && charset_decoder(charset.as_bytes()).is_some()
}

impl Body {
    fn take(&mut self, message: &Message<'_>, id: u32, within: Within) -> Result<(), String> {
        let Some(part) = message.part(id) else { return Err("a part of it is missing".to_owned()) };
        let (kind, subtype) = kind(part);
        if let PartType::Multipart(children) = &part.body {
            if children.is_empty() {
                return Err(format!("a part of type {kind}/{subtype} has no end, or nothing in it"));
            }
            return self.take_all(message, children, &subtype, within);
        }
        let name = format!("{kind}/{subtype}");
        encoding::check(message, part, raw(message, part), &name)?;
        if part.is_encoding_problem {
            return Err(format!("a part of type {name} can't be decoded"));
        }
        if ["pkcs7-mime", "x-pkcs7-mime", "pgp-encrypted"].contains(&subtype.as_str()) {
            return Err("it is encrypted or signed as a whole".to_owned());
        }
        let disposition = part.content_disposition();
        let is_attached = disposition.is_some_and(|d| d.is_attachment()) || part.attachment_name().is_some();
        if kind == "text" {
            check_charset(part, &name)?;
        }
        if !is_attached && within != Within::Related {
            let (place, other) = match name.as_str() {
                "text/plain" => (Some(&mut self.text), self.html.is_some()),
                "text/html" => (Some(&mut self.html), self.text.is_some()),
                _ => (None, false),
            };
            match place {
                // Both together are alternatives of each other when they arrive.
                Some(place @ None) if within == Within::Alternative || !other => {
                    *place = part.text_contents().map(str::to_owned);
                    return Ok(());
                }
                Some(_) => self.lost.push(format!("a further {name} between the parts")),
                None if within == Within::Alternative => self.lost.push(format!("an alternative of type {name}")),
                None => {}
            }
        }
        let is_name = |id: &&str| !id.trim().is_empty() && !id.contains(char::is_control);
        let id = part.content_id().filter(is_name).filter(|_| self.able.inline && within == Within::Related);
        if within == Within::Related && id.is_none() {
            self.lost.push("a part that another one shows (multipart/related)".to_owned());
        }
        self.attach(message, part, name, id);
        Ok(())
    }

    fn take_all(
        &mut self,
        message: &Message<'_>,
        children: &[u32],
        subtype: &str,
        within: Within,
    ) -> Result<(), String> {
        let (first, rest) = match subtype {
            // Behind a text it is no alternative to that.
            "alternative" if self.text.is_none() && self.html.is_none() => (Within::Alternative, Within::Alternative),
            "alternative" => (Within::Mixed, Within::Mixed),
            "related" => (within, Within::Related),
            "mixed" => (Within::Mixed, Within::Mixed),
            "encrypted" => return Err("it is encrypted".to_owned()),
            "signed" => {
                self.lost.push("its signature".to_owned());
                return children.first().map_or(Ok(()), |child| self.take(message, *child, within));
            }
            other => {
                self.lost.push(format!("multipart/{other}"));
                (Within::Mixed, Within::Mixed)
            }
        };
        for (at, child) in children.iter().enumerate() {
            self.take(message, *child, if at == 0 { first } else { rest })?;
        }
        Ok(())
    }

    fn attach(&mut self, message: &Message<'_>, part: &MessagePart<'_>, name: String, id: Option<&str>) {
        let extension = TYPES.iter().find(|(_, of)| *of == name).map(|(extension, _)| *extension);
        let given: String = part.attachment_name().unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
        let filename = match given.trim() {
            given if !given.is_empty() => given.to_owned(),
            _ => {
                let number = self.attachments.len() + 1;
                extension.map_or_else(|| format!("part-{number}"), |extension| format!("part-{number}.{extension}"))
            }
        };
        let ending = filename.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        let is_said = |(extension, of): &(&str, &str)| *of == name && ending.as_deref() == Some(*extension);
        if !self.able.types && name != "application/octet-stream" && !TYPES.iter().any(is_said) {
            self.lost.push(format!("the type {name} of an attachment"));
        }
        // A calendar is an invitation by its method, which is no part of a bare type.
        let method = part.content_type().and_then(|kind| kind.attribute("method"));
        if let Some(method) = method.filter(|_| self.able.types) {
            self.lost.push(format!("the method {method} of an attachment"));
        }
        let content = match &part.body {
            PartType::Message(inner) if part.encoding != Encoding::None => inner.raw_message().to_vec(),
            PartType::Message(_) => raw(message, part).to_vec(),
            // As it is: what the parser has of it is in another charset.
            PartType::Text(_) | PartType::Html(_) => octets(message, part),
            _ => part.contents().to_vec(),
        };
        self.attachments.push(Attachment { filename, kind: name, content, id: id.map(str::to_owned) });
    }
}

/// The parser closes one level where a message that is nothing but a message ends: what stands behind it would be taken for a part of
/// the inner one, or left out.
fn check_ends(message: &Message<'_>) -> Result<(), String> {
    for part in &message.parts {
        let PartType::Message(inner) = &part.body else { continue };
        if inner.parts.first().is_some_and(|first| kind(first).0 == "message") {
            return Err("a message in it is nothing but another message, whose end can't be told".to_owned());
        }
        check_ends(inner)?;
    }
    Ok(())
}

/// Type and subtype in small letters; RFC 2045 section 5.2 has the default.
fn kind(part: &MessagePart<'_>) -> (String, String) {
    match part.content_type() {
        None => ("text".to_owned(), "plain".to_owned()),
        Some(kind) => {
            (kind.ctype().to_ascii_lowercase(), kind.subtype().unwrap_or("octet-stream").to_ascii_lowercase())
        }
    }
}

/// Text is said in UTF-8, so it must be known what it is in.
fn check_charset(part: &MessagePart<'_>, name: &str) -> Result<(), String> {
    let charset = part.content_type().and_then(|kind| kind.attribute("charset"));
    if let Some(charset) = charset.filter(|charset| !is_known(charset)) {
        return Err(format!("a part of type {name} is in charset {charset}"));
    }
    match part.text_contents().is_some_and(|text| text.contains(char::REPLACEMENT_CHARACTER)) {
        true => Err(format!("a part of type {name} is not in the charset that it names")),
        false => Ok(()),
    }
}

/// A part's body as it stands in the message.
fn raw<'a>(message: &'a Message<'_>, part: &MessagePart<'_>) -> &'a [u8] {
    let from = usize::try_from(part.offset_body).unwrap_or(usize::MAX);
    let to = usize::try_from(part.offset_end).unwrap_or_default();
    message.raw_message().get(from..to).unwrap_or_default()
}

/// What is behind the transfer encoding. It could be decoded before.
fn octets(message: &Message<'_>, part: &MessagePart<'_>) -> Vec<u8> {
    let raw = raw(message, part);
    match part.encoding {
        Encoding::Base64 => base64_decode(raw).unwrap_or_default(),
        Encoding::QuotedPrintable => quoted_printable_decode(raw).unwrap_or_default(),
        Encoding::None => raw.to_vec(),
    }
}
