//! How far an exchange has come: the octets that went out and those that came in.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::courier::tls::Stream;

/// Read while the stream is in use elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    written: Arc<AtomicU64>,
    read: Arc<AtomicU64>,
}

impl Meter {
    pub fn over(&self, stream: Box<dyn Stream>) -> Box<dyn Stream> {
        Box::new(Metered { stream, meter: self.clone() })
    }

    /// Octets that the stream took; not all may be on the line.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Differs when something went out or came in.
    pub fn moved(&self) -> (u64, u64) {
        (self.written(), self.read.load(Ordering::Relaxed))
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
        add(&self.meter.read, buffer.filled().len().saturating_sub(before));
        Poll::Ready(read)
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, octets))?;
        add(&self.meter.written, written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
