//! One HTTP/1.1 request over a connection of its own, bounded in what comes back. hyper's client, without pool or redirect.

mod body;
mod meter;

use std::convert::Infallible;
use std::future::pending;
use std::time::{Duration, SystemTime};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request as Wire};
use hyper_util::rt::TokioIo;
use tokio::time::sleep;

use super::tls::Stream;
use crate::secret::Secret;
use body::Body;
use meter::Meter;

/// Octets of a head and of what is read ahead; hyper takes no less.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
const AGENT: &str = concat!("gatepost/", env!("CARGO_PKG_VERSION"));
/// Nothing said or taken for so long, and the other side is given up. What stands in front of providers gives up after 100 seconds.
const QUIET: Duration = Duration::from_secs(120);
/// From here on a status refuses (RFC 9110 section 15).
const REFUSED: u16 = 400;
/// The whole of it: a large message over a slow line.
const WHOLE: Duration = Duration::from_secs(900);

/// What is posted, or asked for.
#[derive(Debug, Default)]
pub struct Request {
    /// Host, with the port where it isn't the usual one.
    pub authority: String,
    /// With the query.
    pub path: String,
    /// The media type of the body; none when nothing is posted, and something is only asked for.
    pub kind: &'static str,
    pub headers: Vec<(&'static str, String)>,
    /// Said in `Authorization`, and never shown.
    pub authorization: Option<Secret<String>>,
    /// Never shown, and wiped: it may be what we are known by.
    pub body: Secret<Vec<u8>>,
}

/// What came back.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// The media type, without parameters.
    pub kind: String,
    /// How long it wants to be left alone.
    pub wait: Option<Duration>,
    pub body: Vec<u8>,
    /// Nothing of the body is missing.
    pub whole: bool,
}

/// Why nothing came back, in words.
#[derive(Debug, PartialEq, Eq)]
pub enum Failed {
    /// The other side can't have the whole request, and so has done nothing. `begun`: but it may have a part of it.
    Unsent { begun: bool, reason: String },
    /// The same, by our own will.
    Withheld,
    /// It may have all of it.
    Unanswered(String),
}

impl Failed {
    pub fn into_reason(self) -> String {
        match self {
            Self::Unsent { reason, .. } | Self::Unanswered(reason) => reason,
            Self::Withheld => "the request was not ended".to_owned(),
        }
    }
}

/// The name of a host as it is said in requests. `tls` decides which port is the usual one.
pub fn authority(host: &str, port: u16, tls: bool) -> String {
    let name = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let usual = if tls { 443 } else { 80 };
    if port == usual { name } else { format!("{name}:{port}") }
}

/// Posts a body and takes the reply, of whose body `most` octets are kept. The connection ends with it. Of the body the last octets
/// go out when `may_end` says so; it is asked when everything else has gone. A refusal counts whenever it comes, and anything else
/// when the whole request has gone: some answer before they read, and without its end they have nothing.
pub async fn post(
    stream: Box<dyn Stream>,
    request: Request,
    most: usize,
    may_end: impl Future<Output = bool>,
) -> Result<Reply, Failed> {
    let meter = Meter::default();
    let failed = |reason: String| match meter.written() {
        0 => Failed::Unsent { begun: false, reason },
        _ if !meter.may_be_whole() => Failed::Unsent { begun: true, reason },
        _ => Failed::Unanswered(reason),
    };
    let (body, gate) = body::held(request.body, meter.clone());
    let exchange = exchange(stream, &meter, Request { body: Secret::default(), ..request }, body, most);
    tokio::select! {
        reply = exchange => reply.map_err(failed),
        () = gate.keep(may_end) => Err(Failed::Withheld),
        () = quiet(&meter) => Err(failed(format!("nothing was heard for {} s", QUIET.as_secs()))),
        () = sleep(WHOLE) => Err(failed(format!("it was not done within {} s", WHOLE.as_secs()))),
    }
}

/// Until nothing moves any more.
async fn quiet(meter: &Meter) {
    loop {
        let before = meter.moved();
        sleep(QUIET).await;
        if meter.moved() == before {
            return;
        }
    }
}

async fn exchange(
    stream: Box<dyn Stream>,
    meter: &Meter,
    request: Request,
    body: Body,
    most: usize,
) -> Result<Reply, String> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD).max_headers(MAX_HEADERS);
    let shaken = builder.handshake(TokioIo::new(meter.over(stream))).await;
    let (mut sender, connection) = shaken.map_err(|error| said(&error))?;
    let is_posted = !request.kind.is_empty();
    let request = wire(request, body)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| said(&error))?;
        let (head, body) = response.into_parts();
        let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind = text(CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let wait = wait(text(RETRY_AFTER), SystemTime::now());
        let (body, whole) = read(body, most).await;
        let status = head.status.as_u16();
        if is_posted && status < REFUSED && !meter.whole().await {
            return Err(format!("it said {status}, and the connection ended before it had all of it"));
        }
        Ok(Reply { status, kind, wait, body, whole })
    };
    // The connection is driven beside the exchange and never outlives it. What ends it is the exchange's error, too, unless
    // that is over: many servers close TLS without saying so.
    let driving = async {
        if let Err(error) = connection.await {
            tracing::debug!(reason = said(&error), "a connection ended");
        }
        meter.end();
        pending::<Infallible>().await
    };
    tokio::select! {
        reply = exchange => reply,
        never = driving => match never {},
    }
}

fn wire(request: Request, body: Body) -> Result<Wire<Body>, String> {
    let Request { authority, path, kind, headers, authorization, .. } = request;
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| "a header's value can't be said".to_owned());
    let mut all = HeaderMap::new();
    all.insert(HOST, value(&authority)?);
    all.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    if !kind.is_empty() {
        all.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    for (name, text) in &headers {
        all.insert(HeaderName::from_static(name), value(text)?);
    }
    if let Some(secret) = authorization {
        let mut value = value(secret.expose())?;
        value.set_sensitive(true);
        all.insert(AUTHORIZATION, value);
    }
    let method = if kind.is_empty() { Method::GET } else { Method::POST };
    let made = Wire::builder().method(method).uri(path).body(body);
    let mut made = made.map_err(|error| format!("this request can't be made: {error}"))?;
    *made.headers_mut() = all;
    Ok(made)
}

/// The body, as far as it may go; false when that isn't all.
async fn read(mut body: Incoming, most: usize) -> (Vec<u8>, bool) {
    // It never grows, and so leaves no copy behind of what it holds.
    let mut octets = Vec::with_capacity(most);
    loop {
        let data = match body.frame().await {
            None => return (octets, true),
            Some(Err(_)) => return (octets, false),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        let room = most.saturating_sub(octets.len());
        octets.extend(data.iter().take(room));
        if data.len() > room {
            return (octets, false);
        }
    }
}

/// Retry-After (RFC 9110 section 10.2.3): seconds, or a moment.
fn wait(text: &str, now: SystemTime) -> Option<Duration> {
    if !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let moment = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(SystemTime::from(moment.timestamp()).duration_since(now).unwrap_or_default())
}

/// An error with what is behind it.
fn said(error: &hyper::Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("HTTP: {error}{}", cause.unwrap_or_default())
}

#[cfg(test)]
mod tests;
