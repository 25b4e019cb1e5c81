//! Replies: the registry of errors, and what every response carries.
//!
//! A `Fault` says what is wrong in no dialect. How it looks on the wire is the dialect's; here is that of `/v1`.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::media::JSON;
use crate::mail::id::MessageId;

/// The most findings that one reply lists.
pub const MAX_ISSUES: usize = 20;

pub type Reply = Response<Full<Bytes>>;

/// What can go wrong, as clients may rely on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    BadRequest,
    ValidationFailed,
    ForbiddenSender,
    ForbiddenOrigin,
    Unauthorized,
    Forbidden,
    InsufficientScope,
    TurnstileFailed,
    TurnstileUnavailable,
    NotFound,
    SubmissionNotFound,
    NotCancelable,
    NotReschedulable,
    MethodNotAllowed,
    RequestTimeout,
    PayloadTooLarge,
    UriTooLong,
    HeadersTooLarge,
    UnsupportedMediaType,
    ExpectationFailed,
    IdempotencyKeyInvalid,
    IdempotencyInProgress,
    IdempotencyMismatch,
    Misdirected,
    RateLimited,
    QuotaExceeded,
    QueueFull,
    StoreUnavailable,
    InternalError,
}

impl Code {
    /// The registry: the word in `code`, the status, and whether the same request may succeed later.
    pub const fn row(self) -> (&'static str, StatusCode, bool) {
        match self {
            Self::BadRequest => ("bad_request", StatusCode::BAD_REQUEST, false),
            Self::ValidationFailed => ("validation_failed", StatusCode::BAD_REQUEST, false),
            Self::ForbiddenSender => ("forbidden_sender", StatusCode::FORBIDDEN, false),
            Self::ForbiddenOrigin => ("forbidden_origin", StatusCode::FORBIDDEN, false),
            Self::Unauthorized => ("unauthorized", StatusCode::UNAUTHORIZED, false),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, false),
            Self::InsufficientScope => ("insufficient_scope", StatusCode::FORBIDDEN, false),
            Self::TurnstileFailed => ("turnstile_failed", StatusCode::FORBIDDEN, false),
            Self::TurnstileUnavailable => ("turnstile_unavailable", StatusCode::SERVICE_UNAVAILABLE, true),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND, false),
            Self::SubmissionNotFound => ("submission_not_found", StatusCode::NOT_FOUND, false),
            Self::NotCancelable => ("not_cancelable", StatusCode::CONFLICT, false),
            Self::NotReschedulable => ("not_reschedulable", StatusCode::CONFLICT, false),
            Self::MethodNotAllowed => ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED, false),
            Self::RequestTimeout => ("request_timeout", StatusCode::REQUEST_TIMEOUT, true),
            Self::PayloadTooLarge => ("payload_too_large", StatusCode::PAYLOAD_TOO_LARGE, false),
            Self::UriTooLong => ("uri_too_long", StatusCode::URI_TOO_LONG, false),
            Self::HeadersTooLarge => ("headers_too_large", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, false),
            Self::UnsupportedMediaType => ("unsupported_media_type", StatusCode::UNSUPPORTED_MEDIA_TYPE, false),
            Self::ExpectationFailed => ("expectation_failed", StatusCode::EXPECTATION_FAILED, false),
            Self::IdempotencyKeyInvalid => ("idempotency_key_invalid", StatusCode::BAD_REQUEST, false),
            Self::IdempotencyInProgress => ("idempotency_in_progress", StatusCode::CONFLICT, true),
            Self::IdempotencyMismatch => ("idempotency_mismatch", StatusCode::UNPROCESSABLE_ENTITY, false),
            Self::Misdirected => ("misdirected_request", StatusCode::MISDIRECTED_REQUEST, true),
            Self::RateLimited => ("rate_limited", StatusCode::TOO_MANY_REQUESTS, true),
            Self::QuotaExceeded => ("quota_exceeded", StatusCode::TOO_MANY_REQUESTS, true),
            Self::QueueFull => ("queue_full", StatusCode::SERVICE_UNAVAILABLE, true),
            Self::StoreUnavailable => ("store_unavailable", StatusCode::SERVICE_UNAVAILABLE, true),
            Self::InternalError => ("internal_error", StatusCode::INTERNAL_SERVER_ERROR, true),
        }
    }
}

/// One finding, at the place where the client can mend it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Issue {
    pub code: &'static str,
    /// JSON Pointer (RFC 6901) into the request's body.
    pub pointer: String,
    pub message: String,
}

/// A request that is not done, and why.
#[derive(Clone, Debug)]
pub struct Fault {
    pub code: Code,
    /// A sentence for the developer: what is wrong and how to mend it. Never holds what the client sent as a value.
    pub message: String,
    pub issues: Vec<Issue>,
    /// Whole seconds.
    pub retry_after: Option<u32>,
    /// The limit that was in the way, by the name that RateLimit-Policy or `/v1/limits` has for it.
    pub violated: Option<&'static str>,
    /// It is memory for bodies that is full, and no queue: the log says so.
    pub no_room: bool,
    /// The methods that the path does have.
    pub allow: Option<&'static str>,
    /// The connection can't be trusted or used any more.
    pub close: bool,
}

impl Fault {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            issues: Vec::new(),
            retry_after: None,
            violated: None,
            no_room: false,
            allow: None,
            close: false,
        }
    }

    /// The request's framing or head is such that nothing behind it can be trusted. RFC 9112 section 6.3.
    pub fn framing(message: impl Into<String>) -> Self {
        Self::new(Code::BadRequest, message).closing()
    }

    pub fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    pub const fn after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    pub fn with(mut self, issues: Vec<Issue>) -> Self {
        self.issues = issues;
        self
    }

    /// The findings that a reply has.
    pub fn listed(&self) -> &[Issue] {
        self.issues.get(..MAX_ISSUES).unwrap_or(&self.issues)
    }

    /// Several findings as one fault: the first one's words stand for all. Beyond what a reply lists nobody has counted them: see
    /// `Findings::add`.
    pub fn of(code: Code, issues: Vec<Issue>) -> Self {
        let message = match issues.as_slice() {
            [] => String::from("the request can't be accepted"),
            [only] => place(only),
            [first, ..] if issues.len() > MAX_ISSUES => {
                format!("{} (more than {MAX_ISSUES} in all: errors has the first {MAX_ISSUES})", place(first))
            }
            [first, rest @ ..] => format!("{} ({} more: see errors)", place(first), rest.len()),
        };
        Self::new(code, message).with(issues)
    }
}

fn place(issue: &Issue) -> String {
    format!("{}: {}", if issue.pointer.is_empty() { "the body" } else { &issue.pointer }, issue.message)
}

/// Where the page that this listener serves says what a code means.
pub fn manual(code: &str) -> String {
    format!("/docs#{code}")
}

#[derive(Serialize)]
struct Wire<'a> {
    status: &'static str,
    code: &'static str,
    message: &'a str,
    request_id: String,
    retryable: bool,
    errors: &'a [Issue],
    /// None where the listener has no such page.
    #[serde(skip_serializing_if = "Option::is_none")]
    doc: Option<String>,
}

/// The fault as `/v1` says it, on a listener that serves that.
pub fn fault(fault: &Fault, id: MessageId) -> Reply {
    told(fault, id, Some(manual(fault.code.row().0)))
}

/// The same on one that doesn't.
pub fn bare(fault: &Fault, id: MessageId) -> Reply {
    told(fault, id, None)
}

fn told(fault: &Fault, id: MessageId, doc: Option<String>) -> Reply {
    let (code, status, retryable) = fault.code.row();
    let wire = Wire {
        status: "error",
        code,
        message: &fault.message,
        request_id: id.request_id(),
        retryable,
        errors: fault.listed(),
        doc,
    };
    finish(json(status, &wire, id), fault)
}

/// What a refusal's head says, whatever its body does.
pub fn finish(mut reply: Reply, fault: &Fault) -> Reply {
    let headers = reply.headers_mut();
    if fault.code == Code::Unauthorized {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"gatepost\""));
    }
    if let Some(seconds) = fault.retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    if let Some(allow) = fault.allow {
        headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    if fault.close {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    reply
}

/// Says so where the request was done before.
pub fn repeated(mut reply: Reply, is_repeated: bool) -> Reply {
    if is_repeated {
        reply.headers_mut().insert(HeaderName::from_static("idempotency-replayed"), HeaderValue::from_static("true"));
    }
    reply
}

/// A JSON reply with the headers that all replies have.
pub fn json<T: Serialize>(status: StatusCode, body: &T, id: MessageId) -> Reply {
    // Our own structs of text and numbers always serialise.
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    if let Ok(id) = HeaderValue::from_str(&id.request_id()) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    reply
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::ipc::counted::Status;

    fn issue(n: usize) -> Issue {
        Issue { code: "required", pointer: format!("/to/{n}"), message: "is missing".into() }
    }

    #[test]
    fn a_reply_lists_at_most_twenty_findings() {
        let many = Fault::of(Code::ValidationFailed, (0..50).map(issue).collect());
        assert_eq!(many.message, "/to/0: is missing (more than 20 in all: errors has the first 20)");
        let all = Fault::of(Code::ValidationFailed, (0..20).map(issue).collect());
        assert_eq!(all.message, "/to/0: is missing (19 more: see errors)");
        assert_eq!(fault(&many, MessageId::now()).status(), 400);
    }

    #[test]
    fn unauthorized_names_the_scheme_and_temporary_faults_the_time() {
        let reply = fault(&Fault::new(Code::Unauthorized, "no key"), MessageId::now());
        assert!(reply.headers().contains_key(header::WWW_AUTHENTICATE));
        let reply = fault(&Fault::new(Code::RateLimited, "later").after(7), MessageId::now());
        assert_eq!(reply.headers()[header::RETRY_AFTER], "7");
    }

    #[test]
    fn rule_o3_every_status_has_its_label() {
        let sources = [
            include_str!("reply.rs"),
            include_str!("accepted.rs"),
            include_str!("cors.rs"),
            include_str!("ops.rs"),
            include_str!("papers.rs"),
            include_str!("surface/bulk.rs"),
            include_str!("surface/gateway.rs"),
            include_str!("surface/postmark.rs"),
            include_str!("surface/resend.rs"),
            include_str!("surface/usesend.rs"),
        ];
        let statuses = sources.iter().flat_map(|text| text.split("StatusCode::").skip(1));
        let names: BTreeSet<String> = statuses
            .filter_map(|rest| rest.split(|c: char| !c.is_ascii_uppercase() && c != '_').next())
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        let all = (100..600).filter_map(|code| StatusCode::from_u16(code).ok());
        let labelled = all.filter(|status| Status::of(status.as_u16()).word() == status.as_str());
        let name = |status: StatusCode| {
            status.canonical_reason().unwrap_or_default().to_ascii_uppercase().replace([' ', '-'], "_")
        };
        assert_eq!(names, labelled.map(name).collect());
    }

    #[test]
    fn every_code_is_in_the_manual() {
        let manual = include_str!("../../../docs/http-api.md");
        let registry = include_str!("reply.rs").split("pub struct Issue").next().unwrap();
        let words: Vec<_> = registry.split("=> (\"").skip(1).filter_map(|row| row.split('"').next()).collect();
        assert!(words.len() >= 18, "{words:?}");
        for word in words {
            assert!(manual.contains(&format!("\n| `{word}` | ")), "{word}");
        }
    }
}
