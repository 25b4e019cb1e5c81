//! A client's connection: lines in, replies out in as few writes as the moment allows, and a deadline on everything.

use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::command::{self, AUTH_LINE, is_foreign};
use super::line::{Inbox, Line};
use super::reply::{self, Reply};
use super::transcript;
use crate::edge::conversation::Lost;
use crate::edge::conversation::scribe::Scribe;
use crate::edge::front::Phase;
use crate::edge::strangers::Notice;
use crate::ipc::trace::Told;

/// Octets of commands that are read at once.
const COMMANDS: usize = 2048;
/// Octets that may wait to be a line: the longest that there is, and room to read what is behind it.
const MOST_WAITING: usize = AUTH_LINE + 256;
/// How long a client may take to accept our replies.
const WRITE: Duration = Duration::from_secs(30);
/// How long we wait for a client to hear our last words: closing while its octets are unread would reset the connection,
/// and the words would be lost.
const LINGER: Duration = Duration::from_secs(1);
/// Octets that are read and thrown away meanwhile.
const MAX_LINGER: usize = 64 * 1024;

/// Why a session is over.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// The client is gone.
    Silently,
    /// It speaks another protocol, and shall get no answer.
    Foreign,
    /// After this has been said.
    With(Reply),
}

impl From<Reply> for Stop {
    fn from(reply: Reply) -> Self {
        Self::With(reply)
    }
}

impl From<Lost> for Stop {
    fn from(Lost: Lost) -> Self {
        Self::With(reply::VAULT_AWAY)
    }
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Silently
    }
}

/// One connection, plain or under TLS.
#[derive(Debug)]
pub struct Wire<S> {
    stream: S,
    pub inbox: Inbox,
    out: Vec<u8>,
    /// Octets of `out` that those who follow the session were told.
    told: usize,
    scribe: Scribe,
    phase: watch::Receiver<Phase>,
    notice: Notice,
    /// How often it was waited for the client.
    rounds: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub fn new(stream: S, phase: watch::Receiver<Phase>, notice: Notice) -> Self {
        let (inbox, scribe) = (Inbox::default(), Scribe::default());
        Self { stream, inbox, out: Vec::new(), told: 0, scribe, phase, notice, rounds: 0 }
    }

    /// The same, and what is said on it is told to those who follow the session.
    pub fn told_by(self, scribe: &Scribe) -> Self {
        Self { scribe: scribe.clone(), ..self }
    }

    /// The stream, for TLS to begin on. What was read before is forgotten.
    pub fn into_stream(self) -> S {
        self.stream
    }

    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Says it with the next write, which comes before the next read.
    pub fn say(&mut self, reply: &Reply) {
        reply.write(&mut self.out);
    }

    /// The place for replies of several lines.
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// The client has spoken further than it may.
    pub fn is_ahead(&self) -> bool {
        !self.inbox.pending().is_empty()
    }

    /// Which round this is. What is read in one was sent before any reply of the same one could be heard.
    pub const fn round(&self) -> u64 {
        self.rounds
    }

    /// Whether the client speaks before it was greeted. Looks twice, with a turn of the runtime between: a socket that is
    /// new to it has nothing to read at first.
    pub async fn speaks_already(&mut self) -> Result<bool, Stop> {
        for _ in 0..2 {
            let mut octet = [0u8];
            let mut buffer = ReadBuf::new(&mut octet);
            let stream = &mut self.stream;
            let read = std::future::poll_fn(|cx| match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(read) => Poll::Ready(Some(read)),
                Poll::Pending => Poll::Ready(None),
            });
            match read.await {
                Some(Ok(())) if buffer.filled().is_empty() => return Err(Stop::Silently),
                Some(Ok(())) => return Ok(true),
                Some(Err(error)) => return Err(error.into()),
                None => tokio::task::yield_now().await,
            }
        }
        Ok(false)
    }

    /// The next line, of which nobody who follows the session is told more than that it came: it may be a password. Waits until
    /// the deadline, and no longer than the service's phase `until`.
    pub async fn line(&mut self, limit: fn(&[u8]) -> usize, deadline: Instant, until: Phase) -> Result<Line, Stop> {
        let line = self.next(limit, deadline, until).await?;
        self.tell(transcript::hidden);
        Ok(line)
    }

    /// The same, of a command: what was understood of it is told.
    pub async fn command(&mut self, deadline: Instant, until: Phase) -> Result<Line, Stop> {
        let line = self.next(command::limit, deadline, until).await?;
        self.tell(|| transcript::command(&line));
        Ok(line)
    }

    /// So many octets came that are no commands.
    pub fn content_came(&mut self, octets: u64) {
        self.tell(|| transcript::content(octets));
    }

    /// Tells those who follow the session: what was said to the client before, and this.
    fn tell(&mut self, told: impl FnOnce() -> Told) {
        self.tell_replies();
        self.scribe.tell(told);
    }

    fn tell_replies(&mut self) {
        let fresh = self.out.get(self.told..).unwrap_or_default();
        if !fresh.is_empty() && self.scribe.is_on() {
            transcript::replies(fresh).for_each(|reply| self.scribe.tell(|| reply));
        }
        self.told = self.out.len();
    }

    async fn next(&mut self, limit: fn(&[u8]) -> usize, deadline: Instant, until: Phase) -> Result<Line, Stop> {
        loop {
            if is_foreign(self.inbox.pending()) {
                // What was answered before it began is owed: who doesn't hear of a message that was kept sends it again.
                self.flush().await?;
                return Err(Stop::Foreign);
            }
            if let Some(line) = self.inbox.line(limit) {
                return Ok(line);
            }
            let room = MOST_WAITING.saturating_sub(self.inbox.pending().len());
            self.fill(room.clamp(256, COMMANDS), deadline, until).await?;
        }
    }

    /// Writes what there is to say, then reads what there is, up to about `octets`.
    pub async fn fill(&mut self, octets: usize, deadline: Instant, until: Phase) -> Result<(), Stop> {
        self.flush().await?;
        self.rounds = self.rounds.saturating_add(1);
        let room = self.inbox.room(octets);
        tokio::select! {
            biased;
            read = timeout_at(deadline, self.stream.read_buf(room)) => match read {
                Ok(Ok(0)) => Err(Stop::Silently),
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err(reply::TOO_SLOW.into()),
            },
            () = self.notice.given() => Err(reply::MAKES_ROOM.into()),
            _ = self.phase.wait_for(|phase| *phase >= until) => Err(reply::SHUTTING_DOWN.into()),
        }
    }

    /// Reads octets that are no commands, and forgets them.
    pub async fn skip(&mut self, octets: u64, deadline: Instant) -> Result<(), Stop> {
        let mut left = usize::try_from(octets).unwrap_or(usize::MAX);
        loop {
            let here = self.inbox.pending().len().min(left);
            self.inbox.consume(here);
            left -= here;
            if left == 0 {
                self.content_came(octets);
                return Ok(());
            }
            // A stranger's, most likely: no more is held for it than for its commands.
            self.fill(COMMANDS, deadline, Phase::Closing).await?;
        }
    }

    pub async fn flush(&mut self) -> Result<(), Stop> {
        if self.out.is_empty() {
            return Ok(());
        }
        self.tell_replies();
        let written = timeout(WRITE, async {
            self.stream.write_all(&self.out).await?;
            self.stream.flush().await
        });
        let written = written.await;
        // A session that waits holds nothing that it doesn't need.
        (self.out, self.told) = (Vec::new(), 0);
        match written {
            Ok(written) => Ok(written?),
            Err(_) => Err(Stop::Silently),
        }
    }

    /// Says the last words, if there are any, and closes.
    pub async fn close(mut self, stop: Stop) {
        match stop {
            Stop::Silently | Stop::Foreign => {
                (self.out, self.told) = (Vec::new(), 0);
                self.tell(|| transcript::silence(stop == Stop::Foreign));
            }
            Stop::With(reply) => self.say(&reply),
        }
        if self.flush().await.is_err() {
            return;
        }
        // Whatever goes wrong now, the connection ends.
        let _ = timeout(LINGER, async {
            self.stream.shutdown().await?;
            let mut rest = [0u8; 512];
            let mut seen = 0;
            while seen < MAX_LINGER {
                match self.stream.read(&mut rest).await? {
                    0 => break,
                    n => seen += n,
                }
            }
            io::Result::Ok(())
        })
        .await;
    }
}
