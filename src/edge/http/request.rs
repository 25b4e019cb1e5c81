//! What a request asks for: its path and method, among what this listener serves. The wall has seen to it that its head has
//! one meaning.

use hyper::Method;
use hyper::header::{self, HeaderMap};
use hyper::http::request::Parts;

use super::hooks;
use super::reply::{Code, Fault};
use super::submissions;
use super::surface::{self, Call, Surface};
use super::wall::Host;
use crate::config::slice::Serve;
use crate::ipc::counted::Api;
use crate::mail::id::MessageId;

/// What we serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    Health,
    Live,
    Ready,
    Metrics,
    Send,
    /// A message that its client wrote whole.
    Raw,
    /// The same as `Send`, without sending.
    Validate,
    /// What is served here, for programs and for people.
    OpenApi,
    Docs,
    /// What became of a message; none where its id is none.
    Submission(Option<MessageId>),
    /// What became of all of them.
    Submissions,
    /// What happened to them, in order.
    Events,
    /// Take a message back.
    Cancel(Option<MessageId>),
    /// What the key that asks may, what all may, and what one of them may.
    OwnKey,
    Keys,
    Key,
    /// What is left of its limits.
    Limits,
    /// A browser asks whether a page may send.
    Preflight,
    /// What a provider tells of mail.
    Hook,
    /// Of another API than ours.
    Surface(Call),
}

/// Path, methods, the same as `Allow` says it, what it is, and what a listener must serve to have it.
const ROUTES: [(&str, &[Method], &str, Route, Serve); 14] = [
    ("/healthz", &[Method::GET, Method::HEAD], "GET, HEAD", Route::Health, Serve::Ops),
    ("/livez", &[Method::GET, Method::HEAD], "GET, HEAD", Route::Live, Serve::Ops),
    ("/readyz", &[Method::GET, Method::HEAD], "GET, HEAD", Route::Ready, Serve::Ops),
    ("/metrics", &[Method::GET, Method::HEAD], "GET, HEAD", Route::Metrics, Serve::Ops),
    ("/v1/send", &[Method::POST], "POST", Route::Send, Serve::V1),
    ("/v1/send-raw", &[Method::POST], "POST", Route::Raw, Serve::V1),
    ("/v1/validate", &[Method::POST], "POST", Route::Validate, Serve::V1),
    ("/v1/submissions", &[Method::GET], "GET", Route::Submissions, Serve::V1),
    ("/v1/events", &[Method::GET], "GET", Route::Events, Serve::V1),
    ("/v1/keys", &[Method::GET], "GET", Route::Keys, Serve::V1),
    ("/v1/keys/self", &[Method::GET], "GET", Route::OwnKey, Serve::V1),
    ("/v1/limits", &[Method::GET], "GET", Route::Limits, Serve::V1),
    ("/openapi.json", &[Method::GET, Method::HEAD], "GET, HEAD", Route::OpenApi, Serve::V1),
    ("/docs", &[Method::GET, Method::HEAD], "GET, HEAD", Route::Docs, Serve::V1),
];

/// Paths with a message's id in them: how they are told of, and what stands before and behind the id.
const SUBMISSION: (&str, &[Method], &str, Serve) = ("/v1/submissions/{id}", &[Method::GET], "GET", Serve::V1);
const CANCEL: (&str, &[Method], &str, Serve) = ("/v1/submissions/{id}/cancel", &[Method::POST], "POST", Serve::V1);
const SUBMISSIONS: &str = "/v1/submissions/";
const BACK: &str = "/cancel";
/// The same of a credential, which has no id of ours.
const KEY: (&str, &[Method], &str, Serve) = ("/v1/keys/{id}", &[Method::GET], "GET", Serve::V1);
const KEYS: &str = "/v1/keys/";

impl Route {
    /// Whether a body says nothing there, so that nobody reads one.
    pub const fn has_no_body(self) -> bool {
        match self {
            Self::Health
            | Self::Live
            | Self::Ready
            | Self::Metrics
            | Self::OpenApi
            | Self::Docs
            | Self::Submission(_)
            | Self::Submissions
            | Self::Events
            | Self::Cancel(_)
            | Self::OwnKey
            | Self::Keys
            | Self::Key
            | Self::Limits
            | Self::Preflight => true,
            Self::Send | Self::Raw | Self::Validate | Self::Hook | Self::Surface(_) => false,
        }
    }

    /// The path, for logs: a stranger's own words never stand there.
    pub fn path(self) -> &'static str {
        match self {
            Self::Surface(call) => call.path(),
            Self::Submission(_) => SUBMISSION.0,
            Self::Cancel(_) => CANCEL.0,
            Self::Hook => hooks::PATH.0,
            Self::Key => KEY.0,
            _ => ROUTES.iter().find(|row| row.3 == self).map_or("", |row| row.0),
        }
    }
}

/// Whether it names a host that this listener is reached by; an empty list has every host. A page that has its own name lead to
/// our address speaks with a visitor's browser, and that says the page's name.
pub fn addressed(head: &Parts, hosts: &[String]) -> Result<(), Fault> {
    let named = head.headers.get(header::HOST).and_then(|host| Host::read(host.to_str().ok()?));
    let is_listed = |named: &Host<'_>| {
        let name = named.name.strip_suffix('.').unwrap_or(named.name);
        hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
    };
    if hosts.is_empty() || named.as_ref().is_some_and(is_listed) {
        return Ok(());
    }
    let message = "this listener is not reached by the host that the request names; its operator lists hosts";
    Err(Fault::new(Code::Misdirected, message))
}

/// Checks the head and finds what it asks for, among what this listener serves.
pub fn route(head: &Parts, served: &[Serve]) -> Result<Route, Fault> {
    expectation(&head.headers)?;
    let path = head.uri.path();
    // Clients whose base address ends in a slash ask for `//v1/send`.
    let path = if path.starts_with("//") { path.get(1..).unwrap_or_default() } else { path };
    let own = ROUTES.iter().find(|row| row.0 == path && served.contains(&row.4)).map(|row| (row.1, row.2, row.3));
    let own = own.or_else(|| submission(path).filter(|_| served.contains(&SUBMISSION.3)));
    let is_hook = hooks::is_below(path) && served.contains(&hooks::PATH.3);
    let own = own.or_else(|| is_hook.then_some((hooks::PATH.1, hooks::PATH.2, Route::Hook)));
    let own = own.or_else(|| key(path).filter(|_| served.contains(&KEY.3)));
    let found = own.or_else(|| {
        surface::find(path, &head.method, served).map(|(methods, allow, call)| (methods, allow, Route::Surface(call)))
    });
    let Some((methods, allow, route)) = found else {
        return Err(Fault::new(Code::NotFound, "this listener has nothing at this path"));
    };
    if methods.contains(&head.method) { Ok(route) } else { Err(method_not_allowed(allow)) }
}

/// What a request to this path is counted as, whether or not there is anything.
pub fn api(path: &str, served: &[Serve]) -> Api {
    if hooks::is_below(path) && served.contains(&hooks::PATH.3) {
        return Api::Hooks;
    }
    if ROUTES.iter().any(|row| row.0 == path && row.4 == Serve::Ops) && served.contains(&Serve::Ops) {
        return Api::Ops;
    }
    match Surface::of(path, served) {
        Surface::V1 => Api::V1,
        Surface::Bare => Api::Ops,
        Surface::Send => Api::Send,
        Surface::Resend => Api::Resend,
        Surface::Postmark => Api::Postmark,
        Surface::Usesend => Api::Usesend,
    }
}

/// Every path, with its methods and what a listener must serve to have it.
#[cfg(test)]
pub fn table() -> impl Iterator<Item = (&'static str, &'static [Method], Serve)> {
    let by_id = [SUBMISSION, CANCEL, KEY].map(|row| (row.0, row.1, row.3));
    let hooks = (hooks::PATH.0, hooks::PATH.1, hooks::PATH.3);
    ROUTES.iter().map(|row| (row.0, row.1, row.4)).chain(by_id).chain([hooks]).chain(surface::table())
}

/// Where it is told what becomes of a message.
pub fn submission_of(id: MessageId) -> String {
    format!("{SUBMISSIONS}{}", id.request_id())
}

/// A path with a message's id in it.
fn submission(path: &str) -> Option<(&'static [Method], &'static str, Route)> {
    let rest = path.strip_prefix(SUBMISSIONS)?;
    let (id, row, route): (_, _, fn(_) -> _) = match rest.strip_suffix(BACK) {
        Some(id) => (id, CANCEL, Route::Cancel),
        None => (rest, SUBMISSION, Route::Submission),
    };
    let is_one = !id.is_empty() && !id.contains('/');
    is_one.then(|| (row.1, row.2, route(submissions::id(id))))
}

/// A path with a credential's id in it.
fn key(path: &str) -> Option<(&'static [Method], &'static str, Route)> {
    path.strip_prefix(KEYS).filter(|id| !id.is_empty() && !id.contains('/'))?;
    Some((KEY.1, KEY.2, Route::Key))
}

fn method_not_allowed(allow: &'static str) -> Fault {
    Fault { allow: Some(allow), ..Fault::new(Code::MethodNotAllowed, format!("this path has another method: {allow}")) }
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
        assert_eq!(asked("GET", "/v1/send", &[HOST]), Err(Code::MethodNotAllowed));
        assert_eq!(asked("send", "/v1/send", &[HOST]), Err(Code::MethodNotAllowed));
        for path in ["/", "/v1", "/v1/send/", "/V1/send", "/v1/%73end", "///v1/send", "/v1/../v1/send"] {
            assert_eq!(asked("POST", path, &[HOST]), Err(Code::NotFound), "{path}");
        }
    }

    #[test]
    fn rule_w2_a_listener_with_hosts_answers_to_no_other() {
        let hosts = ["gate.example.net".to_owned(), "[2001:db8::1]".to_owned(), "192.0.2.1".to_owned()];
        let asked = |host: Option<&str>, hosts: &[String]| {
            let request = Request::get("/");
            let request = host.into_iter().fold(request, |request, host| request.header("host", host));
            addressed(&request.body(()).unwrap().into_parts().0, hosts).map_err(|fault| fault.code)
        };
        for host in ["gate.example.net", "Gate.Example.Net:8080", "gate.example.net.", "[2001:db8::1]:80", "192.0.2.1"]
        {
            assert_eq!(asked(Some(host), &hosts), Ok(()), "{host}");
        }
        for host in ["evil.example", "example.net", "gate.example.net.evil.example", "192.0.2.10", "[2001:db8::2]"] {
            assert_eq!(asked(Some(host), &hosts), Err(Code::Misdirected), "{host}");
            assert_eq!(asked(Some(host), &[]), Ok(()), "{host}");
        }
        assert_eq!((asked(None, &hosts), asked(None, &[])), (Err(Code::Misdirected), Ok(())));
    }

    #[test]
    fn what_the_listener_does_not_serve_is_not_there() {
        let head = Request::post("/v1/send").header("host", "gate").body(()).unwrap().into_parts().0;
        assert_eq!(route(&head, &[Serve::V1]).unwrap(), Route::Send);
        assert_eq!(route(&head, &[Serve::Ops]).unwrap_err().code, Code::NotFound);
    }

    #[test]
    fn rule_w8_a_strange_expectation_has_its_own_code() {
        assert_eq!(asked("POST", "/v1/send", &[HOST, ("expect", "tea")]), Err(Code::ExpectationFailed));
    }
}
