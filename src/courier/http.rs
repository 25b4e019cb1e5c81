//! One HTTP/1.1 request over a connection of its own, bounded in what comes back. hyper's client, without pool or redirect.

mod meter;

use std::convert::Infallible;
use std::future::pending;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::{Method, Request as Wire};
use hyper_util::rt::TokioIo;
use tokio::time::sleep;

use super::tls::Stream;
use crate::secret::Secret;
use meter::Meter;

/// Octets of a head and of what is read ahead; hyper takes no less.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
const AGENT: &str = concat!("gatepost/", env!("CARGO_PKG_VERSION"));
/// Nothing said or taken for so long, and the other side is given up. What stands in front of providers gives up after 100 seconds.
const QUIET: Duration = Duration::from_secs(120);
/// The whole of it: a large message over a slow line.
const WHOLE: Duration = Duration::from_secs(900);

/// What is posted.
#[derive(Debug, Default)]
pub struct Request {
    /// Host, with the port where it isn't the usual one.
    pub authority: String,
    /// With the query.
    pub path: String,
    pub kind: &'static str,
    pub headers: Vec<(&'static str, String)>,
    /// Said in `Authorization`, and never shown.
    pub authorization: Option<Secret<String>>,
    pub body: Vec<u8>,
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
    /// It may have all of it.
    Unanswered(String),
}

impl Failed {
    pub fn into_reason(self) -> String {
        match self {
            Self::Unsent { reason, .. } | Self::Unanswered(reason) => reason,
        }
    }
}

/// The name of a host as it is said in requests. `tls` decides which port is the usual one.
pub fn authority(host: &str, port: u16, tls: bool) -> String {
    let name = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let usual = if tls { 443 } else { 80 };
    if port == usual { name } else { format!("{name}:{port}") }
}

/// Posts a body and takes the reply, of whose body `most` octets are kept. The connection ends with it. A yes to what didn't go out
/// whole is none: who says it can't have read it.
pub async fn post(stream: Box<dyn Stream>, request: Request, most: usize) -> Result<Reply, Failed> {
    let whole = whole(&request);
    let meter = Meter::default();
    let failed = |reason: String| match meter.written() {
        0 => Failed::Unsent { begun: false, reason },
        written if written < whole => Failed::Unsent { begun: true, reason },
        _ => Failed::Unanswered(reason),
    };
    let exchange = exchange(meter.over(stream), request, most);
    tokio::select! {
        reply = exchange => match reply {
            Ok(reply) if (200..300).contains(&reply.status) && meter.written() < whole => {
                let reason = format!("it said {} before it had all of it", reply.status);
                Err(Failed::Unsent { begun: true, reason })
            }
            reply => reply.map_err(failed),
        },
        () = quiet(&meter) => Err(failed(format!("nothing was heard for {} s", QUIET.as_secs()))),
        () = sleep(WHOLE) => Err(failed(format!("it was not done within {} s", WHOLE.as_secs()))),
    }
}

/// The octets of a request as it goes out.
fn whole(request: &Request) -> u64 {
    const LINE: usize = "POST  HTTP/1.1\r\n\r\n".len();
    let field = |name: &str, length: usize| name.len() + length + ": \r\n".len();
    let own = request.headers.iter().map(|(name, value)| field(name, value.len())).sum::<usize>();
    let length = request.body.len();
    let all = LINE
        + request.path.len()
        + field(HOST.as_str(), request.authority.len())
        + field(USER_AGENT.as_str(), AGENT.len())
        + field(CONTENT_TYPE.as_str(), request.kind.len())
        + request.authorization.as_ref().map_or(0, |secret| field(AUTHORIZATION.as_str(), secret.expose().len()))
        + own
        + field(CONTENT_LENGTH.as_str(), length.to_string().len())
        + length;
    u64::try_from(all).unwrap_or(u64::MAX)
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

async fn exchange(stream: Box<dyn Stream>, request: Request, most: usize) -> Result<Reply, String> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD).max_headers(MAX_HEADERS);
    let shaken = builder.handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| said(&error))?;
    let request = wire(request)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| said(&error))?;
        let (head, body) = response.into_parts();
        let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind = text(CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let wait = wait(text(RETRY_AFTER), SystemTime::now());
        let (body, whole) = read(body, most).await;
        Ok(Reply { status: head.status.as_u16(), kind, wait, body, whole })
    };
    // The connection is driven beside the exchange and never outlives it. What ends it is the exchange's error, too, unless
    // that is over: many servers close TLS without saying so.
    let driving = async {
        if let Err(error) = connection.await {
            tracing::debug!(reason = said(&error), "a connection ended");
        }
        pending::<Infallible>().await
    };
    tokio::select! {
        reply = exchange => reply,
        never = driving => match never {},
    }
}

fn wire(request: Request) -> Result<Wire<Full<Bytes>>, String> {
    let Request { authority, path, kind, headers, authorization, body } = request;
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| "a header's value can't be said".to_owned());
    let mut all = HeaderMap::new();
    all.insert(HOST, value(&authority)?);
    all.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    all.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    for (name, text) in &headers {
        all.insert(HeaderName::from_static(name), value(text)?);
    }
    if let Some(secret) = authorization {
        let mut value = value(secret.expose())?;
        value.set_sensitive(true);
        all.insert(AUTHORIZATION, value);
    }
    let made = Wire::builder().method(Method::POST).uri(path).body(Full::new(Bytes::from(body)));
    let mut made = made.map_err(|error| format!("this request can't be made: {error}"))?;
    *made.headers_mut() = all;
    Ok(made)
}

/// The body, as far as it may go; false when that isn't all.
async fn read(mut body: Incoming, most: usize) -> (Vec<u8>, bool) {
    let mut octets = Vec::new();
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
