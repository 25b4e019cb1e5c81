//! How far an exchange has come: the octets that went out and those that came in.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::courier::tls::Stream;

/// Read while the stream is in use elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    written: AtomicU64,
    read: AtomicU64,
    /// Octets without which the request isn't whole, once its last ones were handed out.
    whole: AtomicU64,
    /// All of them went out.
    is_out: AtomicBool,
    /// The connection has ended.
    is_over: AtomicBool,
    changed: Notify,
}

impl Default for Counts {
    fn default() -> Self {
        let (zero, no) = (AtomicU64::default, AtomicBool::default);
        let (whole, changed) = (AtomicU64::new(u64::MAX), Notify::new());
        Self { written: zero(), read: zero(), whole, is_out: no(), is_over: no(), changed }
    }
}

impl Meter {
    pub fn over(&self, stream: Box<dyn Stream>) -> Box<dyn Stream> {
        Box::new(Metered { stream, meter: self.clone() })
    }

    /// Octets that the stream took; not all may be on the line.
    pub fn written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// Differs when something went out or came in.
    pub fn moved(&self) -> (u64, u64) {
        (self.written(), self.0.read.load(Ordering::Relaxed))
    }

    /// The last octets of the request, so many, are handed out now: behind all others.
    pub fn ends_with(&self, octets: usize) {
        let octets = u64::try_from(octets).unwrap_or(u64::MAX);
        self.0.whole.store(self.written().saturating_add(octets.max(1)), Ordering::Relaxed);
    }

    /// Whether the other side may have the whole request.
    pub fn may_be_whole(&self) -> bool {
        self.written() >= self.0.whole.load(Ordering::Relaxed)
    }

    /// Waits until the whole request has gone; false when the connection ended before.
    pub async fn whole(&self) -> bool {
        loop {
            if self.0.is_out.load(Ordering::Relaxed) {
                return true;
            }
            if self.0.is_over.load(Ordering::Relaxed) {
                return false;
            }
            self.0.changed.notified().await;
        }
    }

    /// The connection has ended.
    pub fn end(&self) {
        self.0.is_over.store(true, Ordering::Relaxed);
        self.0.changed.notify_one();
    }

    /// Everything that was written so far has gone.
    fn flushed(&self) {
        if self.may_be_whole() && !self.0.is_out.swap(true, Ordering::Relaxed) {
            self.0.changed.notify_one();
        }
    }
}

struct Metered {
    stream: Box<dyn Stream>,
    meter: Meter,
}

fn add(to: &AtomicU64, octets: usize) {
    to.fetch_add(u64::try_from(octets).unwrap_or(u64::MAX), Ordering::Relaxed);
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        add(&self.meter.0.read, buffer.filled().len().saturating_sub(before));
        Poll::Ready(read)
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, octets))?;
        add(&self.meter.0.written, written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.meter.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
