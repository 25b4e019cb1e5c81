//! Listener: accepts connections, refuses early, hands the rest to edges.
//!
//! **Does.** Accepts on the sockets the parent bound, counts sessions by address and prefix, hands each connection to an
//! edge of its protocol and zone together with a capsule that introduces it to the vault.
//! **Trusts.** The parent. Of an edge it believes that a session ended, and what an earlier listener's capsule shows that it
//! holds; of a stranger, nothing: it reads no byte.
//! **Holds.** The listening sockets and the capsule key.
//! **If it falls**, an intruder sees addresses, can refuse service and can introduce sessions that don't exist; no mail,
//! no password and no key passes through here.

mod accept;
mod house;

use std::rc::Rc;

use crate::config::slice::ListenerSlice;
use crate::ipc::control::{ChildPackets, File, Order, Report};
use crate::ipc::frame;
use crate::ipc::packet::{Arrival, Packet};
use crate::role::start::Start;
use crate::sandbox;
use house::House;

pub fn main(start: &mut Start) -> Result<(), String> {
    let slice: ListenerSlice = start.slice()?;
    let confined = sandbox::confine(start.role, &start.grounds)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("starting the event loop: {error}"))?;
    let sealed = confined.seal()?;
    let control = start.ready(&sealed)?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let control = control.into_async().map_err(|error| format!("the control channel: {error}"))?;
        let house = Rc::new(House::new(slice, start.generation, sealed));
        for (peer, socket) in start.peers.drain(..) {
            house.welcome(&peer, socket);
        }
        for (file, socket) in start.files.drain(..) {
            house.keep(&file, socket);
        }
        accept::begin(&house);
        obey(&control, &house).await
    })
}

/// Takes orders until the parent is gone or wants no more connections.
async fn obey(control: &ChildPackets, house: &Rc<House>) -> Result<(), String> {
    let mut slice = Vec::new();
    loop {
        let packet = match control.receive().await {
            Ok(Arrival::Packet(packet)) => packet,
            Ok(Arrival::Dropped) => continue,
            Ok(Arrival::Closed) | Err(_) => return Ok(()),
        };
        match packet {
            Packet { message: Order::Peer(peer), descriptor: Some(socket) } => house.welcome(&peer, socket),
            Packet { message: Order::File(file @ File::Listening(_)), descriptor: Some(socket) } => {
                house.keep(&file, socket)
            }
            Packet { message: Order::Slice { part, .. }, .. } => slice.extend_from_slice(&part.0),
            Packet { message: Order::Switch(generation), .. } => {
                let next = frame::decode(&std::mem::take(&mut slice))
                    .map_err(|error| format!("the slice of generation {} can't be read: {error}", generation.0))?;
                house.switch(next, generation);
                accept::begin(house);
                let _ = control.send(&Report::Switched(generation), None).await;
            }
            Packet { message: Order::Drain, .. } => return Ok(()),
            Packet { message, .. } => tracing::warn!(?message, "an order out of its moment was ignored"),
        }
    }
}
