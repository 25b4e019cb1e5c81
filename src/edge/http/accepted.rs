//! The word of `/v1` that a message is kept, and what became of it where that is known by then.

use hyper::StatusCode;
use jiff::Timestamp;
use serde::Serialize;

use super::Session;
use super::correlation::Correlation;
use super::parcel::Kept;
use super::reply::{self, Issue, Reply};
use super::request::{self, Route};
use super::submissions::{Rendered, Standings, word};
use crate::ipc::inquiry::Submission;
use crate::policy::Grant;

/// A message that is kept.
#[derive(Debug)]
pub struct Accepted {
    pub route: Route,
    pub kept: Kept,
    /// None where a signature says that the message has none.
    pub message_id: Option<String>,
    /// When it leaves, if that is later.
    pub scheduled_at: Option<Timestamp>,
    /// It is for a test.
    pub test: bool,
    pub warnings: Vec<Issue>,
}

#[derive(Serialize)]
struct Wire {
    status: &'static str,
    request_id: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    submission: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_at: Option<String>,
    /// Nothing is sent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    test: bool,
    #[serde(flatten)]
    verdict: Option<Verdict>,
    warnings: Vec<Issue>,
}

/// What became of it.
#[derive(Serialize)]
struct Verdict {
    code: Option<&'static str>,
    message: &'static str,
    may_be_delivered: bool,
    counts: Option<Standings>,
}

impl Accepted {
    /// Says it to the log.
    pub fn log(&self, session: &Session, grant: &Grant, known: Correlation<'_>) {
        let (Self { route, kept, .. }, Correlation { client_request_id, trace_id }) = (self, known);
        tracing::info!(
            request = %kept.id, peer = %session.peer, listener = session.front.desk.name, path = route.path(),
            principal = grant.principal, octets = kept.octets, repeated = kept.repeated, client_request_id, trace_id, "accepted"
        );
    }

    /// Says it to the client: 202, or 200 when it has come to its end. One that failed is 200, too: it was taken, and whoever gets
    /// an error sends again.
    pub fn answer(self, ended: Option<&Submission>) -> Reply {
        let Self { kept, message_id, scheduled_at, test, warnings, .. } = self;
        let verdict = ended.map(|found| {
            let Rendered { code, message, may_be_delivered, counts, .. } = Rendered::summary(found);
            Verdict { code, message, may_be_delivered, counts }
        });
        let wire = Wire {
            status: ended.map_or("accepted", |found| word(found.status)),
            request_id: kept.id.request_id(),
            id: kept.id.to_string(),
            message_id: message_id.map(|id| format!("<{id}>")),
            submission: request::submission_of(kept.id),
            scheduled_at: scheduled_at.map(|time| time.to_string()),
            test,
            verdict,
            warnings,
        };
        let status = if ended.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
        reply::repeated(reply::json(status, &wire, kept.id), kept.repeated)
    }
}
