//! From a letter to a kept message: the client's policy, then the vault's word.

use jiff::Zoned;

use super::Session;
use super::label;
use super::letter::{Letter, Mailbox};
use super::login::{Seat, away, changed};
use super::mime;
use super::parcel::{self, Kept, Parcel};
use super::reply::{Code, Fault, Issue};
use super::schedule;
use super::turnstile;
use crate::config::slice::Desk;
use crate::ipc::once::Once;
use crate::mail::address::{Address, ReversePath};
use crate::mail::id::MessageId;
use crate::policy::Grant;
use crate::policy::refusal::Refusal;
use crate::policy::scope::Scope;

/// Seconds until a full disk may have room.
const DISK_AGAIN: u32 = 60;
/// Until a request that is under way has come to something.
const UNDER_WAY_AGAIN: u32 = 1;
/// A route is made by people.
const COPY_AGAIN: u32 = 300;

/// Where a letter says whom it is to.
const TO: &str = "/to";
/// Findings that only the vault has, of one message and not of what comes with it.
pub const SUPPRESSED: &str = "suppressed";
/// Of addresses for tests.
pub const TEST_ADDRESS: &str = "test_address";
pub const TEST_REJECTED: &str = "test_rejected";
const FOR_TESTS: &str = "is an address for tests: only test keys send there, and only to those of them that there are";
const REJECTED: &str = "is an address for tests that asks to be refused";
const BACKED_UP: &str = "backed_up";

/// A message that nobody keeps yet.
#[derive(Debug)]
pub struct Draft {
    message: Vec<u8>,
    when: Zoned,
    /// With the trace that it will have.
    pub octets: usize,
    /// By what its request is known again.
    once: Option<Once>,
}

impl Draft {
    /// By what its request is known again.
    pub const fn once(&self) -> Option<Once> {
        self.once
    }

    /// It goes on only if its request was done before: the letter could not be told to leave at that time now.
    pub fn is_late(&self, letter: &Letter, desk: &Desk) -> bool {
        letter.scheduled_at.is_some_and(|time| schedule::may_wait(time, &self.when, desk).is_err())
    }
}

/// Asks the vault to keep the letter. `request` becomes the message's id as soon as the vault has given one.
///
/// Must run in a task of its own: when the client hangs up, it goes on, so that the message is kept whole or not at all.
pub async fn submit(
    seat: &mut Seat,
    session: &Session,
    grant: &Grant,
    mut letter: Letter,
    once: Option<Once>,
    request: &mut MessageId,
) -> Result<Kept, Fault> {
    let draft = draft(seat, session, grant, &mut letter, once, *request)?;
    keep(seat, session, grant, &letter, draft, request).await
}

/// The same, of a letter whose draft was made.
pub async fn keep(
    seat: &mut Seat,
    session: &Session,
    grant: &Grant,
    letter: &Letter,
    draft: Draft,
    request: &mut MessageId,
) -> Result<Kept, Fault> {
    let Draft { message, when, octets, once } = draft;
    let parcel = Parcel {
        from: &letter.from,
        to: (recipients(letter), TO),
        rest: &message,
        octets,
        scheduled_at: letter.scheduled_at.map(|time| (time, &when)),
        once,
        label: label::of(letter),
        test: letter.test,
        proof: letter.proof.clone(),
    };
    let secure = session.tls.is_some();
    let begin = |id| {
        let trace = mime::trace(letter, id, &session.front, secure, &when);
        Ok((trace, mime::facts(letter, id, &session.front.hostname)))
    };
    parcel::keep(seat, session, grant, parcel, begin, request).await
}

/// The message that a letter makes, if the client's policy lets it go and it isn't too long.
pub fn draft(
    seat: &Seat,
    session: &Session,
    grant: &Grant,
    letter: &mut Letter,
    once: Option<Once>,
    request: MessageId,
) -> Result<Draft, Fault> {
    letter.change(grant);
    let tested = letter.test.then(|| grant.clone().testing());
    let grant = tested.as_ref().unwrap_or(grant);
    is_good_for(seat, grant, Scope::Send, &Some(letter.from.address.clone()))?;
    may_send_from(seat, grant, &letter.from)?;
    may_send_to(seat, grant, &letter.from, letter.recipients().collect::<Vec<_>>(), TO)?;
    let when = mime::now();
    if let (Some(time), None) = (letter.scheduled_at, &once) {
        schedule::may_wait(time, &when, &session.front.desk)?;
    }
    let message = mime::compose(letter, &when);
    // Any id makes a trace of the same length.
    let octets = message.len() + mime::trace(letter, request, &session.front, session.tls.is_some(), &when).len();
    if u64::try_from(octets).unwrap_or(u64::MAX) > grant.size(session.front.max_size) {
        seat.visit.turned(&Some(letter.from.address.clone()), None, Refusal::TooBig);
        return Err(too_big(session, grant));
    }
    if grant.turnstile && letter.proof.is_none() {
        seat.visit.turned(&Some(letter.from.address.clone()), None, Refusal::TurnstileMissing);
        return Err(turnstile::fault(Refusal::TurnstileMissing));
    }
    Ok(Draft { message, when, octets, once })
}

/// Each address once, in the order of the request.
pub fn recipients(letter: &Letter) -> Vec<Address> {
    distinct(letter.recipients())
}

/// The same of any recipients.
pub fn distinct<'m>(mailboxes: impl IntoIterator<Item = &'m Mailbox>) -> Vec<Address> {
    let mut all: Vec<Address> = Vec::new();
    for mailbox in mailboxes {
        if !all.contains(&mailbox.address) {
            all.push(mailbox.address.clone());
        }
    }
    all
}

/// Whether a key may be used so. What the grant forbids is told to the vault for the audit log: once for a message, so that a
/// client that repeats itself doesn't fill it.
pub fn is_good_for(seat: &Seat, grant: &Grant, scope: Scope, sender: &ReversePath) -> Result<(), Fault> {
    if grant.scopes.has(scope) {
        return Ok(());
    }
    seat.visit.turned(sender, None, Refusal::Scope);
    Err(insufficient(scope))
}

/// A page of another origin sends by a form's key.
pub fn elsewhere() -> Fault {
    let message = "this key is for a form on another page: its operator lists the origins of its pages";
    Fault::new(Code::ForbiddenOrigin, message)
}

/// The same of its sender. The vault asks this again at the end, and what follows.
pub fn may_send_from(seat: &Seat, grant: &Grant, from: &Mailbox) -> Result<(), Fault> {
    let sender = Some(from.address.clone());
    grant.sender(&sender).map_err(|refusal| {
        seat.visit.turned(&sender, None, refusal);
        forbidden_sender(&from.pointer)
    })
}

/// The same of its recipients, which `place` has: all that may not be sent to are answered at once.
pub fn may_send_to<'m>(
    seat: &Seat,
    grant: &Grant,
    from: &Mailbox,
    to: impl IntoIterator<Item = &'m Mailbox> + Clone,
    place: &str,
) -> Result<(), Fault> {
    let sender = Some(from.address.clone());
    let most = usize::try_from(grant.max_recipients).unwrap_or(usize::MAX);
    if distinct(to.clone()).len() > most {
        seat.visit.turned(&sender, None, Refusal::TooManyRecipients);
        return Err(invalid("too_many", place, &format!("this key may send to {most} recipients at a time")));
    }
    let (mut issues, mut first) = (Vec::new(), None);
    for mailbox in to {
        if let Err(refusal) = grant.recipient(&sender, &mailbox.address) {
            first.get_or_insert_with(|| (mailbox.address.clone(), refusal));
            let (code, message) = match refusal {
                Refusal::NoRoute => ("no_route", "mail for this address has no way to leave"),
                Refusal::TestAddress => (TEST_ADDRESS, FOR_TESTS),
                Refusal::TestRejected => (TEST_REJECTED, REJECTED),
                _ => ("recipient_not_allowed", "this key may not send to this address"),
            };
            issues.push(Issue { code, pointer: mailbox.pointer.clone(), message: message.to_owned() });
        }
    }
    let Some((recipient, refusal)) = first else { return Ok(()) };
    let further = u32::try_from(issues.len() - 1).unwrap_or(u32::MAX);
    seat.visit.turned_with(&sender, Some(recipient), further, refusal);
    Err(Fault::of(Code::ValidationFailed, issues))
}

fn insufficient(scope: Scope) -> Fault {
    let what = match scope {
        Scope::SendRaw => "whole messages",
        Scope::Admin => "looking at the keys of others",
        Scope::Smtp | Scope::Send => "sending over HTTP",
    };
    Fault::new(Code::InsufficientScope, format!("this key is not for {what}: its scopes lack \"{scope}\""))
}

/// The message is longer than the credential's may be.
pub fn too_big(session: &Session, grant: &Grant) -> Fault {
    let most = grant.size(session.front.max_size);
    Fault::new(Code::PayloadTooLarge, format!("the finished message is longer than {most} octets"))
}

pub fn forbidden_sender(pointer: &str) -> Fault {
    let message = "this key may not send from this address".to_owned();
    Fault::of(Code::ForbiddenSender, vec![Issue { code: "sender_not_allowed", pointer: pointer.to_owned(), message }])
}

fn invalid(code: &'static str, pointer: &str, message: &str) -> Fault {
    let issue = Issue { code, pointer: pointer.to_owned(), message: message.to_owned() };
    Fault::of(Code::ValidationFailed, vec![issue])
}

/// The vault's refusal as the client may know it: where it said whom the message is from, and to.
pub fn refused(refusal: Refusal, session: &Session, grant: &Grant, from: &str, to: &str) -> Fault {
    match refusal {
        Refusal::SenderNotAllowed | Refusal::AuthorNotAllowed => forbidden_sender(from),
        Refusal::RecipientNotAllowed => invalid("recipient_not_allowed", to, "this key may not send to all of these"),
        Refusal::TestAddress => invalid(TEST_ADDRESS, to, FOR_TESTS),
        Refusal::TestRejected => invalid(TEST_REJECTED, to, REJECTED),
        Refusal::NoRoute => invalid("no_route", to, "mail for one of these addresses has no way to leave"),
        Refusal::Suppressed => invalid(SUPPRESSED, to, "nothing is sent to these addresses from here"),
        Refusal::TooManyRecipients => invalid("too_many", to, "there are more recipients than this key may send to"),
        Refusal::TooBig => too_big(session, grant),
        Refusal::RateLimited(seconds) => {
            Fault::new(Code::RateLimited, "this key sends more, or more often, than it may").after(seconds)
        }
        Refusal::QuotaExceeded(seconds) => {
            Fault::new(Code::QuotaExceeded, "this key has used up what it may send in a day").after(seconds)
        }
        Refusal::Suspended(seconds) => {
            let message = "this key sent far more than it usually does and is suspended; ask the operator";
            Fault::new(Code::QuotaExceeded, message).after(seconds)
        }
        Refusal::BackedUp(seconds) => {
            // One place alone: what goes elsewhere is not refused with it.
            let message = "more waits to go there than can leave in time".to_owned();
            let issue = Issue { code: BACKED_UP, pointer: to.to_owned(), message };
            Fault::of(Code::QueueFull, vec![issue]).after(seconds)
        }
        Refusal::Overloaded(seconds) => Fault::new(Code::QueueFull, "too much mail waits here").after(seconds),
        Refusal::StoreFull => Fault::new(Code::QueueFull, "there is no room for more mail").after(DISK_AGAIN),
        Refusal::CopyNoRoute => {
            let message = "a copy that the gate is to keep has no way to leave; ask the operator";
            Fault::new(Code::StoreUnavailable, message).after(COPY_AGAIN)
        }
        Refusal::StoreUnavailable => away(crate::edge::conversation::Lost),
        Refusal::HeldTooLong => schedule::too_late(None),
        Refusal::TurnstileMissing
        | Refusal::TurnstileRefused
        | Refusal::TurnstileHostname
        | Refusal::TurnstileAction
        | Refusal::TurnstileUnavailable => turnstile::fault(refusal),
        Refusal::FormOrigin => elsewhere(),
        Refusal::UnderWay => {
            let message = "a request with this Idempotency-Key is under way: send it again for what comes of it";
            Fault::new(Code::IdempotencyInProgress, message).after(UNDER_WAY_AGAIN)
        }
        Refusal::KeyReused => {
            let message = "this Idempotency-Key was used for another message: take a new key for each message";
            Fault::new(Code::IdempotencyMismatch, message)
        }
        Refusal::Revoked | Refusal::Changed => changed(),
        // The vault asks for one of the two, so both are lacking.
        Refusal::Scope => {
            let message = "this key is not for HTTP: its scopes lack \"send\" and \"send_raw\"";
            Fault::new(Code::InsufficientScope, message)
        }
        Refusal::OnlySmtp => {
            let message =
                "what this key sends is delivered while its sender waits (delivery = \"direct\"): send it by SMTP";
            Fault::new(Code::InsufficientScope, message)
        }
        // What is written here has one From, canonical lines and one Received field, and what a client wrote whole was held to this
        // before the vault was: so one of both is wrong.
        Refusal::Header
        | Refusal::Framing
        | Refusal::Loop
        | Refusal::Utf8
        | Refusal::RequireTls
        | Refusal::UnknownNetwork => {
            Fault::new(Code::InternalError, "the message could not be written; tell the operator")
        }
    }
}
