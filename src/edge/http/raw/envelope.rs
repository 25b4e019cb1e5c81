//! Whom a whole message is from and for: what fields of its request say, or else what it says itself.
//!
//! What can't be told of one of them is a finding beside those of the others.

use std::collections::HashSet;

use hyper::header::HeaderMap;

use crate::edge::http::letter::{self, Flaw, Mailbox, flaw};
use crate::edge::http::members::Findings;
use crate::mail::address::Address;
use crate::mail::header::Header;
use crate::mail::mailbox;

/// The request's fields, as they are written in findings.
const SENDER: &str = "X-Mail-From";
const RECIPIENT: &str = "X-Rcpt-To";
/// The message's fields for its recipients. Bcc does not go out.
const NAMED: [&str; 3] = ["To", "Cc", "Bcc"];

/// Whether the request says whom the message is from.
pub fn has_sender(headers: &HeaderMap) -> bool {
    headers.contains_key(SENDER)
}

/// Who the request says that the message is from; the wall has seen to it that it says so once.
pub fn sender(findings: &mut Findings, headers: &HeaderMap) -> Option<Mailbox> {
    let value = headers.get(SENDER)?;
    findings.take(SENDER, text(value.as_bytes()).and_then(|text| path(text, SENDER)))
}

/// Whom the request says that it is for. None: it doesn't say. Fields of one name are one list, whose parts commas part (RFC 9110
/// section 5.3): many clients can't say a field twice, and no address here holds a comma.
pub fn recipients(findings: &mut Findings, headers: &HeaderMap) -> Option<Vec<Mailbox>> {
    let mut fields = headers.get_all(RECIPIENT).iter().peekable();
    fields.peek()?;
    let mut all = Vec::new();
    for value in fields {
        let Some(list) = findings.take(RECIPIENT, text(value.as_bytes())) else { continue };
        let parts: Vec<&str> = list.split(',').map(|part| part.trim_matches([' ', '\t'])).collect();
        if parts.iter().all(|part| part.is_empty()) {
            findings.add(
                RECIPIENT,
                flaw("invalid_address", "names nobody: leave it out to send to whom the message names"),
            );
        }
        let named = parts.into_iter().filter(|part| !part.is_empty());
        all.extend(named.filter_map(|part| findings.take(RECIPIENT, path(part, RECIPIENT))));
    }
    Some(all)
}

/// Who the message says that it is from: its Sender, or its only author.
pub fn author(findings: &mut Findings, header: &Header<'_>) -> Option<Mailbox> {
    let authors = &header.facts.authors;
    let (place, found) = match header.has("Sender") {
        true => ("Sender", authors.last()),
        false => ("From", authors.first().filter(|_| authors.len() == 1)),
    };
    let Some(address) = found else {
        let message = "has several authors: add a Sender, or name one of them in the request's X-Mail-From";
        findings.add(place, flaw("required", message));
        return None;
    };
    findings.take(place, of(&address.to_string(), place))
}

/// Whom the message says that it is for.
pub fn addressees(findings: &mut Findings, header: &Header<'_>) -> Vec<Mailbox> {
    let resent = |name: &str| name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("Resent-"));
    if header.fields().any(|field| resent(field.name)) {
        let message = "is missing: a message that was resent doesn't say for whom it is this time";
        findings.add(RECIPIENT, flaw("required", message));
        return Vec::new();
    }
    let (mut all, mut is_any) = (Vec::new(), false);
    for name in NAMED {
        for field in header.fields().filter(|field| field.is(name) && !field.is_empty()) {
            let found = mailbox::read(field.body(), letter::MAX_RECIPIENTS)
                .map_err(|_| flaw("invalid_address", "can't be read as addresses in one way only"));
            let found = findings.take(name, found);
            is_any |= found.as_ref().is_none_or(|found| !found.is_empty());
            let found = found.unwrap_or_default();
            if found.len() > letter::MAX_RECIPIENTS {
                // The rest of them was not read.
                findings.add(name, too_many());
                return Vec::new();
            }
            all.extend(found.iter().filter_map(|(address, _)| findings.take(name, of(&address.to_string(), name))));
        }
    }
    if !is_any {
        let message = "is missing: name each recipient there, in the request, or in the message's To, Cc or Bcc";
        findings.add(RECIPIENT, flaw("required", message));
    }
    all
}

/// Where they stand, which are not more than there may be.
pub fn bounded(findings: &mut Findings, to: &[Mailbox]) -> String {
    let place = to.first().map_or(RECIPIENT, |first| first.pointer.as_str());
    let mut others: HashSet<&Address> = HashSet::new();
    // No further than that: a header has room for thousands.
    if to.iter().any(|mailbox| others.insert(&mailbox.address) && others.len() > letter::MAX_RECIPIENTS) {
        findings.add(place, too_many());
    }
    place.to_owned()
}

fn too_many() -> Flaw {
    flaw("too_many", format!("there are more than {} recipients", letter::MAX_RECIPIENTS))
}

fn text(value: &[u8]) -> Result<&str, Flaw> {
    std::str::from_utf8(value).map_err(|_| flaw("invalid_address", "is not an address: it is not UTF-8"))
}

/// An address, in angle brackets or without.
fn path(text: &str, field: &str) -> Result<Mailbox, Flaw> {
    of(text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(text), field)
}

fn of(text: &str, field: &str) -> Result<Mailbox, Flaw> {
    if text.contains([',', ';']) {
        return Err(flaw("invalid_address", "is not an address: it holds a comma or a semicolon"));
    }
    Mailbox::named("", text, field)
}
