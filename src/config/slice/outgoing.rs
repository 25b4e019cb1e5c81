//! The slices of those who go out: the dialer, and the couriers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::TlsMode;

/// Dialer: where each upstream is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DialerSlice {
    pub upstreams: Vec<Destination>,
    pub connect: Duration,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Destination {
    pub name: String,
    pub hosts: Vec<(String, u16)>,
}

/// Courier: whom it speaks with, and how. Authorities and password come as descriptors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum CourierSlice {
    Smtp(SmtpSlice),
    Witness(WitnessSlice),
}

/// A courier that asks a witness.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WitnessSlice {
    /// The configured name, which its certificate must bear; the dialer's word is not taken for it.
    pub host: String,
    pub port: u16,
    /// What comes before `/add-checkpoint`.
    pub prefix: String,
    pub tls: bool,
}

/// A courier that delivers to one SMTP upstream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SmtpSlice {
    pub upstream: String,
    /// The configured names, in the order that the dialer has them: a certificate must bear the one that was connected to,
    /// and the dialer's word alone is not taken for it.
    pub hosts: Vec<String>,
    /// The name we give in EHLO.
    pub helo: String,
    pub tls: TlsMode,
    pub username: Option<String>,
    pub auth: Auth,
    pub connections: u16,
}

/// How a courier logs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Auth {
    /// By the best of those below that is offered, the best first.
    #[default]
    Auto,
    /// Bound to the TLS session where that is offered.
    ScramSha256,
    Plain,
    Login,
}
