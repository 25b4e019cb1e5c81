//! Logins that succeeded lately, so that a client that logs in for each message costs one argon2 and not a thousand.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::secret::Secret;
use crate::vault::limits::key::Tier;

/// How long a success is believed.
const BELIEVED: Duration = Duration::from_secs(600);
/// Entries at most; the oldest make room.
const ENTRIES: usize = 10_000;

/// What is remembered is a MAC under a key of this process's life: nothing in it can be guessed against.
type Mark = [u8; 32];

pub struct Cache {
    key: Secret<[u8; 32]>,
    /// When it was verified, and which of the credential's secrets it was.
    marks: HashMap<Mark, (Instant, u64)>,
    order: VecDeque<Mark>,
}

impl Cache {
    pub fn new() -> Result<Self, String> {
        let mut key = Secret::new([0; 32]);
        getrandom::fill(key.expose_mut()).map_err(|error| format!("no random octets: {error}"))?;
        Ok(Self { key, marks: HashMap::new(), order: VecDeque::new() })
    }

    /// The mark of a password for a credential, from an address, or from anywhere. The generation is in it: a changed credential finds
    /// nothing. And so is the address: what is known is not asked whether there were too many guesses, so it must be of no
    /// use to who guesses from elsewhere.
    pub fn mark(&self, credential: &str, generation: u64, password: &Secret<String>, from: Option<IpAddr>) -> Mark {
        let network = from.and_then(|address| Tier::Address.network(address));
        let place = network.map(|network| network.to_string()).unwrap_or_default();
        #[allow(clippy::expect_used)] // RFC 2104 section 2
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.expose()).expect("HMAC takes a key of any length");
        mac.update(&generation.to_be_bytes());
        mac.update(&u64::try_from(credential.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(credential.as_bytes());
        mac.update(&u64::try_from(place.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(place.as_bytes());
        mac.update(password.expose().as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// The secret it was, as long as that is believed. Whether that one is still the credential's is the caller's to see.
    pub fn recall(&self, mark: &Mark, now: Instant) -> Option<u64> {
        let known = self.marks.get(mark).filter(|(since, _)| now.saturating_duration_since(*since) < BELIEVED);
        known.map(|(_, secret)| *secret)
    }

    pub fn learn(&mut self, mark: Mark, secret: u64, now: Instant) {
        if self.marks.insert(mark, (now, secret)).is_none() {
            self.order.push_back(mark);
        }
        while self.order.len() > ENTRIES {
            if let Some(oldest) = self.order.pop_front() {
                self.marks.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_a14_a_success_is_known_for_this_credential_in_this_generation_from_there_for_a_while() {
        let (mut cache, now) = (Cache::new().unwrap(), Instant::now());
        let password = Secret::new("hunter2".to_owned());
        let (there, elsewhere) = ("192.0.2.1".parse().ok(), "192.0.2.2".parse().ok());
        let mark = cache.mark("billing", 1, &password, there);
        assert_eq!(cache.recall(&mark, now), None);
        cache.learn(mark, 7, now);
        assert_eq!(cache.recall(&mark, now), Some(7));
        assert_eq!(cache.recall(&mark, now + BELIEVED - Duration::from_millis(1)), Some(7));
        assert_eq!(cache.recall(&mark, now + BELIEVED), None);
        // Another run has another key: what was remembered tells nobody which password it was.
        let elsewhen = Cache::new().unwrap().mark("billing", 1, &password, there);
        assert_eq!(cache.recall(&elsewhen, now), None);
        for other in [
            cache.mark("billing", 2, &password, there),
            cache.mark("shop", 1, &password, there),
            cache.mark("billing", 1, &Secret::new("hunter3".into()), there),
            cache.mark("billing", 1, &password, elsewhere),
            cache.mark("billing", 1, &password, None),
        ] {
            assert_eq!(cache.recall(&other, now), None);
        }
    }

    #[test]
    fn it_never_grows_beyond_its_bound() {
        let (mut cache, now) = (Cache::new().unwrap(), Instant::now());
        for n in 0..ENTRIES + 50 {
            let mut mark = [0; 32];
            mark[..8].copy_from_slice(&n.to_be_bytes());
            cache.learn(mark, 7, now);
        }
        assert_eq!((cache.marks.len(), cache.order.len()), (ENTRIES, ENTRIES));
    }
}
