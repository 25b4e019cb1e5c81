//! What those who watch the service are answered. Nothing is asked of anybody for it: a probe can't be used to load anything.

mod exposition;

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use ipnet::IpNet;
use serde::Serialize;

use super::Session;
use super::reply::{self, Code, Fault, Reply};
use crate::ipc::figures::family::Family;
use crate::ipc::figures::metric::Metric;
use crate::ipc::figures::{Figures, reasons};
use crate::mail::id::MessageId;
use exposition::Format;

/// What the vault said longer ago is not how the service is: it looks every two seconds, and gives its store five to answer.
const FRESH: Duration = Duration::from_secs(15);
/// The vault is away, or says nothing.
const AWAY: &str = "vault";
/// When it may be worth another look.
const AGAIN: u32 = 5;
/// Fields by which a proxy says that it passes on what another asks. From where that other asks, nobody here knows.
const FORWARDED: [&str; 9] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "via",
];

#[derive(Serialize)]
struct Health<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<&'a str>,
}

/// Says that the process answers, and nothing else: whoever may connect may know that.
pub fn alive(id: MessageId) -> Reply {
    reply::json(StatusCode::OK, &Health { status: "ok", reasons: Vec::new() }, id)
}

/// Says whether the service takes mail.
///
/// Errors: it isn't asked from where it may be.
pub fn ready(session: &Session, head: &Parts, id: MessageId) -> Result<Reply, Fault> {
    admit(session, &head.headers)?;
    let figures = session.vault.figures(FRESH);
    let (status, health) = judge(figures.as_deref());
    let mut reply = reply::json(status, &health, id);
    if status != StatusCode::OK {
        reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(AGAIN));
    }
    Ok(reply)
}

/// What is counted and measured, as the vault told it last.
///
/// Errors: it isn't asked from where it may be.
pub fn metrics(session: &Session, head: &Parts, id: MessageId) -> Result<Reply, Fault> {
    admit(session, &head.headers)?;
    let figures = session.vault.figures(FRESH);
    let mut families = own(judge(figures.as_deref()));
    families.extend(figures.iter().flat_map(|figures| figures.families.clone()));
    let accept = head.headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::wanted(accept);
    let mut reply = reply::json(StatusCode::OK, &(), id);
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    reply.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    *reply.body_mut() = exposition::render(&families, format).into();
    Ok(reply)
}

/// What is known here, whether the vault is there or not.
fn own((status, health): (StatusCode, Health<'static>)) -> Vec<Family> {
    let words = reasons().into_iter().chain([AWAY]);
    vec![
        Family::by(Metric::BuildInfo, [(env!("CARGO_PKG_VERSION"), 1)]),
        Family::plain(Metric::Ready, u64::from(status == StatusCode::OK)),
        Family::by(Metric::ReadyReason, words.map(|word| (word, u64::from(health.reasons.contains(&word))))),
    ]
}

/// What there is to say of it, with the words of `gatepost status`. This process may be leaving while another serves: that is no
/// matter of the service's.
fn judge(figures: Option<&Figures>) -> (StatusCode, Health<'static>) {
    let obstacles: Vec<_> = match figures {
        None => vec![AWAY],
        Some(figures) => figures.obstacles.iter().map(|obstacle| obstacle.word()).collect(),
    };
    let ailments = figures.iter().flat_map(|figures| &figures.ailments);
    let reasons: Vec<_> = obstacles.iter().copied().chain(ailments.map(|ailment| ailment.word())).collect();
    match (obstacles.is_empty(), reasons.is_empty()) {
        (true, true) => (StatusCode::OK, Health { status: "ready", reasons }),
        (true, false) => (StatusCode::OK, Health { status: "degraded", reasons }),
        _ => (StatusCode::SERVICE_UNAVAILABLE, Health { status: "unavailable", reasons }),
    }
}

/// Whether it is asked from where the service may be watched. A proxy's address says nothing about who asks through it.
fn admit(session: &Session, headers: &HeaderMap) -> Result<(), Fault> {
    let is_forwarded = session.has_trusted_peer() || FORWARDED.iter().any(|field| headers.contains_key(*field));
    let peer = session.peer.ip().to_canonical();
    let networks: &[IpNet] = &session.front.desk.reach.ops_networks;
    let is_near = match networks {
        [] => peer.is_loopback(),
        some => some.iter().any(|network| network.contains(&peer)),
    };
    if is_near && !is_forwarded {
        return Ok(());
    }
    let message =
        "this path is answered to the networks that the operator lists in ops_networks, and never through a proxy";
    Err(Fault::new(Code::Forbidden, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::admin::load::Obstacle;

    #[test]
    fn rule_o1_a_service_that_stops_is_not_ready_and_one_of_which_nothing_is_known_neither() {
        let stops = Figures { obstacles: vec![Obstacle::Draining], ..Figures::default() };
        for (figures, reason) in [(None, "vault"), (Some(&stops), "draining")] {
            let (status, health) = judge(figures);
            assert_eq!((status, health.reasons), (StatusCode::SERVICE_UNAVAILABLE, vec![reason]));
        }
        assert_eq!(judge(Some(&Figures::default())).0, StatusCode::OK);
    }
}
