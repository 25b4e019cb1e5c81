//! The credentials in force: those of the configuration and those of the vault, each id in one place only.
//!
//! Those that are disabled or expired are here too, so that a login as one of them costs what any other does.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::rc::Rc;

use ipnet::IpNet;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

mod derived;

use super::key;
use super::reason::Reason;
use super::tag::Tagger;
use crate::config::slice::{Declared, DeclaredSecret};
use crate::policy::certificate::{Presented, Wanted};
pub use derived::Offer;

use crate::policy::derived::Keys;
use crate::policy::mechanism::Mechanism;
use crate::policy::refusal::Refusal;
use crate::policy::scope::Scope;
use crate::policy::{MAX_ENCODED, Policy, principal};
use crate::secret::Secret;
use crate::vault::store::credentials::{self as stored, Stored};

/// One credential as it is in force.
#[derive(Debug)]
pub struct Credential {
    pub id: String,
    pub policy: Policy,
    pub enabled: bool,
    /// Changes with whatever it may: what was granted or remembered under another one is void.
    pub generation: u64,
    /// When it was made; 0 for one of the configuration. Another one of its name has another.
    pub since_us: u64,
    pub keys: Vec<Key>,
    /// When there are any, a login needs one of them beside its secret.
    pub certificates: Vec<Wanted>,
}

/// One secret of a credential.
#[derive(Debug)]
pub struct Key {
    pub id: String,
    /// Names this secret and no later one of the same key id.
    pub mark: u64,
    pub expires_us: Option<u64>,
    phc: Secret<String>,
    /// What was derived from it for SCRAM.
    scram: Option<Keys>,
    /// Of a generated key that was made here.
    tag: Option<u16>,
}

/// Where a login comes from and what it is for.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// None to leave that question open.
    pub address: Option<IpAddr>,
    /// What the credential must be good for, one of these; none where that is asked later, request by request.
    pub scopes: Option<&'static [Scope]>,
}

/// Who a session is: a credential, and the secret that showed it. None for a device known by its address, and for a
/// certificate alone.
#[derive(Clone, Debug)]
pub struct Known {
    pub credential: Rc<Credential>,
    pub key: Option<u64>,
    /// The provider's key that it showed instead of a secret of ours: what it sends goes with that.
    pub passed: Option<Rc<Passed>>,
}

/// A provider's key, and what tells it from others in the audit log: sixteen bits of it under a key that never leaves the vault.
#[derive(Debug)]
pub struct Passed {
    pub key: Secret<String>,
    pub tag: u16,
}

impl Known {
    pub const fn by(credential: Rc<Credential>, key: Option<u64>) -> Self {
        Self { credential, key, passed: None }
    }
}

impl Key {
    pub fn is_over(&self, now_us: u64) -> bool {
        self.expires_us.is_some_and(|end| end <= now_us)
    }
}

impl Credential {
    /// Whether anybody can be it now.
    pub fn is_live(&self, now_us: u64) -> bool {
        self.enabled && !self.policy.is_over(now_us)
    }

    /// Whether somebody who has the right secret is let in, or the first reason why not.
    pub fn admits(&self, key: u64, way: Way, now_us: u64) -> Result<(), Reason> {
        self.obstacles(Some(key), way, now_us).into_iter().next().map_or(Ok(()), Err)
    }

    /// Its key stands in a page, where everybody can read it.
    pub const fn is_public(&self) -> bool {
        self.policy.form.is_some() || self.policy.turnstile.is_some()
    }

    /// Where somebody must be who is known again by what he has shown. Anywhere, by a key that is no secret: each of a page's visitors
    /// comes from another address.
    pub fn known_from(&self, address: IpAddr) -> Option<IpAddr> {
        (!self.is_public()).then_some(address)
    }

    pub fn holds(&self, presented: &Presented) -> bool {
        self.certificates.iter().any(|wanted| wanted.is(presented))
    }

    /// All that is in the way of somebody who has the right secret, or the right certificate and no secret.
    pub fn obstacles(&self, mark: Option<u64>, way: Way, now_us: u64) -> Vec<Reason> {
        let key = mark.and_then(|mark| self.keys.iter().find(|own| own.mark == mark));
        [
            (mark.is_some() && key.is_none()).then_some(Reason::Changed),
            (!self.enabled).then_some(Reason::Disabled),
            self.policy.is_over(now_us).then_some(Reason::Expired),
            key.is_some_and(|key| key.is_over(now_us)).then_some(Reason::KeyExpired),
            way.address.is_some_and(|address| !self.policy.is_reachable_from(address)).then_some(Reason::Network),
            way.scopes.is_some_and(|scopes| !self.policy.scopes.has_one_of(scopes)).then_some(Reason::Scope),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// What a login is to be checked against.
#[derive(Debug)]
pub struct Candidates {
    /// Whose it would be; none when nobody has that name or key.
    pub credential: Option<Rc<Credential>>,
    /// Each with the secret's mark. None: the tag is wrong, and no work is needed to know it.
    pub phcs: Option<Vec<(Option<u64>, Secret<String>)>>,
    /// The tag of the key is right, which a guess has once in 65,536 times: it waits behind no guesses.
    pub is_tagged: bool,
}

impl Candidates {
    pub fn hashes(&self) -> Option<Vec<Secret<String>>> {
        Some(self.phcs.as_ref()?.iter().map(|(_, phc)| phc.clone()).collect())
    }

    /// The secret whose hash was found to fit.
    pub fn key(&self, found: usize) -> Option<u64> {
        self.phcs.as_ref()?.get(found).and_then(|(mark, _)| *mark)
    }
}

#[derive(Default)]
pub struct Credentials {
    by_id: HashMap<String, Rc<Credential>>,
    by_key: HashMap<String, Rc<Credential>>,
    networks: Vec<(IpNet, Rc<Credential>)>,
    /// The most secrets any credential has that are no generated keys: as many hashes as every password costs, known name
    /// or not.
    width: usize,
    /// The counts of iterations that there are.
    counts: Vec<u32>,
}

impl Credentials {
    /// What contradicts itself isn't in force, and the log says so.
    pub fn new(declared: &[Declared], stored: &[Stored]) -> Self {
        let mut all = Self { width: 1, ..Self::default() };
        for Declared { id, secrets, certificates, policy, enabled } in declared {
            let key = |secret: &DeclaredSecret| Key {
                id: secret.key.clone(),
                mark: digest(&(&secret.key, &secret.hash)),
                expires_us: None,
                phc: secret.hash.clone(),
                scram: scram(id, secret.scram.as_ref()),
                tag: None,
            };
            all.add(id, policy, *enabled, (0, 0), secrets.iter().map(key).collect(), certificates);
        }
        for Stored { id, policy, generation, created_us, disabled_us, keys, is_strange: _ } in stored {
            let key = |key: &stored::Key| Key {
                id: key.id.clone(),
                mark: digest(&(&key.id, &key.phc)),
                expires_us: key.expires_us,
                phc: key.phc.clone(),
                scram: scram(id, key.scram.as_ref()),
                tag: key.tag,
            };
            let keys = keys.iter().map(key).collect();
            all.add(id, policy, disabled_us.is_none(), (*created_us, *generation), keys, &[]);
        }
        let derived = all.by_id.values().flat_map(|credential| &credential.keys).filter_map(|key| key.scram.as_ref());
        all.counts = derived::counts(derived);
        all
    }

    /// Whether there is anybody that another one's mail could be in the way of.
    pub fn are_several(&self) -> bool {
        self.by_id.len() > 1
    }

    fn add(
        &mut self,
        id: &str,
        policy: &Policy,
        enabled: bool,
        version: (u64, i64),
        keys: Vec<Key>,
        certificates: &[Wanted],
    ) {
        let Entry::Vacant(entry) = self.by_id.entry(id.to_owned()) else {
            return tracing::error!(
                id,
                "a credential of the vault is declared in the configuration too: the vault's is refused, remove one"
            );
        };
        let generation = digest(&(policy, version, certificates));
        let (policy, certificates) = (policy.clone(), certificates.to_vec());
        let (own_id, since_us) = (id.to_owned(), version.0);
        let credential = Rc::new(Credential { id: own_id, policy, enabled, generation, since_us, keys, certificates });
        entry.insert(Rc::clone(&credential));
        self.width = self.width.max(credential.keys.iter().filter(|key| key.tag.is_none()).count());
        for key in &credential.keys {
            if self.by_key.contains_key(&key.id) {
                tracing::error!(
                    id,
                    key = key.id,
                    "this key id is another credential's already: choose one key id for each secret"
                );
                continue;
            }
            self.by_key.insert(key.id.clone(), Rc::clone(&credential));
        }
        for network in &credential.policy.identified_by {
            self.networks.push((*network, Rc::clone(&credential)));
        }
    }

    pub fn get(&self, id: &str) -> Option<&Rc<Credential>> {
        self.by_id.get(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Rc<Credential>> {
        self.by_id.values()
    }

    /// The credential known by its address: the longest prefix wins.
    pub fn of_network(&self, address: IpAddr, now_us: u64) -> Option<&Rc<Credential>> {
        let address = address.to_canonical();
        let own = self.networks.iter().filter(|(network, _)| network.contains(&address));
        let nearest = own.max_by_key(|(network, _)| network.prefix_len()).map(|(_, credential)| credential);
        nearest.filter(|credential| {
            let policy = &credential.policy;
            credential.is_live(now_us) && policy.is_reachable_from(address) && policy.scopes.has(Scope::Smtp)
        })
    }

    /// Whether what a session was granted still holds.
    pub fn review(&self, known: &Known, now_us: u64) -> Result<(), Refusal> {
        let current = self.get(&known.credential.id).filter(|current| current.is_live(now_us));
        let current = current.ok_or(Refusal::Revoked)?;
        if let Some(mark) = known.key
            && !current.keys.iter().any(|key| key.mark == mark && !key.is_over(now_us))
        {
            return Err(Refusal::Revoked);
        }
        if current.generation == known.credential.generation { Ok(()) } else { Err(Refusal::Changed) }
    }

    /// Whose login it would be: a bearer's by its key, every other by its name.
    pub fn owner(&self, mechanism: Mechanism, user: &str, password: &str) -> Option<&Rc<Credential>> {
        match mechanism.is_bearer() {
            true => self.by_key.get(key::id(password)?),
            false => self.by_id.get(user),
        }
    }

    /// What a login must be compared with, padded with `dummy` so that it costs the same whether the name is known.
    /// None for a bearer that isn't a key of ours: that it isn't, everybody can see.
    pub fn candidates(
        &self,
        mechanism: Mechanism,
        user: &str,
        password: &str,
        tagger: &Tagger,
        dummy: &Secret<String>,
    ) -> Option<Candidates> {
        let owner = self.owner(mechanism, user, password);
        let (mut phcs, width, is_tagged) = match (mechanism.is_bearer(), key::id(password)) {
            (true, None) => return None,
            // A generated key says which secret it is; it must be this name's.
            (_, Some(id)) => {
                let own = owner.and_then(|owner| owner.keys.iter().find(|key| key.id == id));
                let tag = own.map_or_else(|| Some(tagger.nobody(id)), |key| key.tag);
                if tag.is_some_and(|tag| !bool::from(tag.ct_eq(&tagger.tag(password)))) {
                    return Some(Candidates { credential: owner.cloned(), phcs: None, is_tagged: false });
                }
                (own.into_iter().map(pair).collect::<Vec<_>>(), 1, tag.is_some())
            }
            (false, None) => {
                // What isn't in the form of a generated key isn't one.
                let imported = owner.iter().flat_map(|owner| &owner.keys).filter(|key| key.tag.is_none());
                (imported.map(pair).collect(), self.width, false)
            }
        };
        while phcs.len() < width {
            phcs.push((None, dummy.clone()));
        }
        Some(Candidates { credential: owner.cloned(), phcs: Some(phcs), is_tagged })
    }
}

/// Keys for SCRAM, read.
fn scram(id: &str, text: Option<&Secret<String>>) -> Option<Keys> {
    let keys = Keys::parse(text?.expose());
    keys.inspect_err(|why| tracing::error!(id, why, "what was derived for SCRAM can't be used: rotate the secret")).ok()
}

fn pair(key: &Key) -> (Option<u64>, Secret<String>) {
    (Some(key.mark), key.phc.clone())
}

fn digest(value: &impl serde::Serialize) -> u64 {
    let encoded = postcard::to_stdvec(value).unwrap_or_default();
    let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = Sha256::digest(encoded).into();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// What is wrong with a credential that the vault is to keep.
pub fn check(id: &str, policy: &Policy) -> Result<(), String> {
    if !principal::is_id(id) {
        return Err(format!("{id:?} can't be a credential's id: use {}", principal::ID));
    }
    if !policy.identified_by.is_empty() {
        return Err("devices known by their network are declared in the configuration file".to_owned());
    }
    if policy.pass_through.is_some() {
        return Err("what has a provider's keys for its passwords is declared in the configuration file".to_owned());
    }
    policy.check()?;
    let octets = postcard::to_stdvec(policy).map_or(usize::MAX, |encoded| encoded.len());
    if octets > MAX_ENCODED {
        return Err(format!(
            "its rules take {octets} octets and may take {MAX_ENCODED}: use \"@domain\" rules, or two credentials"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
