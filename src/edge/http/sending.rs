//! `/v1/send`, `/v1/send-raw` and `/v1/validate`: who, what, whether it may, and the vault's word.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::http::request::Parts;
use tokio::time::Instant;

use super::accepted::Accepted;
use super::correlation::Correlation;
use super::idempotency::Key;
use super::letter::Letter;
use super::login::Seat;
use super::preference::{self, Wait};
use super::reply::{Fault, Reply};
use super::request::Route;
use super::room::Place;
use super::{Session, body, media, mime, raw, submissions, submit, v1, warnings};
use crate::mail::id::MessageId;
use crate::policy::Grant;
use crate::policy::scope::Scope;

/// `POST /v1/send`: who, what, whether it may, and the vault's word.
pub async fn send(
    session: &Session,
    head: &Parts,
    body: Incoming,
    unread: &mut bool,
    id: &mut MessageId,
    until: Instant,
) -> Result<Reply, Fault> {
    let mut seat = session.seat.lock().await;
    seat.visit.turn_until(until);
    let key = Key::of(&head.headers)?;
    let (grant, letter, place) = written(session, &mut seat, head, body, unread).await?;
    let (scheduled_at, own_id) = (letter.scheduled_at, letter.message_id.clone());
    let test = letter.test || grant.test;
    // What leaves later comes to nothing meanwhile.
    let wait = Wait::of(&head.headers).filter(|_| scheduled_at.is_none());
    let once = key.map(|key| key.once(&letter));
    let (named, written) = (letter.recipients().cloned().collect::<Vec<_>>(), warnings::of(&letter));
    let kept = submit::submit(&mut seat, session, &grant, letter, once, id).await?;
    // What is waited for from here on needs no memory.
    drop(place);
    let message_id = own_id.unwrap_or_else(|| mime::message_id(kept.id, &session.front.hostname));
    let warnings = [warnings::suppressed(&kept, &named), written].concat();
    let accepted = Accepted { route: Route::Send, kept, message_id: Some(message_id), scheduled_at, test, warnings };
    accepted.log(session, &grant, Correlation::of(&head.headers));
    Ok(told(&mut seat, session, accepted, wait, until).await)
}

/// `POST /v1/send-raw`: the same, of a message that its client wrote whole.
pub async fn send_raw(
    session: &Session,
    head: &Parts,
    body: Incoming,
    unread: &mut bool,
    id: &mut MessageId,
    until: Instant,
) -> Result<Reply, Fault> {
    let mut seat = session.seat.lock().await;
    seat.visit.turn_until(until);
    let key = Key::of(&head.headers)?;
    let grant = seat.enter(session, &head.headers).await?;
    submit::is_good_for(&seat, &grant, Scope::SendRaw, &None)?;
    media::require_message(&head.headers)?;
    let whole = body::read(session, head, body, &grant, false).await?;
    *unread = false;
    let raw::Sent { kept, message_id, warnings } =
        raw::submit(&mut seat, session, &grant, &head.headers, whole, key.as_ref(), id).await?;
    let accepted = Accepted { route: Route::Raw, kept, message_id, scheduled_at: None, test: grant.test, warnings };
    accepted.log(session, &grant, Correlation::of(&head.headers));
    Ok(told(&mut seat, session, accepted, Wait::of(&head.headers), until).await)
}

/// `POST /v1/validate`: the same as `/v1/send`, up to the vault's word. Nothing is kept, and nothing counts against a limit.
pub async fn validate(
    session: &Session,
    head: &Parts,
    body: Incoming,
    unread: &mut bool,
    id: MessageId,
    until: Instant,
) -> Result<Reply, Fault> {
    let mut seat = session.seat.lock().await;
    seat.visit.turn_until(until);
    let (grant, mut letter, _place) = written(session, &mut seat, head, body, unread).await?;
    let draft = submit::draft(&seat, session, &grant, &mut letter, None, id)?;
    Ok(super::validate::answer(&letter, &draft, id))
}

/// Who writes, the letter, and its place in memory: it takes that until it is kept.
async fn written(
    session: &Session,
    seat: &mut Seat,
    head: &Parts,
    body: Incoming,
    unread: &mut bool,
) -> Result<(Arc<Grant>, Letter, Place), Fault> {
    let grant = seat.enter(session, &head.headers).await?;
    // Before its body, which whoever may not send at all needn't send either.
    submit::is_good_for(seat, &grant, Scope::Send, &None)?;
    media::require_json(&head.headers)?;
    let body::Whole { octets, place } = body::read(session, head, body, &grant, false).await?;
    *unread = false;
    let letter = v1::letter(&octets, grant.only_sender())?;
    Ok((grant, letter, place))
}

/// Says that it is kept, and what became of it where its client waits for that and it comes to its end in time.
async fn told(seat: &mut Seat, session: &Session, accepted: Accepted, wait: Option<Wait>, until: Instant) -> Reply {
    let message = accepted.kept.id;
    let Some(wait) = wait else { return accepted.answer(None) };
    let waited = submissions::wait(seat, session, message, wait.within(), until).await;
    // Whatever went wrong, it is kept: said is what is sure.
    let waited = waited.inspect_err(|fault| tracing::debug!(%message, ?fault, "what becomes of it was not waited for"));
    let (found, is_applied) = preference::told(waited.ok());
    let reply = accepted.answer(found.as_deref());
    if is_applied { wait.applied(reply) } else { reply }
}
