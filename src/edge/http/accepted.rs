//! The word of `/v1` that a message is kept.

use hyper::StatusCode;
use jiff::Timestamp;
use serde::Serialize;

use super::Session;
use super::parcel::Kept;
use super::reply::{self, Reply};
use super::request::Route;
use crate::policy::Grant;

#[derive(Serialize)]
struct Accepted {
    status: &'static str,
    request_id: String,
    id: String,
    /// None where a signature says that the message has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    /// When it leaves, if that is later.
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_at: Option<String>,
    warnings: [&'static str; 0],
}

/// Says it to the client, and to the log.
pub fn answer(
    session: &Session,
    grant: &Grant,
    route: Route,
    kept: Kept,
    message_id: Option<String>,
    scheduled_at: Option<Timestamp>,
) -> Reply {
    tracing::info!(
        request = %kept.id, peer = %session.peer, listener = session.front.desk.name, path = route.path(),
        principal = grant.principal, octets = kept.octets, repeated = kept.repeated, "accepted"
    );
    let accepted = Accepted {
        status: "accepted",
        request_id: kept.id.request_id(),
        id: kept.id.to_string(),
        message_id: message_id.map(|id| format!("<{id}>")),
        scheduled_at: scheduled_at.map(|time| time.to_string()),
        warnings: [],
    };
    reply::repeated(reply::json(StatusCode::ACCEPTED, &accepted, kept.id), kept.repeated)
}
