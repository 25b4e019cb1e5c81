//! The parent's orders, and the sign of life it gets in return.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::admin::reload::Waiting;
use super::audit::anchor;
use super::audit::event::Name;
use super::audit::publish::Publisher;
use super::audit::seal::{self, Pulse};
use super::delivery::schedule::route_event;
use super::edge::Parting;
use super::master::Master;
use super::{Vault, admin, delivery, edge, feedback, happening, turnstile};
use crate::config::slice::VaultSlice;
use crate::ipc::channel;
use crate::ipc::control::{ChildPackets, File, Order, Peer, Report};
use crate::ipc::frame;
use crate::ipc::packet::{Arrival, Packet};
use crate::role::Instance;
use crate::role::link::{End, Talk};
use crate::sandbox::Sealed;

/// How often the parent hears that all is well, and how old an answer of the sealer may be for that.
const ALIVE: Duration = Duration::from_secs(5);
pub const SEALER: Duration = Duration::from_secs(15);
/// A writer that ended something within this time is alive, however long what is queued waits for it: a slow disk is what keeps
/// mail away (`load`), and a restart would only make it forget that.
pub const MOVES: Duration = Duration::from_secs(15);
/// How long sessions and deliveries get to finish what they began.
const DRAIN: Duration = Duration::from_secs(10);
/// The longest slice, as the start takes it.
const MAX_SLICE: usize = 16 * 1024 * 1024;

pub struct Control {
    pub vault: Rc<Vault>,
    pub publisher: Publisher,
    pub sealing: UnboundedSender<seal::Order>,
    pub anchors: UnboundedSender<anchor::Order>,
    pub pulse: Rc<Pulse>,
    pub packets: Rc<ChildPackets>,
    pub sealed: Sealed,
    /// Parts of a configuration that is being handed over, and the one that came whole.
    slice: Vec<u8>,
    next: Option<VaultSlice>,
    /// Commands that wait for the end of a reload.
    reloads: Rc<Waiting>,
    /// Edges and couriers.
    peers: JoinSet<()>,
}

impl Control {
    pub fn new(
        vault: Rc<Vault>,
        publisher: Publisher,
        sealing: UnboundedSender<seal::Order>,
        anchors: UnboundedSender<anchor::Order>,
        pulse: Rc<Pulse>,
        packets: Rc<ChildPackets>,
        sealed: Sealed,
    ) -> Self {
        let (slice, next, reloads, peers) = (Vec::new(), None, Rc::default(), JoinSet::new());
        Self { vault, publisher, sealing, anchors, pulse, packets, sealed, slice, next, reloads, peers }
    }

    /// Obeys until the parent is gone, which ends everything at once, or wants an orderly end.
    pub async fn obey(mut self) -> Result<(), String> {
        let mut alive = interval(ALIVE);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let packets = Rc::clone(&self.packets);
        loop {
            tokio::select! {
                arrival = packets.receive() => {
                    match arrival.map_err(|error| format!("the control channel: {error}"))? {
                        Arrival::Closed => return Ok(()),
                        Arrival::Dropped => tracing::warn!("an order did not arrive whole and was dropped"),
                        Arrival::Packet(Packet { message: Order::Drain, .. }) => {
                            self.drain().await;
                            return Ok(());
                        }
                        Arrival::Packet(packet) => self.order(packet).await,
                    }
                }
                _ = alive.tick() => self.live(),
                // Ended ones are let go of as they end.
                Some(_) = self.peers.join_next() => {}
            }
        }
    }

    async fn order(&mut self, packet: Packet<Order>) {
        match (packet.message, packet.descriptor) {
            (Order::Peer(peer), Some(socket)) => self.meet(peer, socket),
            (Order::File(File::Administrator(user)), Some(socket)) => match channel::open(socket, &self.sealed) {
                Ok((responses, requests)) => {
                    let (vault, publisher) = (Rc::clone(&self.vault), self.publisher.clone());
                    let (sealing, parent) = (self.sealing.clone(), Rc::clone(&self.packets));
                    let (anchors, pulse) = (self.anchors.clone(), Rc::clone(&self.pulse));
                    let reloads = Rc::clone(&self.reloads);
                    spawn_local(admin::serve(
                        admin::Desk { vault, publisher, sealing, anchors, pulse, parent, reloads },
                        user,
                        responses,
                        requests,
                    ));
                }
                Err(error) => tracing::error!(%error, "an administrator's connection can't be used"),
            },
            (Order::File(File::MasterKey { next: true }), Some(file)) => self.next_master(file),
            (Order::Slice { part, last }, None) => self.slice(&part.0, last),
            (Order::Switch(generation), None) => match self.next() {
                Ok(slice) => {
                    self.publisher.retention.set(slice.audit.retention.clone());
                    self.vault.schedule.borrow_mut().set_paces(&slice.paces);
                    self.vault.writer.load().set(slice.shedding);
                    delivery::revoked::change(&self.vault, &slice.credentials);
                    self.vault.authority.borrow_mut().switch(generation, slice);
                    let webhooks = self.vault.authority.borrow().slice.webhooks.clone();
                    self.vault.writer.tell(webhooks).await;
                    let _ = self.vault.feedback.orders.send(feedback::Order::Reloaded);
                    let masks = self.vault.authority.borrow().masks();
                    self.vault.writer.mask(masks).await;
                    // Nobody may listen: there may be no edge now.
                    let _ = self.vault.changed.send(());
                    let resumed = self.vault.schedule.borrow_mut().resume();
                    let event = |upstream: &String| route_event(Name::RouteResume, upstream, Some("config".into()));
                    self.vault.writer.record(resumed.iter().map(event).collect()).await;
                    spawn_local(delivery::reroute::run(Rc::clone(&self.vault)));
                    if let Err(error) = self.packets.send(&Report::Switched(generation), None).await {
                        tracing::error!(%error, "the parent can't be told of the new configuration");
                    }
                }
                Err(reason) => {
                    if let Err(error) = self.packets.send(&Report::Failed { reason }, None).await {
                        tracing::error!(%error, "the parent can't be told that the new configuration is none");
                    }
                }
            },
            // It is read as long as there is a vault.
            (Order::Syslog { works }, None) => drop(self.anchors.send(anchor::Order::Syslog(works))),
            (Order::Record(happening), None) => happening::record(&self.vault.writer, happening).await,
            (Order::Reloaded { through, verdict }, None) => self.reloads.tell(through, &verdict),
            (order, _) => tracing::warn!(?order, "an order that means nothing to the vault"),
        }
    }

    /// A new neighbour.
    pub fn meet(&mut self, peer: Peer, socket: OwnedFd) {
        let vault = Rc::clone(&self.vault);
        let met = match (peer.talk, peer.end) {
            (Talk::Session, End::Answers) => channel::open(socket, &self.sealed).map(|(answers, asks)| {
                let instance = peer.instance;
                self.attend(instance, edge::serve(vault, peer, answers, asks));
            }),
            (Talk::Delivery, End::Asks) => channel::open(socket, &self.sealed).map(|(offers, progress)| {
                let instance = peer.instance;
                self.attend(instance, delivery::courier::serve(vault, peer, offers, progress));
            }),
            (Talk::Sealing, End::Asks) => {
                channel::open(socket, &self.sealed).map(|channel| drop(self.sealing.send(seal::Order::Peer(channel))))
            }
            (Talk::Witnessing, End::Asks) => channel::open(socket, &self.sealed)
                .map(|channel| drop(self.anchors.send(anchor::Order::Witness(peer, channel)))),
            (Talk::Feedback, End::Asks) => channel::open(socket, &self.sealed)
                .map(|channel| drop(vault.feedback.orders.send(feedback::Order::Courier(peer, channel)))),
            (Talk::Turnstile, End::Asks) => channel::open(socket, &self.sealed).map(|(asks, answers)| {
                let instance = peer.instance;
                self.attend(instance, turnstile::serve(vault, peer, asks, answers));
            }),
            _ => return tracing::warn!(?peer, "a peer that has nothing to do with the vault"),
        };
        if let Err(error) = met {
            tracing::error!(%error, "a peer's channel can't be used");
        }
    }

    /// Serves an edge or a courier to its end. One that is let go would live on without us, and turn everybody away: the
    /// parent ends and replaces it.
    fn attend(&mut self, instance: Instance, served: impl Future<Output = Parting> + 'static) {
        let parent = Rc::clone(&self.packets);
        self.peers.spawn_local(async move {
            if served.await == Parting::LetGo
                && let Err(error) = parent.send(&Report::LetGo(instance), None).await
            {
                tracing::error!(instance = instance.0, %error, "the parent can't be told to replace a process");
            }
        });
    }

    /// The next master key, which a command waits for.
    fn next_master(&self, file: OwnedFd) {
        match Master::read(std::fs::File::from(file)) {
            // The command may have given up.
            Ok(next) => drop(self.vault.next_master.take().map(|waiting| waiting.send(next))),
            Err(error) => tracing::error!(%error, "the next master key can't be read"),
        }
    }

    /// The configuration that is to come into force.
    ///
    /// Errors: why it can't.
    fn next(&mut self) -> Result<VaultSlice, String> {
        let next = self.next.take().ok_or("the new configuration can't be read")?;
        match self.vault.authority.borrow().conflict(&next) {
            Some(reason) => Err(reason),
            None => Ok(next),
        }
    }

    fn slice(&mut self, part: &[u8], last: bool) {
        if self.slice.len() + part.len() > MAX_SLICE {
            self.slice = Vec::new();
            return tracing::error!("a configuration too long to be one was dropped");
        }
        self.slice.extend_from_slice(part);
        if last {
            let whole = std::mem::take(&mut self.slice);
            match frame::decode(&whole) {
                Ok(slice) => self.next = Some(slice),
                Err(error) => tracing::error!(%error, "the new configuration can't be read"),
            }
        }
    }

    /// Tells the parent that all is well, when it is: the writer answers, or goes on at least, and so does the sealer.
    fn live(&self) {
        let (vault, packets, pulse) = (Rc::clone(&self.vault), Rc::clone(&self.packets), Rc::clone(&self.pulse));
        spawn_local(async move {
            let writes = matches!(timeout(ALIVE, vault.writer.run(|_| Ok(()))).await, Ok(Ok(())));
            if (writes || vault.writer.load().moved_within(MOVES)) && pulse.beats(SEALER) {
                // A parent that doesn't read will miss it, which is what it is for.
                let _ = packets.try_send(&Report::Alive, None);
            }
        });
    }

    /// Takes nothing new; lets sessions and deliveries end; leaves a log that is sealed and published to its last event.
    async fn drain(&mut self) {
        self.vault.authority.borrow_mut().draining = true;
        let (until, packets) = (Instant::now() + DRAIN, Rc::clone(&self.packets));
        let peers = &mut self.peers;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|_| !peers.is_empty()) {
            tokio::select! {
                _ = peers.join_next() => {}
                () = tokio::time::sleep(left) => break,
                arrival = packets.receive() => match arrival {
                    Ok(Arrival::Packet(Packet { message: Order::Record(happening), .. })) => {
                        happening::record(&self.vault.writer, happening).await;
                    }
                    Ok(Arrival::Packet(_) | Arrival::Dropped) => {}
                    Ok(Arrival::Closed) | Err(_) => return,
                }
            }
        }
        // Those who follow sessions have seen the last of them.
        self.vault.traces.end();
        if let Some(left) = until.checked_duration_since(Instant::now()) {
            // What can't be written by then finds its leases released at the next start.
            let _ = timeout(left, self.vault.finished()).await;
        }
        let (refused, exact) = self.vault.authority.borrow_mut().settle();
        let now_us = self.vault.authority.borrow().clock.now().us;
        let kept = self.vault.writer.run(move |store| {
            store.record(refused)?;
            store.consumption.keep(&exact)?;
            store.consumption.stamp(now_us)
        });
        // Where it can't be written, more failed logins are remembered than there were.
        let _ = kept.await;
        let events = self.vault.writer.size();
        let settled = settle(&self.sealing, &self.publisher).await;
        match settled.and_then(|published| all_of(published, events)) {
            Ok(size) => tracing::info!(size, "the log is published to its last event"),
            Err(error) => tracing::error!(error, "the last events were not published; the next start will"),
        }
        // Last of all. Where it can't be written, the next start takes this stop for an unclean one.
        let _ = self.vault.writer.run(|store| store.marker.end()).await;
    }
}

/// Seals and publishes what is there; also for the command that asks for it. Gives the number of published leaves.
pub async fn settle(sealing: &UnboundedSender<seal::Order>, publisher: &Publisher) -> Result<u64, String> {
    let (done, sealed) = tokio::sync::oneshot::channel();
    if sealing.send(seal::Order::Now(done)).is_ok() {
        // Without a sealer it is published unsealed.
        let _ = sealed.await;
    }
    publisher.publish().await
}

/// Insists that the log was published up to the events that there were.
fn all_of(published: u64, events: u64) -> Result<u64, String> {
    if published < events {
        let waiting = events - published;
        return Err(format!("{waiting} events wait in the vault: does a reader hold the auditors' file?"));
    }
    Ok(published)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_with_events_that_wait_for_a_reader_does_not_call_the_log_published() {
        assert_eq!((all_of(7, 7), all_of(8, 7)), (Ok(7), Ok(8)));
        assert!(all_of(5, 7).unwrap_err().starts_with("2 events wait"));
    }
}
