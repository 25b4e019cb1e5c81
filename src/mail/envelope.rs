//! What an envelope says beside its addresses: what the sender wants done with the message, and for whom.

use serde::{Deserialize, Serialize};

use super::address::Address;
use super::dsn::{Report, Wish};

/// The most octets that an addressee takes in a frame: a path, an original recipient (RFC 3461 section 4), and what is
/// around them.
pub const MAX_ADDRESSEE: usize = 800;

/// What was said with MAIL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manner {
    pub utf8: Utf8,
    /// REQUIRETLS: from server to server it goes over verified TLS, or not at all (RFC 8689).
    pub require_tls: bool,
    /// FUTURERELEASE: not before that time, in microseconds since 1970 (RFC 4865).
    pub release_us: Option<u64>,
    pub report: Report,
    /// It is sent for a test, and never leaves.
    pub test: bool,
}

/// What octets above 127 there may be in addresses and in the header (RFC 6531).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Utf8 {
    /// None.
    #[default]
    None,
    /// SMTPUTF8 was asked for. Whether it is needed shows in the addresses.
    Allowed,
    /// The header needs it, whoever it goes to.
    Needed,
}

/// A recipient, and what was said with RCPT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addressee {
    pub address: Address,
    pub wish: Wish,
}

/// One of whom nothing was said.
impl From<Address> for Addressee {
    fn from(address: Address) -> Self {
        Self { address, wish: Wish::default() }
    }
}
