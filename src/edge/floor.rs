//! The floor: the sessions that are being served, each a task of its own, and the listener's account of them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use uuid::Uuid;

use super::conversation::{Vault, Visit};
use super::front::Front;
use super::socket::Socket;
use super::strangers::Strangers;
use super::tls::{self, Handshaker};
use super::{doorstep, http, smtp};
use crate::config::slice::TlsMode;
use crate::ipc::capsule::{Capsule, Introduction};
use crate::ipc::counted::{Count, Met};
use crate::ipc::handover::{Handover, NO_ROOM, Return};
use crate::ipc::packet::{Arrival, Packets};
use crate::log::flood::Flood;
use crate::role::Role;

/// Connections that were taken from the listener and not yet begun: one turn of the loop's worth. Beyond it they wait in
/// the channel, and then at the listener.
const DOORWAY: usize = 64;
/// A pause after a receive that failed: the next would fail the same way at once.
const BREATH: Duration = Duration::from_millis(50);

/// All sessions of this process. Nothing is shared between them but what a `Front` holds.
pub struct Floor {
    role: Role,
    capacity: usize,
    strangers: Strangers,
    fronts: HashMap<u16, Arc<Front>>,
    vault: Vault,
    handshaker: Option<Handshaker>,
    sessions: JoinSet<()>,
    /// The capsule of each session, to show to a listener that did not hand it over.
    capsules: HashMap<Id, Capsule>,
    /// Which listener is the current one, counted, and the way back to it.
    era: u64,
    returns: Option<mpsc::UnboundedSender<Return>>,
    doorway: (mpsc::Sender<Entrant>, mpsc::Receiver<Entrant>),
    panics: u64,
    /// Sessions that were turned away: the log tells of so many.
    turned: Flood,
}

/// A connection as it came in.
struct Entrant {
    capsule: Capsule,
    /// None when it was lost on the way: then the listener must still hear that the session is over.
    socket: Option<OwnedFd>,
    era: u64,
}

impl Floor {
    pub fn new(
        role: Role,
        capacity: usize,
        strangers: Strangers,
        fronts: HashMap<u16, Arc<Front>>,
        vault: Vault,
        handshaker: Option<Handshaker>,
    ) -> Self {
        Self {
            role,
            capacity,
            strangers,
            fronts,
            vault,
            handshaker,
            sessions: JoinSet::new(),
            capsules: HashMap::new(),
            era: 0,
            returns: None,
            doorway: mpsc::channel(DOORWAY),
            panics: 0,
            turned: Flood::default(),
        }
    }

    pub fn live(&self) -> usize {
        self.sessions.len()
    }

    /// Tells the vault what was counted; what it can't be told now waits for the next time.
    pub fn report(&self) {
        for front in self.fronts.values() {
            if let Some(counted) = front.meter.take(&front.desk.name)
                && let Err(counted) = self.vault.count(counted)
            {
                front.meter.put_back(counted);
            }
        }
    }

    /// There is another vault.
    pub fn introduce(&self) {
        self.fronts.values().for_each(|front| front.meter.forget());
    }

    /// Takes connections from this listener as well, and accounts to it alone from now on: it is told of every session
    /// that another listener handed over.
    pub fn plug(&mut self, channel: Packets<Return, Handover>) {
        self.era += 1;
        let channel = Arc::new(channel);
        // Unbounded, and yet bounded by what the listener hands over: at most two words for each session.
        let (returns, words) = mpsc::unbounded_channel();
        let (era, doorway) = (self.era, self.doorway.0.clone());
        let answering = tokio::spawn(answer(channel.clone(), words));
        tokio::spawn(async move {
            take_in(&channel, era, doorway).await;
            // The channel ends whole, so that a listener that lives sees it.
            answering.abort();
        });
        for capsule in self.capsules.values() {
            let _ = returns.send(Return::Holding(capsule.clone()));
        }
        self.returns = Some(returns);
    }

    /// One event: a connection comes in, or a session ends. Cancel-safe.
    pub async fn turn(&mut self) {
        tokio::select! {
            Some(entrant) = self.doorway.1.recv() => self.admit(entrant),
            Some(ended) = self.sessions.join_next_with_id() => {
                let id = match ended {
                    Ok((id, ())) => id,
                    Err(error) => {
                        self.panics += 1;
                        tracing::error!(panics = self.panics, %error, "a session broke off");
                        error.id()
                    }
                };
                if let Some(capsule) = self.capsules.remove(&id) {
                    self.account(closed(&capsule.introduction));
                }
            }
        }
    }

    /// The listener may be gone; its successor will be told what is held then.
    fn account(&self, word: Return) {
        if let Some(returns) = &self.returns {
            let _ = returns.send(word);
        }
    }

    fn admit(&mut self, entrant: Entrant) {
        let introduction = &entrant.capsule.introduction;
        let (session, peer) = (introduction.session, introduction.peer);
        if entrant.era != self.era {
            // It was on its way when its listener was replaced.
            self.account(Return::Holding(entrant.capsule.clone()));
        }
        let Some(socket) = entrant.socket else { return self.account(closed(introduction)) };
        let front = self.fronts.get(&introduction.listener).cloned();
        let socket = Socket::new(socket.into());
        let (front, mut socket) = match (front, socket) {
            (Some(front), Ok(socket)) => (front, socket),
            (None, _) => {
                tracing::error!(%session, listener = introduction.listener, "a connection for a listener unknown here");
                return self.account(closed(introduction));
            }
            (_, Err(error)) => {
                tracing::error!(%session, %error, "a connection could not be taken");
                return self.account(closed(introduction));
            }
        };
        let place = (self.sessions.len() < self.capacity).then(|| self.strangers.enter(peer.ip())).flatten();
        let Some(place) = place else {
            let further = |sessions| tracing::warn!(sessions, "further sessions were turned away, not told one by one");
            if self.turned.has_line(further) {
                tracing::warn!(%session, sessions = self.sessions.len(), "a session above the cap was turned away");
            }
            front.meter.count(Count::Connection(Met::Crowded));
            socket.say_at_once(overloaded(self.role, &front));
            return self.account(closed(introduction));
        };
        let mut visit = self.vault.enter(entrant.capsule.clone());
        visit.take(place);
        let stranger = Stranger { socket, visit, peer, session };
        let seat = self.sessions.spawn(stranger.serve(self.role, front, self.handshaker.clone()));
        self.capsules.insert(seat.id(), entrant.capsule);
    }
}

/// The word for its listener that a session is over.
fn closed(introduction: &Introduction) -> Return {
    Return::Closed(introduction.listener, introduction.peer.ip())
}

/// What a client reads for which there is no room, where it understands it before anything else.
fn overloaded(role: Role, front: &Front) -> &'static [u8] {
    match role == Role::EdgeSmtp && front.desk.tls != TlsMode::Implicit {
        true => NO_ROOM,
        false => b"",
    }
}

/// A connection, from here on on its own.
struct Stranger {
    socket: Socket,
    visit: Visit,
    peer: SocketAddr,
    session: Uuid,
}

impl Stranger {
    /// To its end; or until it must make room for others. What it can be told at once it is told; nobody waits for it to hear.
    async fn serve(self, role: Role, front: Arc<Front>, handshaker: Option<Handshaker>) {
        let mut notice = self.visit.notice();
        let desk = Arc::clone(&front);
        let _open = desk.meter.open();
        tokio::select! {
            biased;
            () = self.converse(role, front, handshaker) => {}
            () = notice.over() => {}
        }
    }

    async fn converse(mut self, role: Role, front: Arc<Front>, handshaker: Option<Handshaker>) {
        if front.desk.proxied {
            let Self { socket, visit, peer, session } = &mut self;
            let crossed = doorstep::cross(socket, visit, &front, *peer, *session, overloaded(role, &front)).await;
            let Some(crossed) = crossed else { return };
            self.peer = crossed;
        }
        front.meter.count(Count::Connection(Met::Begun));
        let Self { socket, visit, peer, session } = self;
        match role {
            Role::EdgeHttp => serve_http(socket, visit, front, peer, session, handshaker).await,
            _ => smtp::serve(socket, visit, front, peer, session, handshaker).await,
        }
    }
}

/// Hands in what the listener sends, until it is gone.
async fn take_in(channel: &Packets<Return, Handover>, era: u64, doorway: mpsc::Sender<Entrant>) {
    let mut dropped = 0u64;
    loop {
        match channel.receive().await {
            Ok(Arrival::Packet(packet)) => {
                let Handover::Session(capsule) = packet.message;
                if packet.descriptor.is_none() {
                    dropped += 1;
                    tracing::error!(dropped, session = %capsule.introduction.session, "a connection came without its socket");
                }
                if doorway.send(Entrant { capsule, socket: packet.descriptor, era }).await.is_err() {
                    return;
                }
            }
            Ok(Arrival::Dropped) => {
                dropped += 1;
                tracing::error!(dropped, "a hand-over did not arrive whole");
            }
            Ok(Arrival::Closed) => return tracing::info!("the listener is gone"),
            Err(error) => {
                // For want of memory or descriptors: what was on its way is lost, what comes next need not be.
                tracing::warn!(%error, "a hand-over could not be received");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

/// Says to the listener what there is to say, until it is gone.
async fn answer(channel: Arc<Packets<Return, Handover>>, mut words: mpsc::UnboundedReceiver<Return>) {
    while let Some(word) = words.recv().await {
        if channel.send(&word, None).await.is_err() {
            return;
        }
    }
}

async fn serve_http(
    mut socket: Socket,
    visit: Visit,
    front: Arc<Front>,
    peer: SocketAddr,
    session: Uuid,
    handshaker: Option<Handshaker>,
) {
    if front.desk.tls == TlsMode::None {
        if socket.attach().is_ok() {
            http::serve(socket, visit, front, peer, None).await;
        }
        return;
    }
    let (Some(handshaker), Some(config)) = (handshaker, front.tls.clone()) else { return };
    match handshaker.shake(socket, config).await {
        Ok((stream, tls)) => http::serve(stream, visit, front, peer, Some(tls)).await,
        Err(error) => tls::tell(&front, session, peer, &error),
    }
}
