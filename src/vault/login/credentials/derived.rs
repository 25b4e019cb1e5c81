//! What SCRAM needs of a credential: how its client is told to stretch the secret, and the keys that the proof is compared with.
//! Of a name that nobody has, and of a credential without keys, it is as much and as steady.

use std::collections::BTreeSet;

use super::{Credential, Credentials};
use crate::policy::derived::{ITERATIONS, Keys, Salt};
use crate::secret::Secret;
use crate::vault::login::tag::Tagger;

/// Keys of one credential that may have one salt: those of its two secrets.
const MOST: usize = 2;

/// What a login by SCRAM is to be checked against.
#[derive(Debug)]
pub struct Offer {
    pub salt: Salt,
    pub iterations: u32,
    /// Always as many, each with the secret's mark; none for what nobody has.
    pub keys: Vec<(Option<u64>, Keys)>,
}

impl Credential {
    /// The keys of the newest of its secrets that has some and has not ended. A secret that comes beside them gets their salt, and so
    /// both can log in.
    pub fn derived(&self, now_us: u64) -> Option<&Keys> {
        let live = self.keys.iter().rev().filter(|key| !key.is_over(now_us));
        live.filter_map(|key| key.scram.as_ref()).next()
    }
}

impl Credentials {
    /// What a client that calls itself so is asked and compared with. The same work whoever it is.
    pub fn offer(&self, user: &str, tagger: &Tagger, now_us: u64) -> Offer {
        let nobody = Keys {
            iterations: *self.counts.get(tagger.one_of(user, self.counts.len())).unwrap_or(&ITERATIONS),
            salt: tagger.salt(user),
            stored: Secret::new([0; 32]),
            server: Secret::new([0; 32]),
        };
        let owner = self.get(user);
        let newest = owner.and_then(|owner| owner.derived(now_us)).unwrap_or(&nobody);
        // One that has ended is compared too: then the log tells that it was that one.
        let own =
            owner.iter().flat_map(|owner| &owner.keys).filter_map(|key| Some((Some(key.mark), key.scram.clone()?)));
        let mut keys: Vec<_> = own.filter(|(_, keys)| keys.is_beside(newest)).take(MOST).collect();
        while keys.len() < MOST {
            keys.push((None, nobody.clone()));
        }
        Offer { salt: newest.salt, iterations: newest.iterations, keys }
    }
}

/// The counts of iterations that any credential has, of which one stands for a name that nobody has.
pub fn counts<'a>(keys: impl Iterator<Item = &'a Keys>) -> Vec<u32> {
    keys.map(|keys| keys.iterations).collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::slice::{Declared, DeclaredSecret};
    use crate::policy::Policy;
    use crate::vault::login::proof;
    use crate::vault::store::credentials::{Key, Stored};

    const NOW: u64 = 1_000;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    fn declared(id: &str, keys: Option<&Keys>) -> Declared {
        let secrets = vec![DeclaredSecret { key: id.into(), hash: secret(id), scram: keys.map(Keys::text) }];
        Declared { id: id.into(), secrets, certificates: vec![], policy: Policy::default(), enabled: true }
    }

    /// A credential of the vault: each secret with its keys and its end.
    fn stored(secrets: &[(&str, Option<&Keys>, Option<u64>)]) -> Stored {
        let key = |(id, keys, end): &(&str, Option<&Keys>, Option<u64>)| Key {
            id: (*id).to_owned(),
            phc: secret(id),
            scram: keys.map(Keys::text),
            tag: None,
            created_us: 1,
            expires_us: *end,
        };
        Stored {
            id: "shop".into(),
            policy: Policy::default(),
            generation: 1,
            created_us: 1,
            disabled_us: None,
            is_strange: false,
            keys: secrets.iter().map(key).collect(),
        }
    }

    fn asked(offer: &Offer) -> (Salt, u32) {
        (offer.salt, offer.iterations)
    }

    #[test]
    fn rule_a17_a_name_that_nobody_has_gets_a_steady_answer_like_any_other() {
        let tagger = Tagger::new().unwrap();
        let keys = proof::with(&secret("x"), 5000, [7; 16]).unwrap();
        let all = Credentials::new(&[declared("shop", Some(&keys)), declared("bare", None)], &[]);
        let none = Credentials::new(&[], &[]);
        assert_eq!(asked(&all.offer("shop", &tagger, NOW)), ([7; 16], 5000));
        assert_eq!(none.offer("shop", &tagger, NOW).iterations, ITERATIONS);
        let mut salts = BTreeSet::new();
        for name in ["bare", "nobody", "Shop", ""] {
            let offer = all.offer(name, &tagger, NOW);
            assert_eq!(offer.iterations, 5000, "a count that no credential has tells that nobody has the name");
            assert_eq!(asked(&offer), asked(&all.offer(name, &Tagger::decode(&tagger.encode()).unwrap(), NOW + 1)));
            assert_ne!(offer.salt, all.offer(name, &Tagger::new().unwrap(), NOW).salt);
            assert!(offer.keys.len() == MOST && offer.keys.iter().all(|(mark, _)| mark.is_none()));
            salts.insert(offer.salt);
        }
        assert_eq!(salts.len(), 4);
    }

    #[test]
    fn rule_a17_two_secrets_with_one_salt_both_log_in_and_others_do_not() {
        let tagger = Tagger::new().unwrap();
        let of = |text: &str, salt| proof::with(&secret(text), 4096, [salt; 16]).unwrap();
        let (one, two, strange) = (of("one", 1), of("two", 1), of("three", 3));
        let offer = |secrets: &[_]| Credentials::new(&[], &[stored(secrets)]).offer("shop", &tagger, NOW);
        let marks = |offer: &Offer| offer.keys.iter().filter(|(mark, _)| mark.is_some()).count();
        let both = offer(&[("k001", Some(&one), None), ("k002", Some(&two), None)]);
        assert_eq!((asked(&both), marks(&both)), (([1; 16], 4096), 2));
        let newer = offer(&[("k001", Some(&one), None), ("k002", Some(&strange), None)]);
        assert_eq!((asked(&newer), marks(&newer)), (([3; 16], 4096), 1));
        let over = offer(&[("k001", Some(&one), None), ("k002", Some(&strange), Some(NOW))]);
        assert_eq!((asked(&over), marks(&over)), (([1; 16], 4096), 1));
        let bare = offer(&[("k001", Some(&one), None), ("k002", None, None)]);
        assert_eq!((asked(&bare), marks(&bare)), (([1; 16], 4096), 1));
    }
}
