//! `POST /v1/validate`: what `/v1/send` would do with the same body, as far as that can be said without keeping it.

use std::collections::HashSet;

use hyper::StatusCode;
use serde::Serialize;

use super::letter::Letter;
use super::reply::{self, Issue, MAX_ISSUES, Reply};
use super::submit::{self, Draft};
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
        warnings: warnings(letter),
    };
    reply::json(StatusCode::OK, &valid, id)
}

/// What is sent as it is, and yet may not be what was meant.
fn warnings(letter: &Letter) -> Vec<Issue> {
    let mut warnings = Vec::new();
    if letter.subject.is_none() {
        let message = "is missing: the message goes out without a subject".to_owned();
        warnings.push(Issue { code: "no_subject", pointer: "/subject".to_owned(), message });
    }
    let mut known = HashSet::new();
    for mailbox in letter.recipients() {
        if !known.insert(mailbox.address.to_string()) {
            let message = "stands twice: it gets one copy".to_owned();
            warnings.push(Issue { code: "duplicate_recipient", pointer: mailbox.pointer.clone(), message });
        }
    }
    warnings.truncate(MAX_ISSUES);
    warnings
}
