//! What one listener's sessions need to know: read-only, and the only thing that they share.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::sync::{Semaphore, watch};

use super::doorstep::Doorstep;
use super::http::cuts::Cuts;
use super::http::papers::Papers;
use super::meter::Meter;
use super::smtp::barred::WHYS;
use super::smtp::ending::CAUSES;
use crate::config::slice::{Desk, EdgeSlice};
use crate::log::flood::Flood;

/// How much longer this process serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Serving,
    /// A newer generation has taken over: finish what is at hand.
    Draining,
    /// The time for that is over: say so and close.
    Closing,
}

/// Requests of one listener with a token of tests at a time: strangers have no room of customers.
pub const REHEARSING: usize = 32;

/// One listener as its sessions see it.
#[derive(Debug)]
pub struct Front {
    pub desk: Desk,
    pub hostname: String,
    /// Octets of one message, header included, dots un-stuffed.
    pub max_size: u64,
    /// Some route has REQUIRETLS.
    pub requiretls: bool,
    /// How long a session may be silent before and after its login.
    pub idle_strange: Duration,
    pub idle: Duration,
    /// Present when the desk has certificates.
    pub tls: Option<Arc<ServerConfig>>,
    pub phase: watch::Receiver<Phase>,
    /// What is counted here, for those who watch the service.
    pub meter: Meter,
    /// Requests that were refused: the service's log tells of so many.
    pub refusals: Flood,
    /// Those with a token of tests, which send nothing: the same.
    pub rehearsals: Flood,
    /// Places for their bodies.
    pub rehearsing: Semaphore,
    /// Batches over HTTP that something came into the middle of.
    pub cuts: Cuts,
    /// What the listener says of itself over HTTP, once it was asked.
    papers: OnceLock<Papers>,
    /// Where connections wait for their PROXY header.
    pub doorstep: Doorstep,
    /// Connections that came no further than that: the log tells of so many.
    pub turned: Flood,
    /// Handshakes that failed: the same.
    pub handshakes: Flood,
    /// Messages in which line ends were repaired: the same.
    pub repaired: Flood,
    /// Clients that were kept out before anything was judged, by the reason: the same.
    pub barred: [Flood; WHYS],
    /// Sessions that were ended for what their client did, by the cause: the same.
    pub ended: [Flood; CAUSES],
}

impl Front {
    pub fn new(slice: &EdgeSlice, desk: Desk, tls: Option<Arc<ServerConfig>>, phase: watch::Receiver<Phase>) -> Self {
        Self {
            desk,
            hostname: slice.hostname.clone(),
            max_size: slice.max_size,
            requiretls: slice.requiretls,
            idle_strange: slice.idle_strange,
            idle: slice.idle,
            tls,
            phase,
            meter: Meter::default(),
            refusals: Flood::default(),
            rehearsals: Flood::default(),
            rehearsing: Semaphore::new(REHEARSING),
            cuts: Cuts::default(),
            papers: OnceLock::new(),
            doorstep: Doorstep::new(slice.strangers),
            turned: Flood::default(),
            handshakes: Flood::default(),
            repaired: Flood::default(),
            barred: Default::default(),
            ended: Default::default(),
        }
    }

    /// What the listener says of what it serves: made when it is asked for first.
    pub fn papers(&self) -> &Papers {
        self.papers.get_or_init(|| Papers::of(&self.desk.serve))
    }
}
