//! A client that says what it has to say in segments, and hangs up: each read gets one segment at most, and none gets two.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What was said to it.
pub type Heard = Arc<Mutex<Vec<u8>>>;

#[derive(Debug)]
pub struct Script {
    segments: VecDeque<Vec<u8>>,
    /// So many reads find nothing yet.
    silent: u8,
    heard: Heard,
}

impl Script {
    pub fn new(segments: Vec<Vec<u8>>, silent: u8) -> (Self, Heard) {
        let heard = Heard::default();
        (Self { segments: segments.into(), silent, heard: heard.clone() }, heard)
    }
}

impl AsyncRead for Script {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(silent) = self.silent.checked_sub(1) {
            self.silent = silent;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(mut segment) = self.segments.pop_front() {
            let rest = segment.split_off(segment.len().min(buffer.remaining()));
            buffer.put_slice(&segment);
            if !rest.is_empty() {
                self.segments.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
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
