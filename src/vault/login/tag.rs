//! The tag of a generated key: sixteen bits under a key that only the vault knows, kept beside the hash. A guess has it right
//! once in 65,536 times; all others are refused without any hashing. It weakens nothing: of 256 bits 240 are left to whoever
//! has stolen the tags and their key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::policy::derived::{SALT, Salt};
use crate::secret::Secret;

const KEY: usize = 32;

/// What makes tags.
#[derive(Clone, Debug)]
pub struct Tagger(Secret<[u8; KEY]>);

impl Tagger {
    pub fn new() -> Result<Self, String> {
        let mut key = Secret::new([0; KEY]);
        getrandom::fill(key.expose_mut()).map_err(|error| format!("no random octets: {error}"))?;
        Ok(Self(key))
    }

    /// As the vault keeps it.
    pub fn encode(&self) -> Secret<String> {
        Secret::new(STANDARD.encode(self.0.expose()))
    }

    pub fn decode(text: &Secret<String>) -> Option<Self> {
        let octets = Secret::new(STANDARD.decode(text.expose()).ok()?);
        let key: [u8; KEY] = octets.expose().as_slice().try_into().ok()?;
        Some(Self(Secret::new(key)))
    }

    /// The tag of a whole key.
    pub fn tag(&self, key: &str) -> u16 {
        self.first(b"key", key)
    }

    /// What stands for the tag of a key id that nobody has: a guess at it is as seldom right as at any other.
    pub fn nobody(&self, key_id: &str) -> u16 {
        self.first(b"nobody", key_id)
    }

    /// The salt of SCRAM of a name that has none: always the same one, as if somebody had it.
    pub fn salt(&self, name: &str) -> Salt {
        let mut salt = [0; SALT];
        salt.copy_from_slice(self.mac(b"salt", name).split_at(SALT).0);
        salt
    }

    /// Which of so many things a name would have if it had one.
    pub fn one_of(&self, name: &str, things: usize) -> usize {
        usize::from(self.first(b"one of", name)).checked_rem(things).unwrap_or_default()
    }

    /// What an address is found by where it may not stand itself.
    pub fn address(&self, folded: &str) -> [u8; 32] {
        self.mac(b"address", folded)
    }

    fn first(&self, about: &[u8], text: &str) -> u16 {
        let [a, b, ..] = self.mac(about, text);
        u16::from_be_bytes([a, b])
    }

    fn mac(&self, about: &[u8], text: &str) -> [u8; 32] {
        #[allow(clippy::expect_used)] // RFC 2104 section 2
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose()).expect("HMAC takes a key of any length");
        mac.update(about);
        mac.update(&[0]);
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_depends_on_the_whole_key_and_on_the_vault() {
        let (one, two) = (Tagger::new().unwrap(), Tagger::new().unwrap());
        let differ = |a: &dyn Fn(u32) -> u16, b: &dyn Fn(u32) -> u16| (0..64).filter(|n| a(*n) != b(*n)).count() > 60;
        assert!(differ(&|n| one.tag(&n.to_string()), &|n| two.tag(&n.to_string())));
        assert!(differ(&|n| one.tag(&n.to_string()), &|n| one.nobody(&n.to_string())));
        assert!(differ(&|n| one.tag(&n.to_string()), &|n| one.tag(&(n + 1).to_string())));
        let again = Tagger::decode(&one.encode()).unwrap();
        assert_eq!(again.tag("gp_live_x"), one.tag("gp_live_x"));
        assert!(Tagger::decode(&Secret::new("short".into())).is_none());
        assert_eq!(format!("{one:?}"), "Tagger([secret])");
    }
}
