//! The credentials in force: those of the configuration and those of the vault, each id in one place only.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::rc::Rc;

use ipnet::IpNet;
use sha2::{Digest, Sha256};

use super::key;
use crate::config::slice::Declared;
use crate::ipc::session::Mechanism;
use crate::policy::{MAX_ENCODED, Policy, principal};
use crate::secret::Secret;
use crate::vault::store::credentials::Stored;

/// One credential as it is in force.
#[derive(Debug)]
pub struct Credential {
    pub id: String,
    pub policy: Policy,
    /// Changes with anything in it: what was granted or remembered under another one is void.
    pub generation: u64,
    secrets: Vec<(String, Secret<String>)>,
}

/// What a login is to be checked against.
#[derive(Debug)]
pub struct Candidates {
    /// Whose it would be; none when nobody has that name or key.
    pub credential: Option<Rc<Credential>>,
    pub phcs: Vec<Secret<String>>,
}

#[derive(Default)]
pub struct Credentials {
    by_id: HashMap<String, Rc<Credential>>,
    by_key: HashMap<String, Rc<Credential>>,
    networks: Vec<(IpNet, Rc<Credential>)>,
    /// The most secrets any credential has: as many hashes as every password costs, known name or not.
    width: usize,
}

impl Credentials {
    /// What contradicts itself isn't in force, and the log says so.
    pub fn new(declared: &[Declared], stored: &[Stored]) -> Self {
        let mut all = Self { width: 1, ..Self::default() };
        for Declared { id, secrets, policy } in declared {
            all.add(id, secrets, policy, 0);
        }
        for Stored { id, secrets, policy, generation } in stored {
            all.add(id, secrets, policy, *generation);
        }
        all
    }

    fn add(&mut self, id: &str, secrets: &[(String, Secret<String>)], policy: &Policy, generation: i64) {
        let Entry::Vacant(entry) = self.by_id.entry(id.to_owned()) else {
            return tracing::error!(
                id,
                "a credential of the vault is declared in the configuration too: the vault's is refused, remove one"
            );
        };
        let mut digest = Sha256::new().chain_update(generation.to_be_bytes());
        digest.update(postcard::to_stdvec(&(policy, secrets)).unwrap_or_default());
        let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = digest.finalize().into();
        let credential = Rc::new(Credential {
            id: id.to_owned(),
            policy: policy.clone(),
            generation: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            secrets: secrets.to_vec(),
        });
        entry.insert(Rc::clone(&credential));
        self.width = self.width.max(secrets.len());
        for (key, _) in secrets {
            if self.by_key.contains_key(key) {
                tracing::error!(
                    id,
                    key,
                    "this key id is another credential's already: choose one key id for each secret"
                );
                continue;
            }
            self.by_key.insert(key.clone(), Rc::clone(&credential));
        }
        for network in &policy.identified_by {
            self.networks.push((*network, Rc::clone(&credential)));
        }
    }

    pub fn get(&self, id: &str) -> Option<&Rc<Credential>> {
        self.by_id.get(id)
    }

    /// The credential known by its address: the longest prefix wins.
    pub fn of_network(&self, address: IpAddr) -> Option<&Rc<Credential>> {
        let address = address.to_canonical();
        let own = self.networks.iter().filter(|(network, _)| network.contains(&address));
        own.max_by_key(|(network, _)| network.prefix_len()).map(|(_, credential)| credential)
    }

    /// What a login must be compared with, padded with `dummy` so that it costs the same whether the name is known.
    /// None for a bearer that isn't a key of ours: that it isn't, everybody can see.
    pub fn candidates(
        &self,
        mechanism: Mechanism,
        user: &str,
        password: &str,
        dummy: &Secret<String>,
    ) -> Option<Candidates> {
        let named = self.by_id.get(user);
        let secret_of = |credential: &Rc<Credential>, key: &str| {
            credential.secrets.iter().find(|(id, _)| id == key).map(|(_, phc)| phc.clone())
        };
        let (credential, mut phcs, width) = match (mechanism, key::id(password)) {
            (Mechanism::Bearer, None) => return None,
            (Mechanism::Bearer, Some(key)) => {
                let owner = self.by_key.get(key);
                (owner, owner.and_then(|owner| secret_of(owner, key)).into_iter().collect(), 1)
            }
            // A generated key says which secret it is; it must be this name's.
            (_, Some(key)) if named.is_none_or(|named| secret_of(named, key).is_some()) => {
                (named, named.and_then(|named| secret_of(named, key)).into_iter().collect::<Vec<_>>(), 1)
            }
            (_, Some(_)) => (named, Vec::new(), 1),
            (_, None) => {
                let secrets = named.iter().flat_map(|named| &named.secrets);
                (named, secrets.map(|(_, phc)| phc.clone()).collect(), self.width)
            }
        };
        while phcs.len() < width {
            phcs.push(dummy.clone());
        }
        Some(Candidates { credential: credential.cloned(), phcs })
    }
}

/// What is wrong with a new credential.
pub fn check(id: &str, policy: &Policy, declared: &[Declared]) -> Result<(), String> {
    if !principal::is_id(id) {
        return Err(format!("{id:?} can't be a credential's id: use {}", principal::ID));
    }
    if declared.iter().any(|other| other.id == id) {
        return Err(format!("{id:?} stands in the configuration: choose another id, or remove it there"));
    }
    let octets = postcard::to_stdvec(policy).map_or(usize::MAX, |encoded| encoded.len());
    if octets > MAX_ENCODED {
        return Err(format!(
            "its rules take {octets} octets and may take {MAX_ENCODED}: use \"@domain\" rules, or two credentials"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    fn declared(id: &str, key: &str, networks: &[&str]) -> Declared {
        let identified_by = networks.iter().map(|network| network.parse().unwrap()).collect();
        let policy = Policy { identified_by, ..Policy::default() };
        Declared { id: id.into(), secrets: vec![(key.into(), secret(&format!("hash of {id}")))], policy }
    }

    fn phcs(candidates: &Candidates) -> Vec<&str> {
        candidates.phcs.iter().map(|phc| phc.expose().as_str()).collect()
    }

    #[test]
    fn a_login_costs_one_hash_whoever_it_claims_to_be() {
        let (key, password) = key::generate().unwrap();
        let all = Credentials::new(&[declared("shop", &key, &[]), declared("billing", "other000", &[])], &[]);
        let dummy = secret("dummy");
        let ask = |mechanism, user: &str, password: &str| all.candidates(mechanism, user, password, &dummy).unwrap();
        let password = password.expose().as_str();
        assert_eq!(phcs(&ask(Mechanism::Plain, "shop", password)), ["hash of shop"]);
        assert_eq!(phcs(&ask(Mechanism::Bearer, "", password)), ["hash of shop"]);
        assert_eq!(phcs(&ask(Mechanism::Plain, "billing", password)), ["dummy"], "another's key");
        assert_eq!(phcs(&ask(Mechanism::Plain, "nobody", password)), ["dummy"]);
        assert_eq!(phcs(&ask(Mechanism::Login, "nobody", "guess")), ["dummy"]);
        assert_eq!(phcs(&ask(Mechanism::Login, "billing", "guess")), ["hash of billing"]);
        let (_, strange) = key::generate().unwrap();
        assert_eq!(phcs(&ask(Mechanism::Bearer, "", strange.expose())), ["dummy"]);
        assert!(all.candidates(Mechanism::Bearer, "", "guess", &dummy).is_none());
    }

    #[test]
    fn the_longest_prefix_names_the_device() {
        let all = Credentials::new(
            &[declared("floor", "a", &["10.0.0.0/8"]), declared("printer", "b", &["10.1.2.0/24"])],
            &[],
        );
        let of = |address: &str| all.of_network(address.parse().unwrap()).map(|credential| credential.id.as_str());
        assert_eq!(of("10.1.2.3"), Some("printer"));
        assert_eq!(of("::ffff:10.9.9.9"), Some("floor"));
        assert_eq!(of("192.0.2.1"), None);
    }

    #[test]
    fn an_id_lives_in_one_place_only() {
        let stored = Stored {
            id: "shop".into(),
            policy: Policy::default(),
            generation: 1,
            secrets: vec![("k".into(), secret("vault"))],
        };
        let all = Credentials::new(&[declared("shop", "a", &[])], &[stored]);
        let candidates = all.candidates(Mechanism::Plain, "shop", "guess", &secret("dummy")).unwrap();
        assert_eq!(phcs(&candidates), ["hash of shop"]);
        assert!(check("shop", &Policy::default(), &[declared("shop", "a", &[])]).is_err());
        assert!(check("../x", &Policy::default(), &[]).is_err());
        assert!(check("", &Policy::default(), &[]).is_err());
        let senders = (0..1000).map(|n| format!("user{n}@example.net").parse().unwrap()).collect();
        assert!(check("a", &Policy { senders, ..Policy::default() }, &[]).unwrap_err().contains("octets"));
        assert_eq!(check("a", &Policy::default(), &[]), Ok(()));
    }
}
