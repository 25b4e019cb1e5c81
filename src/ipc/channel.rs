//! Data channels inside a runtime: frames in, frames out, coalesced into as few calls as the moment allows.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use super::frame::{Inbox, Outbox};
use crate::sandbox::Sealed;

/// Frames that may wait for a peer: two for each session an edge may hold (8,192), so that one round of answers to all of
/// them fits without a turn of the event loop. Beyond it, those who send must wait too.
const QUEUE: usize = 16 * 1024;
/// Stop collecting for one write at this many octets.
const BATCH: usize = 64 * 1024;
/// Octets read at once.
const READ: usize = 32 * 1024;

/// The sending side; clones share one queue and keep their order.
#[derive(Debug)]
pub struct Sender<T> {
    queue: mpsc::Sender<T>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

/// The other process is gone, or its channel was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

impl<T> Sender<T> {
    /// Waits for room in the queue.
    pub async fn send(&self, frame: T) -> Result<(), Gone> {
        self.queue.send(frame).await.map_err(|_| Gone)
    }

    /// Never waits. A full queue counts as gone: the peer doesn't read, and whoever must not wait must let go of it.
    pub fn try_send(&self, frame: T) -> Result<(), Gone> {
        self.queue.try_send(frame).map_err(|_| Gone)
    }

    /// As `try_send`, for what is worth less than what others send: only where fewer frames than that wait already.
    pub fn try_send_behind(&self, frame: T, fewer: usize) -> Result<(), Gone> {
        let waiting = self.queue.max_capacity().saturating_sub(self.queue.capacity());
        if waiting < fewer { self.try_send(frame) } else { Err(Gone) }
    }

    pub fn is_gone(&self) -> bool {
        self.queue.is_closed()
    }
}

/// The receiving side.
#[derive(Debug)]
pub struct Receiver<T> {
    stream: OwnedReadHalf,
    inbox: InboxOf<T>,
    /// Here and not where it is read into: there it would be made, and moved, for each frame.
    buffer: Box<[u8]>,
}

struct InboxOf<T>(Inbox, std::marker::PhantomData<fn() -> T>);

impl<T> std::fmt::Debug for InboxOf<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inbox")
    }
}

impl<T: DeserializeOwned> Receiver<T> {
    /// The next frame, or none when the peer closed. Cancel-safe: nothing read is lost.
    ///
    /// Errors: a frame that can't be read (`InvalidData`), after which the channel must be dropped; or the socket's own.
    pub async fn receive(&mut self) -> io::Result<Option<T>> {
        loop {
            if let Some(frame) = self.inbox.0.take()? {
                return Ok(Some(frame));
            }
            match self.stream.read(&mut self.buffer).await {
                Ok(0) => return Ok(None),
                Ok(n) => self.inbox.0.feed(self.buffer.get(..n).unwrap_or_default()),
                // It ended with words of ours that it had not read: that is an end like any other.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// A frame that has arrived already, without reading the socket.
    pub fn ready(&mut self) -> io::Result<Option<T>> {
        Ok(self.inbox.0.take()?)
    }
}

/// Opens a data channel over one end of a socket pair. Only a sealed process may: what arrives is a peer's.
pub fn open<Tx, Rx>(socket: OwnedFd, _: &Sealed) -> io::Result<(Sender<Tx>, Receiver<Rx>)>
where
    Tx: Serialize + Send + 'static,
{
    let socket = StdStream::from(socket);
    socket.set_nonblocking(true)?;
    let (read, write) = UnixStream::from_std(socket)?.into_split();
    let (queue, frames) = mpsc::channel(QUEUE);
    tokio::spawn(drain(frames, write));
    let inbox = InboxOf(Inbox::default(), std::marker::PhantomData);
    Ok((Sender { queue }, Receiver { stream: read, inbox, buffer: vec![0; READ].into() }))
}

/// Writes what is queued, all that is ready in one call, until every sender or the peer is gone.
async fn drain<T: Serialize>(mut frames: mpsc::Receiver<T>, mut stream: OwnedWriteHalf) {
    let mut out = Outbox::default();
    while let Some(frame) = frames.recv().await {
        out.bytes.clear();
        let mut next = Some(frame);
        while let Some(frame) = next {
            if let Err(error) = out.push(&frame) {
                tracing::error!(%error, "a frame of ours was too long and was not sent; its session will time out");
            }
            next = if out.bytes.len() < BATCH { frames.try_recv().ok() } else { None };
        }
        if stream.write_all(&out.bytes).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream as StdStream;

    use super::*;

    #[tokio::test]
    async fn a_peer_that_ends_with_words_unread_has_ended() {
        let (ours, mut theirs) = StdStream::pair().unwrap();
        let (sender, mut receiver) = open::<u64, u64>(ours.into(), &Sealed::for_tests()).unwrap();
        sender.send(7).await.unwrap();
        sender.send(8).await.unwrap();
        // The first octet has come, and the others lie in the socket.
        let first = tokio::task::spawn_blocking(move || theirs.read_exact(&mut [0]).map(|()| theirs));
        drop(first.await.unwrap().unwrap());
        assert!(matches!(receiver.receive().await, Ok(None)));
    }
}
