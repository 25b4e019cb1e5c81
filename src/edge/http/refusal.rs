//! What the wall refuses: told to the service's log, and answered as everything else is. hyper knows nothing of it.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::header::{self, HeaderValue};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::body::NO_ROOM;
use super::correlation::Correlation;
use super::reply::{Fault, Reply};
use super::surface::Surface;
use super::{mime, wall};
use crate::edge::front::Front;
use crate::ipc::counted::Count;
use crate::mail::id::MessageId;

/// The answer is short: it fits what a socket takes, unless nobody has read for long.
const WRITE: Duration = Duration::from_secs(2);

/// Says in the log that a request was refused, a hundred times a minute by itself and then by number.
pub fn tell(front: &Front, peer: SocketAddr, id: MessageId, path: &str, fault: &Fault, known: Correlation<'_>) {
    let listener = &front.desk.name;
    let further = {
        let listener = listener.clone();
        move |requests| tracing::info!(listener, requests, "further requests were refused, not told one by one")
    };
    if front.refusals.has_line(further) {
        let Correlation { client_request_id, trace_id } = known;
        let code = fault.code.row().0;
        let reason = fault.no_room.then_some(NO_ROOM);
        tracing::info!(request = %id, %peer, listener, path, code, reason, client_request_id, trace_id, "refused");
    }
}

/// Says, with the same bound, that a request was answered as if its message were taken: an application that was left with that
/// token sends nothing, and nobody would know why.
pub fn tell_of_rehearsal(front: &Front, peer: SocketAddr, id: MessageId, path: &str) {
    let listener = &front.desk.name;
    let further = {
        let listener = listener.clone();
        move |requests| {
            tracing::warn!(listener, requests, "further requests with the token of tests, not told one by one")
        }
    };
    if front.rehearsals.has_line(further) {
        tracing::warn!(request = %id, %peer, listener, path, "answered with the token of tests: nothing is sent");
    }
}

/// Answers octets that are no request. The connection ends with it.
pub async fn answer<S: AsyncWrite + Unpin>(stream: &mut S, flaw: wall::Flaw, front: &Front, peer: SocketAddr) {
    let id = MessageId::now();
    let (bodiless, left, surface) = (flaw.bodiless, flaw.left, Surface::of(&flaw.path, &front.desk.serve));
    front.meter.count(Count::Malformed(flaw.kind()));
    let fault = Fault::from(flaw);
    if left {
        tracing::debug!(request = %id, %peer, "the client left in the middle of a head");
    } else {
        tell(front, peer, id, "", &fault, Correlation::default());
    }
    let reply = surface.fault(&fault, id);
    let octets = octets(reply, bodiless).await;
    // Who is gone, or reads nothing, is told nothing.
    let _ = timeout(WRITE, async {
        stream.write_all(&octets).await?;
        stream.flush().await
    })
    .await;
}

/// A reply as it goes over the wire: in answer to HEAD, its head alone, which still says how long the body would be. A body
/// there would be read as the beginning of the next answer.
async fn octets(mut reply: Reply, bodiless: bool) -> Vec<u8> {
    let date = HeaderValue::from_str(&mime::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
    let body = match reply.body_mut().collect().await {
        Ok(body) => body.to_bytes(),
        Err(never) => match never {},
    };
    reply.headers_mut().extend(date.map(|date| (header::DATE, date)));
    reply.headers_mut().insert(header::CONTENT_LENGTH, body.len().into());
    let status = reply.status();
    let reason = status.canonical_reason().unwrap_or_default();
    let mut octets = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
    for (name, value) in reply.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            octets.extend_from_slice(part);
        }
    }
    octets.extend_from_slice(b"\r\n");
    if !bodiless {
        octets.extend_from_slice(&body);
    }
    octets
}
