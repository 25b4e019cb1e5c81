//! What the listener knows at one moment: its configuration, its sockets, the edges it may hand to.

use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use tokio::sync::watch;

use crate::config::slice::{Admission, ListenerSlice, Protocol};
use crate::ipc::capsule::{Capsule, Introduction};
use crate::ipc::control::{File, Peer};
use crate::ipc::handover::{Handover, Return};
use crate::ipc::packet::{Arrival, Packets};
use crate::log::flood::Flood;
use crate::policy::presence::Presence;
use crate::role::{Generation, Instance, Role};
use crate::sandbox::Sealed;

/// A pause after a receive that failed: the next would fail the same way at once.
const BREATH: Duration = Duration::from_millis(50);

/// One edge: its channel and how many sessions it holds, by address.
struct Edge {
    role: Role,
    zone: String,
    generation: Generation,
    channel: Packets<Handover, Return>,
    held: RefCell<Held>,
}

/// How many sessions an edge holds, in all and by address.
#[derive(Default)]
struct Held {
    sessions: u32,
    by_address: BTreeMap<(u16, IpAddr), Group>,
}

/// Sessions that came by one listener from one address.
#[derive(Default)]
struct Group {
    sessions: u32,
    /// Whether they are present for the caps. Those of a proxy are not: they are its clients'.
    counted: bool,
}

pub struct House {
    slice: RefCell<ListenerSlice>,
    /// Tells the accepting tasks of older generations to end.
    generation: watch::Sender<Generation>,
    edges: RefCell<BTreeMap<Instance, Rc<Edge>>>,
    /// Sockets that were handed over and are not yet accepted on, by the number of their listener.
    sockets: RefCell<Vec<(u16, OwnedFd)>>,
    presence: RefCell<Presence>,
    /// Connections that were turned away, by the number of their listener and the reason.
    turned: RefCell<BTreeMap<(u16, Turned), Flood>>,
    _sealed: Sealed,
}

/// Why a connection is not handed to anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turned {
    TooManyFromThere,
    /// Clients come through a proxy here, and this one is none.
    NoProxy,
    /// No edge has room for a further session.
    Full,
    /// An edge has room and has not yet taken what is on its way to it: worth a moment's wait.
    Busy,
}

impl House {
    pub fn new(slice: ListenerSlice, generation: Generation, sealed: Sealed) -> Self {
        Self {
            slice: RefCell::new(slice),
            generation: watch::Sender::new(generation),
            edges: RefCell::default(),
            sockets: RefCell::default(),
            presence: RefCell::default(),
            turned: RefCell::default(),
            _sealed: sealed,
        }
    }

    /// The generation that is served, and word of each change.
    pub fn generation(&self) -> watch::Receiver<Generation> {
        self.generation.subscribe()
    }

    /// The listener of that number, as long as the configuration has it.
    pub fn admission(&self, number: u16) -> Option<Ref<'_, Admission>> {
        Ref::filter_map(self.slice.borrow(), |slice| slice.listeners.iter().find(|l| l.number == number)).ok()
    }

    /// What the log is told of those that this listener turns away for this reason.
    pub fn turned(&self, listener: u16, reason: Turned) -> Flood {
        self.turned.borrow_mut().entry((listener, reason)).or_default().clone()
    }

    /// Keeps a listening socket for the next `take_sockets`.
    pub fn keep(&self, file: &File, socket: OwnedFd) {
        match file {
            File::Listening(number) => self.sockets.borrow_mut().push((*number, socket)),
            other => tracing::warn!(file = ?other, "a file that a listener has no use for was closed"),
        }
    }

    pub fn take_sockets(&self) -> Vec<(u16, OwnedFd)> {
        self.sockets.take()
    }

    /// From here on connections go to the edges of this generation.
    pub fn switch(&self, slice: ListenerSlice, generation: Generation) {
        self.slice.replace(slice);
        self.generation.send_replace(generation);
    }

    /// A new edge, or a replaced one. Its word is heard until its channel closes.
    pub fn welcome(self: &Rc<Self>, peer: &Peer, socket: OwnedFd) {
        let channel = match Packets::new(socket) {
            Ok(channel) => channel,
            Err(error) => return tracing::error!(%error, instance = peer.instance.0, "a channel to an edge was lost"),
        };
        let edge = Rc::new(Edge {
            role: peer.role,
            zone: peer.label.clone(),
            generation: peer.generation,
            channel,
            held: RefCell::default(),
        });
        self.edges.borrow_mut().insert(peer.instance, Rc::clone(&edge));
        tokio::task::spawn_local(Rc::clone(self).hear(peer.instance, edge));
    }

    /// Counts what an edge reports; when it is gone, all it held is free again.
    async fn hear(self: Rc<Self>, instance: Instance, edge: Rc<Edge>) {
        let mut doubted = 0u64;
        loop {
            match edge.channel.receive().await {
                Ok(Arrival::Packet(packet)) => {
                    let believed = match packet.message {
                        Return::Holding(capsule) => self.is_held(instance, &edge, &capsule),
                        Return::Closed(listener, address) => self.uncount(&edge, listener, address),
                    };
                    doubted += u64::from(!believed);
                    // Once, and then at every power of two: an edge that lies can't fill the log.
                    if !believed && doubted.is_power_of_two() {
                        tracing::error!(instance = instance.0, doubted, "an edge's word is not to be believed");
                    }
                }
                Ok(Arrival::Dropped) => tracing::warn!(instance = instance.0, "an edge's word could not be read"),
                Ok(Arrival::Closed) => break,
                Err(error) => {
                    tracing::warn!(instance = instance.0, %error, "an edge's word could not be received");
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
        self.edges.borrow_mut().remove(&instance);
        for ((_, address), group) in edge.held.take().by_address {
            if group.counted {
                self.presence.borrow_mut().leave(address, group.sessions);
            }
        }
    }

    /// A session of an earlier listener's, believed when that listener's capsule for this edge is shown.
    fn is_held(&self, instance: Instance, edge: &Edge, capsule: &Capsule) -> bool {
        let slice = self.slice.borrow();
        let believed = capsule.introduction.edge == instance
            && edge.held.borrow().sessions < slice.sessions_per_edge
            && capsule.is_genuine(&slice.capsule_key);
        if believed {
            self.count(edge, capsule.introduction.listener, capsule.introduction.peer.ip());
        }
        believed
    }

    /// A session more. What an edge holds of one listener from one address is counted in the same way from first to last.
    fn count(&self, edge: &Edge, listener: u16, address: IpAddr) {
        let mut held = edge.held.borrow_mut();
        held.sessions = held.sessions.saturating_add(1);
        let group = held.by_address.entry((listener, address)).or_insert_with(|| {
            let has_caps = self.admission(listener).is_none_or(|admission| admission.caps_of(address).is_some());
            Group { sessions: 0, counted: has_caps }
        });
        group.sessions += 1;
        if group.counted {
            self.presence.borrow_mut().enter(address);
        }
    }

    /// An edge can't free what it doesn't hold.
    fn uncount(&self, edge: &Edge, listener: u16, address: IpAddr) -> bool {
        let mut held = edge.held.borrow_mut();
        let Some(group) = held.by_address.get_mut(&(listener, address)) else { return false };
        group.sessions -= 1;
        if group.counted {
            self.presence.borrow_mut().leave(address, 1);
        }
        if group.sessions == 0 {
            held.by_address.remove(&(listener, address));
        }
        held.sessions = held.sessions.saturating_sub(1);
        true
    }

    /// Hands a connection to the least busy edge of its kind, or says why not.
    pub fn hand_over(&self, introduction: Introduction, connection: &OwnedFd) -> Result<(), Turned> {
        let address = introduction.peer.ip();
        let slice = self.slice.borrow();
        let listener = slice.listeners.iter().find(|l| l.number == introduction.listener).ok_or(Turned::Full)?;
        match listener.caps_of(address) {
            Some(caps) if !self.presence.borrow().admits(address, caps) => return Err(Turned::TooManyFromThere),
            _ if !listener.admits(address) => return Err(Turned::NoProxy),
            _ => {}
        }
        let role = match listener.protocol {
            Protocol::Smtp => Role::EdgeSmtp,
            Protocol::Http => Role::EdgeHttp,
        };
        let mut candidates: Vec<(Instance, Rc<Edge>)> = self
            .edges
            .borrow()
            .iter()
            .filter(|(_, edge)| {
                edge.role == role && edge.zone == listener.zone && edge.generation == *self.generation.borrow()
            })
            .filter(|(_, edge)| edge.held.borrow().sessions < slice.sessions_per_edge)
            .map(|(instance, edge)| (*instance, Rc::clone(edge)))
            .collect();
        candidates.sort_by_key(|(_, edge)| edge.held.borrow().sessions);
        let mut turned = Turned::Full;
        for (instance, edge) in candidates {
            let introduction = Introduction { edge: instance, ..introduction.clone() };
            let capsule = Capsule::seal(introduction, &slice.capsule_key);
            match edge.channel.try_send(&Handover::Session(capsule), Some(connection.as_fd())) {
                Ok(()) => {
                    self.count(&edge, listener.number, address);
                    return Ok(());
                }
                // The channel, or the kernel's count of descriptors on their way, is full.
                Err(error) if is_busy(&error) => turned = Turned::Busy,
                // This edge is going; the next one may take it.
                Err(_) => {}
            }
        }
        Err(turned)
    }
}

fn is_busy(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EAGAIN | Errno::ENOBUFS | Errno::ETOOMANYREFS))
}
