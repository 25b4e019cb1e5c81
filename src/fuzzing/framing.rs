//! The wall of the HTTP gate: hyper sees exactly the requests that the wall says it saw, in whatever segments they come.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::segments;
use super::session::clock;
use crate::edge::http::hyper_behind_the_wall;
use crate::edge::http::wall::{CANONICAL, FIELDS, Flaw, Framer, HEAD, Part, Wall};

/// A request as one of the two has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    method: String,
    target: String,
    is_old: bool,
    /// By their names; those of one name in their order.
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    /// It has an end.
    whole: bool,
}

impl Seen {
    fn sorted(mut self) -> Self {
        self.fields.sort_by(|one, other| one.0.cmp(&other.0));
        self
    }

    /// Whether another may follow on its connection.
    fn persists(&self) -> bool {
        let says = |word: &[u8]| self.fields.iter().any(|(name, value)| name == "connection" && value == word);
        self.whole && !says(b"close") && !self.is_old
    }
}

/// What the wall says it saw, what it would pass on, and what ended it.
fn told(segments: &[Vec<u8>]) -> (Vec<Seen>, Vec<u8>, Option<Flaw>) {
    let (mut framer, mut seen, mut out) = (Framer::default(), Vec::<Seen>::new(), Vec::new());
    for segment in segments {
        let mut rest = segment.as_slice();
        while !rest.is_empty() {
            let (taken, part) = match framer.next(rest) {
                Ok(read) => read,
                Err(flaw) => return (seen, out, Some(flaw)),
            };
            assert!(taken == rest.len() || part.is_some(), "it stops at nothing");
            assert!(taken > 0, "it stands still");
            rest = &rest[taken..];
            let Some(part) = part else { continue };
            part.write(&mut out);
            match part {
                Part::Head(head) => {
                    let mut written = Vec::new();
                    head.write(&mut written);
                    assert!(written.len() <= CANONICAL && head.fields.len() <= FIELDS);
                    let field = |field: &crate::edge::http::wall::Field<'_>| {
                        (field.name.to_ascii_lowercase(), field.value.to_vec())
                    };
                    seen.push(Seen {
                        method: head.method.to_owned(),
                        target: head.target.to_string(),
                        is_old: written.split(|octet| *octet == b'\r').next().unwrap().ends_with(b" HTTP/1.0"),
                        fields: head.fields.iter().map(field).collect(),
                        ..Seen::default()
                    });
                }
                Part::Octets(octets) | Part::Chunk(octets) => seen.last_mut().unwrap().body.extend_from_slice(octets),
                Part::Last => {}
            }
            if let (true, Some(last)) = (framer.is_between(), seen.last_mut()) {
                last.whole = true;
            }
        }
    }
    (seen, out, None)
}

/// A client that sends segments and reads everything.
struct Played {
    segments: VecDeque<Vec<u8>>,
    /// The next segment has not come yet.
    pauses: bool,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Played {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.pauses) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(mut segment) = self.segments.pop_front() {
            let rest = segment.split_off(segment.len().min(buffer.remaining()));
            buffer.put_slice(&segment);
            match rest.is_empty() {
                true => self.pauses = true,
                false => self.segments.push_front(rest),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Played {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.heard.lock().unwrap().extend_from_slice(octets);
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What hyper hands to what serves it, and what the client hears.
fn seen(segments: Vec<Vec<u8>>) -> (Vec<Seen>, Vec<u8>, Option<Flaw>) {
    let (requests, heard) = (Arc::new(Mutex::new(Vec::new())), Arc::default());
    let played = Played { segments: segments.into(), pauses: false, heard: Arc::clone(&heard) };
    let record = Arc::clone(&requests);
    let service = service_fn(move |request: Request<Incoming>| {
        let record = Arc::clone(&record);
        let serve = async move {
            let (head, mut body) = request.into_parts();
            let mut seen = Seen {
                method: head.method.to_string(),
                target: head.uri.to_string(),
                is_old: head.version == Version::HTTP_10,
                fields: head
                    .headers
                    .iter()
                    .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
                    .collect(),
                ..Seen::default()
            };
            seen.whole = loop {
                match body.frame().await {
                    Some(Ok(frame)) => seen.body.extend_from_slice(frame.data_ref().expect("there are no trailers")),
                    Some(Err(_)) => break false,
                    None => break true,
                }
            };
            record.lock().unwrap().push(seen);
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"!"))))
        };
        Box::pin(serve) as Pin<Box<dyn Future<Output = _> + Send>>
    });
    let flaw = clock().block_on(async {
        let mut connection = hyper_behind_the_wall().serve_connection(TokioIo::new(Wall::new(played)), service);
        let done = (&mut connection).await;
        assert!(!done.is_err_and(|error| error.is_parse()), "hyper can't read what the wall passes on");
        connection.into_parts().io.into_inner().into_parts().1
    });
    let requests = std::mem::take(&mut *requests.lock().unwrap());
    (requests, std::mem::take(&mut *heard.lock().unwrap()), flaw)
}

/// 0xFE cuts.
pub fn run(input: &[u8]) {
    let segments = segments::of(input);
    let whole = [segments.concat()];
    let (requests, out, flaw) = told(&whole);
    let (cut, _, cut_flaw) = told(&segments);
    assert_eq!((&cut, &cut_flaw), (&requests, &flaw), "segments change what is read");
    assert!(flaw.is_none() || !flaw.as_ref().is_some_and(|flaw| flaw.message.is_empty()));
    assert!(out.len() <= whole[0].len() * 8 + CANONICAL - HEAD, "more comes out than went in");

    // What is passed on is the form of itself, and the same to any other reader of ours.
    let (again, fixed, broken) = told(std::slice::from_ref(&out));
    assert_eq!((&again, broken), (&requests, None), "what is passed on is read otherwise");
    assert_eq!(fixed, out, "what is passed on has another form yet");

    let until = requests.iter().position(|request| !request.persists()).map_or(requests.len(), |at| at + 1);
    let is_over = until < requests.len() || requests.last().is_some_and(|last| !last.persists());
    let expected: Vec<_> = requests.into_iter().take(until).map(Seen::sorted).collect();
    let (hypers, heard, left) = seen(segments);
    let hypers: Vec<_> = hypers.into_iter().map(Seen::sorted).collect();
    assert_eq!(hypers, expected, "hyper sees other requests");
    let answers = heard.windows(9).filter(|octets| octets == b"HTTP/1.1 " || octets == b"HTTP/1.0 ");
    let continues = heard.windows(12).filter(|octets| octets == b"HTTP/1.1 100").count();
    assert_eq!(answers.count() - continues, expected.len(), "not one answer to each request");
    if !is_over && let Some(flaw) = flaw {
        assert_eq!(left, Some(flaw), "the flaw behind the last request is lost");
    }
}
