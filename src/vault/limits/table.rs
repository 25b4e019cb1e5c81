//! A bounded table of what is counted, which forgets nothing that counts.
//!
//! What is empty is the same as what is absent, so only that makes room. When everything in a full table counts, new keys
//! share a fixed number of buckets, found by a keyed hash: whoever fills the table makes strangers wait for each other, but
//! resets nobody's bucket, least of all an own one. Each tier has a table of its own, so that what fills one pushes nothing
//! out of another; and the domains of a credential share among themselves alone.

use std::collections::{BTreeMap, HashMap};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::clock::Now;
use super::key::{Key, Tier};

/// Keys of the table of one tier: some five megabytes.
pub const KEYS: usize = 32_768;
/// Shared buckets of a tier.
const SHARED: u16 = 4096;
/// Domains that one credential has buckets of, and the buckets that the further ones share: more than an application writes
/// to in the day that they are kept for, and an eighth of the table.
pub const DOMAINS: usize = 4096;
const SHARED_DOMAINS: u16 = 256;
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
        let number = u16::from_be_bytes([a, b]);
        Key::new(
            key.tier,
            match group(key) {
                Some(group) => format!("{MARK}{group} {}", number % SHARED_DOMAINS),
                None => format!("{MARK}{}", number % SHARED),
            },
        )
    }
}

/// Whose key it is, where keys of one owner share buckets with nobody else: the credential's, of its domains.
fn group(key: &Key) -> Option<&str> {
    let (owner, _) = key.name.split_once(' ').filter(|_| key.tier == Tier::RecipientDomain)?;
    Some(owner)
}

/// A table for each tier.
pub struct Tables<C> {
    tables: BTreeMap<Tier, Table<C>>,
    hasher: Hasher,
}

impl<C: Content> Tables<C> {
    pub fn new(hasher: Hasher) -> Self {
        Self { tables: BTreeMap::new(), hasher }
    }

    pub fn of(&mut self, tier: Tier) -> &mut Table<C> {
        self.tables.entry(tier).or_insert_with(|| Table::new(KEYS, self.hasher))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Table<C>> {
        self.tables.values_mut()
    }
}

pub struct Table<C> {
    map: HashMap<Key, C>,
    hasher: Hasher,
    bound: usize,
    /// How many of the entries are shared ones, and how many of the others each owner has.
    shared: usize,
    owned: HashMap<Box<str>, usize>,
    searched_us: u64,
}

impl<C: Content> Table<C> {
    pub fn new(bound: usize, hasher: Hasher) -> Self {
        Self { map: HashMap::new(), hasher, bound, shared: 0, owned: HashMap::new(), searched_us: 0 }
    }

    /// The key under which something is counted now: its own, or a shared one when there is no room, or was none lately.
    pub fn resolve(&mut self, key: Key, now: Now) -> Key {
        // A shared one is what it is, also when it comes from the disk.
        if key.name.starts_with(MARK) || self.map.contains_key(&key) {
            return key;
        }
        if self.shared > 0 {
            let shared = self.hasher.shared(&key);
            // What it has used there counts until it is gone.
            if self.map.get(&shared).is_some_and(|content| !content.is_empty(key.tier, now)) {
                return shared;
            }
        }
        if self.is_full(&key) && now.us.saturating_sub(self.searched_us) >= SEARCH_US {
            self.sweep(now);
        }
        if self.is_full(&key) { self.hasher.shared(&key) } else { key }
    }

    /// Whether there is no room for one more of that owner.
    fn is_full(&self, key: &Key) -> bool {
        let owned = group(key).and_then(|owner| self.owned.get(owner)).is_some_and(|count| *count >= DOMAINS);
        owned || self.map.len() - self.shared >= self.bound
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
        if !self.map.contains_key(key) {
            if key.name.starts_with(MARK) {
                self.shared += 1;
            } else if let Some(owner) = group(key) {
                *self.owned.entry(owner.into()).or_default() += 1;
            }
        }
        self.map.entry(key.clone()).or_default()
    }

    /// Lets go of what is empty.
    pub fn sweep(&mut self, now: Now) {
        self.searched_us = now.us;
        self.map.retain(|key, content| !content.is_empty(key.tier, now));
        self.shared = self.map.keys().filter(|key| key.name.starts_with(MARK)).count();
        self.owned.clear();
        for owner in self.map.keys().filter(|key| !key.name.starts_with(MARK)).filter_map(group) {
            *self.owned.entry(owner.into()).or_default() += 1;
        }
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
    fn domains_without_end_are_shared_among_their_owner_s_own() {
        let mut table: Table<Until> = Table::new(KEYS, Hasher::new([7; 32]));
        let now = Now::at(10_000_000);
        let domain = |owner: &str, n: usize| Key::new(Tier::RecipientDomain, format!("{owner} d{n}.example"));
        let fill = |table: &mut Table<Until>, owner: &str, n: usize| {
            let resolved = table.resolve(domain(owner, n), now);
            table.entry(&resolved).0 = 20_000_000;
            resolved
        };
        for n in 0..100_000 {
            fill(&mut table, "bulk", n);
        }
        assert_eq!(fill(&mut table, "shop", 1), domain("shop", 1), "another's are its own");
        assert!(fill(&mut table, "bulk", 99_999).name.starts_with("#bulk "));
        assert_eq!(table.keys(), DOMAINS + usize::from(SHARED_DOMAINS) + 1);
        assert_eq!(table.resolve(Key::new(Tier::RecipientDomain, "#bulk 7"), now).name.as_ref(), "#bulk 7");
        table.sweep(Now::at(30_000_000));
        assert_eq!((table.keys(), table.shared, table.owned.len()), (0, 0, 0));
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
