//! Listener to edge: connected sockets, each with the capsule that introduces it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::capsule::Capsule;

/// What an SMTP client reads instead of a greeting when there is no room, whichever of the two has none (RFC 5321 section 3.8).
/// Like every greeting it has no status code (RFC 2034 section 4). It is the first that is said, so there is nothing of the
/// client's to wait for.
pub const NO_ROOM: &[u8] = b"421 too many sessions, try again later\r\n";

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
