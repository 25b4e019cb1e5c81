//! The courier's side of the dialer: a ticket out, a connected socket or reasons back.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpStream as StdStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::ipc::dialing::{Dial, Dialed, Whom};
use crate::ipc::packet::{Arrival, Packet, Packets};
use crate::sandbox::Sealed;

/// A dial may take this long: the dialer gives up after 30 seconds, and a fallen one is replaced within a few.
const DIAL: Duration = Duration::from_secs(40);

/// A connected socket, and where the dialer says that it goes.
#[derive(Debug)]
pub struct Connection {
    pub socket: TcpStream,
    pub index: u16,
    pub host: String,
    pub address: SocketAddr,
}

/// The dialer of the moment, if there is one.
#[derive(Debug)]
pub struct Dialer {
    line: watch::Sender<Option<Arc<Line>>>,
    ticket: AtomicU32,
}

#[derive(Debug)]
struct Line {
    packets: Packets<Dial, Dialed>,
    waiting: Mutex<Waiting>,
}

/// Who waits for which ticket.
type Waiting = HashMap<u32, oneshot::Sender<Result<Connection, Vec<String>>>>;

impl Default for Dialer {
    fn default() -> Self {
        Self { line: watch::Sender::new(None), ticket: AtomicU32::new(0) }
    }
}

impl Dialer {
    /// Takes a new channel to the dialer in the place of the last, and serves it until it closes.
    pub fn attach(self: &Arc<Self>, socket: OwnedFd, _: &Sealed) -> io::Result<()> {
        let line = Arc::new(Line { packets: Packets::new(socket)?, waiting: Mutex::default() });
        self.line.send_replace(Some(Arc::clone(&line)));
        let dialer = Arc::clone(self);
        tokio::spawn(async move {
            line.serve().await;
            // Those who wait are told by the end of their oneshot.
            line.waiting().clear();
            dialer.line.send_if_modified(|now| {
                let ours = now.as_ref().is_some_and(|now| Arc::ptr_eq(now, &line));
                if ours {
                    *now = None;
                }
                ours
            });
        });
        Ok(())
    }

    /// Asks for a connection, to host number `first` or whichever comes after it. Errors: a reason for each host.
    pub async fn dial(&self, first: u16) -> Result<Connection, Vec<String>> {
        self.within(Whom::Upstream, first).await
    }

    /// Asks for a connection to where the upstream's tokens are given.
    pub async fn dial_token_endpoint(&self) -> Result<Connection, Vec<String>> {
        self.within(Whom::TokenEndpoint, 0).await
    }

    async fn within(&self, whom: Whom, first: u16) -> Result<Connection, Vec<String>> {
        let asked = timeout(DIAL, self.ask(whom, first)).await;
        asked.unwrap_or_else(|_| Err(vec![format!("the dialer did not answer within {} s", DIAL.as_secs())]))
    }

    async fn ask(&self, whom: Whom, first: u16) -> Result<Connection, Vec<String>> {
        let mut line = self.line.subscribe();
        let gone = || vec!["the dialer went away".to_owned()];
        let line = line.wait_for(Option::is_some).await.map_err(|_| gone())?.clone().ok_or_else(gone)?;
        let ticket = self.ticket.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        {
            let mut waiting = line.waiting();
            waiting.retain(|_, asker| !asker.is_closed());
            waiting.insert(ticket, answer);
        }
        line.packets.send(&Dial { ticket, whom, first }, None).await.map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Line {
    /// The lock is never held while something is awaited or can panic.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self) {
        loop {
            match self.packets.receive().await {
                Ok(Arrival::Packet(packet)) => self.take(packet),
                Ok(Arrival::Dropped) => tracing::warn!("a packet of the dialer was dropped"),
                Ok(Arrival::Closed) => return,
                Err(error) => {
                    tracing::warn!(%error, "the dialer's channel failed");
                    return;
                }
            }
        }
    }

    /// Hands an answer to its asker. One that nobody waits for any more is dropped, and its socket closed.
    fn take(&self, packet: Packet<Dialed>) {
        let (ticket, answer) = match (packet.message, packet.descriptor) {
            (Dialed::Connected { ticket, index, host, address }, Some(socket)) => {
                let connection = adopt(socket).map(|socket| Connection { socket, index, host, address });
                (ticket, connection.map_err(|error| vec![format!("the dialer's socket can't be used: {error}")]))
            }
            (Dialed::Connected { ticket, .. }, None) => (ticket, Err(vec!["the dialer sent no socket".to_owned()])),
            (Dialed::Failed { ticket, reasons }, _) => (ticket, Err(reasons)),
        };
        if let Some(asker) = self.waiting().remove(&ticket) {
            // It may have given up meanwhile.
            let _ = asker.send(answer);
        }
    }
}

fn adopt(socket: OwnedFd) -> io::Result<TcpStream> {
    let socket = StdStream::from(socket);
    socket.set_nonblocking(true)?;
    TcpStream::from_std(socket)
}
