//! One connection's octets: every write and every reply has its deadline, whatever lies beneath (TCP or TLS).

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use super::reply::{Collector, Malformed, Reply};
use super::transcript::Transcript;
use crate::courier::secrets::Secrets;
use crate::courier::tls::Stream;

/// Octets read at once; replies are short.
const READ: usize = 4096;

/// What comes within an exchange of AUTH.
const CHALLENGE: u16 = 334;

/// Why a connection can't go on.
#[derive(Debug)]
pub enum Broken {
    Closed,
    TimedOut(Duration),
    /// Each step was in time, and all of them together were not.
    Overdue,
    Malformed(Malformed),
    Failed(std::io::Error),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("it closed the connection"),
            Self::TimedOut(limit) => write!(f, "it took longer than {} s", limit.as_secs()),
            Self::Overdue => f.write_str("it took longer in all than anybody is waited for"),
            Self::Malformed(Malformed(why)) => write!(f, "its reply is malformed: {why}"),
            Self::Failed(error) => write!(f, "the connection failed: {error}"),
        }
    }
}

pub struct Wire {
    stream: Box<dyn Stream>,
    /// Read and not yet taken. Never more than one line of a reply and one read.
    input: Vec<u8>,
    collector: Collector,
    /// Who looks on.
    transcript: Option<Transcript>,
    /// What it may say back, and nobody is shown.
    secrets: Secrets,
    /// When what is being done has to be over, however long each step may take.
    end: Option<Instant>,
}

impl Wire {
    pub fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            input: Vec::new(),
            collector: Collector::default(),
            transcript: None,
            secrets: Secrets::default(),
            end: None,
        }
    }

    pub fn told_by(self, transcript: Option<Transcript>) -> Self {
        Self { transcript, ..self }
    }

    /// From now on nothing that is said or read takes longer than until then.
    pub fn until(&mut self, end: Option<Instant>) {
        self.end = end;
    }

    /// Takes these out of every reply from now on, and out of what is told to who looks on. A challenge stays as it is: it must be answered.
    pub fn conceal(&mut self, secrets: Secrets) {
        if let Some(transcript) = &mut self.transcript {
            transcript.conceal(secrets.clone());
        }
        self.secrets = secrets;
    }

    /// Sends octets, all of them, within the limit. After an error the last of them were not sent: neither layer
    /// reports success before the kernel has taken everything.
    pub async fn say(&mut self, octets: &[u8], limit: Duration) -> Result<(), Broken> {
        if let Some(transcript) = &mut self.transcript {
            transcript.said(octets);
        }
        let all = async {
            self.stream.write_all(octets).await?;
            self.stream.flush().await
        };
        within(limit, self.end, all).await?.map_err(Broken::Failed)
    }

    /// The next reply. The limit is for the whole of it, so that a dripping upstream gains nothing.
    pub async fn reply(&mut self, limit: Duration) -> Result<Reply, Broken> {
        let mut reply = within(limit, self.end, self.collect()).await??;
        if reply.code != CHALLENGE {
            reply.conceal(&self.secrets);
        }
        if let Some(transcript) = &mut self.transcript {
            transcript.heard(&reply);
        }
        Ok(reply)
    }

    async fn collect(&mut self) -> Result<Reply, Broken> {
        let mut buffer = [0u8; READ];
        loop {
            if let Some(reply) = self.collector.take(&mut self.input).map_err(Broken::Malformed)? {
                return Ok(reply);
            }
            match self.stream.read(&mut buffer).await.map_err(Broken::Failed)? {
                0 => return Err(Broken::Closed),
                n => self.input.extend_from_slice(buffer.get(..n).unwrap_or_default()),
            }
        }
    }

    /// Whether it said something that nobody asked for. Before a command and before TLS there must be nothing: replies are
    /// matched by their count alone, and what came in clear must not be taken for the protected answer.
    pub fn has_spoken(&self) -> bool {
        !self.input.is_empty()
    }

    /// What it has said that nobody asked for, as far as this moment shows: what is on this machine by now. A reply that has begun
    /// has so long to end. Errors: it is closed, or what it said is none.
    pub async fn overheard(&mut self, limit: Duration) -> Result<Option<Reply>, Broken> {
        let is_open = self.look().await?;
        if self.has_spoken() {
            return self.reply(limit).await.map(Some);
        }
        if is_open { Ok(None) } else { Err(Broken::Closed) }
    }

    /// Whether it is open and has said nothing, as far as this moment shows.
    pub async fn is_silent(&mut self) -> bool {
        matches!(self.look().await, Ok(true)) && !self.has_spoken()
    }

    /// Takes what has arrived, without waiting for more. False at the end.
    async fn look(&mut self) -> Result<bool, Broken> {
        // What has come since the last wait is known to the runtime only when it has asked the system again.
        yield_now().await;
        let mut octets = [0u8; READ];
        let mut buffer = ReadBuf::new(&mut octets);
        let looked = poll_fn(|context| Poll::Ready(Pin::new(&mut self.stream).poll_read(context, &mut buffer))).await;
        match looked {
            Poll::Pending => return Ok(true),
            Poll::Ready(read) => read.map_err(Broken::Failed)?,
        }
        self.input.extend_from_slice(buffer.filled());
        Ok(!buffer.filled().is_empty())
    }

    /// The connection, and who looks on.
    pub fn into_parts(self) -> (Box<dyn Stream>, Option<Transcript>) {
        (self.stream, self.transcript)
    }
}

/// Waits for it as long as it may take, and not beyond the end of all.
async fn within<T>(limit: Duration, end: Option<Instant>, work: impl Future<Output = T>) -> Result<T, Broken> {
    let left = end.map(|end| end.saturating_duration_since(Instant::now())).filter(|left| *left < limit);
    let late = if left.is_some() { Broken::Overdue } else { Broken::TimedOut(limit) };
    timeout(left.unwrap_or(limit), work).await.map_err(|_| late)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Ipv4Addr, TcpListener};

    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn what_is_said_unasked_is_heard_as_soon_as_it_is_here_and_is_kept() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut other, _) = listener.accept().unwrap();
        other.set_nodelay(true).unwrap();
        let (mut wire, limit) = (Wire::new(Box::new(stream)), Duration::from_secs(20));
        for _ in 0..3 {
            assert!(wire.is_silent().await && wire.overheard(limit).await.unwrap().is_none());
            other.write_all(b"250-a\r\n250 b\r\n").unwrap();
            assert!(!wire.is_silent().await);
            let reply = wire.overheard(limit).await.unwrap().unwrap();
            assert_eq!((reply.code, reply.lines), (250, vec!["a".to_owned(), "b".to_owned()]));
        }
        drop(other);
        assert!(matches!(wire.overheard(limit).await, Err(Broken::Closed)));
        assert!(!wire.is_silent().await);
    }
}
