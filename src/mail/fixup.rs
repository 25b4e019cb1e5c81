//! The little that a submission changes in a message: RFC 6409 section 8. Everything else passes octet by octet.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::address::Address;
use super::facts::{Facts, MAX_AUTHORS};
use super::flaw::{Flaw, Named};
use super::header::{Field, Header};
use super::id::MessageId;
use super::mailbox;
use super::removal::Removable;
use super::verdict;

/// Octets of a line with its CR (RFC 5322 section 2.1.1).
const MAX_LINE: usize = 999;

/// What the Received field says. Where the client sat is in the audit log, not in the mail.
#[derive(Clone, Debug)]
pub struct Trace<'a> {
    /// What the client called itself, checked to be a domain or an address literal.
    pub helo: &'a str,
    pub hostname: &'a str,
    pub listener: &'a str,
    /// RFC 3848: ESMTPSA and its kin; HTTP for a message that came that way.
    pub with: &'a str,
    pub cipher: Option<&'a str>,
    pub id: MessageId,
    /// Named when it is the only recipient; otherwise it would betray one of several (RFC 5321 section 7.2).
    pub only_recipient: Option<&'a Address>,
}

/// How our own Received fields show themselves, so that circles are seen.
pub fn mark(hostname: &str, listener: &str) -> String {
    format!("by {hostname} (Gatepost {listener})")
}

impl Trace<'_> {
    /// The field, folded, with its CRLF (RFC 5321 section 4.4, RFC 8314 section 4.3).
    fn field(&self, now: &str) -> String {
        let Self { helo, hostname, listener, with, cipher, id, only_recipient } = self;
        let helo = if is_address(helo) { "localhost" } else { helo };
        let mut field = format!("Received: from {helo} (address not shown)\r\n\t{}\r\n\t", mark(hostname, listener));
        // Writing to a string can't fail.
        let _ = write!(field, "with {with} id {id}");
        if let Some(recipient) = only_recipient {
            let _ = write!(field, "\r\n\tfor <{recipient}>");
        }
        if let Some(cipher) = cipher {
            let _ = write!(field, "\r\n\ttls {cipher}");
        }
        let _ = write!(field, ";\r\n\t{now}\r\n");
        field
    }
}

/// Whether it would tell the address that is not to be told. No name in the DNS ends in a number; what does, is an address in
/// one of its spellings, with brackets or without.
fn is_address(helo: &str) -> bool {
    let last = helo.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let is_number = |digits: &str, radix| !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    helo.contains(['[', ':']) || is_number(last, 10) || hexadecimal.is_some_and(|digits| is_number(digits, 16))
}

/// What the credential wants changed beyond that.
#[derive(Clone, Copy)]
pub struct Orders<'a> {
    /// What an author becomes; none when it stays as it is.
    pub rewrite: &'a (dyn Fn(&Address) -> Option<Address> + Sync),
    /// Fields that don't go out.
    pub remove: &'a [Removable],
}

/// The facts of the header as it goes out. They tell whether it may, before any more is done for it.
pub fn facts(header: &Header<'_>, orders: Orders<'_>) -> Facts {
    let mut facts = header.facts.clone();
    facts.received = facts.received.saturating_add(1);
    for author in &mut facts.authors {
        if let Some(other) = (orders.rewrite)(author) {
            *author = other;
        }
    }
    facts
}

/// The header as it goes out, without the empty line behind it, and the facts of it: one Received on top, Date and
/// Message-ID where they are missing, Bcc gone, and what the credential orders. Refused where that would break a signature.
pub fn apply(
    header: &Header<'_>,
    trace: &Trace<'_>,
    orders: Orders<'_>,
    now: Timestamp,
) -> Result<(Vec<u8>, Facts), Flaw> {
    let mut facts = facts(header, orders);
    let message_id = format!("{}@{}", trace.id, trace.hostname);
    let now = jiff::fmt::rfc2822::to_string(&now.to_zoned(TimeZone::UTC)).unwrap_or_default();
    let mut out = trace.field(&now).into_bytes();
    for field in header.fields() {
        match dropped(field, trace.hostname) {
            Some(name) if header.signs(name) => return Err(Flaw::Signed(Named::of(name))),
            Some(_) => (),
            None => {
                if let Some(name) = orders.remove.iter().find(|name| removes(name, field)) {
                    if header.signs(field.name) {
                        return Err(Flaw::SignedAway);
                    }
                    facts.changes.remove(name.name());
                    facts.received -= u32::from(field.is("Received") && facts.received > 1);
                    continue;
                }
                author(&mut out, field, header, orders, &mut facts)?;
            }
        }
    }
    let added = [("Date", format!("Date: {now}\r\n")), ("Message-ID", format!("Message-ID: <{message_id}>\r\n"))];
    for (name, text) in added {
        // A signature over a field that isn't there says that it must not be added.
        let has = header.fields().any(|field| field.is(name) && !field.is_empty());
        if !has && !header.signs(name) {
            out.extend_from_slice(text.as_bytes());
            if name == "Message-ID" {
                facts.message_id.clone_from(&message_id);
            }
        }
    }
    Ok((out, facts))
}

/// Whether the credential wants this field gone. Received fields of every Gatepost stay: by them circles are seen, also of two
/// gates that each remove what the other wrote (RFC 5321 section 6.3).
fn removes(name: &Removable, field: &Field<'_>) -> bool {
    field.is(name.name()) && !(field.is("Received") && field.text().contains(" (Gatepost "))
}

/// Appends a field as it stands, but for the addresses of From and Sender that become others.
fn author(
    out: &mut Vec<u8>,
    field: &Field<'_>,
    header: &Header<'_>,
    orders: Orders<'_>,
    facts: &mut Facts,
) -> Result<(), Flaw> {
    let Some(name) = ["From", "Sender"].into_iter().find(|name| field.is(name)) else {
        out.extend_from_slice(field.whole);
        return Ok(());
    };
    let (begun, start) = (out.len(), field.name.len() + 1);
    let mut passed = 0;
    for (address, place) in mailbox::read(field.body(), MAX_AUTHORS).map_err(|_| Flaw::Author(Named::of(name)))? {
        let Some(other) = (orders.rewrite)(&address) else { continue };
        if header.signs(name) || header.is_signed_by_its_author() {
            return Err(Flaw::Signed(Named::of(name)));
        }
        out.extend_from_slice(field.whole.get(passed..start + place.start).unwrap_or_default());
        out.extend_from_slice(other.to_string().as_bytes());
        passed = start + place.end;
        facts.changes.author.get_or_insert(address);
    }
    out.extend_from_slice(field.whole.get(passed..).unwrap_or_default());
    let written = out.get(begun..).unwrap_or_default();
    if passed > 0 && written.split(|octet| *octet == b'\n').any(|line| line.len() > MAX_LINE) {
        return Err(Flaw::TooLong);
    }
    Ok(())
}

/// The name of a field that must not go out: Bcc betrays its recipients, Return-Path and a verdict in our name are ours to
/// write (RFC 5321 section 4.4, RFC 8601 section 5), and an empty Date or Message-ID stands in the place of one.
fn dropped(field: &Field<'_>, hostname: &str) -> Option<&'static str> {
    let name = ["Bcc", "Resent-Bcc", "Return-Path"].into_iter().find(|name| field.is(name));
    name.or_else(|| ["Date", "Message-ID"].into_iter().find(|name| field.is(name) && field.is_empty())).or_else(|| {
        (field.is("Authentication-Results") && verdict::is_of(field, hostname)).then_some("Authentication-Results")
    })
}

#[cfg(test)]
mod tests;
