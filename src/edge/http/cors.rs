//! Which pages of other sites may send from a visitor's browser: those whose origin the listener names, and to the two paths
//! that take one message. A browser asks before it sends JSON with a key, and shows a page only answers that name its origin.

use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::reply::{self, Code, Fault, Reply};
use crate::config::slice::{Desk, Serve};
use crate::mail::id::MessageId;

const PATHS: [(&str, Serve); 2] = [("/send", Serve::Send), ("/v1/send", Serve::V1)];
/// Fields that a page may set, and those of an answer that it may read.
const FIELDS: &str = "authorization, cf-turnstile-response, content-type, idempotency-key, x-api-key";
const EXPOSED: &str = "X-Request-Id, Retry-After, Idempotency-Replayed, RateLimit, RateLimit-Policy, RateLimit-Limit, \
                       RateLimit-Remaining, RateLimit-Reset";
/// Seconds for which a browser need not ask again.
const MAX_AGE: &str = "600";

/// Whether a request is a browser's question beforehand, and its answer: yes, or a refusal. Where no origin is named it is a
/// request like any other, with a method that the path doesn't have.
pub fn preflight(head: &Parts, desk: &Desk) -> Option<Result<(), Fault>> {
    if head.method != Method::OPTIONS || !is_shared(head, desk) {
        return None;
    }
    let method = head.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD);
    let is_known = origin(&head.headers, desk).is_some() && method.is_some_and(|method| method == "POST");
    let refused = |message: String| Err(Fault::new(Code::ForbiddenOrigin, message));
    Some(match (is_known, may_set(&head.headers)) {
        (true, true) => Ok(()),
        (true, false) => refused(format!("pages may set no other fields than {FIELDS}")),
        (false, _) => refused("pages of this origin may not send from here; its operator lists origins".to_owned()),
    })
}

/// The answer yes.
pub fn granted(id: MessageId) -> Reply {
    let mut reply = reply::json(StatusCode::NO_CONTENT, &(), id);
    *reply.body_mut() = Full::default();
    let headers = reply.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(FIELDS));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    reply
}

/// Has a page of a known origin read this answer. No cookie and no login of a browser ever counts here, so none is allowed.
pub fn share(reply: &mut Reply, head: &Parts, desk: &Desk) {
    if !is_shared(head, desk) {
        return;
    }
    let headers = reply.headers_mut();
    // Whatever keeps answers must not give one page another's.
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin(&head.headers, desk) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
}

/// Whether a listener with origins serves this path to pages.
fn is_shared(head: &Parts, desk: &Desk) -> bool {
    let path = head.uri.path();
    !desk.reach.origins.is_empty() && PATHS.iter().any(|(shared, serve)| *shared == path && desk.serve.contains(serve))
}

/// The request's origin, if it is one and listed.
fn origin(headers: &HeaderMap, desk: &Desk) -> Option<HeaderValue> {
    let mut all = headers.get_all(header::ORIGIN).iter();
    let only = all.next().filter(|_| all.next().is_none())?;
    desk.reach.origins.iter().any(|known| known.as_bytes() == only.as_bytes()).then(|| only.clone())
}

fn may_set(headers: &HeaderMap) -> bool {
    let known = |name: &str| FIELDS.split(", ").any(|field| field.eq_ignore_ascii_case(name));
    headers.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).iter().all(|value| {
        value.to_str().is_ok_and(|list| list.split(',').map(str::trim).all(|name| name.is_empty() || known(name)))
    })
}

#[cfg(test)]
mod tests;
