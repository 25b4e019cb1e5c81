//! `/v1/submissions`: what became of messages, to whoever sent them, and taking one back.

mod listing;
mod rendering;

use std::time::Duration;

use hyper::StatusCode;
use hyper::http::request::Parts;
use jiff::Timestamp;
use tokio::time::Instant;

use super::login::{Seat, away, changed};
use super::members::{Findings, Table};
use super::query::{Query, number};
use super::reply::{self, Code, Fault, Reply};
use super::{Session, mime, schedule};
use crate::config::slice::Desk;
use crate::edge::front::Phase;
use crate::ipc::inquiry::{Canceled, Finding, Inquiry, LONGEST_WAIT_MS, Over, Rescheduled, Submission};
use crate::mail::id::MessageId;
use crate::policy::Grant;
use crate::policy::refusal::Refusal;
pub use listing::{cursor, list, tag};
pub use rendering::{Rendered, Standings, time, word};

/// Seconds that anybody waits for a message at most.
pub const LONGEST_WAIT: u32 = LONGEST_WAIT_MS / 1000;
/// What is left of a request's time when a wait is over, for the answer.
const ANSWERING: Duration = Duration::from_secs(5);

const PARAMETERS: &Table = &[("wait", &[])];

/// The two spellings of an id, and no other: `req_` with 26 letters, or a UUID with its hyphens.
pub fn id(text: &str) -> Option<MessageId> {
    let is_spelt =
        text.starts_with("req_") || text.len() == 36 && text.bytes().filter(|octet| *octet == b'-').count() == 4;
    text.parse().ok().filter(|_| is_spelt)
}

/// What is known of a message, and why it isn't waited for any more.
#[derive(Debug)]
pub struct Waited {
    pub found: Option<Box<Submission>>,
    pub over: Over,
}

/// Who asks, and what the vault knows of that message of theirs, at once or when nothing more becomes of it.
pub async fn find(
    session: &Session,
    head: &Parts,
    message: Option<MessageId>,
    id: MessageId,
    until: Instant,
) -> Result<Reply, Fault> {
    let mut seat = session.seat.lock().await;
    seat.visit.turn_until(until);
    seat.enter(session, &head.headers).await?;
    let mut findings = Findings::default();
    let query = Query::read(&mut findings, PARAMETERS, head.uri.query());
    let seconds = query.take(&mut findings, "wait", |text| number(text, 1, LONGEST_WAIT));
    findings.verdict()?;
    let message = message.ok_or_else(unknown)?;
    let (found, over) = match seconds {
        Some(seconds) => {
            let within = Duration::from_secs(seconds.into());
            let Waited { found, over } = wait(&mut seat, session, message, within, until).await?;
            (found, Some(over))
        }
        None => (submission(&mut seat, message).await?, None),
    };
    let found = found.ok_or_else(unknown)?;
    Ok(reply::json(StatusCode::OK, &Rendered::of(&found).waited(over), id))
}

/// Takes that message back, if it isn't too late.
pub async fn cancel(
    session: &Session,
    head: &Parts,
    message: Option<MessageId>,
    id: MessageId,
    until: Instant,
) -> Result<Reply, Fault> {
    let mut seat = session.seat.lock().await;
    seat.visit.turn_until(until);
    seat.enter(session, &head.headers).await?;
    let mut findings = Findings::default();
    Query::read(&mut findings, &[], head.uri.query());
    findings.verdict()?;
    let found = canceled(&mut seat, message.ok_or_else(unknown)?).await?;
    Ok(reply::json(StatusCode::OK, &Rendered::of(&found), id))
}

/// That message as it stands when nobody gets it any more.
pub async fn canceled(seat: &mut Seat, message: MessageId) -> Result<Box<Submission>, Fault> {
    match ask(seat, Inquiry::Cancel { message }).await? {
        Finding::Canceled(Some(Canceled::Done(found))) => Ok(found),
        Finding::Canceled(Some(Canceled::Not(found))) => {
            Err(Fault::new(Code::NotCancelable, too_late("taken back", &found)))
        }
        Finding::Canceled(None) => Err(unknown()),
        _ => Err(astray()),
    }
}

/// That message as it waits for another time, which this listener holds messages for.
pub async fn rescheduled(
    seat: &mut Seat,
    desk: &Desk,
    message: MessageId,
    time: Timestamp,
) -> Result<Box<Submission>, Fault> {
    let when = mime::now();
    schedule::may_wait(time, &when, desk)?;
    let inquiry = Inquiry::Reschedule { message, release_us: schedule::release_us(time) };
    let asked = seat.visit.inquire(inquiry).await.map_err(away)?;
    let refuse = |refusal| match refusal {
        Refusal::HeldTooLong => schedule::held_too_long(time, &when, desk),
        _ => refused(seat, refusal),
    };
    match asked.map_err(refuse)? {
        Finding::Rescheduled(Some(Rescheduled::Done(found))) => Ok(found),
        Finding::Rescheduled(Some(Rescheduled::Not(found))) => {
            Err(Fault::new(Code::NotReschedulable, too_late("given another time", &found)))
        }
        Finding::Rescheduled(Some(Rescheduled::TooOften(_))) => {
            let message = "it was given another time as often as it may be, and nothing was changed: it leaves at the last one, or is \
                           taken back before";
            Err(Fault::new(Code::NotReschedulable, message))
        }
        Finding::Rescheduled(None) => Err(unknown()),
        _ => Err(astray()),
    }
}

/// That message, if whoever sits there has sent it and it is remembered.
pub async fn submission(seat: &mut Seat, message: MessageId) -> Result<Option<Box<Submission>>, Fault> {
    match ask(seat, Inquiry::Submission { message }).await? {
        Finding::Submission(found) => Ok(found),
        _ => Err(astray()),
    }
}

/// The same, when nothing more becomes of it or so much time is over. A client that hangs up, and the end of this process, end it:
/// then it is answered with what is known.
pub async fn wait(
    seat: &mut Seat,
    session: &Session,
    message: MessageId,
    within: Duration,
    until: Instant,
) -> Result<Waited, Fault> {
    let within = within.min(until.saturating_duration_since(Instant::now()).saturating_sub(ANSWERING));
    let within_ms = u32::try_from(within.as_millis()).unwrap_or(LONGEST_WAIT_MS).min(LONGEST_WAIT_MS);
    let (mut silence, mut phase) = (session.silence.clone(), session.front.phase.clone());
    let left = async move {
        // When nobody can say it any more, it is so.
        tokio::select! {
            _ = silence.wait_for(|is_silent| *is_silent) => {}
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => {}
        }
    };
    let asked = seat.visit.inquire_within(Inquiry::Wait { message, within_ms }, within, left).await;
    match asked.map_err(away)?.map_err(|refusal| refused(seat, refusal))? {
        Finding::Waited(found, over) => Ok(Waited { found, over }),
        _ => Err(astray()),
    }
}

pub async fn ask(seat: &mut Seat, inquiry: Inquiry) -> Result<Finding, Fault> {
    seat.visit.inquire(inquiry).await.map_err(away)?.map_err(|refusal| refused(seat, refusal))
}

/// Whether there never was one, it is another's or too old: one answer.
pub fn unknown() -> Fault {
    Fault::new(Code::SubmissionNotFound, "this key has sent no message of this id in the time that is remembered")
}

/// The vault has answered another question than was asked.
pub fn astray() -> Fault {
    Fault::new(Code::InternalError, "the answer does not fit the question; tell the operator").closing()
}

fn too_late(what: &str, found: &Submission) -> String {
    let status = word(found.status);
    format!(
        "it can't be {what}, and nothing was changed: its status is \"{status}\" (see the submission for its recipients)"
    )
}

/// Why the vault tells this key nothing.
pub fn refused(seat: &Seat, refusal: Refusal) -> Fault {
    match refusal {
        Refusal::Revoked | Refusal::Changed => changed(),
        Refusal::Scope if seat.grant().is_some_and(Grant::is_public) => {
            Fault::new(Code::InsufficientScope, "this key stands in a page and sees no mail")
        }
        Refusal::Scope => Fault::new(Code::InsufficientScope, "its scopes have neither \"send\" nor \"send_raw\""),
        Refusal::RateLimited(seconds) => {
            Fault::new(Code::RateLimited, "this key asks more at a time than it may").after(seconds)
        }
        _ => away(crate::edge::conversation::Lost),
    }
}
