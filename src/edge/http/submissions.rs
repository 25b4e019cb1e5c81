//! `GET /v1/submissions/{id}`: what became of a message, to whoever sent it.

mod rendering;

use hyper::StatusCode;
use hyper::http::request::Parts;
use tokio::time::Instant;

use super::Session;
use super::login::{Seat, away, changed};
use super::reply::{self, Code, Fault, Reply};
use crate::edge::conversation::Lost;
use crate::ipc::inquiry::{Finding, Inquiry, Submission};
use crate::mail::id::MessageId;
use crate::policy::refusal::Refusal;
pub use rendering::Rendered;

/// The two spellings of an id, and no other: `req_` with 26 letters, or a UUID with its hyphens.
pub fn id(text: &str) -> Option<MessageId> {
    let is_spelt =
        text.starts_with("req_") || text.len() == 36 && text.bytes().filter(|octet| *octet == b'-').count() == 4;
    text.parse().ok().filter(|_| is_spelt)
}

/// Who asks, and what the vault knows of that message of theirs.
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
    let found = match message {
        Some(message) => submission(&mut seat, message).await?,
        None => None,
    };
    let found = found.ok_or_else(unknown)?;
    Ok(reply::json(StatusCode::OK, &Rendered::of(&found), id))
}

/// That message, if whoever sits there has sent it and it is remembered.
pub async fn submission(seat: &mut Seat, message: MessageId) -> Result<Option<Submission>, Fault> {
    match seat.visit.inquire(Inquiry::Submission { message }).await.map_err(away)? {
        Ok(Finding::Submission(found)) => Ok(found.map(|found| *found)),
        // It is no answer to that.
        Ok(_) => Err(away(Lost)),
        Err(refusal) => Err(refused(refusal)),
    }
}

/// Whether there never was one, it is another's or too old: one answer.
fn unknown() -> Fault {
    Fault::new(Code::SubmissionNotFound, "this key has sent no message of this id in the time that is remembered")
}

pub fn refused(refusal: Refusal) -> Fault {
    match refusal {
        Refusal::Revoked | Refusal::Changed => changed(),
        Refusal::Scope => Fault::new(
            Code::InsufficientScope,
            "this key is not for HTTP: its scopes have neither \"send\" nor \"send_raw\"",
        ),
        Refusal::RateLimited(seconds) => {
            Fault::new(Code::RateLimited, "this key asks more at a time than it may").after(seconds)
        }
        _ => away(Lost),
    }
}
