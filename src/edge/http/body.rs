//! A request's body: read whole, within a size, a time and a rate.

use std::error::Error;
use std::io;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::reply::{Code, Fault};
use super::wall::Flaw;

/// The longest body: 10 MiB of attachments in base64, and both texts, escaped.
pub const MAX_BODY: usize = 15 * 1024 * 1024;
/// The longest time from the head to the last octet.
pub const TOTAL: Duration = Duration::from_secs(60);
/// Octets a second, once the grace is over: a client that sends slower holds memory for nothing.
pub const RATE: usize = 1024;
pub const GRACE: Duration = Duration::from_secs(10);
/// KiB of all bodies being read or worked on at a time in this process. The work on one takes some four times its length.
const BUDGET: usize = 64 * 1024;
const KIB: usize = 1024;
/// KiB that are taken at a time for a body of unknown length: more than a frame of it has.
const STEP: usize = 64;
/// Seconds until there may be room again.
const ROOM_AGAIN: u32 = 2;

static ROOM: Semaphore = Semaphore::const_new(BUDGET);

/// What a body is held to.
pub struct Bounds {
    pub most: usize,
    /// In KiB, of all such bodies.
    pub budget: &'static Semaphore,
    pub total: Duration,
    /// The room for what is announced is kept from the beginning.
    pub believes: bool,
    /// KiB that are taken at a time, at least, as it comes.
    pub step: usize,
}

const OF_CLIENTS: Bounds = Bounds { most: MAX_BODY, budget: &ROOM, total: TOTAL, believes: true, step: STEP };

/// The octets, and the room they take up until they are dropped.
pub struct Whole {
    pub octets: Vec<u8>,
    _room: SemaphorePermit<'static>,
}

/// Reads the whole body. Only for clients that are known: what they hold is bounded, and strangers hold nothing but what whoever
/// reads for them bounds by itself.
pub async fn read(headers: &HeaderMap, body: Incoming) -> Result<Whole, Fault> {
    read_within(headers, body, &OF_CLIENTS).await
}

/// The same, within other bounds.
pub async fn read_within(headers: &HeaderMap, mut body: Incoming, bounds: &Bounds) -> Result<Whole, Fault> {
    let announced = announced(headers, bounds.most)?.unwrap_or_default();
    // Of strangers only what has come counts: a word of theirs that costs them nothing would take all the room.
    let announced = if bounds.believes { announced } else { 0 };
    let mut room = take(bounds.budget, announced.div_ceil(KIB))?;
    let mut octets = Vec::with_capacity(announced);
    let start = Instant::now();
    loop {
        let earned = Duration::from_secs(u64::try_from(octets.len() / RATE).unwrap_or(u64::MAX));
        let until = start + bounds.total.min(GRACE.saturating_add(earned));
        match timeout_at(until, body.frame()).await {
            Err(_) => return Err(too_slow(bounds.total)),
            Ok(None) => return Ok(Whole { octets, _room: room }),
            Ok(Some(Err(error))) => return Err(broken(&error)),
            Ok(Some(Ok(frame))) => {
                let data = frame.into_data().unwrap_or_default();
                let length = octets.len() + data.len();
                if length > bounds.most {
                    return Err(too_large(bounds.most));
                }
                // One in chunks has announced nothing and takes its room as it comes.
                let lacking = length.div_ceil(KIB).saturating_sub(room.num_permits());
                if lacking > 0 {
                    room.merge(take(bounds.budget, lacking.max(bounds.step))?);
                }
                octets.extend_from_slice(&data);
            }
        }
    }
}

/// Room for so many KiB, or the word that there is none.
fn take(budget: &Semaphore, kib: usize) -> Result<SemaphorePermit<'_>, Fault> {
    budget
        .try_acquire_many(u32::try_from(kib).unwrap_or(u32::MAX))
        .map_err(|_| Fault::new(Code::QueueFull, "too many large requests at a time; try again soon").after(ROOM_AGAIN))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_w11_without_room_a_body_is_put_off_and_room_is_given_back() {
        let budget = Semaphore::new(100);
        let first = take(&budget, 60).unwrap();
        let fault = take(&budget, 41).unwrap_err();
        assert_eq!((fault.code, fault.retry_after), (Code::QueueFull, Some(ROOM_AGAIN)));
        let _second = take(&budget, 40).unwrap();
        assert!(take(&budget, 1).is_err());
        drop(first);
        assert_eq!(take(&budget, 60).unwrap().num_permits(), 60);
    }
}
