//! Edge and keyholder: one signature for one TLS handshake.

use serde::{Deserialize, Serialize};

use super::bytes::Octets;

/// One handshake's question.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sign {
    /// Repeated in the answer, so that one that came too late is known for what it is.
    pub ticket: u32,
    /// The number of the certificate in the configuration.
    pub certificate: u16,
    /// TLS SignatureScheme, RFC 8446 section 4.2.3.
    pub scheme: u16,
    /// All that is signed, not a digest: the keyholder checks that it is a TLS handshake.
    pub message: Octets,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Signature {
    Signed {
        ticket: u32,
        signature: Octets,
    },
    /// Not shaped like a TLS handshake, no such certificate, or a scheme the key doesn't have.
    Refused {
        ticket: u32,
        reason: String,
    },
}
