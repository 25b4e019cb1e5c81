//! Generated keys: `gp_live_`, or `gp_test_` of a credential for tests and `gp_form_` of one for public pages, and 8 characters of key id, `_`, 43 of secret and 6 of checksum.
//!
//! The prefix lets scanners find a leaked key, the key id lets a bearer find its row, the checksum tells a typing error
//! from a guess without any work. 43 characters of base 62 are 256 bits.

use crate::policy::Policy;
use crate::secret::Secret;

const LIVE: &str = "gp_live_";
const TEST: &str = "gp_test_";
const FORM: &str = "gp_form_";
const ID: usize = 8;
const SECRET: usize = 43;
const CHECK: usize = 6;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What a key says of itself that it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Live,
    Test,
    /// It stands in public pages: no secret.
    Form,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Live, Self::Test, Self::Form];

    /// Of a credential with this policy.
    pub const fn of(policy: &Policy) -> Self {
        match (policy.test, policy.form.is_some()) {
            (true, _) => Self::Test,
            (false, true) => Self::Form,
            (false, false) => Self::Live,
        }
    }

    const fn prefix(self) -> &'static str {
        match self {
            Self::Live => LIVE,
            Self::Test => TEST,
            Self::Form => FORM,
        }
    }

    pub fn said_by(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| key.starts_with(kind.prefix()))
    }
}

/// A new key and its id.
///
/// Errors: the kernel gives no random octets.
pub fn generate() -> Result<(String, Secret<String>), String> {
    generate_for(Kind::Live)
}

/// The same, of a credential of this kind.
pub fn generate_for(kind: Kind) -> Result<(String, Secret<String>), String> {
    let id = fresh_id()?;
    let key = with(kind.prefix(), &id)?;
    Ok((id, key))
}

/// A new key id, for a secret that was made elsewhere.
pub fn fresh_id() -> Result<String, String> {
    random(ID)
}

fn with(prefix: &str, id: &str) -> Result<Secret<String>, String> {
    let mut key = Secret::new(String::with_capacity(prefix.len() + ID + 1 + SECRET + CHECK));
    let secret = Secret::new(random(SECRET)?);
    for part in [prefix, id, "_", secret.expose()] {
        key.expose_mut().push_str(part);
    }
    let check = checksum(key.expose());
    key.expose_mut().push_str(&check);
    Ok(key)
}

/// The key id in a well-formed key.
pub fn id(key: &str) -> Option<&str> {
    let (id, rest) = key.strip_prefix(Kind::said_by(key)?.prefix())?.split_once('_')?;
    let sound = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric());
    let shaped = id.len() == ID && rest.len() == SECRET + CHECK && sound(id) && sound(rest);
    let (body, check) = shaped.then(|| key.split_at(key.len() - CHECK))?;
    (checksum(body) == check).then_some(id)
}

fn random(length: usize) -> Result<String, String> {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut octets = Secret::new([0u8; 64]);
        getrandom::fill(octets.expose_mut()).map_err(|error| format!("no random octets: {error}"))?;
        // 248 is the largest multiple of 62 that fits into an octet: above it, some characters would come more often.
        let even = octets.expose().iter().filter(|octet| **octet < 248);
        let characters = even.filter_map(|octet| ALPHABET.get(usize::from(octet % 62)));
        text.extend(characters.take(length - text.len()).map(|c| char::from(*c)));
    }
    Ok(text)
}

fn checksum(text: &str) -> String {
    let mut rest = crc32(text.as_bytes());
    let mut digits = [b'0'; CHECK];
    for digit in digits.iter_mut().rev() {
        *digit = usize::try_from(rest % 62).ok().and_then(|at| ALPHABET.get(at)).copied().unwrap_or(b'0');
        rest /= 62;
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

/// CRC-32 as in ISO 3309 and zlib.
fn crc32(octets: &[u8]) -> u32 {
    let mut crc = !0u32;
    for octet in octets {
        crc ^= u32::from(*octet);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// A guess at a key: well-formed, with this id.
#[cfg(test)]
pub fn of(id: &str) -> Secret<String> {
    with(LIVE, id).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_is_well_formed_and_a_changed_one_is_not() {
        let (key_id, key) = generate().unwrap();
        let key = key.expose();
        for (kind, prefix) in [(Kind::Test, "gp_test_"), (Kind::Form, "gp_form_")] {
            let (other_id, other) = generate_for(kind).unwrap();
            assert!(other.expose().starts_with(prefix) && id(other.expose()) == Some(other_id.as_str()));
            assert_eq!(Kind::said_by(other.expose()), Some(kind));
        }
        assert_eq!(key.len(), LIVE.len() + ID + 1 + SECRET + CHECK);
        assert_eq!(id(key), Some(key_id.as_str()));
        let other = if key.ends_with('0') { '1' } else { '0' };
        assert_eq!(id(&format!("{}{other}", &key[..key.len() - 1])), None);
        assert_eq!(id(&key[1..]), None);
        assert_eq!(id("gp_live_é"), None);
        assert_ne!(generate().unwrap().0, key_id);
    }

    #[test]
    fn the_checksum_is_the_one_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
