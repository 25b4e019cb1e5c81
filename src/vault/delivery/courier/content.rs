//! The content of a courier's jobs: as much as was asked for.

use std::io;
use std::rc::Rc;

use sha2::Digest;
use tokio::task::spawn_local;

use super::{Courier, Ready};
use crate::ipc::bytes::Octets;
use crate::ipc::delivery::{Job, Offer};
use crate::ipc::frame::MAX_CONTENT;
use crate::vault::audit::event::{Event, Name, Outcome};
use crate::vault::delivery::poison::Proof;
use crate::vault::limits::clock::queue_us;
use crate::vault::store::keys::Lock;
use crate::vault::store::segment::Part;
use crate::vault::store::spool::Body;
use crate::vault::transaction::microseconds;

/// Octets of a segment read at once.
const READ: usize = 64 * 1024;

impl Courier {
    /// Sends as much content as was asked for and is at hand.
    pub(super) async fn pump(&mut self, job: Job) {
        let Some(active) = self.active.get_mut(&job) else { return };
        if active.reading {
            return;
        }
        if active.sent >= active.leased.bytes {
            return self.answer(job).await;
        }
        if active.wanted == 0 {
            return;
        }
        let left = active.leased.bytes - active.sent;
        let length = usize::try_from(active.wanted.min(left)).unwrap_or(READ).min(READ);
        match &active.leased.body {
            Body::Inline(content) => {
                let from = usize::try_from(active.sent).unwrap_or(usize::MAX);
                let piece = content.get(from..from.saturating_add(length)).map(<[u8]>::to_vec);
                let piece = piece.ok_or_else(|| io::Error::other("the body is shorter than it was"));
                let _ = self.ready.send((job, Ready::Piece(piece)));
            }
            Body::Segment(name) => {
                let (vault, ready) = (Rc::clone(&self.vault), self.ready.clone());
                let key = match &active.leased.lock {
                    Lock::Key(key) => Some(key.clone()),
                    Lock::None | Lock::Lost => None,
                };
                let (offset, octets) = (active.sent, active.leased.bytes);
                let part = Part { name: name.clone(), key, octets, offset, length };
                spawn_local(async move {
                    let _ = ready.send((job, Ready::Piece(vault.segments.read(part).await)));
                });
            }
        }
        active.reading = true;
    }

    pub(super) async fn pass_on(&mut self, job: Job, piece: io::Result<Vec<u8>>) {
        let Some(active) = self.active.get_mut(&job) else { return };
        let piece =
            piece.and_then(|piece| if piece.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(piece) });
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => return self.withdraw(job, &error).await,
        };
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        (active.reading, active.sent) = (false, active.sent + length);
        active.wanted = active.wanted.saturating_sub(length);
        active.digest.update(&piece);
        for octets in piece.chunks(MAX_CONTENT) {
            self.say(Offer::Content { job, octets: Octets(octets.to_vec()) }).await;
        }
        let Some(active) = self.active.get(&job) else { return };
        // Before anything that ends it: until then nothing that was sent is a message.
        if active.sent >= active.leased.bytes && active.digest.clone().finalize().as_slice() != active.leased.sha256 {
            return self.withdraw(job, &changed()).await;
        }
        self.pump(job).await;
    }

    /// Our own body can't be read: the courier must not send the final dot. It is tried again until its time is over.
    pub(super) async fn withdraw(&mut self, job: Job, error: &io::Error) {
        let Some(active) = self.active.get(&job) else { return };
        tracing::error!(message = %active.leased.message, %error, "the body of a message can't be read");
        let event = Event {
            severity: 1,
            message: Some(active.leased.message),
            reason: Some("body-unreadable".into()),
            ..Event::new(Name::IntegrityFailure, Outcome::Failure)
        };
        self.vault.writer.record(vec![event]).await;
        self.take_back(job).await;
    }

    pub(super) async fn take_back(&mut self, job: Job) {
        let Some(mut active) = self.active.remove(&job) else { return };
        self.say(Offer::Withdraw { job }).await;
        let wait = self.vault.authority.borrow().slice.retry.last().copied().unwrap_or_default();
        self.expire(&mut active);
        self.end(active, queue_us() + microseconds(wait), Proof::None);
    }
}

/// A small body as it is, and a large one by its name; none when there is no key for it. One that is sealed is longer than
/// what is in it, and so is never taken for one of before bodies were sealed (a segment: see where it is read).
pub fn open(lock: &Lock, body: &Body, octets: u64) -> io::Result<Body> {
    match (lock, body) {
        (Lock::Lost, _) => Err(io::Error::new(io::ErrorKind::InvalidData, "the master key of its key is not here")),
        (Lock::Key(key), Body::Inline(sealed)) => key.open(0, true, sealed.clone()).map(Body::Inline),
        (Lock::None, Body::Inline(content)) if u64::try_from(content.len()) != Ok(octets) => Err(changed()),
        (Lock::Key(_), Body::Segment(_)) | (Lock::None, _) => Ok(body.clone()),
    }
}

fn changed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the body is not what was accepted, or its key is gone")
}
