//! `POST /v1/send-raw`: a message that its client has written whole, held to what SMTP holds messages to.
//!
//! Its envelope stands in fields of the request, or in the message. The header is read, judged and fixed up as that of a message
//! over SMTP, the lines are scanned as those of BDAT, and what is below the header goes on octet by octet.

mod envelope;
/// What a whole message and the fields beside it become, for fuzzing.
#[cfg(any(test, fuzzing))]
pub mod trial;

use hyper::header::HeaderMap;
use jiff::Timestamp;

use super::Session;
use super::body::Whole;
use super::idempotency::Key;
use super::letter::{self, Mailbox, flaw};
use super::login::Seat;
use super::members::Findings;
use super::parcel::{self, Kept, Parcel};
use super::reply::{Code, Fault, Issue};
use super::submit;
use super::warnings;
use crate::edge::smtp::chunk::Scanner;
use crate::edge::smtp::content;
use crate::edge::smtp::tally;
use crate::ipc::label::Label;
use crate::mail::address::Address;
use crate::mail::facts::Facts;
use crate::mail::fixup::{self, Orders, Trace};
use crate::mail::flaw::Flaw;
use crate::mail::header::{self, Header};
use crate::mail::id::MessageId;
use crate::policy::Grant;
use crate::policy::refusal::Refusal;

/// What a client named itself, which over HTTP it doesn't.
const HELO: &str = "localhost";
/// The place of what is wrong with no field alone.
const MESSAGE: &str = "message";

/// A message that is kept, and its Message-ID, if it has one that can be told.
pub struct Sent {
    pub kept: Kept,
    pub message_id: Option<String>,
    pub warnings: Vec<Issue>,
}

/// Has the vault keep the message, of a client that may send such ones. `request` becomes its id as soon as the vault has given one.
/// The sender that the request says is judged before anything else, so that no other stands in the audit log.
pub async fn submit(
    seat: &mut Seat,
    session: &Session,
    grant: &Grant,
    headers: &HeaderMap,
    mut whole: Whole,
    key: Option<&Key>,
    request: &mut MessageId,
) -> Result<Sent, Fault> {
    let mut findings = Findings::default();
    let said = envelope::sender(&mut findings, headers);
    let sender = said.as_ref().map(|said| rewritten(grant, said.clone()).0);
    sender.iter().try_for_each(|from| submit::may_send_from(seat, grant, from))?;
    let named = envelope::recipients(&mut findings, headers);
    let sender = sender.map(|from| from.address);
    let unfit = |mut findings: Findings, flaw: Flaw| {
        seat.visit.unfit(&sender, flaw.refusal(), Some(flaw));
        findings.add(place(flaw), told(flaw));
        findings.fault()
    };
    // Its room is kept as long as this is worked on.
    let content = match canonical(&std::mem::take(&mut whole.octets)) {
        Ok(content) => content,
        Err(flaw) => return Err(unfit(findings, flaw)),
    };
    let end = content::header_end(&content, 0).unwrap_or(content.len());
    let (block, rest) = content.split_at_checked(end).unwrap_or((&content, &[]));
    let header = match read(block, session) {
        Ok(header) => header,
        Err(flaw) => return Err(unfit(findings, flaw)),
    };
    let (from, to, to_place) = addressed(findings, headers, (said, named), &header)?;

    // Before the credential's wishes change it.
    let once = key.map(|key| key.once_raw(&from.address, &to, &content));
    let (from, given) = rewritten(grant, from);
    submit::may_send_from(seat, grant, &from)?;
    submit::may_send_to(seat, grant, &from, &to, &to_place)?;
    let rewrite = |author: &Address| grant.rewritten(author).cloned();
    let orders = Orders { rewrite: &rewrite, remove: &grant.remove_headers };
    may_write(seat, grant, &header, fixup::facts(&header, orders), &from)?;
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
    let (head, facts) = write(*request).map_err(|flaw| unfit(Findings::default(), flaw))?;
    let octets = head.len() + rest.len();
    if u64::try_from(octets).unwrap_or(u64::MAX) > grant.size(session.front.max_size) {
        seat.visit.turned(&Some(from.address), None, Refusal::TooBig);
        return Err(submit::too_big(session, grant));
    }
    let own_id = Some(facts.message_id).filter(|id| *id != made(*request, session));
    let named = to;
    let to = (recipients.clone(), to_place.as_str());
    let parcel = Parcel {
        from: &from,
        to,
        rest,
        octets,
        scheduled_at: None,
        once,
        label: Label::default(),
        test: false,
        proof: None,
    };
    let again = |flaw: Flaw| {
        let mut findings = Findings::default();
        findings.add(place(flaw), told(flaw));
        findings.fault()
    };
    let kept = parcel::keep(seat, session, grant, parcel, |id| write(id).map_err(again), request).await?;
    let message_id = own_id.unwrap_or_else(|| made(kept.id, session));
    let warnings = warnings::suppressed(&kept, &named);
    Ok(Sent { kept, message_id: Some(message_id).filter(|id| letter::is_shown(id)), warnings })
}

/// Whom it is from and for, and where the request or the message says so: what the request doesn't say, the message does.
fn addressed(
    mut findings: Findings,
    headers: &HeaderMap,
    (said, named): (Option<Mailbox>, Option<Vec<Mailbox>>),
    header: &Header<'_>,
) -> Result<(Mailbox, Vec<Mailbox>, String), Fault> {
    let from = if envelope::has_sender(headers) { said } else { envelope::author(&mut findings, header) };
    let to = named.unwrap_or_else(|| envelope::addressees(&mut findings, header));
    let to_place = envelope::bounded(&mut findings, &to);
    findings.verdict()?;
    // Without findings it is from somebody.
    let from = from.ok_or_else(|| Fault::new(Code::InternalError, "the message's sender could not be read"))?;
    Ok((from, to, to_place))
}

/// The message's header. What is wrong with it is what would be over SMTP.
fn read<'a>(block: &'a [u8], session: &Session) -> Result<Header<'a>, Flaw> {
    if block.len() > content::MAX_HEADER {
        return Err(Flaw::TooLong);
    }
    header::read(block, &fixup::mark(&session.front.hostname, &session.front.desk.name), false)
}

/// Whom the credential's mail is from instead, and whom the client said.
fn rewritten(grant: &Grant, mut from: Mailbox) -> (Mailbox, Option<Address>) {
    let changed = grant.rewritten(&from.address).cloned();
    let given = changed.map(|other| std::mem::replace(&mut from.address, other));
    (from, given)
}

/// Whether the credential may be the author that the message names, and its Sender.
fn may_write(seat: &Seat, grant: &Grant, header: &Header<'_>, mut facts: Facts, from: &Mailbox) -> Result<(), Fault> {
    let Err(refusal) = grant.authors(&facts) else { return Ok(()) };
    seat.visit.turned(&Some(from.address.clone()), None, refusal);
    // The last of them is that of Sender.
    let is_sender = header.has("Sender") && facts.authors.pop().is_some() && grant.authors(&facts).is_ok();
    Err(submit::forbidden_sender(if is_sender { "Sender" } else { "From" }))
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

/// What is wrong with the message, as SMTP says it.
fn told(of: Flaw) -> letter::Flaw {
    match of {
        Flaw::BareOctet => flaw("invalid_line", "has a bare CR, a bare LF or a NUL: every line must end with CR LF"),
        Flaw::LineTooLong => flaw("invalid_line", of.said()),
        Flaw::EightBit => flaw("invalid_header", "the header has octets that are not ASCII: encode them by RFC 2047"),
        _ => flaw("invalid_header", of.said()),
    }
}

/// And where: the field's name, where it is of one.
fn place(flaw: Flaw) -> &'static str {
    match flaw {
        Flaw::Twice(field) | Flaw::Author(field) | Flaw::Signed(field) => field.name(),
        Flaw::NoFrom | Flaw::Nobody | Flaw::TooManyAuthors => "From",
        Flaw::Loop => "Received",
        _ => MESSAGE,
    }
}
