//! A request's head: what must be right before anything is done with it.
//!
//! RFC 9112 lets two parsers see two requests in one run of octets; behind a proxy that is how requests are smuggled.
//! What hyper lets pass and has no single meaning is refused here, and the connection with it.

use hyper::header::{self, HeaderMap, HeaderName};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{Method, Version};

use super::reply::{Code, Fault};
use crate::config::slice::Serve;

/// The longest target: the longest path and query we have are far below it.
const MAX_TARGET: usize = 2048;
/// Fields that mean nothing certain when there are two of them.
const SINGLE: [HeaderName; 7] = [
    header::HOST,
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::TRANSFER_ENCODING,
    header::EXPECT,
];

/// What we serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    Health,
    Send,
}

/// Path, methods, the same as `Allow` says it, what it is, and what a listener must serve to have it.
const ROUTES: [(&str, &[Method], &str, Route, Serve); 2] = [
    ("/healthz", &[Method::GET, Method::HEAD], "GET, HEAD", Route::Health, Serve::Ops),
    ("/v1/send", &[Method::POST], "POST", Route::Send, Serve::V1),
];

impl Route {
    /// The path, for logs: a stranger's own words never stand there.
    pub fn path(self) -> &'static str {
        ROUTES.iter().find(|row| row.3 == self).map_or("", |row| row.0)
    }
}

/// Checks the head and finds what it asks for, among what this listener serves.
pub fn route(head: &Parts, served: &[Serve]) -> Result<Route, Fault> {
    framing(&head.headers)?;
    host(head)?;
    target(head)?;
    expectation(&head.headers)?;
    let path = head.uri.path();
    if matches!(head.method, Method::TRACE | Method::CONNECT) || path == "*" {
        return Err(method_not_allowed(""));
    }
    // Clients whose base address ends in a slash ask for `//v1/send`.
    let path = if path.starts_with("//") { path.get(1..).unwrap_or_default() } else { path };
    let Some((_, methods, allow, route, _)) = ROUTES.iter().find(|row| row.0 == path && served.contains(&row.4)) else {
        return Err(Fault::new(Code::NotFound, "this listener has nothing at this path"));
    };
    if methods.contains(&head.method) { Ok(*route) } else { Err(method_not_allowed(allow)) }
}

fn method_not_allowed(allow: &'static str) -> Fault {
    let message = match allow {
        "" => "this method is not served here".to_owned(),
        _ => format!("this path has another method: {allow}"),
    };
    Fault { allow: Some(allow), ..Fault::new(Code::MethodNotAllowed, message) }
}

/// RFC 9112 section 6.1: a body is as long as Content-Length says, or is chunked, and never both.
fn framing(headers: &HeaderMap) -> Result<(), Fault> {
    if let Some(name) = SINGLE.iter().find(|name| headers.get_all(*name).iter().nth(1).is_some()) {
        return Err(Fault::framing(format!("{name} stands twice in the request; send it once")));
    }
    match headers.get(header::TRANSFER_ENCODING) {
        Some(coding) if !coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            Err(Fault::framing("the only transfer coding served is \"chunked\""))
        }
        Some(_) if headers.contains_key(header::CONTENT_LENGTH) => {
            Err(Fault::framing("content-length and transfer-encoding exclude each other"))
        }
        _ => Ok(()),
    }
}

/// RFC 9112 section 3.2: HTTP/1.1 needs one Host, and an absolute target must name the same.
fn host(head: &Parts) -> Result<(), Fault> {
    let host = match head.headers.get(header::HOST) {
        None if head.version == Version::HTTP_10 => return Ok(()),
        None => return Err(Fault::framing("the Host field is missing")),
        Some(host) => Authority::try_from(host.as_bytes()).ok().filter(|host| !host.as_str().contains('@')),
    };
    let Some(host) = host else { return Err(Fault::framing("the Host field is not a host")) };
    match head.uri.authority() {
        Some(named) if head.method != Method::CONNECT && named != &host => {
            Err(Fault::framing("the request names two different hosts"))
        }
        _ => Ok(()),
    }
}

fn target(head: &Parts) -> Result<(), Fault> {
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    if target.len() > MAX_TARGET {
        return Err(Fault::new(Code::UriTooLong, format!("the target is longer than {MAX_TARGET} octets")).closing());
    }
    if target.bytes().all(|octet| octet.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(Fault::framing("the target holds an octet that must be percent-encoded"))
    }
}

fn expectation(headers: &HeaderMap) -> Result<(), Fault> {
    match headers.get(header::EXPECT) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            Err(Fault::new(Code::ExpectationFailed, "the only expectation served is \"100-continue\"").closing())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn asked(method: &str, target: &str, fields: &[(&str, &str)]) -> Result<Route, Code> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let head = request.body(()).unwrap().into_parts().0;
        route(&head, &[Serve::V1, Serve::Ops]).map_err(|fault| fault.code)
    }

    const HOST: (&str, &str) = ("host", "gate.example.net:8080");

    #[test]
    fn the_paths_we_serve_are_found_with_their_methods_alone() {
        assert_eq!(asked("POST", "/v1/send", &[HOST]), Ok(Route::Send));
        assert_eq!(asked("POST", "//v1/send", &[HOST]), Ok(Route::Send));
        assert_eq!(asked("HEAD", "/healthz", &[HOST]), Ok(Route::Health));
        assert_eq!(asked("POST", "http://gate.example.net:8080/v1/send", &[HOST]), Ok(Route::Send));
        assert_eq!(asked("GET", "/v1/send", &[HOST]), Err(Code::MethodNotAllowed));
        assert_eq!(asked("TRACE", "/v1/send", &[HOST]), Err(Code::MethodNotAllowed));
        for path in ["/", "/v1", "/v1/send/", "/V1/send", "/v1/%73end", "///v1/send", "/v1/../v1/send"] {
            assert_eq!(asked("POST", path, &[HOST]), Err(Code::NotFound), "{path}");
        }
    }

    #[test]
    fn what_the_listener_does_not_serve_is_not_there() {
        let head = Request::post("/v1/send").header("host", "gate").body(()).unwrap().into_parts().0;
        assert_eq!(route(&head, &[Serve::V1]).unwrap(), Route::Send);
        assert_eq!(route(&head, &[Serve::Ops]).unwrap_err().code, Code::NotFound);
    }

    #[test]
    fn a_head_that_could_mean_two_things_is_refused() {
        let cases: [(&str, &[(&str, &str)]); 9] = [
            ("/v1/send", &[]),
            ("/v1/send", &[HOST, HOST]),
            ("/v1/send", &[("host", "a b")]),
            ("/v1/send", &[("host", "user@gate.example.net")]),
            ("http://evil.example/v1/send", &[HOST]),
            ("/v1/send", &[HOST, ("transfer-encoding", "gzip, chunked")]),
            ("/v1/send", &[HOST, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]),
            ("/v1/send", &[HOST, ("transfer-encoding", "chunked"), ("content-length", "3")]),
            ("/v1/send", &[HOST, ("authorization", "Bearer a"), ("authorization", "Bearer b")]),
        ];
        for (target, fields) in cases {
            assert_eq!(asked("POST", target, fields), Err(Code::BadRequest), "{target} {fields:?}");
        }
    }

    #[test]
    fn long_targets_and_strange_expectations_have_their_own_codes() {
        assert_eq!(asked("POST", &format!("/{}", "a".repeat(3000)), &[HOST]), Err(Code::UriTooLong));
        assert_eq!(asked("POST", "/v1/send", &[HOST, ("expect", "tea")]), Err(Code::ExpectationFailed));
    }
}
