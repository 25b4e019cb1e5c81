//! The mailer: hands each message of one upstream to one program, and tells what the program made of it.
//!
//! **Does.** Runs the configured program, as `program -i -f SENDER -- RECIPIENTS`, with the message as its standard input.
//! **Trusts.** The parent and the vault. Of the program only its exit status: what it writes is data, cut to a line.
//! **Holds.** The messages it is delivering. No secret, and no connection.
//! **If it falls.** An intruder (a hostile program, most likely) has the mail in flight and whatever this user may do on this machine:
//! no filter holds him, because the program would inherit it. It is the weakest process of all.

mod envelope;
mod judgement;
mod letter;
mod program;
mod rehearsal;
mod run;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::slice::MailerSlice;
use crate::ipc::channel;
use crate::ipc::control::{ChildPackets, Order, Peer};
use crate::ipc::packet::{Arrival, Packet};
use crate::jobs::Jobs;
use crate::role::link::Talk;
use crate::role::start::Start;
use crate::sandbox::{self, Sealed};

use program::Program;

/// The role's entry: returns when the parent is gone, or when it has drained.
pub fn main(start: &mut Start) -> Result<(), String> {
    let slice: MailerSlice = start.slice()?;
    let confined = sandbox::confine(start.role, &start.grounds)?;
    // As the user that is to run it.
    run::may_be_run(&slice.command)?;
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
        serve(control, peers, Arc::new(Program::new(slice)), &sealed).await
    })
}

/// Vaults come and go; ends when the parent is gone, or, draining, when every job at hand has ended. A program that still runs then
/// has the whole message, and ends by itself.
async fn serve(
    control: ChildPackets,
    peers: Vec<(Peer, OwnedFd)>,
    program: Arc<Program>,
    sealed: &Sealed,
) -> Result<(), String> {
    let (draining, drain) = watch::channel(false);
    let mut vaults = JoinSet::new();
    let attach = |peer: Peer, socket: OwnedFd, vaults: &mut JoinSet<Result<(), String>>| {
        if peer.talk != Talk::Delivery {
            return tracing::warn!(talk = ?peer.talk, "a peer that a mailer has no business with");
        }
        match channel::open(socket, sealed) {
            Ok((progress, offers)) => {
                vaults.spawn(Jobs::new(progress, Arc::clone(&program)).serve(offers, drain.clone()));
            }
            Err(error) => tracing::warn!(%error, "the vault's channel can't be watched"),
        }
    };
    for (peer, socket) in peers {
        attach(peer, socket, &mut vaults);
    }
    loop {
        if *draining.borrow() && vaults.is_empty() {
            return Ok(());
        }
        tokio::select! {
            arrival = control.receive() => {
                match arrival.map_err(|error| format!("reading the control channel: {error}"))? {
                    Arrival::Packet(Packet { message: Order::Peer(peer), descriptor: Some(socket) }) => {
                        attach(peer, socket, &mut vaults);
                    }
                    Arrival::Packet(Packet { message: Order::Retire | Order::Drain, .. }) => {
                        draining.send_replace(true);
                    }
                    Arrival::Packet(packet) => tracing::warn!(order = ?packet.message, "order out of its moment"),
                    Arrival::Dropped => tracing::warn!("an order did not arrive whole"),
                    Arrival::Closed => return Ok(()),
                }
            }
            Some(served) = vaults.join_next(), if !vaults.is_empty() => {
                if let Ok(Err(reason)) = served {
                    return Err(reason);
                }
            }
        }
    }
}
