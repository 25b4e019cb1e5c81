//! The edge: the process that meets strangers.
//!
//! **Does.** Serves connections that the listener hands it, over SMTP or over HTTP: TLS, parsing, asking the vault.
//! **Trusts.** The parent's orders; the vault's and keyholder's answers. The listener's capsules it only passes on.
//! **Holds.** Its sessions' octets, and nothing else: no file, no key, no socket but those it was handed.
//! **If it falls.** Its sessions, and the passwords of those that come after it, until it is replaced. An intruder can't
//! open a connection, invent a session or an address, or read a message of another process.

pub mod certificates;
pub mod clients;
pub mod conversation;
pub mod doorstep;
pub mod floor;
pub mod front;
pub mod http;
pub mod meter;
pub mod proxy;
pub mod renewal;
pub mod signing;
pub mod smtp;
pub mod socket;
pub mod strangers;
pub mod tls;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::UnixTime;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::config::slice::{EdgeSlice, TlsMode};
use crate::ipc::channel;
use crate::ipc::control::{ChildPackets, File, Order, Peer};
use crate::ipc::packet::{Arrival, Packets};
use crate::ipc::session::{Ask, MAX_SHOWN};
use crate::role::Role;
use crate::role::leaving::{DRAIN, LAST_WORDS};
use crate::role::link::Talk;
use crate::role::start::Start;
use crate::sandbox::{self, Sealed};
use certificates::Shelf;
use conversation::Vault;
use floor::Floor;
use front::{Front, Phase};
use renewal::{DAILY, Renewals};
use signing::Keyholder;
use strangers::Strangers;
use tls::Handshaker;

/// How often the vault is told what was counted.
const REPORT: Duration = Duration::from_secs(2);
/// How long what it says last has to leave.
const FAREWELL: Duration = Duration::from_millis(50);
/// How long it waits for sockets that were on their way when the order to drain came.
const ON_THE_WAY: Duration = Duration::from_millis(500);

/// The role's life, for `edge-smtp` and `edge-http`: the role alone decides what a connection is served with.
pub fn main(start: &mut Start) -> Result<(), String> {
    let slice: EdgeSlice = start.slice()?;
    let keyholder = Keyholder::absent(slice.signing);
    let (offers, renewals) = offers(start, &slice, &keyholder)?;
    let (season, phase) = watch::channel(Phase::Serving);
    let fronts = fronts(&slice, &offers, &phase);

    let confined = sandbox::confine(start.role, &start.grounds)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.map_err(|error| format!("the runtime can't be made: {error}"))?;
    let sessions =
        usize::try_from(slice.sessions).map_err(|_| "more sessions than this machine can count".to_owned())?;
    let handshaker = match offers.is_empty() {
        true => None,
        false => Some(Handshaker::start(sessions, slice.handshake)?),
    };
    tls::warm_up()?;
    let sealed = confined.seal()?;

    let control = start.ready(&sealed)?;
    let peers = std::mem::take(&mut start.peers);
    let vault = Vault::default();
    runtime.block_on(async move {
        let control = control.into_async().map_err(|error| format!("the control channel can't be watched: {error}"))?;
        let floor =
            Floor::new(start.role, sessions, Strangers::new(slice.strangers), fronts, vault.clone(), handshaker);
        let mut edge = Edge { floor, vault, keyholder, renewals, sealed, season };
        for (peer, socket) in peers {
            edge.plug(&peer, socket);
        }
        edge.serve(&control).await;
        Ok(())
    })
}

/// Reads the certificate chains and makes of them what each listener offers, by the listener's number.
fn offers(
    start: &mut Start,
    slice: &EdgeSlice,
    keyholder: &Keyholder,
) -> Result<(HashMap<u16, Arc<ServerConfig>>, Renewals), String> {
    let alpn: &[u8] = if start.role == Role::EdgeHttp { b"http/1.1" } else { b"smtp" };
    let mut pairs = HashMap::new();
    let (mut offers, mut renewals) = (HashMap::new(), Renewals::default());
    for desk in slice.listeners.iter().filter(|desk| desk.tls != TlsMode::None) {
        let failed = |error| format!("a certificate of listener {:?} can't be used: {error}", desk.name);
        let mut shelf = Shelf::default();
        for number in &desk.certificates {
            let pair = match pairs.entry(*number) {
                Entry::Occupied(known) => {
                    renewals.also(*number, &desk.name);
                    known.into_mut()
                }
                Entry::Vacant(place) => {
                    let chain = tls::read_chain(start.file(&File::Chain(*number))?).map_err(failed)?;
                    renewals.add(*number, &desk.name, chain.clone());
                    place.insert(certificates::certified(chain, *number, keyholder.clone()).map_err(failed)?)
                }
            };
            shelf.add(pair).map_err(failed)?;
        }
        if desk.certificates.is_empty() {
            return Err(format!("listener {:?} has TLS and no certificate", desk.name));
        }
        let asks = match desk.client_certificates {
            Some(asked) => {
                let file = start.file(&File::ClientAuthorities(desk.number))?;
                let why = |error: String| format!("the client_authorities_file of listener {:?}: {error}", desk.name);
                let authorities = tls::read_chain(file).map_err(why)?;
                renewals.believe(&desk.name, &authorities);
                Some(clients::verifier(authorities, asked).map_err(why)?)
            }
            None => None,
        };
        offers.insert(desk.number, Arc::new(tls::offer(shelf, alpn, asks).map_err(failed)?));
    }
    renewals.tell(UnixTime::now());
    Ok((offers, renewals))
}

fn fronts(
    slice: &EdgeSlice,
    offers: &HashMap<u16, Arc<ServerConfig>>,
    phase: &watch::Receiver<Phase>,
) -> HashMap<u16, Arc<Front>> {
    let front = |desk: &crate::config::slice::Desk| {
        let tls = offers.get(&desk.number).cloned();
        (desk.number, Arc::new(Front::new(slice, desk.clone(), tls, phase.clone())))
    };
    slice.listeners.iter().map(front).collect()
}

/// When to look again while leaving.
fn next_turn(begun: Instant) -> Instant {
    let waited = begun.elapsed();
    let turns = [ON_THE_WAY, DRAIN, DRAIN + LAST_WORDS];
    // A retired edge outlasts them all: then it is woken by the end of its last session.
    begun + turns.into_iter().find(|at| *at > waited).unwrap_or(waited + DRAIN)
}

/// The sealed process.
struct Edge {
    floor: Floor,
    vault: Vault,
    keyholder: Keyholder,
    renewals: Renewals,
    sealed: Sealed,
    season: watch::Sender<Phase>,
}

impl Edge {
    /// Until the parent is gone, or the floor is empty after the order to retire or to drain.
    async fn serve(&mut self, control: &ChildPackets) {
        let (mut retired, mut drain): (Option<Instant>, Option<Instant>) = (None, None);
        let (mut tomorrow, mut reports) = (Instant::now() + DAILY, interval(REPORT));
        reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let leaving = drain.or(retired);
            let turn = leaving.map_or_else(|| Instant::now() + DRAIN, next_turn);
            tokio::select! {
                order = control.receive() => match order {
                    Ok(Arrival::Packet(packet)) => match (packet.message, packet.descriptor) {
                        (Order::Peer(peer), Some(socket)) => self.plug(&peer, socket),
                        (Order::Retire, None) => {
                            tracing::info!(sessions = self.floor.live(), "retired: serving these to their end");
                            retired = retired.or_else(|| Some(Instant::now()));
                        }
                        (Order::Drain, None) => {
                            tracing::info!(sessions = self.floor.live(), "draining");
                            self.season.send_replace(Phase::Draining);
                            drain = drain.or_else(|| Some(Instant::now()));
                        }
                        (order, _) => tracing::error!(?order, "an order that is not for an edge"),
                    },
                    Ok(Arrival::Dropped) => tracing::error!("an order of the parent's did not arrive whole"),
                    Ok(Arrival::Closed) | Err(_) => return,
                },
                () = self.floor.turn() => (),
                _ = reports.tick() => self.floor.report(),
                () = sleep_until(turn), if leaving.is_some() => (),
                () = sleep_until(tomorrow), if leaving.is_none() => {
                    self.renewals.tell(UnixTime::now());
                    tomorrow = Instant::now() + DAILY;
                }
            }
            let waited = |since: Option<Instant>| since.map_or(Duration::ZERO, |begun| begun.elapsed());
            let empty = self.floor.live() == 0 && waited(drain.or(retired)) >= ON_THE_WAY;
            if empty || waited(drain) >= DRAIN + LAST_WORDS {
                tracing::info!(left = self.floor.live(), "done");
                self.floor.report();
                tokio::time::sleep(FAREWELL).await;
                return;
            }
            if waited(drain) >= DRAIN {
                self.season.send_replace(Phase::Closing);
            }
        }
    }

    /// Takes a channel to a neighbour, new or replaced.
    fn plug(&mut self, peer: &Peer, socket: std::os::fd::OwnedFd) {
        let plugged = match peer.talk {
            Talk::Handover => Packets::new(socket).map(|channel| self.floor.plug(channel)),
            Talk::Session => channel::open(socket, &self.sealed).map(|(asks, answers)| {
                for (listener, ends) in self.renewals.ends().into_iter().take(MAX_SHOWN) {
                    // A channel that nothing was said on yet has room.
                    let _ = asks.try_send(Ask::Shown { listener, ends });
                }
                self.vault.plug(asks, answers);
                self.floor.introduce();
            }),
            Talk::Signing => {
                channel::open(socket, &self.sealed).map(|(asks, answers)| self.keyholder.plug(asks, answers))
            }
            Talk::Sealing | Talk::Delivery | Talk::Dialing | Talk::Witnessing | Talk::Feedback | Talk::Turnstile => {
                Err(std::io::Error::other("it is not for an edge"))
            }
        };
        match plugged {
            Ok(()) => tracing::debug!(role = %peer.role, instance = peer.instance.0, "plugged"),
            Err(error) => tracing::error!(role = %peer.role, %error, "a neighbour's channel can't be used"),
        }
    }
}

/// A vault that stands in.
#[cfg(any(test, fuzzing))]
#[path = "tests/seen.rs"]
pub mod seen;
#[cfg(any(test, fuzzing))]
#[path = "tests/stand_in.rs"]
pub mod stand_in;
#[cfg(any(test, fuzzing))]
#[path = "tests/talk.rs"]
pub mod talk;
#[cfg(test)]
mod tests;
