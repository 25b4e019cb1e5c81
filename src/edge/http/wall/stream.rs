//! Between a socket and hyper: what hyper reads has been read by the framer, and what it writes goes through.
//!
//! hyper gets one request at a time: the next one is not begun while it asks for nothing. A flaw in a head ends what hyper
//! reads, as a client's leaving would, so that it answers what came before; the flaw is then for whoever takes this apart.
//! A flaw in a body is an error to hyper, which hands it to the reader of that body: the request has an answer to come.
//! Whoever asks on and reads no answers fills no memory with them: hyper asks for no head before it has said its answer.
//! The clocks of both directions run here, for hyper knows neither when a head began nor how slowly its answers are read.
//! And while hyper makes an answer, which may take long, it is seen here that the client leaves: hyper reads nothing then.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use super::flaw::Flaw;
use super::framer::{Framer, Part};
use super::patience::{self, For, Patience};
use crate::edge::http::reply::Code;

/// Octets that are read at a time. Of a connection there is never more in memory than this, a head as it came and as it goes
/// on (`HEAD`, `CANONICAL`), and as much again of a body behind it.
const READ: usize = 8 * 1024;

/// How reading ended.
#[derive(Debug)]
enum End {
    Left,
    InHead(Flaw),
    InBody(Flaw),
}

#[derive(Debug)]
pub struct Wall<S> {
    stream: S,
    framer: Framer,
    /// What was read and not looked at yet.
    ahead: Vec<u8>,
    /// What hyper is to read, and how much of it it has.
    out: Vec<u8>,
    given: usize,
    end: Option<End>,
    patience: Patience,
    /// A head has been whole.
    begun: bool,
    /// Nothing more comes from the client.
    silent: watch::Sender<bool>,
}

impl<S> Wall<S> {
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            framer: Framer::default(),
            ahead: Vec::new(),
            out: Vec::new(),
            given: 0,
            end: None,
            patience: Patience::default(),
            begun: false,
            silent: watch::Sender::new(false),
        }
    }

    /// Tells when the client has said its last word. It may still read: who only ends its half of the connection is not told apart
    /// from who is gone.
    pub fn silence(&self) -> watch::Receiver<bool> {
        self.silent.subscribe()
    }

    /// The socket again, and what was wrong with a head when that is why hyper heard no more.
    pub fn into_parts(self) -> (S, Option<Flaw>) {
        let flaw = match self.end {
            Some(End::InHead(flaw)) => Some(flaw),
            Some(End::Left | End::InBody(_)) | None => None,
        };
        (self.stream, flaw)
    }

    /// Octets that it holds at the moment.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.ahead.capacity() + self.out.capacity() + self.framer.held()
    }

    /// Looks at what was read, to the end of a request.
    fn advance(&mut self) {
        let mut taken = 0;
        while let Some(rest) = self.ahead.get(taken..).filter(|rest| !rest.is_empty()) {
            let in_head = self.framer.is_in_head();
            match self.framer.next(rest) {
                Ok((octets, part)) => {
                    taken += octets;
                    let is_head = matches!(part, Some(Part::Head(_)));
                    part.iter().for_each(|part: &Part<'_>| part.write(&mut self.out));
                    if is_head {
                        self.begun = true;
                        self.patience.heard();
                        self.framer.forget();
                    }
                }
                Err(flaw) => {
                    self.end = Some(if in_head { End::InHead(flaw) } else { End::InBody(flaw) });
                    taken = self.ahead.len();
                }
            }
            if self.framer.is_between() && !self.out.is_empty() {
                break;
            }
        }
        self.ahead.drain(..taken);
        if self.ahead.is_empty() {
            self.ahead = Vec::new();
        }
    }

    /// Gives hyper what there is for it. None: there is nothing.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) -> Option<io::Result<()>> {
        let rest = self.out.get(self.given..).unwrap_or_default();
        if rest.is_empty() {
            return match &self.end {
                None => None,
                Some(End::Left | End::InHead(_)) => Some(Ok(())),
                Some(End::InBody(flaw)) => Some(Err(io::Error::new(io::ErrorKind::InvalidData, flaw.clone()))),
            };
        }
        let octets = rest.get(..buffer.remaining()).unwrap_or(rest);
        buffer.put_slice(octets);
        self.given += octets.len();
        if self.given == self.out.len() {
            (self.out, self.given) = (Vec::new(), 0);
        }
        Some(Ok(()))
    }

    /// Nothing has come. Whether that ends the connection: of a body, its reader judges.
    fn waits_no_longer(&mut self, cx: &mut Context<'_>) -> bool {
        let waiting = match (self.framer.is_in_head(), self.framer.is_between(), self.begun) {
            (false, ..) => return false,
            (true, false, _) => For::Rest,
            (true, true, false) => For::First,
            (true, true, true) => For::Next,
        };
        if !self.patience.is_over(waiting, cx) {
            return false;
        }
        self.end = Some(match waiting {
            // Whoever asks nothing is told nothing.
            For::First | For::Next => End::Left,
            For::Rest => {
                let seconds = patience::HEAD.as_secs();
                let message = format!("the head came too slowly: all of it is needed in {seconds} s");
                End::InHead(self.framer.of_head(Flaw::new(Code::RequestTimeout, message)))
            }
        });
        true
    }

    fn left(&mut self) {
        let midway = self.framer.is_in_head() && !self.framer.is_between();
        self.end = Some(match midway {
            true => {
                let flaw = Flaw::framing("the connection's input ended in the middle of a head");
                let flaw = Flaw { left: true, ..flaw };
                End::InHead(self.framer.of_head(flaw))
            }
            false => End::Left,
        });
    }
}

impl<S: AsyncRead + Unpin> Wall<S> {
    /// Reads what the client says behind its request, no more than is read at a time, to see whether it leaves.
    fn listen(&mut self, cx: &mut Context<'_>) {
        let has_room = self.begun && self.framer.is_between() && self.out.is_empty() && self.ahead.is_empty();
        if !has_room || self.end.is_some() || *self.silent.borrow() {
            return;
        }
        // An error is as good as an end. Whoever reads next meets it again.
        if let Poll::Ready(read) = self.fill(cx)
            && !read.is_ok_and(|octets| octets > 0)
        {
            self.silent.send_replace(true);
        }
    }

    /// Reads some more. Gives how many octets came.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut room = [MaybeUninit::uninit(); READ];
        let mut read = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
        self.ahead.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wall<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if let Some(given) = this.give(buffer) {
                return Poll::Ready(given);
            }
            if this.ahead.is_empty() {
                match this.fill(cx)? {
                    Poll::Pending if !this.waits_no_longer(cx) => return Poll::Pending,
                    Poll::Pending => continue,
                    Poll::Ready(0) => this.left(),
                    Poll::Ready(_) => {}
                }
            }
            this.advance();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wall<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let Self { stream, patience, .. } = self.get_mut();
        patience.write(Pin::new(stream).poll_write(cx, octets), cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, patience, .. } = self.get_mut();
        patience.write(Pin::new(stream).poll_write_vectored(cx, parts), cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // hyper asks for this, too, whenever it has nothing to say yet.
        this.listen(cx);
        let Self { stream, patience, .. } = this;
        ready!(patience.write(Pin::new(stream).poll_flush(cx), cx))?;
        patience.said();
        Poll::Ready(Ok(()))
    }

    /// hyper has said all it has to say; whether it was the last word is not for it to know.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
