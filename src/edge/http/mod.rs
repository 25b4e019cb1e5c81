//! The HTTP gate: one connection of a stranger, from its first octet to its last.
//!
//! `wall` reads what comes in and lets through what has one meaning; hyper turns that into requests; `request` finds what each
//! asks for; `login` finds out by its `key` who asks; `body` reads what comes with it, in the `room` that its key has; `v1` turns JSON into a `letter`, `mime` turns that into a message, and `submit` has the
//! vault keep it; `validate` stops before that. `submissions` tell what became of it, `events` what happened meanwhile. `reply` holds the one registry of errors,
//! `refusal` answers what the wall refused, and `cuts` knows of batches that were cut. The APIs of providers are below `surface`: they put their members into those of `v1`.
//! `hooks` passes on what providers tell of mail. `keys` says what a key may, and `limits`, in every answer, what is left of it.
//! `ops` answers those who watch the service, and asks nobody for that; `papers` say what there is.

mod accept;
mod accepted;
mod body;
mod correlation;
mod cors;
pub mod cuts;
mod events;
mod field;
mod forwarded;
mod hooks;
mod idempotency;
mod json;
mod key;
mod keys;
mod label;
mod letter;
mod limits;
mod login;
mod media;
mod members;
mod mime;
mod ops;
pub mod papers;
mod parcel;
mod preference;
mod problem;
mod query;
mod raw;
mod refusal;
mod reply;
mod request;
mod room;
mod schedule;
mod sending;
mod submissions;
mod submit;
mod turnstile;
mod surface;
mod v1;
mod validate;
mod warnings;
pub mod wall;

#[cfg(any(test, fuzzing))]
pub use forwarded::client as forwarded_client;
#[cfg(any(test, fuzzing))]
pub use surface::trial;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::conversation::{Vault, Visit};
use super::front::{Front, Phase};
use super::meter::Meter;
use crate::config::slice::Desk;
use crate::ipc::counted::Count;
use crate::ipc::session::Tls;
use crate::mail::id::MessageId;
use correlation::Correlation;
use login::Seat;
use reply::{Code, Fault, Reply};
use request::Route;
use surface::Tongue;
use wall::Wall;

/// A connection's life: then it ends after the request at hand, so that load can move to a new generation.
const LIFE: Duration = Duration::from_secs(3600);
const REQUESTS: u32 = 1000;
/// By then the vault knows the connection, whether it was asked anything or not: it believes an introduction for ten minutes,
/// and who only looks whether the gate is well may send on the same connection much later.
const INTRODUCED: Duration = Duration::from_secs(240);
/// What a request may take from its head to its answer: the body's time and the vault's.
const REQUEST: Duration = Duration::from_secs(90);
/// The last part of it: whether a message was kept whose vault fell in the end, its successor is asked (`SUCCESSOR` there).
const AFTERMATH: Duration = Duration::from_secs(10);
/// The same for the last request of a connection, and the time in which its answer is read.
const LAST_REQUEST: Duration = Duration::from_secs(120);
/// How long a connection on which nothing is asked is kept when this process is to end: a request that is on its way then is answered
/// and not cut off, and its client knows that it was not begun.
const DEPARTURE: Duration = Duration::from_secs(1);
/// When such a request is to come again, on a connection to whoever takes over, in seconds.
const ELSEWHERE: u32 = 1;
/// How long and how much we listen to a client that still sends after our last word, so that it gets to read it: a socket
/// closed over unread octets is reset, and the reply with it.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_OCTETS: u64 = 1024 * 1024;

/// What all requests of one connection share.
#[derive(Debug)]
pub struct Session {
    front: Arc<Front>,
    peer: SocketAddr,
    tls: Option<Tls>,
    vault: Vault,
    seat: Mutex<Seat>,
    requests: AtomicU32,
    /// Whether the client has said its last word.
    silence: watch::Receiver<bool>,
    /// Whoever asks by the request at hand is known.
    entered: AtomicBool,
    /// Never used: when all of these are gone, so is every request.
    _under_way: mpsc::Sender<()>,
}

/// Serves one connection. Returns when it is over and nothing of it is under way any more.
pub async fn serve<S>(stream: S, visit: Visit, front: Arc<Front>, peer: SocketAddr, tls: Option<Tls>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut phase = front.phase.clone();
    let desk = Arc::clone(&front);
    let (under_way, mut nothing_left) = mpsc::channel(1);
    let (vault, seat) = (visit.vault(), Mutex::new(Seat::new(visit)));
    let (wall, requests, entered) = (Wall::new(stream), AtomicU32::new(0), AtomicBool::new(false));
    let silence = wall.silence();
    let mut session = Session { front, peer, tls, vault, seat, requests, silence, entered, _under_way: under_way };
    session.forget_certificate();
    let session = Arc::new(session);
    let weak = Arc::downgrade(&session);
    let service = service_fn(move |request| {
        // Boxed, because the wall's last word needs the connection's parts back and so a future that can be moved.
        let answered: Pin<Box<dyn Future<Output = Result<Reply, std::convert::Infallible>> + Send>> =
            Box::pin(answer(Arc::clone(&session), request));
        answered
    });
    let mut connection = hyper_behind_the_wall().serve_connection(TokioIo::new(wall), service);

    let last_call = async {
        tokio::select! {
            // When nobody can say it any more, the process ends: as good as a drain.
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => {}
            () = live(&weak) => {}
        }
    };
    let mut done = tokio::select! {
        done = &mut connection => Some(done),
        () = last_call => None,
    };
    if done.is_none() {
        done = timeout(DEPARTURE, &mut connection).await.ok();
    }
    if done.is_none() {
        Pin::new(&mut connection).graceful_shutdown();
        done = timeout(LAST_REQUEST, &mut connection).await.ok();
    }
    match done {
        Some(Ok(())) => {
            let (mut stream, flaw) = connection.into_parts().io.into_inner().into_parts();
            if let Some(flaw) = flaw {
                refusal::answer(&mut stream, flaw, &desk, peer).await;
            }
            linger(stream).await;
        }
        Some(Err(error)) => {
            tracing::debug!(%peer, %error, "connection ended");
            drop(connection);
        }
        None => {
            tracing::debug!(%peer, "connection cut off at the end of its time");
            drop(connection);
        }
    }
    // A submission under way goes on until the vault has answered. One that still waits for its body has just lost the
    // connection that it would come from.
    nothing_left.recv().await;
}

impl Session {
    /// This process takes nothing new any more.
    fn leaves(&self) -> bool {
        *self.front.phase.borrow() != Phase::Serving
    }

    /// What a proxy showed that names its clients is its own certificate, and none of theirs.
    fn forget_certificate(&mut self) {
        if self.has_trusted_peer()
            && let Some(tls) = &mut self.tls
        {
            tls.client = None;
        }
    }

    /// Whom a trusted proxy names; none inside: nobody that can be believed. None outside: no proxy is asked.
    fn named(&self, headers: &HeaderMap) -> Option<Option<SocketAddr>> {
        let by = self.front.desk.reach.forwarded_by.filter(|_| self.has_trusted_peer())?;
        Some(forwarded::client(headers, by, &self.front.desk.dialect.xclient_from))
    }

    /// Where a request comes from, as far as that is known.
    fn origin(&self, headers: &HeaderMap) -> IpAddr {
        self.named(headers).flatten().unwrap_or(self.peer).ip().to_canonical()
    }

    /// A proxy is at the other end that says whose each request is.
    fn has_trusted_peer(&self) -> bool {
        let Desk { reach, dialect, .. } = &self.front.desk;
        let peer = self.peer.ip().to_canonical();
        reach.forwarded_by.is_some() && dialect.xclient_from.iter().any(|network| network.contains(&peer))
    }
}

/// hyper as it reads what the wall passes on.
pub fn hyper_behind_the_wall() -> http1::Builder {
    let mut builder = http1::Builder::new();
    // The wall has the clocks, and is stricter in the other two.
    builder.header_read_timeout(None).max_buf_size(wall::CANONICAL).max_headers(wall::FIELDS);
    // Who has said all it wants to say still gets its answer. So hyper reads nothing while it has one to give: the wall begins
    // no request before the one at hand is done.
    builder.half_close(true);
    builder
}

/// A connection's life, after which no further request is taken. It is over early when there is no vault to introduce it to.
async fn live(session: &Weak<Session>) {
    sleep(INTRODUCED).await;
    let Some(session) = session.upgrade() else { return };
    let mut seat = session.seat.lock().await;
    // Whose it is, a proxy says with the first request for the vault.
    let is_known = !session.has_trusted_peer() && seat.introduce().await.is_ok() || seat.is_named();
    drop(seat);
    drop(session);
    if is_known {
        sleep(LIFE.saturating_sub(INTRODUCED)).await;
    }
}

async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let listening = async {
        // The client may be gone: then there is nobody left to be polite to.
        if stream.shutdown().await.is_ok() {
            let _ = tokio::io::copy(&mut stream.take(LINGER_OCTETS), &mut tokio::io::sink()).await;
        }
    };
    let _ = timeout(LINGER, listening).await;
}

async fn answer(session: Arc<Session>, request: Request<Incoming>) -> Result<Reply, std::convert::Infallible> {
    let served = session.requests.fetch_add(1, Ordering::Relaxed).saturating_add(1);
    let id = MessageId::now();
    let (own, leaves) = (Arc::clone(&session), session.leaves());
    let (path, serve) = (request.uri().path(), &session.front.desk.serve);
    let (tongue, api) = (Tongue::of(path, request.headers(), serve), request::api(path, serve));
    let begun = Instant::now();
    let until = begun + REQUEST - AFTERMATH;
    let desk = Arc::clone(&session.front);
    let (_under_way, read) = (desk.meter.begin(), body::Measure::default());
    let measure = read.clone();
    let mut reply = apart(tongue, id, (session.peer, &desk.meter), async move {
        let (mut head, body) = request.into_parts();
        head.extensions.insert(measure);
        work(&own, &head, body, tongue, id, until, leaves).await
    })
    .await;
    if served >= REQUESTS || session.leaves() {
        reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    desk.meter.answered(api, reply.status().as_u16(), begun.elapsed(), read.octets());
    Ok(reply)
}

/// Runs a request's work as a task of its own: it goes on when the client hangs up, and when it panics, the client gets an
/// answer and the connection ends.
async fn apart(
    tongue: Tongue,
    id: MessageId,
    (peer, meter): (SocketAddr, &Meter),
    work: impl Future<Output = Reply> + Send + 'static,
) -> Reply {
    tokio::spawn(work).await.unwrap_or_else(|error| {
        meter.count(Count::Fell);
        tracing::error!(request = %id, %peer, %error, "a request's task fell");
        tongue.fault(&Fault::new(Code::InternalError, "this went wrong on our side").closing(), id)
    })
}

async fn work(
    session: &Session,
    head: &Parts,
    body: Incoming,
    tongue: Tongue,
    mut id: MessageId,
    until: Instant,
    leaves: bool,
) -> Reply {
    let desk = &session.front.desk;
    let routed = request::addressed(head, &desk.reach.hosts).and_then(|()| match cors::preflight(head, desk) {
        Some(word) => word.map(|()| Route::Preflight),
        None => request::route(head, &desk.serve),
    });
    let path = routed.as_ref().map_or("", |route| route.path());
    let mut unread = !body.is_end_stream();
    let result = match routed {
        Ok(Route::Send) if leaves => Err(leaving()),
        Ok(Route::Surface(call)) if leaves && !call.is_look_up() => Err(leaving()),
        Ok(Route::Hook) if leaves => Err(leaving()),
        Ok(Route::Hook) => hooks::post(session, head, body, &mut unread, id, until).await,
        Ok(Route::Send) => sending::send(session, head, body, &mut unread, &mut id, until).await,
        Ok(Route::Raw) if leaves => Err(leaving()),
        Ok(Route::Raw) => sending::send_raw(session, head, body, &mut unread, &mut id, until).await,
        Ok(Route::Validate) => sending::validate(session, head, body, &mut unread, id, until).await,
        // Nobody reads it here, so nobody would find out that it has no end.
        Ok(route) if unread && route.has_no_body() => {
            Err(Fault::framing("a request to this path has no body; send none"))
        }
        Ok(Route::Health | Route::Live) => Ok(ops::alive(id)),
        Ok(Route::Ready) => ops::ready(session, head, id),
        Ok(Route::Metrics) => ops::metrics(session, head, id),
        Ok(Route::OpenApi) => Ok(session.front.papers().openapi.answer(&head.headers, id)),
        Ok(Route::Docs) => Ok(session.front.papers().page.answer(&head.headers, id)),
        Ok(Route::Preflight) => Ok(cors::granted(id)),
        Ok(Route::Submission(message)) => submissions::find(session, head, message, id, until).await,
        Ok(Route::Submissions) => submissions::list(session, head, id, until).await,
        Ok(Route::Events) => events::list(session, head, id, until).await,
        Ok(Route::Cancel(message)) => submissions::cancel(session, head, message, id, until).await,
        Ok(route @ (Route::OwnKey | Route::Keys | Route::Key | Route::Limits)) => {
            keys::serve(session, head, route, id, until).await
        }
        Ok(Route::Surface(call)) => surface::serve(session, (head, body), &mut unread, &mut id, until, call).await,
        Err(fault) => Err(fault),
    };
    let mut reply = match result {
        Ok(reply) => reply,
        Err(mut fault) => {
            // What wasn't read of the body is in the way of the next request.
            fault.close |= unread;
            limits::blame(session, &mut fault).await;
            refusal::tell(&session.front, session.peer, id, path, &fault, Correlation::of(&head.headers));
            tongue.fault(&fault, id)
        }
    };
    limits::tell(session, &mut reply).await;
    cors::share(&mut reply, head, desk);
    reply
}

/// Nothing of the request was begun.
fn leaving() -> Fault {
    let message =
        "this part of the gate is being replaced or stopped and took nothing; send it again on a new connection";
    Fault::new(Code::StoreUnavailable, message).after(ELSEWHERE).closing()
}

#[cfg(test)]
mod tests;
