//! `POST /v1/validate`: what `/v1/send` would do with the same body, as far as that can be said without keeping it.

use hyper::StatusCode;
use serde::Serialize;

use super::letter::Letter;
use super::reply::{self, Issue, Reply};
use super::submit::{self, Draft};
use super::warnings;
use crate::mail::id::MessageId;

#[derive(Serialize)]
struct Valid {
    status: &'static str,
    request_id: String,
    envelope: Envelope,
    size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_at: Option<String>,
    warnings: Vec<Issue>,
}

#[derive(Serialize)]
struct Envelope {
    from: String,
    to: Vec<String>,
}

/// The answer for a letter that may go, and the message that it makes.
pub fn answer(letter: &Letter, draft: &Draft, id: MessageId) -> Reply {
    let envelope = Envelope {
        from: letter.from.address.to_string(),
        to: submit::recipients(letter).iter().map(ToString::to_string).collect(),
    };
    let valid = Valid {
        status: "valid",
        request_id: id.request_id(),
        envelope,
        size: draft.octets,
        scheduled_at: letter.scheduled_at.map(|time| time.to_string()),
        warnings: warnings::of(letter),
    };
    reply::json(StatusCode::OK, &valid, id)
}
