//! The capsule: the listener's introduction of one connection, which an edge can show but not forge.

use std::net::SocketAddr;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

use crate::role::Instance;
use crate::secret::Secret;

/// Octets of the key that only listener and vault hold; the parent makes it anew at each start.
pub const KEY: usize = 32;

/// What the listener saw. The times and addresses in it are the listener's word, not the edge's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// The session's id (UUIDv7), in the audit log and in every log line about it.
    pub session: Uuid,
    pub peer: SocketAddr,
    /// The number of the listener in the configuration that was current then.
    pub listener: u16,
    /// The edge it was handed to; no other may show it.
    pub edge: Instance,
    /// Microseconds that this system had run by then (`sys::clock`): nobody sets that clock, and it stands still while the
    /// machine sleeps.
    pub accepted_us: u64,
}

/// An introduction and its proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capsule {
    pub introduction: Introduction,
    mac: [u8; 32],
}

impl Capsule {
    pub fn seal(introduction: Introduction, key: &Secret<[u8; KEY]>) -> Self {
        let mac = mac(&introduction, key).finalize().into_bytes().into();
        Self { introduction, mac }
    }

    /// Whether the listener made it. Takes the same time whatever differs.
    pub fn is_genuine(&self, key: &Secret<[u8; KEY]>) -> bool {
        mac(&self.introduction, key).verify_slice(&self.mac).is_ok()
    }
}

fn mac(introduction: &Introduction, key: &Secret<[u8; KEY]>) -> Hmac<Sha256> {
    #[allow(clippy::expect_used)] // HMAC takes keys of any length; RFC 2104 section 2
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose()).expect("HMAC takes a key of any length");
    mac.update(b"gatepost capsule 1\n");
    // An introduction is a few dozen octets of fixed shape and always encodes; an empty text would simply not verify.
    mac.update(&postcard::to_stdvec(introduction).unwrap_or_default());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_introduction_or_another_key_is_not_genuine() {
        let key = Secret::new([7; KEY]);
        let introduction = Introduction {
            session: Uuid::nil(),
            peer: "192.0.2.1:40000".parse().unwrap(),
            listener: 1,
            edge: Instance(4),
            accepted_us: 1,
        };
        let capsule = Capsule::seal(introduction, &key);
        assert!(capsule.is_genuine(&key));
        assert!(!capsule.is_genuine(&Secret::new([8; KEY])));
        let mut moved = capsule.clone();
        moved.introduction.peer = "192.0.2.2:40000".parse().unwrap();
        assert!(!moved.is_genuine(&key));
        let mut stolen = capsule;
        stolen.introduction.edge = Instance(5);
        assert!(!stolen.is_genuine(&key));
    }
}
