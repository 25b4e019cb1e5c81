//! A request's body: read whole, within a size, a time and a rate.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};
use hyper::http::request::Parts;
use tokio::time::{Instant, timeout_at};

use super::reply::{Code, Fault};
use super::room::{Place, Room};
use super::wall::Flaw;
use super::{Session, letter};
use crate::policy::{Grant, presence};

/// The longest body: 10 MiB of attachments in base64, and both texts, escaped.
pub const MAX_BODY: usize = 15 * 1024 * 1024;
/// The longest time from the head to the last octet.
pub const TOTAL: Duration = Duration::from_secs(60);
/// Octets a second, once the grace is over: a client that sends slower holds memory for nothing.
pub const RATE: usize = 1024;
pub const GRACE: Duration = Duration::from_secs(10);
/// Octets of all bodies being read or worked on at a time in this process. The work on one takes some four times its length.
const BUDGET: usize = 64 * 1024 * 1024;
/// Octets that a body takes at least, once some have come: few bodies have more.
const FIRST: usize = 4 * 1024;
/// Seconds until there may be room again.
const ROOM_AGAIN: u32 = 2;

/// Octets that each key may have in any case: more than most messages take, and little for all keys that are in use at a time.
const FLOOR: usize = 64 * 1024;

static ROOM: Room = Room::new(BUDGET, FLOOR);
/// What all keys have together that stand in pages: anybody may send with them, so they take nothing of what the others have. There
/// are as many holders as there are addresses: so each has no more in any case than a form is filled in with, and that has an end, too.
const BUDGET_OF_VISITORS: usize = 8 * 1024 * 1024;
const FLOOR_OF_VISITORS: usize = 16 * 1024;
const MOST_OF_ALL_VISITORS: usize = 2 * BUDGET_OF_VISITORS;
static ROOM_OF_VISITORS: Room = Room::within(BUDGET_OF_VISITORS, FLOOR_OF_VISITORS, MOST_OF_ALL_VISITORS);

/// Octets of a body for each of the message: JSON may write one as `\u0041`, and so each sign of a file's base64.
const WRITTEN: usize = 8;
/// Octets of a body of which nothing is in the message: who gets it unseen, labels, names of members. And of one from a page.
const BESIDE: usize = 1024 * 1024;
const BESIDE_OF_VISITORS: usize = 16 * 1024;
/// The longest body from a page: no attachments, and both texts fit twice over.
const MOST_OF_VISITORS: usize = 4 * letter::MAX_TEXT;
/// Why a request waits whose body finds no room, for the log: a full queue has the same code.
pub const NO_ROOM: &str = "no-room-for-bodies";

/// What a body is held to.
pub struct Bounds {
    pub most: usize,
    pub room: &'static Room,
    pub total: Duration,
}

impl Bounds {
    /// Of one with that key, on a gate that takes messages of so many octets; what its largest message can need, and a batch has
    /// many of them.
    fn of(grant: &Grant, gate: u64, is_batch: bool) -> Self {
        let (longest, beside, room) = if grant.is_public() {
            (MOST_OF_VISITORS, BESIDE_OF_VISITORS, &ROOM_OF_VISITORS)
        } else {
            (MAX_BODY, BESIDE, &ROOM)
        };
        let size = usize::try_from(grant.size(gate)).unwrap_or(usize::MAX);
        let needed = size.saturating_mul(WRITTEN).saturating_add(beside);
        let most = if is_batch { longest } else { longest.min(needed) };
        Self { most, room, total: TOTAL }
    }
}

/// The octets, and the room they take up until that is dropped.
pub struct Whole {
    pub octets: Vec<u8>,
    pub place: Place,
}

/// How much of a request's body was read. It stands beside the request's head for whoever counts what was answered.
#[derive(Clone, Debug, Default)]
pub struct Measure(Arc<AtomicU64>);

impl Measure {
    pub fn octets(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, octets: usize) {
        self.0.fetch_add(u64::try_from(octets).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Reads the whole body of a client that is known, in the room of its key; where that is everybody's, of its network, too. `is_batch`:
/// there may be several messages in it.
pub async fn read(
    session: &Session,
    head: &Parts,
    body: Incoming,
    grant: &Grant,
    is_batch: bool,
) -> Result<Whole, Fault> {
    let bounds = Bounds::of(grant, session.front.max_size, is_batch);
    let network = || presence::near(session.origin(&head.headers));
    let holder = if grant.is_public() { format!("{} {}", grant.principal, network()) } else { grant.principal.clone() };
    read_within(head, body, &holder, &bounds).await
}

/// The same within other bounds. Only what has come counts: a length that is announced costs its client nothing.
pub async fn read_within(head: &Parts, mut body: Incoming, holder: &str, bounds: &Bounds) -> Result<Whole, Fault> {
    let measure = head.extensions.get::<Measure>();
    let last = announced(&head.headers, bounds.most)?.unwrap_or(bounds.most);
    let mut place = bounds.room.place(holder);
    let mut octets = Vec::new();
    let start = Instant::now();
    loop {
        let earned = Duration::from_secs(u64::try_from(octets.len() / RATE).unwrap_or(u64::MAX));
        let until = start + bounds.total.min(GRACE.saturating_add(earned));
        match timeout_at(until, body.frame()).await {
            Err(_) => return Err(too_slow(bounds.total)),
            Ok(None) => return Ok(Whole { octets, place }),
            Ok(Some(Err(error))) => return Err(broken(&error)),
            Ok(Some(Ok(frame))) => {
                let data = frame.into_data().unwrap_or_default();
                if let Some(measure) = measure {
                    measure.add(data.len());
                }
                let length = octets.len() + data.len();
                if length > bounds.most {
                    return Err(too_large(bounds.most));
                }
                if length > octets.capacity() {
                    let larger = larger(length, octets.capacity(), last);
                    if !place.grow(larger) {
                        return Err(no_room());
                    }
                    octets.reserve_exact(larger - octets.len());
                }
                octets.extend_from_slice(&data);
            }
        }
    }
}

/// The memory for a body that has grown beyond what it had: twice that, and not more than it will need.
fn larger(length: usize, had: usize, last: usize) -> usize {
    had.saturating_mul(2).max(FIRST).min(last).max(length)
}

fn no_room() -> Fault {
    let fault = Fault::new(Code::QueueFull, "too many large requests at a time; try again soon").after(ROOM_AGAIN);
    Fault { no_room: true, ..fault }
}

/// The length the client announces, refused before anything is read or set aside for it.
fn announced(headers: &HeaderMap, most: usize) -> Result<Option<usize>, Fault> {
    let Some(value) = headers.get(header::CONTENT_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
    match length.map(usize::try_from) {
        Some(Ok(length)) if length <= most => Ok(Some(length)),
        _ => Err(too_large(most)),
    }
}

/// What the wall found wrong with it, or that it has no end.
fn broken(error: &hyper::Error) -> Fault {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>()).and_then(io::Error::get_ref);
    match cause.and_then(|cause| cause.downcast_ref::<Flaw>()) {
        Some(flaw) => flaw.clone().into(),
        None => Fault::framing("the connection's input ended before the body did"),
    }
}

fn too_large(most: usize) -> Fault {
    Fault::new(Code::PayloadTooLarge, format!("the body is longer than {most} octets")).closing()
}

fn too_slow(total: Duration) -> Fault {
    let seconds = total.as_secs();
    let message = format!("the body came too slowly: {RATE} octets a second are needed, and all of it in {seconds} s");
    Fault::new(Code::RequestTimeout, message).closing()
}

/// What a key has of the room for bodies, or a network by one that stands in a page.
#[cfg(test)]
pub fn held(holder: &str) -> usize {
    ROOM.held(holder) + ROOM_OF_VISITORS.held(holder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_grows_with_what_has_come_and_never_beyond_what_was_announced() {
        let (mut had, mut steps) = (0, 0);
        for length in 1..=200_000 {
            if length > had {
                (had, steps) = (larger(length, had, 150_001), steps + 1);
                assert!(had <= (2 * length).max(FIRST), "{length}: {had}");
            }
        }
        assert_eq!(larger(1, 0, MAX_BODY), FIRST);
        assert_eq!(larger(100_000, 64 * 1024, 100_001), 100_001);
        assert!(steps > 5);
    }
}
