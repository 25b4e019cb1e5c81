//! `POST /v1/send-raw`: a message that its client has written whole, held to what SMTP holds messages to.
//!
//! Its envelope stands in fields of the request, or in the message. The header is read, judged and fixed up as that of a message
//! over SMTP, the lines are scanned as those of BDAT, and what is below the header goes on octet by octet.

use hyper::header::HeaderMap;
use jiff::Timestamp;

use super::Session;
use super::idempotency::Key;
use super::letter::{self, Mailbox};
use super::login::Seat;
use super::parcel::{self, Kept, Parcel};
use super::reply::{Code, Fault, Issue};
use super::submit;
use crate::edge::smtp::chunk::Scanner;
use crate::edge::smtp::content;
use crate::edge::smtp::tally;
use crate::mail::address::Address;
use crate::mail::fixup::{self, Orders, Trace};
use crate::mail::flaw::Flaw;
use crate::mail::header::{self, Header};
use crate::mail::id::MessageId;
use crate::mail::mailbox;
use crate::policy::Grant;
use crate::policy::refusal::Refusal;

/// The request's fields for the envelope.
const SENDER: &str = "x-mail-from";
const RECIPIENT: &str = "x-rcpt-to";
/// What a client named itself, which over HTTP it doesn't.
const HELO: &str = "localhost";

/// A message that is kept, and its Message-ID.
pub struct Sent {
    pub kept: Kept,
    pub message_id: Option<String>,
}

/// Has the vault keep the message. `request` becomes its id as soon as the vault has given one.
pub async fn submit(
    seat: &mut Seat,
    session: &Session,
    grant: &Grant,
    headers: &HeaderMap,
    octets: &[u8],
    key: Option<&Key>,
    request: &mut MessageId,
) -> Result<Sent, Fault> {
    let given = from_of(headers)?;
    let sender = given.as_ref().map(|from| from.address.clone());
    let unfit = |flaw: Flaw| {
        seat.visit.unfit(&sender, flaw.refusal(), Some(flaw));
        told(flaw)
    };
    let content = canonical(octets).map_err(unfit)?;
    let end = content::header_end(&content, 0).unwrap_or(content.len());
    let (block, rest) = content.split_at_checked(end).unwrap_or((&content, &[]));
    if block.len() > content::MAX_HEADER {
        return Err(unfit(Flaw::TooLong));
    }
    let own = fixup::mark(&session.front.hostname, &session.front.desk.name);
    let header = header::read(block, &own, false).map_err(unfit)?;
    let mut from = given.map_or_else(|| author(&header), Ok)?;
    let to = match to_of(headers)? {
        to if to.is_empty() => addressees(&header)?,
        to => to,
    };
    if to.len() > letter::MAX_RECIPIENTS {
        let message = format!("there are more than {} recipients", letter::MAX_RECIPIENTS);
        return Err(finding("too_many", "", message));
    }
    // Before the credential's wishes change it.
    let once = key.map(|key| key.once_raw(&from.address, &to, &content));
    let changed = grant.rewritten(&from.address).cloned();
    let given = changed.map(|other| std::mem::replace(&mut from.address, other));
    submit::allowed(seat, grant, &from, &to)?;

    let rewrite = |author: &Address| grant.rewritten(author).cloned();
    let orders = Orders { rewrite: &rewrite, remove: &grant.remove_headers };
    let sender = Some(from.address.clone());
    if let Err(refusal) = grant.authors(&fixup::facts(&header, orders)) {
        seat.visit.turned(&sender, None, refusal);
        return Err(submit::refused(refusal, session, grant, "From"));
    }
    let recipients = submit::distinct(&to);
    let with = if session.tls.is_some() { "HTTPS" } else { "HTTP" };
    let now = Timestamp::now();
    let write = |id: MessageId| {
        let trace = Trace {
            helo: HELO,
            hostname: &session.front.hostname,
            listener: &session.front.desk.name,
            with,
            cipher: None,
            id,
            only_recipient: Some(&recipients).filter(|all| all.len() == 1).and_then(|all| all.first()),
        };
        let (head, mut facts) = fixup::apply(&header, &trace, orders, now)?;
        facts.changes.sender.clone_from(&given);
        Ok((head, facts))
    };
    // Any id makes a header of the same length.
    let (head, facts) = write(*request).map_err(|flaw: Flaw| {
        seat.visit.unfit(&sender, flaw.refusal(), Some(flaw));
        told(flaw)
    })?;
    let octets = head.len() + rest.len();
    if u64::try_from(octets).unwrap_or(u64::MAX) > grant.size(session.front.max_size) {
        seat.visit.turned(&sender, None, Refusal::TooBig);
        return Err(submit::refused(Refusal::TooBig, session, grant, ""));
    }
    let its_own = facts.message_id != made(*request, session);
    let parcel = Parcel { from: &from, to: recipients.clone(), rest, octets, scheduled_at: None, once };
    let kept = parcel::keep(seat, session, grant, parcel, |id| write(id).map_err(told), request).await?;
    let message_id = if its_own { facts.message_id } else { made(kept.id, session) };
    Ok(Sent { kept, message_id: Some(message_id).filter(|id| !id.is_empty()) })
}

/// The Message-ID that a message without one gets.
fn made(id: MessageId, session: &Session) -> String {
    format!("{id}@{}", session.front.hostname)
}

/// The content in the lines that SMTP carries: each ends with CR LF, none is too long, and there is no NUL.
fn canonical(octets: &[u8]) -> Result<Vec<u8>, Flaw> {
    let (mut scanner, mut content) = (Scanner::default(), Vec::with_capacity(octets.len() + 2));
    scanner.scan(octets, &mut content);
    scanner.finish(&mut content);
    match scanner.tally().fault() {
        None => Ok(content),
        Some(tally::Fault::Framing) => Err(Flaw::BareOctet),
        Some(tally::Fault::LineTooLong) => Err(Flaw::LineTooLong),
    }
}

/// Who the request says that it is from.
fn from_of(headers: &HeaderMap) -> Result<Option<Mailbox>, Fault> {
    headers.get(SENDER).map(|value| path(value.as_bytes(), "X-Mail-From")).transpose()
}

/// Whom the request names, one in each field.
fn to_of(headers: &HeaderMap) -> Result<Vec<Mailbox>, Fault> {
    headers.get_all(RECIPIENT).iter().map(|value| path(value.as_bytes(), "X-Rcpt-To")).collect()
}

/// An address, in angle brackets or without.
fn path(value: &[u8], field: &str) -> Result<Mailbox, Fault> {
    let text = std::str::from_utf8(value).unwrap_or_default();
    let text = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(text);
    mailbox_of(text, field)
}

fn mailbox_of(text: &str, field: &str) -> Result<Mailbox, Fault> {
    Mailbox::named("", text, field).map_err(|flaw| finding(flaw.code, field, flaw.message))
}

/// Who the message says that it is from: its Sender, or its only author.
fn author(header: &Header<'_>) -> Result<Mailbox, Fault> {
    let authors = &header.facts.authors;
    let found = if header.has("Sender") { authors.last() } else { authors.first().filter(|_| authors.len() == 1) };
    let Some(address) = found else {
        let message = "has several authors: add a Sender, or name one of them in the request's X-Mail-From";
        return Err(finding("required", "From", message.to_owned()));
    };
    mailbox_of(&address.to_string(), "From")
}

/// Whom the message is for: To, Cc, and Bcc, which does not go out.
fn addressees(header: &Header<'_>) -> Result<Vec<Mailbox>, Fault> {
    if header.fields().any(|field| field.name.get(..7).is_some_and(|name| name.eq_ignore_ascii_case("Resent-"))) {
        let message = "name each recipient of a message that was resent in a field X-Rcpt-To of the request";
        return Err(finding("required", "X-Rcpt-To", message.to_owned()));
    }
    let mut all = Vec::new();
    for name in ["To", "Cc", "Bcc"] {
        for field in header.fields().filter(|field| field.is(name) && !field.is_empty()) {
            let found = mailbox::read(field.body(), letter::MAX_RECIPIENTS).map_err(|_| {
                finding("invalid_address", name, "can't be read as addresses in one way only".to_owned())
            })?;
            for (address, _) in found {
                all.push(mailbox_of(&address.to_string(), name)?);
            }
        }
    }
    if all.is_empty() {
        let message = "is missing: name each recipient in a field X-Rcpt-To of the request, or in To, Cc or Bcc";
        return Err(finding("required", "X-Rcpt-To", message.to_owned()));
    }
    Ok(all)
}

/// What is wrong with the message, as SMTP says it.
fn told(flaw: Flaw) -> Fault {
    let (code, message) = match flaw {
        Flaw::BareOctet => {
            ("invalid_line", "has a bare CR, a bare LF or a NUL: every line must end with CR LF".to_owned())
        }
        Flaw::LineTooLong => ("invalid_line", flaw.said()),
        Flaw::EightBit => {
            ("invalid_header", "the header has octets that are not ASCII: encode them by RFC 2047".to_owned())
        }
        _ => ("invalid_header", flaw.said()),
    };
    finding(code, "", message)
}

fn finding(code: &'static str, pointer: &str, message: String) -> Fault {
    Fault::of(Code::ValidationFailed, vec![Issue { code, pointer: pointer.to_owned(), message }])
}
