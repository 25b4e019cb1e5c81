//! Bodies at rest: each sealed under a key of its own, in chunks that can be neither moved, cut off nor joined.
//!
//! ChaCha20-Poly1305 (RFC 8439). A key seals one body, so the number of a chunk is its nonce; the last octet of the nonce
//! says whether it is the last one (the STREAM construction), so a body that lacks its end does not open.

use std::io;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use crate::secret::Secret;

/// Octets of a key (RFC 8439 section 2.8).
pub const KEY: usize = 32;
/// Octets that sealing adds to each chunk.
pub const TAG: usize = 16;
/// Octets of a chunk before it is sealed; only the last one is shorter.
pub const CHUNK: usize = 64 * 1024;

/// The key of one body. Whoever destroys it has destroyed the body.
#[derive(Clone, Debug)]
pub struct BodyKey(Secret<[u8; KEY]>);

impl BodyKey {
    /// A new one. Without random octets no mail is taken.
    #[allow(clippy::expect_used)]
    pub fn generate() -> Self {
        let mut key = Secret::new([0; KEY]);
        getrandom::fill(key.expose_mut()).expect("the kernel gives random octets once it has booted");
        Self(key)
    }

    pub const fn new(key: Secret<[u8; KEY]>) -> Self {
        Self(key)
    }

    pub const fn secret(&self) -> &Secret<[u8; KEY]> {
        &self.0
    }

    /// Seals a chunk in place and makes it longer by `TAG`.
    pub fn seal(&self, number: u64, last: bool, chunk: &mut Vec<u8>) -> io::Result<()> {
        let sealed = cipher(&self.0)?.seal_in_place_append_tag(nonce(number, last), Aad::empty(), chunk);
        sealed.map_err(|_| io::Error::other("a chunk of a body can't be sealed"))
    }

    /// Opens what `seal` made, if it is that very chunk of this very body.
    pub fn open(&self, number: u64, last: bool, mut sealed: Vec<u8>) -> io::Result<Vec<u8>> {
        let opened = cipher(&self.0)?.open_in_place(nonce(number, last), Aad::empty(), &mut sealed);
        let changed = || io::Error::new(io::ErrorKind::InvalidData, "the body is not what was written");
        let length = opened.map_err(|_| changed())?.len();
        sealed.truncate(length);
        Ok(sealed)
    }
}

/// ring keeps its copy of the key for the length of one call only.
pub fn cipher(key: &Secret<[u8; KEY]>) -> io::Result<LessSafeKey> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, key.expose());
    key.map(LessSafeKey::new).map_err(|_| io::Error::other("the cipher doesn't take the key"))
}

fn nonce(number: u64, last: bool) -> Nonce {
    let mut octets = [0; 12];
    if let Some(room) = octets.get_mut(3..11) {
        room.copy_from_slice(&number.to_be_bytes());
    }
    if let Some(end) = octets.last_mut() {
        *end = u8::from(last);
    }
    Nonce::assume_unique_for_key(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(key: &BodyKey, number: u64, last: bool, text: &[u8]) -> Vec<u8> {
        let mut chunk = text.to_vec();
        key.seal(number, last, &mut chunk).unwrap();
        assert_eq!(chunk.len(), text.len() + TAG);
        chunk
    }

    #[test]
    fn a_chunk_opens_in_its_place_and_under_its_key_alone() {
        let (key, other) = (BodyKey::generate(), BodyKey::generate());
        for text in [b"".as_slice(), b"x", &[7; CHUNK]] {
            for (number, last) in [(0, false), (0, true), (1, false), (u64::MAX, true)] {
                let chunk = sealed(&key, number, last, text);
                assert_eq!(key.open(number, last, chunk.clone()).unwrap(), text);
                assert!(key.open(number, !last, chunk.clone()).is_err(), "cut off, or continued");
                assert!(key.open(number.wrapping_add(1), last, chunk.clone()).is_err(), "moved");
                assert!(other.open(number, last, chunk.clone()).is_err(), "another key");
                let mut changed = chunk.clone();
                changed[text.len()] ^= 1;
                assert!(key.open(number, last, changed).is_err());
                assert!(key.open(number, last, chunk[..text.len()].to_vec()).is_err());
            }
        }
        assert!(key.open(0, true, Vec::new()).is_err());
        assert!(!sealed(&key, 0, true, &[7; 100]).windows(8).any(|part| part == [7; 8]));
    }

    #[test]
    fn a_key_shows_nothing_when_printed() {
        assert_eq!(format!("{:?}", BodyKey::generate()), "BodyKey([secret])");
    }
}
