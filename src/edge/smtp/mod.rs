//! SMTP of strangers: one session per task, from the first octet to the last.

pub mod attribute;
pub mod auth;
pub mod barred;
pub mod budget;
pub mod chunk;
pub mod command;
pub mod content;
pub mod data;
pub mod dialect;
pub mod ending;
pub mod envelope;
pub mod guard;
pub mod line;
pub mod live;
pub mod login;
pub mod reply;
pub mod scram;
pub mod session;
pub mod standing;
pub mod submit;
pub mod tally;
pub mod transaction;
pub mod transcript;
pub mod wire;
pub mod xclient;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use uuid::Uuid;

use super::conversation::Visit;
use super::front::Front;
use super::socket::Socket;
use super::tls::{self, Handshaker};
use crate::config::slice::TlsMode;
use session::{Leave, Session};

/// Serves one connection. Whatever fails in a handshake, nothing more is said in the clear after it.
pub async fn serve(
    mut socket: Socket,
    visit: Visit,
    front: Arc<Front>,
    peer: SocketAddr,
    id: Uuid,
    handshaker: Option<Handshaker>,
) {
    tracing::debug!(session = %id, %peer, listener = front.desk.name, "a session begins");
    let mut session = Session::new(front.clone(), visit, id);
    if session.show().await.is_err() {
        return;
    }
    if front.desk.tls != TlsMode::Implicit {
        if socket.attach().is_err() {
            return;
        }
        match session.converse(socket).await {
            Leave::Closed => return,
            Leave::Starttls(plain) => socket = plain,
        }
    }
    let (Some(handshaker), Some(config)) = (handshaker, front.tls.clone()) else {
        return tracing::error!(session = %id, listener = front.desk.name, "no TLS to offer on a listener that needs it");
    };
    match handshaker.shake(socket, config).await {
        Ok((stream, tls)) => {
            session.secured(tls, tls::exported(&stream));
            session.converse(stream).await;
        }
        Err(error) => {
            session.visit.scribe().tell(|| transcript::no_tls(&error));
            tls::tell(&front, id, peer, &error);
        }
    }
}
