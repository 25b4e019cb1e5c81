//! Listener to edge: connected sockets, each with the capsule that introduces it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::capsule::Capsule;

/// The listener's word. `Session` comes with the connected socket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Handover {
    Session(Capsule),
}

/// The edge's word: what the listener counts by.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Return {
    /// A session that this edge holds although this listener did not hand it over (the listener was replaced), with the
    /// capsule that the listener of then made: an edge can't count a stranger in who never came.
    Holding(Capsule),
    /// A session of this listener's, by its number, and from this address ended.
    Closed(u16, IpAddr),
}
