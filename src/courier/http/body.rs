//! A body whose last octets are held back until they may go out: without them the other side has no request.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::oneshot::{Receiver, Sender, channel};
use zeroize::Zeroizing;

use super::meter::Meter;
use crate::secret::Secret;

/// Octets that are held back: few, so that all that takes long has gone before.
const LAST: usize = 64;

/// A whole body in two pieces, which is wiped when both are gone, and the gate between them.
pub fn held(mut body: Secret<Vec<u8>>, meter: Meter) -> (Body, Gate) {
    let (reached, asked) = channel();
    let (open, opened) = channel();
    let mut first = Bytes::from_owner(Zeroizing::new(std::mem::take(body.expose_mut())));
    let last = first.split_off(first.len().saturating_sub(LAST));
    if last.is_empty() {
        meter.ends_with(0);
    }
    (Body { first, last, reached: Some(reached), opened, meter }, Gate { asked, open })
}

pub struct Body {
    first: Bytes,
    last: Bytes,
    /// Told when the first piece has gone.
    reached: Option<Sender<()>>,
    opened: Receiver<()>,
    /// Told when the last piece goes.
    meter: Meter,
}

/// The other end of a body.
pub struct Gate {
    asked: Receiver<()>,
    open: Sender<()>,
}

impl Gate {
    /// Waits until the body has come to its last piece, then asks whether that may go out. Returns only when it may not.
    pub async fn keep(self, may_end: impl Future<Output = bool>) {
        let is_asked = self.asked.await.is_ok();
        if is_asked && !may_end.await {
            return;
        }
        // A body that is gone has no use for it.
        let _ = self.open.send(());
        pending::<Infallible>().await;
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if !self.first.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.first)))));
        }
        if self.last.is_empty() {
            return Poll::Ready(None);
        }
        if let Some(reached) = self.reached.take() {
            // A gate that is gone never opens.
            let _ = reached.send(());
        }
        match ready!(Pin::new(&mut self.opened).poll(cx)) {
            Ok(()) => {
                self.meter.ends_with(self.last.len());
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.last)))))
            }
            Err(_) => Poll::Ready(Some(Err("the request was not ended"))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.last.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.first.len().saturating_add(self.last.len());
        SizeHint::with_exact(u64::try_from(left).unwrap_or(u64::MAX))
    }
}
