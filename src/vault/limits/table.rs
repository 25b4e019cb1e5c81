//! A bounded table of what is counted, which forgets nothing that counts.
//!
//! What is empty is the same as what is absent, so only that makes room. When everything in a full table counts, new keys
//! share a fixed number of buckets, found by a keyed hash: whoever fills the table makes strangers wait for each other, but
//! resets nobody's bucket, least of all an own one.

use std::collections::HashMap;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::clock::Now;
use super::key::{Key, Tier};

/// Keys of one table: some ten megabytes.
pub const KEYS: usize = 65_536;
/// Shared buckets for each tier.
const SHARED: u16 = 4096;
/// What stands before the number of a shared bucket; no address, id or domain begins with it.
const MARK: char = '#';
/// A full table is searched for what is empty at most this often.
const SEARCH_US: u64 = 1_000_000;

/// What is counted under a key.
pub trait Content: Default {
    /// Nothing of it counts any more.
    fn is_empty(&self, tier: Tier, now: Now) -> bool;
}

/// Finds shared buckets and hides names. It is kept, so that both are the same after a restart.
#[derive(Clone, Copy)]
pub struct Hasher([u8; 32]);

impl Hasher {
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    fn digest(&self, parts: [&[u8]; 2]) -> [u8; 32] {
        #[allow(clippy::expect_used)] // RFC 2104 section 2
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        for part in parts {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// What stands for a name that must not be written down: people type passwords where names belong.
    pub fn alias(&self, name: &str) -> String {
        let [a, b, c, d, e, f, g, h, ..] = self.digest([b"name", name.as_bytes()]);
        format!("{:016x}", u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    fn shared(&self, key: &Key) -> Key {
        let [a, b, ..] = self.digest([key.tier.word().as_bytes(), key.name.as_bytes()]);
        Key::new(key.tier, format!("{MARK}{}", u16::from_be_bytes([a, b]) % SHARED))
    }
}

pub struct Table<C> {
    map: HashMap<Key, C>,
    hasher: Hasher,
    bound: usize,
    /// How many of the entries are shared ones.
    shared: usize,
    searched_us: u64,
}

impl<C: Content> Table<C> {
    pub fn new(bound: usize, hasher: Hasher) -> Self {
        Self { map: HashMap::new(), hasher, bound, shared: 0, searched_us: 0 }
    }

    /// The key under which something is counted now: its own, or a shared one when there is no room, or was none lately.
    pub fn resolve(&mut self, key: Key, now: Now) -> Key {
        if self.map.contains_key(&key) {
            return key;
        }
        if self.shared > 0 {
            let shared = self.hasher.shared(&key);
            // What it has used there counts until it is gone.
            if self.map.get(&shared).is_some_and(|content| !content.is_empty(key.tier, now)) {
                return shared;
            }
        }
        if self.is_full() && now.us.saturating_sub(self.searched_us) >= SEARCH_US {
            self.sweep(now);
        }
        if self.is_full() { self.hasher.shared(&key) } else { key }
    }

    fn is_full(&self) -> bool {
        self.map.len() - self.shared >= self.bound
    }

    /// What is counted under a resolved key.
    pub fn get(&self, key: &Key) -> Option<&C> {
        self.map.get(key)
    }

    pub fn get_mut(&mut self, key: &Key) -> Option<&mut C> {
        self.map.get_mut(key)
    }

    /// As `get_mut`, and makes a place for it.
    pub fn entry(&mut self, key: &Key) -> &mut C {
        if !self.map.contains_key(key) && key.name.starts_with(MARK) {
            self.shared += 1;
        }
        self.map.entry(key.clone()).or_default()
    }

    /// Lets go of what is empty.
    pub fn sweep(&mut self, now: Now) {
        self.searched_us = now.us;
        self.map.retain(|key, content| !content.is_empty(key.tier, now));
        self.shared = self.map.keys().filter(|key| key.name.starts_with(MARK)).count();
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Key, &mut C)> {
        self.map.iter_mut()
    }

    #[cfg(test)]
    pub fn keys(&self) -> usize {
        self.map.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Until(u64);

    impl Content for Until {
        fn is_empty(&self, _: Tier, now: Now) -> bool {
            self.0 <= now.us
        }
    }

    fn key(n: usize) -> Key {
        Key::new(Tier::Address, n.to_string())
    }

    fn fill(table: &mut Table<Until>, n: usize, until: u64, now: Now) -> Key {
        let resolved = table.resolve(key(n), now);
        let content = table.entry(&resolved);
        content.0 = content.0.max(until);
        resolved
    }

    #[test]
    fn a_full_table_grows_no_further_and_resets_nobody() {
        let mut table = Table::new(100, Hasher::new([7; 32]));
        let now = Now::at(10_000_000);
        for n in 0..100_000 {
            fill(&mut table, n, 20_000_000, now);
        }
        assert_eq!((table.keys(), table.shared), (100 + usize::from(SHARED), usize::from(SHARED)));
        for n in 0..100 {
            assert_eq!(table.resolve(key(n), now), key(n), "who was there is there");
        }
        assert!(table.resolve(key(99_999), now).name.starts_with(MARK));
    }

    #[test]
    fn who_used_a_shared_bucket_stays_in_it_until_it_is_empty() {
        let mut table = Table::new(1, Hasher::new([7; 32]));
        fill(&mut table, 0, 20_000_000, Now::at(10_000_000));
        let shared = fill(&mut table, 1, 40_000_000, Now::at(10_000_000));
        assert!(shared.name.starts_with(MARK));
        // The first one is gone: there is room, but not for who would be new in it only by name.
        assert_eq!(table.resolve(key(1), Now::at(30_000_000)), shared);
        assert_eq!(table.resolve(key(1), Now::at(50_000_000)), key(1));
    }

    #[test]
    fn a_name_has_an_alias_that_only_this_vault_knows() {
        let (one, two) = (Hasher::new([1; 32]), Hasher::new([2; 32]));
        assert_eq!(one.alias("hunter2"), one.alias("hunter2"));
        assert_ne!(one.alias("hunter2"), one.alias("hunter3"));
        assert_ne!(one.alias("hunter2"), two.alias("hunter2"));
        assert!(!one.alias("hunter2").contains("hunter2"));
    }
}
