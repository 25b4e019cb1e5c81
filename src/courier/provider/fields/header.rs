//! The header of a message as fields: who it is from and to, its subject, and what else may be said.

use std::collections::{BTreeMap, BTreeSet};

use mail_parser::{Addr, Address as Mailboxes, Message};

use super::parts::{self, is_known};
use super::{Able, Author, Fields};
use crate::courier::provider::{Letter, is_same};
use crate::mail::address::Address;

/// What the API says by fields of its own, what it makes anew, and what belongs to a hop or a signature that ends here.
const NOT_SAID: [&str; 19] = [
    "from",
    "to",
    "cc",
    "bcc",
    "subject",
    "reply-to",
    "date",
    "message-id",
    "mime-version",
    "received",
    "return-path",
    "dkim-signature",
    "domainkey-signature",
    "authentication-results",
    "arc-seal",
    "arc-message-signature",
    "arc-authentication-results",
    "received-spf",
    "x-usesend-email-id",
];

/// What is about the body's form, which it makes anew; other fields that begin alike, as Content-Language does, are the message's.
const OF_MIME: [&str; 6] = [
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
    "content-id",
    "content-description",
    "content-length",
];

/// The fields, and what they have no place for. Errors: what must not be lost.
pub fn of(message: &Message<'_>, letter: &Letter<'_>, able: Able) -> Result<(Fields, Vec<String>), String> {
    let mut body = parts::read(message, able)?;
    let lost = &mut body.lost;
    let [author] = mailboxes(message.from().into_iter())[..] else { return Err("it has not one author".to_owned()) };
    let (mut to, mut cc) = (visible(message.all_to(), letter, lost), visible(message.all_cc(), letter, lost));
    cc.retain(|named| !to.contains(named));
    let is_named = |address: &Address| {
        let address = address.to_string();
        to.contains(&address) || cc.contains(&address)
    };
    let hidden = letter.recipients.iter().filter(|(_, address)| !is_named(address));
    let mut bcc: Vec<String> = hidden.map(|(_, address)| address.to_string()).collect();
    if to.is_empty() {
        // There must be one. Whom nobody else is named beside may be named.
        if cc.is_empty() {
            to = std::mem::take(&mut bcc);
        } else {
            lost.push("Cc without To".to_owned());
            to = std::mem::take(&mut cc);
        }
    }
    let subject = one_line(message.subject().unwrap_or_default());
    check_words(message)?;
    if subject.is_empty() {
        lost.push("an empty subject".to_owned());
    }
    let named = mailboxes(message.reply_to().into_iter());
    let mut reply_to: Vec<String> = named.iter().filter_map(|addr| Some(read(addr)?.to_string())).collect();
    if reply_to.len() < named.len() {
        lost.push("what is no address in Reply-To".to_owned());
    }
    if reply_to.len() > able.reply_to {
        lost.push(format!("more than {} in Reply-To", able.reply_to));
        reply_to.truncate(able.reply_to);
    }
    let fields = Fields {
        from: written(author)?,
        to,
        cc,
        bcc,
        reply_to,
        subject: if subject.is_empty() { "(no subject)".to_owned() } else { subject },
        headers: headers(message, able, lost)?,
        text: body.text,
        html: body.html,
        attachments: body.attachments,
    };
    Ok((fields, body.lost))
}

/// Whether To or Cc name one of them.
pub fn names_one_of(message: &Message<'_>, recipients: &[(u32, Address)]) -> bool {
    let named = mailboxes(message.all_to().chain(message.all_cc()));
    named.iter().filter_map(|addr| read(addr)).any(|named| recipients.iter().any(|(_, to)| is_same(&named, to)))
}

fn mailboxes<'a>(headers: impl Iterator<Item = &'a Mailboxes<'a>>) -> Vec<&'a Addr<'a>> {
    headers.flat_map(|mailboxes| mailboxes.iter()).collect()
}

fn read(addr: &Addr<'_>) -> Option<Address> {
    Address::parse_international(addr.address.as_deref()?.trim()).ok()
}

/// Those of the header who are recipients of this letter: whoever else is named there gets the message some other way, and would
/// get it twice.
fn visible<'a>(
    headers: impl Iterator<Item = &'a Mailboxes<'a>>,
    letter: &Letter<'_>,
    lost: &mut Vec<String>,
) -> Vec<String> {
    let mut named: Vec<String> = Vec::new();
    for addr in mailboxes(headers) {
        let found = read(addr)
            .and_then(|address| letter.recipients.iter().find(|(_, to)| is_same(&address, to)))
            .map(|(_, to)| to.to_string());
        match found {
            Some(found) if named.contains(&found) => {}
            Some(found) => named.push(found),
            // A group without members, such as undisclosed recipients.
            None if addr.address.is_none() => {}
            None => lost.push("a name in To or Cc of somebody whom it doesn't go to with the others".to_owned()),
        }
    }
    named
}

/// An encoded word may hold line breaks (RFC 2047), and whoever puts this into a header must not get a field more than there was.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ").trim().to_owned()
}

fn written(author: &Addr<'_>) -> Result<Author, String> {
    let address = read(author).ok_or("its author is no address")?.to_string();
    Ok(Author { name: one_line(author.name.as_deref().unwrap_or_default()), address })
}

/// Encoded words (RFC 2047) in a charset that can't be read would be lost without a word.
fn check_words(message: &Message<'_>) -> Result<(), String> {
    for name in ["Subject", "From"] {
        let raw = message.header_raw(name).unwrap_or_default();
        let charsets = raw.split("=?").skip(1).filter_map(|rest| rest.split(['?', '*']).next());
        if let Some(charset) = charsets.into_iter().find(|charset| !is_known(charset)) {
            return Err(format!("its {name} is in charset {charset}"));
        }
        let read =
            if name == "Subject" { message.subject() } else { message.from().and_then(|from| from.first()?.name()) };
        if read.is_some_and(|text| text.contains(char::REPLACEMENT_CHARACTER)) {
            return Err(format!("its {name} is in no charset that it names"));
        }
    }
    Ok(())
}

/// All other fields that the API may be told, each as it stands, in one line.
fn headers(message: &Message<'_>, able: Able, lost: &mut Vec<String>) -> Result<BTreeMap<String, String>, String> {
    let (mut headers, mut seen) = (BTreeMap::new(), BTreeSet::new());
    for header in message.headers() {
        let name = header.name();
        let lower = name.to_ascii_lowercase();
        if NOT_SAID.contains(&lower.as_str()) || OF_MIME.contains(&lower.as_str()) {
            continue;
        }
        let from = usize::try_from(header.offset_start).unwrap_or(usize::MAX);
        let to = usize::try_from(header.offset_end).unwrap_or_default();
        let raw = message.raw_message().get(from..to).unwrap_or_default();
        let text = std::str::from_utf8(raw).map_err(|_| format!("its {name} is not UTF-8"))?;
        let text = text.replace(['\r', '\n'], "").trim().to_owned();
        if text.is_empty() {
            continue;
        }
        // Names are the same in large and small letters.
        if !seen.insert(lower) {
            lost.push(format!("more than one {name}"));
            continue;
        }
        match (able.header)(name, &text) {
            Ok(()) => drop(headers.insert(name.to_owned(), text)),
            Err(why) => lost.push(why),
        }
    }
    Ok(headers)
}
