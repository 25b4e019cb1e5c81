//! A message on its way to the vault, whatever its request was written in: what the vault is told of it, and its octets.

use jiff::{Timestamp, Zoned};

use super::Session;
use super::letter::{self, Mailbox};
use super::login::{Seat, away};
use super::reply::Fault;
use super::schedule;
use super::submit::refused;
use crate::edge::conversation::Lost;
use crate::edge::conversation::begun::Begun;
use crate::ipc::frame::MAX_CONTENT;
use crate::ipc::label::Label;
use crate::ipc::once::Once;
use crate::ipc::token::Token;
use crate::mail::address::Address;
use crate::mail::envelope::{Addressee, Manner};
use crate::mail::facts::Facts;
use crate::mail::id::MessageId;
use crate::policy::Grant;
use crate::policy::refusal::Refusal;

/// A message that is on disk.
#[derive(Clone, Debug)]
pub struct Kept {
    pub id: MessageId,
    pub octets: usize,
    /// By an earlier request: this one was done before.
    pub repeated: bool,
    /// Those of its recipients to whom nothing is sent. Of one that was done before it isn't known any more.
    pub suppressed: Vec<Address>,
}

/// A message that nobody keeps yet, but for its beginning, which names its id.
#[derive(Debug)]
pub struct Parcel<'a> {
    pub from: &'a Mailbox,
    /// And where the client said so, in its dialect's words.
    pub to: (Vec<Address>, &'a str),
    pub rest: &'a [u8],
    /// All of it.
    pub octets: usize,
    /// When it is to leave, and when it was written.
    pub scheduled_at: Option<(Timestamp, &'a Zoned)>,
    /// By which the vault knows the request again.
    pub once: Option<Once>,
    /// What is told of it beside it; it gets the Message-ID that is written.
    pub label: Label,
    /// It never leaves.
    pub test: bool,
    /// What proves that a person wrote it.
    pub proof: Option<Token>,
}

/// Has the vault keep it. `begin` writes the beginning for the id that the vault gives, which becomes the request's; a request that
/// was done before has that of its message.
pub async fn keep(
    seat: &mut Seat,
    session: &Session,
    grant: &Grant,
    parcel: Parcel<'_>,
    begin: impl FnOnce(MessageId) -> Result<(Vec<u8>, Facts), Fault> + Send,
    request: &mut MessageId,
) -> Result<Kept, Fault> {
    let Parcel { from, to: (to, place), rest, octets, scheduled_at, once, mut label, test, proof } = parcel;
    let size = u64::try_from(octets).unwrap_or(u64::MAX);
    let release_us = scheduled_at.map(|(time, _)| schedule::release_us(time));
    let manner = Manner { release_us, test, ..Manner::default() };
    let sender = Some(from.address.clone());
    let desk = &session.front.desk;
    let begun = seat.visit.mail_once(sender, size, manner, session.tls.clone(), once).await.map_err(away)?;
    let refuse = |refusal| match (refusal, scheduled_at) {
        (Refusal::HeldTooLong, Some((time, when))) => schedule::held_too_long(time, when, desk),
        _ => refused(refusal, session, grant, &from.pointer, place),
    };
    let id = match begun.map_err(refuse)? {
        Begun::Reserved(id) => id,
        Begun::Repeated(id) => {
            *request = id;
            return Ok(Kept { id, octets, repeated: true, suppressed: Vec::new() });
        }
    };
    *request = id;
    let may_wait = scheduled_at.map_or(Ok(()), |(time, when)| schedule::may_wait(time, when, desk));
    let (beginning, facts) = match may_wait.and_then(|()| begin(id)) {
        Ok(begun) => begun,
        Err(fault) => {
            seat.visit.abort().await;
            return Err(fault);
        }
    };
    label.message_id = Some(facts.message_id.clone()).filter(|id| letter::is_shown(id));
    match hand_over(seat, (label, proof), &to, &beginning, rest, facts).await {
        Ok(Ok(id)) => {
            let numbered = |number| to.get(usize::try_from(number).ok()?).cloned();
            let suppressed = seat.visit.suppressed().into_iter().filter_map(numbered).collect();
            Ok(Kept { id, octets, repeated: false, suppressed })
        }
        Ok(Err(refusal)) => Err(refuse(refusal)),
        Err(lost) => {
            seat.visit.abort().await;
            Err(away(lost))
        }
    }
}

async fn hand_over(
    seat: &mut Seat,
    (label, proof): (Label, Option<Token>),
    recipients: &[Address],
    beginning: &[u8],
    rest: &[u8],
    facts: Facts,
) -> Result<Result<MessageId, Refusal>, Lost> {
    let visit = &mut seat.visit;
    visit.label(label).await?;
    if let Some(token) = proof {
        visit.prove(token).await?;
    }
    visit.recipients(&recipients.iter().cloned().map(Addressee::from).collect::<Vec<_>>()).await?;
    visit.content().await?;
    for octets in [beginning, rest] {
        for octets in octets.chunks(MAX_CONTENT) {
            visit.chunk(octets).await?;
        }
    }
    visit.commit(facts).await
}
