//! The arithmetic of SCRAM-SHA-256 (RFC 5802 section 3, RFC 7677), the same for both sides.

use std::num::NonZeroU32;

use hmac::{Hmac, KeyInit, Mac};
use ring::pbkdf2;
use sha2::{Digest, Sha256};

use crate::secret::Secret;

/// Whether both sides are sure to spell this alike: of printable ASCII SASLprep (RFC 4013) makes what it was.
pub fn is_plain(text: &str) -> bool {
    text.bytes().all(|octet| (b' '..=b'~').contains(&octet))
}

/// SaltedPassword: the costly part, from which all keys are made.
pub fn stretch(secret: &Secret<String>, iterations: NonZeroU32, salt: &[u8]) -> Secret<[u8; 32]> {
    let mut salted = Secret::new([0; 32]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, secret.expose().as_bytes(), salted.expose_mut());
    salted
}

/// ClientKey, which only who has the secret can make.
pub fn client(salted: &Secret<[u8; 32]>) -> Secret<[u8; 32]> {
    Secret::new(mac(salted.expose(), b"Client Key"))
}

/// StoredKey: what a server keeps of the client's key.
pub fn stored(client: &Secret<[u8; 32]>) -> Secret<[u8; 32]> {
    Secret::new(Sha256::digest(client.expose()).into())
}

/// ServerKey, by which a server shows that it has been told of the secret.
pub fn server(salted: &Secret<[u8; 32]>) -> Secret<[u8; 32]> {
    Secret::new(mac(salted.expose(), b"Server Key"))
}

/// ClientProof of these words, made of the client's key.
pub fn prove(client: &Secret<[u8; 32]>, words: &[u8]) -> [u8; 32] {
    covered(client.expose(), &mac(stored(client).expose(), words))
}

/// The client's key that is in a proof of these words, if it was made of the one that is kept as `stored`.
pub fn proven(stored: &Secret<[u8; 32]>, words: &[u8], proof: &[u8; 32]) -> Secret<[u8; 32]> {
    Secret::new(covered(proof, &mac(stored.expose(), words)))
}

/// ServerSignature of these words.
pub fn sign(server: &Secret<[u8; 32]>, words: &[u8]) -> [u8; 32] {
    mac(server.expose(), words)
}

/// One over the other: done twice, it is undone.
fn covered(one: &[u8; 32], other: &[u8; 32]) -> [u8; 32] {
    let mut both = *one;
    both.iter_mut().zip(other).for_each(|(octet, over)| *octet ^= over);
    both
}

fn mac(key: &[u8; 32], text: &[u8]) -> [u8; 32] {
    #[allow(clippy::expect_used)] // RFC 2104 section 2
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text);
    mac.finalize().into_bytes().into()
}
