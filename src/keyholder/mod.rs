//! The keyholder: signs TLS handshakes for edges, and nothing else.
//!
//! **Does.** Answers edges' questions with signatures, after checking that what is to be signed is a TLS handshake.
//! **Trusts.** The parent. Edges not at all: their frames are capped, their questions checked octet by octet.
//! **Holds.** The private keys of the certificates. No socket but its peers', no file, no other secret.
//! **If it falls.** The intruder has the certificates' keys. He has no mail, no password, and no way to the network.

mod handshake;
mod keyring;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::config::slice::KeyholderSlice;
use crate::ipc::bytes::Octets;
use crate::ipc::channel;
use crate::ipc::control::{ChildPackets, File, Order, Peer};
use crate::ipc::packet::{Arrival, Packet};
use crate::ipc::signing::{Sign, Signature};
use crate::role::link::{End, Talk};
use crate::role::start::Start;
use crate::sandbox::{self, Sealed};
use keyring::Keyring;

/// The life of a keyholder. Returns when its parent is gone, or when it was told to drain and its last edge has left.
pub fn main(start: &mut Start) -> Result<(), String> {
    let slice: KeyholderSlice = start.slice()?;
    let confined = sandbox::confine(start.role, &start.grounds)?;
    let mut keyring = Keyring::default();
    for (number, name) in &slice.certificates {
        let (chain, key) = (start.file(&File::Chain(*number))?, start.file(&File::Key(*number))?);
        keyring.add(*number, name, chain, key)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|error| format!("the event loop can't be made: {error}"))?;
    let sealed = confined.seal()?;
    let control = start.ready(&sealed)?;
    let peers = std::mem::take(&mut start.peers);
    runtime.block_on(async {
        let control = control.into_async().map_err(|error| format!("the control channel can't be used: {error}"))?;
        serve(&control, peers, Arc::new(keyring), &sealed).await;
        Ok(())
    })
}

/// Serves every edge that comes, until there is no reason to stay.
async fn serve(control: &ChildPackets, peers: Vec<(Peer, OwnedFd)>, keyring: Arc<Keyring>, sealed: &Sealed) {
    let mut edges = JoinSet::new();
    for (peer, socket) in peers {
        admit(&mut edges, &peer, socket, &keyring, sealed);
    }
    let mut draining = false;
    while !(draining && edges.is_empty()) {
        tokio::select! {
            order = control.receive() => match order {
                Ok(Arrival::Packet(Packet { message: Order::Peer(peer), descriptor: Some(socket) })) => {
                    admit(&mut edges, &peer, socket, &keyring, sealed);
                }
                // Edges of this generation drain too and still shake hands meanwhile: the last of them ends this process.
                Ok(Arrival::Packet(Packet { message: Order::Retire | Order::Drain, .. })) => draining = true,
                Ok(Arrival::Packet(packet)) => tracing::error!(order = ?packet.message, "this order is not for a keyholder"),
                Ok(Arrival::Dropped) => tracing::error!("an order of the parent did not arrive whole"),
                Ok(Arrival::Closed) | Err(_) => return,
            },
            Some(_) = edges.join_next() => {}
        }
    }
}

fn admit(edges: &mut JoinSet<()>, peer: &Peer, socket: OwnedFd, keyring: &Arc<Keyring>, sealed: &Sealed) {
    if (peer.talk, peer.end) != (Talk::Signing, End::Answers) {
        tracing::error!(?peer, "this peer is not for a keyholder");
        return;
    }
    match channel::open(socket, sealed) {
        Ok((answers, questions)) => {
            edges.spawn(answer(questions, answers, Arc::clone(keyring), peer.clone()));
        }
        Err(error) => tracing::error!(?peer, %error, "the channel to an edge can't be opened"),
    }
}

/// Answers one edge until it leaves or says something that can't be read.
async fn answer(
    mut questions: channel::Receiver<Sign>,
    answers: channel::Sender<Signature>,
    keyring: Arc<Keyring>,
    peer: Peer,
) {
    loop {
        let Sign { ticket, certificate, scheme, message } = match questions.receive().await {
            Ok(Some(question)) => question,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(edge = peer.instance.0, %error, "an edge's question can't be read; its channel is closed");
                return;
            }
        };
        let answer = match keyring.sign(certificate, scheme, &message.0) {
            Ok(signature) => Signature::Signed { ticket, signature: Octets(signature) },
            Err(reason) => {
                tracing::warn!(edge = peer.instance.0, certificate, scheme, reason, "refused to sign");
                Signature::Refused { ticket, reason: reason.to_owned() }
            }
        };
        if answers.send(answer).await.is_err() {
            return;
        }
        // One edge's queue of questions must not keep the others waiting.
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests;
