//! A refusal as RFC 9457 has it, for clients that ask for that.

use hyper::header::{self, HeaderMap, HeaderValue};
use serde::Serialize;

use super::accept;
use super::media::JSON;
use super::reply::{self, Fault, Issue, Reply};
use crate::mail::id::MessageId;

const PROBLEM: &str = "application/problem+json";
/// A limit was in the way, and which (draft-ietf-httpapi-ratelimit-headers section 5.1).
const QUOTA: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
const QUOTA_TITLE: &str = "Request cannot be satisfied as assigned quota has been exceeded";

/// Whether it is wanted: named in Accept, and wanted no less than the form that all others get.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (mut problem, mut json) = (0, 0);
    for range in accept::ranges(fields) {
        match range.essence.as_str() {
            PROBLEM => problem = problem.max(range.weight),
            JSON => json = json.max(range.weight),
            _ => {}
        }
    }
    problem > 0 && problem >= json
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    /// What all of that type have.
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: String,
    code: &'a str,
    request_id: String,
    retryable: bool,
    errors: &'a [Issue],
    #[serde(rename = "violated-policies", skip_serializing_if = "Option::is_none")]
    violated: Option<[&'static str; 1]>,
}

/// The fault so.
pub fn fault(fault: &Fault, id: MessageId) -> Reply {
    let (code, status, retryable) = fault.code.row();
    let (kind, title) = match fault.violated {
        Some(_) => (QUOTA.to_owned(), QUOTA_TITLE),
        None => (reply::manual(code), status.canonical_reason().unwrap_or(code)),
    };
    let problem = Problem {
        r#type: kind,
        title,
        status: status.as_u16(),
        detail: &fault.message,
        instance: format!("urn:uuid:{id}"),
        code,
        request_id: id.request_id(),
        retryable,
        errors: fault.listed(),
        violated: fault.violated.map(|name| [name]),
    };
    let mut reply = reply::finish(reply::json(status, &problem, id), fault);
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_wanted_by_who_names_it_and_wants_nothing_more() {
        let wanted = |accept: &[&'static str]| {
            let mut headers = HeaderMap::new();
            accept.iter().for_each(|field| _ = headers.append(header::ACCEPT, HeaderValue::from_static(field)));
            is_wanted(&headers)
        };
        for accept in [
            &["application/problem+json"][..],
            &["application/json, application/problem+json"],
            &["application/json;q=0.5", "Application/Problem+JSON;q=0.5"],
            &["application/problem+json, */*;q=0.1"],
        ] {
            assert!(wanted(accept), "{accept:?}");
        }
        for accept in [
            &[][..],
            &["*/*"],
            &["application/json"],
            &["application/problem+json;q=0"],
            &["application/json, application/problem+json;q=0.9"],
        ] {
            assert!(!wanted(accept), "{accept:?}");
        }
    }
}
