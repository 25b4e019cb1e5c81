//! A TCP connection that can move from one runtime to another, so that TLS handshakes run on a thread of their own.

use std::io;
use std::net::TcpStream as Detached;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connected socket. It can be read and written only while it is attached to the runtime that polls it.
#[derive(Debug)]
pub struct Socket(State);

#[derive(Debug)]
enum State {
    Attached(TcpStream),
    Detached(Detached),
    /// A move failed half-way: the connection is over.
    Closed,
}

impl Socket {
    /// Takes a connected socket; it is detached at first.
    pub fn new(stream: Detached) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self(State::Detached(stream)))
    }

    /// Registers it with the current runtime. Does nothing when it is registered already.
    pub fn attach(&mut self) -> io::Result<()> {
        self.0 = match std::mem::replace(&mut self.0, State::Closed) {
            State::Detached(stream) => State::Attached(TcpStream::from_std(stream)?),
            other => other,
        };
        Ok(())
    }

    /// Takes it out of its runtime, which may be another thread's from here on.
    pub fn detach(&mut self) -> io::Result<()> {
        self.0 = match std::mem::replace(&mut self.0, State::Closed) {
            State::Attached(stream) => State::Detached(stream.into_std()?),
            other => other,
        };
        Ok(())
    }

    /// Writes what fits at once, and leaves it at that.
    pub fn say_at_once(&mut self, text: &[u8]) {
        if let (State::Detached(stream), false) = (&mut self.0, text.is_empty()) {
            // The connection ends here whether or not this arrives.
            let _ = io::Write::write(stream, text);
        }
    }

    /// Reads what is there at once. `WouldBlock`: nothing is yet, or only the runtime that it is attached to can tell.
    pub fn read_at_once(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            State::Detached(stream) => io::Read::read(stream, room),
            State::Attached(_) => Err(io::ErrorKind::WouldBlock.into()),
            State::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn attached(self: Pin<&mut Self>) -> io::Result<Pin<&mut TcpStream>> {
        match &mut self.get_mut().0 {
            State::Attached(stream) => Ok(Pin::new(stream)),
            State::Detached(_) | State::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.attached()?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.attached()?.poll_write(cx, bytes)
    }

    /// TLS records of one flight go out together, an alert behind them too.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.attached()?.poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.attached()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.attached()?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn a_socket_moves_between_runtimes_and_loses_nothing() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = Detached::connect(listener.local_addr().unwrap()).unwrap();
        let mut socket = Socket::new(listener.accept().unwrap().0).unwrap();
        let mut seen = [0; 3];
        runtime().block_on(async {
            socket.attach().unwrap();
            std::io::Write::write_all(&mut client, b"one").unwrap();
            socket.read_exact(&mut seen).await.unwrap();
            socket.detach().unwrap();
        });
        assert_eq!(&seen, b"one");
        std::io::Write::write_all(&mut client, b"two").unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                runtime().block_on(async {
                    socket.attach().unwrap();
                    socket.read_exact(&mut seen).await.unwrap();
                    socket.write_all(b"answer").await.unwrap();
                })
            });
        });
        assert_eq!(&seen, b"two");
        let mut answer = [0; 6];
        std::io::Read::read_exact(&mut client, &mut answer).unwrap();
        assert_eq!(&answer, b"answer");
    }

    #[test]
    fn a_detached_socket_is_an_error_to_read_and_not_a_panic() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = Detached::connect(listener.local_addr().unwrap()).unwrap();
        let mut socket = Socket::new(listener.accept().unwrap().0).unwrap();
        let error = runtime().block_on(socket.read_u8()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    }
}
