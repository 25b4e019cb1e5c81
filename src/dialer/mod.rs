//! The dialer: connects to upstreams for couriers, which can't make a socket themselves.
//!
//! **Does.** Resolves an upstream's hosts, or that of its token endpoint, connects to the first that answers, hands the connected socket
//! to that upstream's courier and no other.
//! **Trusts.** The parent, for names and ports; the resolver's answers, no more than TLS in the courier will confirm; couriers not at all: they can't name a host.
//! **Holds.** Host names and ports. No mail, no secret.
//! **If it falls.** An intruder can connect to the configured ports anywhere and mislead couriers, which verify certificates against names that they know themselves.

mod board;
mod connect;
mod resolve;

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::config::slice::{Destination, DialerSlice};
use crate::ipc::control::{ChildPackets, Order, Peer};
use crate::ipc::dialing::{Dial, Dialed, Whom};
use crate::ipc::packet::{Arrival, Packet, Packets};
use crate::role::link::Talk;
use crate::role::start::Start;
use crate::sandbox::{self, Sealed};

use resolve::Resolvers;

/// Dials of one courier that may be under way; its next ones wait in the channel. A courier asks for as many as it has
/// free connections, so this is only reached by one that misbehaves.
const MAX_DIALS: usize = 64;

/// The role's entry: returns when the parent is gone, or when it has drained.
pub fn main(start: &mut Start) -> Result<(), String> {
    let slice: DialerSlice = start.slice()?;
    let confined = sandbox::confine(start.role, &start.grounds)?;
    let directory = Directory::open(slice, resolve::system)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| format!("can't make the event loop: {error}"))?;
    let peers = std::mem::take(&mut start.peers);
    let sealed = confined.seal()?;
    let control = start.ready(&sealed)?;
    runtime.block_on(async {
        let control = control.into_async().map_err(|error| format!("can't watch the control channel: {error}"))?;
        serve(control, peers, directory, &sealed).await
    })
}

/// Where one courier may be connected to.
#[derive(Clone, Debug)]
struct Ways {
    upstream: Arc<Destination>,
    token_endpoint: Option<Arc<Destination>>,
}

impl Ways {
    fn to(&self, whom: Whom) -> Option<Arc<Destination>> {
        match whom {
            Whom::Upstream => Some(Arc::clone(&self.upstream)),
            Whom::TokenEndpoint => self.token_endpoint.clone(),
        }
    }
}

/// Where each upstream is, and who looks up its names.
#[derive(Debug)]
struct Directory {
    upstreams: HashMap<String, Ways>,
    resolvers: Arc<Resolvers>,
    connect: Duration,
}

impl Directory {
    /// Makes the resolver threads, and so must come before the seal.
    fn open(slice: DialerSlice, lookup: resolve::Lookup) -> Result<Self, String> {
        let all = slice.upstreams.iter().chain(&slice.token_endpoints);
        let hosts = all.flat_map(|destination| &destination.hosts);
        let names = hosts.map(|(host, _)| host.as_str()).filter(|host| connect::literal(host).is_none());
        let resolvers =
            Resolvers::start(names, lookup).map_err(|error| format!("can't start the resolver threads: {error}"))?;
        let mut endpoints: HashMap<String, Arc<Destination>> =
            slice.token_endpoints.into_iter().map(|endpoint| (endpoint.name.clone(), Arc::new(endpoint))).collect();
        let upstreams = slice.upstreams.into_iter().map(|upstream| {
            let token_endpoint = endpoints.remove(&upstream.name);
            (upstream.name.clone(), Ways { upstream: Arc::new(upstream), token_endpoint })
        });
        Ok(Self { upstreams: upstreams.collect(), resolvers: Arc::new(resolvers), connect: slice.connect })
    }
}

/// Couriers come and go; ends when the parent is gone, or, draining, when the last courier of this generation has left.
async fn serve(
    control: ChildPackets,
    peers: Vec<(Peer, OwnedFd)>,
    directory: Directory,
    _: &Sealed,
) -> Result<(), String> {
    let mut couriers = JoinSet::new();
    let mut draining = false;
    for (peer, socket) in peers {
        attach(peer, socket, &directory, &mut couriers);
    }
    loop {
        if draining && couriers.is_empty() {
            return Ok(());
        }
        tokio::select! {
            arrival = control.receive() => {
                match arrival.map_err(|error| format!("reading the control channel: {error}"))? {
                    Arrival::Packet(Packet { message: Order::Peer(peer), descriptor: Some(socket) }) => {
                        attach(peer, socket, &directory, &mut couriers);
                    }
                    Arrival::Packet(Packet { message: Order::Retire | Order::Drain, .. }) => draining = true,
                    Arrival::Packet(packet) => tracing::warn!(order = ?packet.message, "order out of its moment"),
                    Arrival::Dropped => tracing::warn!("an order did not arrive whole"),
                    Arrival::Closed => return Ok(()),
                }
            }
            Some(_) = couriers.join_next(), if !couriers.is_empty() => {}
        }
    }
}

fn attach(peer: Peer, socket: OwnedFd, directory: &Directory, couriers: &mut JoinSet<()>) {
    let Some(ways) = directory.upstreams.get(&peer.label).filter(|_| peer.talk == Talk::Dialing) else {
        tracing::warn!(label = %peer.label, "a courier of an unknown upstream was turned away");
        return;
    };
    match Packets::new(socket) {
        Ok(channel) => {
            let (ways, resolvers) = (ways.clone(), Arc::clone(&directory.resolvers));
            couriers.spawn(serve_courier(channel, ways, resolvers, directory.connect));
        }
        Err(error) => tracing::warn!(%error, "a courier's channel can't be watched"),
    }
}

/// Answers one courier's dials, several at once, until it closes; dials under way end with it.
async fn serve_courier(channel: Packets<Dialed, Dial>, ways: Ways, resolvers: Arc<Resolvers>, connect: Duration) {
    let upstream = Arc::clone(&ways.upstream);
    let mut dials = JoinSet::new();
    loop {
        tokio::select! {
            arrival = channel.receive(), if dials.len() < MAX_DIALS => match arrival {
                Ok(Arrival::Packet(Packet { message: Dial { ticket, whom, first }, .. })) => {
                    let (destination, resolvers) = (ways.to(whom), Arc::clone(&resolvers));
                    if destination.is_none() {
                        tracing::warn!(upstream = %upstream.name, "a courier asked for a token endpoint that its upstream has not");
                    }
                    dials.spawn(async move {
                        let reached = match destination {
                            Some(destination) => connect::reach(&destination, first, &resolvers, connect).await,
                            None => Err(vec!["this upstream has no token endpoint".to_owned()]),
                        };
                        (ticket, reached)
                    });
                }
                Ok(Arrival::Dropped) => tracing::warn!(upstream = %upstream.name, "a courier's packet was dropped"),
                Ok(Arrival::Closed) => return,
                Err(error) => {
                    tracing::warn!(upstream = %upstream.name, %error, "a courier's channel failed");
                    return;
                }
            },
            Some(done) = dials.join_next(), if !dials.is_empty() => {
                let Ok((ticket, reached)) = done else { continue };
                if let Err(error) = answer(&channel, ticket, reached).await {
                    tracing::warn!(upstream = %upstream.name, %error, "a courier can't be answered");
                    return;
                }
            }
        }
    }
}

async fn answer(
    channel: &Packets<Dialed, Dial>,
    ticket: u32,
    reached: Result<connect::Reached, Vec<String>>,
) -> std::io::Result<()> {
    match reached {
        Ok(connect::Reached { socket, index, host, address }) => {
            let dialed = Dialed::Connected { ticket, index, host, address };
            channel.send(&dialed, Some(socket.as_fd())).await
        }
        Err(reasons) => channel.send(&Dialed::Failed { ticket, reasons }, None).await,
    }
}

#[cfg(test)]
mod tests;
