//! Signatures of Standard Webhooks 1.0.0: HMAC-SHA256 over id, moment and body, under a key that sender and receiver share.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::secret::Secret;

/// What a secret begins with, and how many octets its key has.
const PREFIX: &str = "whsec_";
const MIN_KEY: usize = 24;
const MAX_KEY: usize = 64;

pub struct Key(Secret<Vec<u8>>);

impl Key {
    /// The key of a secret, from the file that this name in the configuration names.
    ///
    /// Errors: the secret isn't one.
    pub fn new(secret: &Secret<String>, name: &str) -> Result<Self, String> {
        let key = secret.expose().strip_prefix(PREFIX).and_then(|key| STANDARD.decode(key).ok()).map(Secret::new);
        let key = key.filter(|key| (MIN_KEY..=MAX_KEY).contains(&key.expose().len()));
        let wrong = || {
            format!(
                "{name}: must hold {PREFIX} and {MIN_KEY} to {MAX_KEY} octets in base64: echo {PREFIX}$(openssl rand -base64 32)"
            )
        };
        key.map(Self).ok_or_else(wrong)
    }

    pub fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        #[allow(clippy::expect_used)] // RFC 2104 section 2
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose()).expect("HMAC takes a key of any length");
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// A moment as it is signed: seconds since 1970.
pub fn timestamp(now: SystemTime) -> String {
    now.duration_since(UNIX_EPOCH).as_ref().map(Duration::as_secs).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_u16_a_signature_is_what_the_libraries_of_the_standard_verify() {
        let key = Key::new(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()), "secret_file").unwrap();
        let signature = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b"{\"test\": 2432232314}");
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_has_its_prefix_and_its_length() {
        for bad in ["", "sesame", "whsec_", "whsec_c2VzYW1l", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!", "whsk_AAAA"] {
            let refused = Key::new(&Secret::new(bad.to_owned()), "secret_file").err().unwrap();
            assert!(refused.starts_with("secret_file: must hold whsec_"), "{refused}");
        }
        let long = format!("whsec_{}", STANDARD.encode([7; 65]));
        assert!(Key::new(&Secret::new(long), "secret_file").is_err());
    }
}
