//! Courier and dialer: connected sockets to one upstream's hosts, or to where its tokens are asked for.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Connect for this courier. The dialer knows the hosts; the courier can't name one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dial {
    /// Repeated in the answer.
    pub ticket: u32,
    pub whom: Whom,
    /// Start with this host of the list (modulo its length), for failover.
    pub first: u16,
}

/// Where a courier may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Whom {
    /// Its upstream, or its witness.
    Upstream,
    /// The token endpoint of its upstream, if that has one.
    TokenEndpoint,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Dialed {
    /// Comes with the connected socket. `host` is the configured name; the courier compares it with its own
    /// list before it believes that a certificate must bear it.
    Connected { ticket: u32, index: u16, host: String, address: SocketAddr },
    /// No host of the list could be reached; one short reason for each.
    Failed { ticket: u32, reasons: Vec<String> },
}
