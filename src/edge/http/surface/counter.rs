//! Where requests of the surfaces are served: who, what, whether it may, and the vault's word, for each message of it.

mod strict;

use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use tokio::time::{Instant, timeout};

use super::{Call, Surface, bulk, form, gateway, look, postmark, resend, tree, usesend};
use crate::edge::front::Front;
use crate::edge::http::body::{self, Bounds, Whole};
use crate::edge::http::correlation::Correlation;
use crate::edge::http::idempotency::{self, Key};
use crate::edge::http::json::parse_octets;
use crate::edge::http::letter::Letter;
use crate::edge::http::login::Seat;
use crate::edge::http::parcel::Kept;
use crate::edge::http::reply::{self, Code, Fault, Reply};
use crate::edge::http::room::Room;
use crate::edge::http::submit;
use crate::edge::http::turnstile;
use crate::edge::http::{Session, media, refusal, submissions};
use crate::ipc::inquiry::Submission;
use crate::ipc::once::Once;
use crate::mail::id::MessageId;
use crate::policy::Grant;
use crate::policy::scope::Scope;
use strict::Done;

/// A body that is read for somebody who has said no key. How many are read at a time is bounded where its place is taken.
const REHEARSAL: Bounds = Bounds { most: REHEARSED, room: &REHEARSALS, total: REHEARSED_WITHIN };
const REHEARSED: usize = 16 * 1024;
const REHEARSED_WITHIN: Duration = Duration::from_secs(5);
static REHEARSALS: Room = Room::new(usize::MAX, 0);
/// Seconds until there may be room again for one.
const REHEARSAL_AGAIN: u32 = 2;

/// A client that is known, at its seat.
struct Customer<'s> {
    session: &'s Session,
    seat: &'s mut Seat,
    grant: &'s Grant,
    call: Call,
    correlation: Correlation<'s>,
    until: Instant,
    /// By which its request is known again.
    key: Option<Key>,
    /// All that was asked for so far was done before.
    repeated: Option<bool>,
    /// This connection can't be used any more.
    over: bool,
}

/// Serves a call. `unread` tells whether something of the body is left, `id` the one message that came of it.
pub async fn serve(
    session: &Session,
    (head, body): (&Parts, Incoming),
    unread: &mut bool,
    id: &mut MessageId,
    until: Instant,
    call: Call,
) -> Result<Reply, Fault> {
    let is_postmark = call.surface() == Surface::Postmark;
    if is_postmark && postmark::is_test(&head.headers) {
        let reply = rehearsal(&session.front, head, body, unread, *id, call).await?;
        refusal::tell_of_rehearsal(&session.front, session.peer, *id, call.path());
        return Ok(reply);
    }
    let mut seat = session.seat.lock().await;
    seat.visit.turn_until(until);
    let grant = if is_postmark {
        seat.enter(session, &postmark::credentials(&head.headers)?).await?
    } else {
        seat.enter(session, &head.headers).await?
    };
    if call == Call::PostmarkTemplate {
        return Err(postmark::no_templates());
    }
    if !call.is_look_up() {
        // Before its body is read, and of a batch once.
        submit::is_good_for(&seat, &grant, Scope::Send, &None)?;
    }
    if call.reads_its_body() {
        media::require_json(&head.headers)?;
    }
    let key = Key::of(&head.headers)?;
    let is_atomic = call == Call::Bulk && bulk::is_atomic(head.uri.query(), key.is_some())?;
    let whole = body::read(session, head, body, &grant, call.is_batch()).await?;
    *unread = false;
    let (correlation, repeated, over) = (Correlation::of(&head.headers), None, false);
    let mut customer =
        Customer { session, seat: &mut seat, grant: &grant, call, correlation, until, key, repeated, over };
    let reply = customer.answer(head, whole, is_atomic, id).await?;
    let mut reply = reply::repeated(reply, customer.repeated == Some(true));
    if customer.over {
        reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(reply)
}

/// One message of Postmark's batch, as it was read, and what its answer says of it.
type Read = (Result<Letter, Fault>, postmark::Echo);

fn postmark_batch(octets: &[u8]) -> Result<Vec<Read>, Fault> {
    let read = |node| {
        let mut echo = postmark::Echo::default();
        (postmark::letter(node, &mut echo), echo)
    };
    Ok(tree::batch(octets, postmark::MAX_BATCH)?.into_iter().map(read).collect())
}

/// What a client asks for with Postmark's token of tests: it is checked and answered, and nothing is sent. Anybody can say that
/// token, so the vault isn't asked, and only a short body is read.
async fn rehearsal(
    front: &Front,
    head: &Parts,
    body: Incoming,
    unread: &mut bool,
    id: MessageId,
    call: Call,
) -> Result<Reply, Fault> {
    if call.is_look_up() {
        return Err(not_for_looking());
    }
    media::require_json(&head.headers)?;
    if body.size_hint().upper().is_none_or(|octets| octets > REHEARSED as u64) {
        let message = format!("with the token of tests a body has a length, of at most {REHEARSED} octets");
        return Err(Fault::new(Code::PayloadTooLarge, message).closing());
    }
    let busy = |_| Fault::new(Code::QueueFull, "too many are being tried; try again").after(REHEARSAL_AGAIN).closing();
    let _place = front.rehearsing.try_acquire().map_err(busy)?;
    let slow = |_| Fault::new(Code::RequestTimeout, "the body came too slowly").closing();
    let whole = timeout(REHEARSED_WITHIN, body::read_within(head, body, "", &REHEARSAL)).await.map_err(slow)??;
    *unread = false;
    match call {
        Call::PostmarkEmail => {
            let mut echo = postmark::Echo::default();
            postmark::letter(parse_octets(&whole.octets, false)?, &mut echo)?;
            Ok(postmark::answered(&postmark::outcome(Ok(tried(id)), echo, true), id))
        }
        Call::PostmarkBatch => {
            let outcome = |(letter, echo): Read| postmark::outcome(letter.map(|_| tried(MessageId::now())), echo, true);
            let outcomes: Vec<_> = postmark_batch(&whole.octets)?.into_iter().map(outcome).collect();
            Ok(postmark::answered(&outcomes, id))
        }
        _ => Err(not_for_looking()),
    }
}

fn not_for_looking() -> Fault {
    Fault::new(Code::Unauthorized, "the token of tests is for sending")
}

/// A message that would be kept.
const fn tried(id: MessageId) -> Kept {
    Kept { id, octets: 0, repeated: false, suppressed: Vec::new() }
}

fn only_ids(results: Vec<Result<Kept, Fault>>) -> Vec<Result<MessageId, Fault>> {
    results.into_iter().map(|result| result.map(|kept| kept.id)).collect()
}

/// Most clients know of a batch that is taken that each message has an id: the audit log has what became of it.
fn ids(done: Vec<Done>) -> Vec<MessageId> {
    done.into_iter().map(|done| done.map_or_else(|(id, _)| id, |kept| kept.id)).collect()
}

impl Customer<'_> {
    /// Does what the call asks for.
    async fn answer(
        &mut self,
        head: &Parts,
        whole: Whole,
        is_atomic: bool,
        id: &mut MessageId,
    ) -> Result<Reply, Fault> {
        let octets = &whole.octets;
        match self.call {
            Call::Bulk => {
                let letters = bulk::letters(octets, self.grant.only_sender())?;
                let echoes: Vec<_> = letters.iter().map(bulk::Echo::of).collect();
                let results = if is_atomic {
                    self.all(letters, *id).await?.into_iter().map(|done| done.map_err(|(_, fault)| fault)).collect()
                } else {
                    self.each(letters, *id).await?
                };
                Ok(bulk::answer(results, echoes, &self.session.front.hostname, *id))
            }
            Call::Send => {
                let body = parse_octets(octets, false)?;
                // Where none is demanded nothing is asked of it.
                let proof = if self.grant.turnstile { turnstile::token(&body, &head.headers)? } else { None };
                let (body, is_filled) = match &self.grant.form {
                    Some(_) => form::filled(body, self.grant)?,
                    None => (body, false),
                };
                let letter = Letter { proof, ..gateway::letter(body)? };
                // Whom the page didn't name, it isn't told of.
                let named = if is_filled { Vec::new() } else { gateway::recipients(&letter) };
                let kept = self.submit(letter, id).await?;
                // What is waited for from here on needs no memory.
                drop(whole);
                // A public page sees no mail.
                let known = if self.grant.form.is_none() { self.became(&kept).await } else { None };
                Ok(gateway::accepted(&kept, &named, known.as_deref(), *id))
            }
            Call::ResendEmail => {
                let letter = resend::letter(parse_octets(octets, false)?)?;
                Ok(resend::accepted(self.submit(letter, id).await?.id, *id))
            }
            Call::ResendBatch => {
                let nodes = tree::batch(octets, resend::MAX_BATCH)?;
                let is_permissive = resend::is_permissive(&head.headers);
                let letters = nodes.into_iter().map(resend::letter).collect();
                let results = if is_permissive {
                    only_ids(self.each(letters, *id).await?)
                } else {
                    ids(self.all(letters, *id).await?).into_iter().map(Ok).collect()
                };
                Ok(resend::batch(results, is_permissive, *id))
            }
            Call::ResendUpdate => look::update(self.seat, &self.session.front.desk, head.uri.path(), octets, *id).await,
            call if call.is_asked_of_the_vault() => look::answer(self.seat, call, head, *id).await,
            Call::ResendList => Ok(resend::nothing(*id)),
            Call::UsesendEmail => {
                let letter = usesend::letter(parse_octets(octets, false)?)?;
                Ok(usesend::accepted(self.submit(letter, id).await?.id, *id))
            }
            Call::UsesendBatch => {
                let nodes = tree::batch(octets, usesend::MAX_BATCH)?;
                let letters = nodes.into_iter().map(usesend::letter).collect();
                Ok(usesend::batch(ids(self.all(letters, *id).await?), *id))
            }
            Call::PostmarkEmail => {
                let mut echo = postmark::Echo::default();
                let letter = postmark::letter(parse_octets(octets, false)?, &mut echo)?;
                let kept = self.submit(letter, id).await.map_err(|fault| echo.explain(fault))?;
                Ok(postmark::answered(&postmark::outcome(Ok(kept), echo, false), *id))
            }
            Call::PostmarkBatch => {
                let (letters, echoes): (Vec<_>, Vec<_>) = postmark_batch(octets)?.into_iter().unzip();
                let results = self.each(letters, *id).await?;
                let outcomes: Vec<_> = results
                    .into_iter()
                    .zip(echoes)
                    .map(|(result, echo)| postmark::outcome(result.map_err(|fault| echo.explain(fault)), echo, false))
                    .collect();
                Ok(postmark::answered(&outcomes, *id))
            }
            Call::PostmarkServer => {
                Ok(postmark::answered(&postmark::server(&self.session.front.hostname, self.grant.test), *id))
            }
            // What is left is answered above.
            _ => Err(postmark::no_templates()),
        }
    }

    /// Has the only message of a request kept.
    async fn submit(&mut self, letter: Letter, id: &mut MessageId) -> Result<Kept, Fault> {
        let once = self.key.as_ref().map(|key| key.once(&letter));
        let kept = submit::submit(self.seat, self.session, self.grant, letter, once, id).await?;
        Ok(self.accepted(kept))
    }

    /// What became of it while its client waited. Whatever goes wrong, it is kept: said is what is sure.
    async fn became(&mut self, kept: &Kept) -> Option<Box<Submission>> {
        let waited = submissions::wait(self.seat, self.session, kept.id, gateway::WAIT, self.until).await;
        let unheard =
            |fault: &Fault| tracing::debug!(message = %kept.id, ?fault, "what becomes of it was not waited for");
        waited.inspect_err(unheard).ok()?.found
    }

    fn accepted(&mut self, kept: Kept) -> Kept {
        self.repeated = Some(self.repeated.unwrap_or(true) && kept.repeated);
        let Correlation { client_request_id, trace_id } = self.correlation;
        tracing::info!(
            request = %kept.id, peer = %self.session.peer, listener = self.session.front.desk.name, path = self.call.path(),
            principal = self.grant.principal, octets = kept.octets, repeated = kept.repeated, client_request_id, trace_id, "accepted"
        );
        kept
    }

    /// By what each message of a batch is known again: one key is for all of them.
    fn onces(&self, letters: &[Result<Letter, Fault>]) -> Vec<Option<Once>> {
        match &self.key {
            Some(key) => key.onces(letters.iter().map(|letter| letter.as_ref().ok())).into_iter().map(Some).collect(),
            None => vec![None; letters.len()],
        }
    }

    /// Each message of a batch by itself: what is wrong with one is nothing to the others. Each is kept before the next is
    /// begun. After one that must wait (a limit, a full disk), or when the connection can't go on, the rest gets the same word.
    /// A key that is in use, or was used for something else, is the whole request's, unless one of its messages was kept just now:
    /// the client must hear of that, and would have it sent again if it took a new key for them all.
    async fn each(
        &mut self,
        letters: Vec<Result<Letter, Fault>>,
        id: MessageId,
    ) -> Result<Vec<Result<Kept, Fault>>, Fault> {
        let onces = self.onces(&letters);
        let (mut results, mut is_any_new) = (Vec::new(), false);
        let mut over: Option<Fault> = None;
        for (letter, once) in letters.into_iter().zip(onces) {
            if let Some(fault) = &over {
                results.push(Err(fault.clone()));
                continue;
            }
            let result = match letter {
                Ok(letter) => {
                    let kept = submit::submit(self.seat, self.session, self.grant, letter, once, &mut id.clone()).await;
                    is_any_new |= kept.as_ref().is_ok_and(|kept| !kept.repeated);
                    kept.map(|kept| self.accepted(kept))
                }
                Err(fault) => Err(fault),
            };
            if let Err(fault) = &result
                && idempotency::is_of_the_key(fault)
                && !is_any_new
            {
                return Err(fault.clone());
            }
            if let Err(fault) = &result {
                refusal::tell(&self.session.front, self.session.peer, id, self.call.path(), fault, self.correlation);
                self.over = fault.close;
                // What has a finding is of this message alone.
                let is_of_all = fault.retry_after.is_some() && fault.issues.is_empty();
                over = (fault.close || is_of_all).then(|| fault.clone());
            }
            results.push(result);
        }
        Ok(results)
    }
}
