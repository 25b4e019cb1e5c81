//! Everything the session thread decides by, in memory: the configuration, credentials, limits and recent logins.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use uuid::Uuid;

use super::audit::event::Event;
use super::audit::masks::Masks;
use super::limits::clock::Clock;
use super::limits::origin::Origin;
use super::limits::table::Hasher;
use super::limits::{Limits, Reservation};
use super::login::cache::Cache;
use super::login::credentials::{Credential, Credentials};
use super::login::expiry::Noticed;
use super::login::failures::Failures;
use super::store::consumption::{Bucket, Consumed};
use super::store::credentials::Stored;
use super::visitor::{self, Place};
use crate::config::slice::{Counter, Declared, VaultSlice};
use crate::ipc::capsule::{Capsule, Introduction};
use crate::ipc::session::Via;
use crate::mail::address::{Address, ReversePath};
use crate::mail::envelope::Manner;
use crate::policy::limits::{Rates, Tiers};
use crate::policy::presence::Presence;
use crate::policy::route;
use crate::policy::simulation::LANE;
use crate::policy::{FIX_UPS, Grant, Policy};
use crate::role::{Generation, Instance};

/// A connection is introduced to the vault with its first question. Long before this is over the SMTP edge ends those that ask
/// nothing, and the HTTP edge introduces them.
const CAPSULE_AGE_US: u64 = 600_000_000;
/// Two processes on one machine see the same clock, but not at the same instant.
const CLOCK_SLACK_US: u64 = 60_000_000;
/// Capsules remembered; when there are more, older ones than the oldest forgotten are refused.
const CAPSULES: usize = 1 << 20;

/// Why a session is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inadmissible {
    /// The edge may not ask that; the word for what is wrong.
    Violation(&'static str),
    /// It asked nothing for so long that what was shown in its time may be forgotten. That is no lie: the vault itself, or
    /// the machine, may have stood still.
    TooOld,
    /// There are as many sessions of the client that a proxy named as there may be.
    Crowded,
}

/// Who was let in.
pub struct Visitor {
    /// As the listener gave it, with the client's address where a proxy named it.
    pub introduction: Introduction,
    pub listener: Counter,
    pub stay: Stay,
}

/// What a session holds as long as it is there: its place where it needs one, and what it is counted by.
#[derive(Default)]
pub struct Stay {
    _place: Option<Place>,
    _present: Rc<()>,
}

pub struct Authority {
    pub slice: VaultSlice,
    pub credentials: Credentials,
    /// What limits and failed logins are counted by.
    pub clock: Clock,
    pub limits: Limits,
    pub cache: Cache,
    pub failures: Failures,
    pub noticed: Noticed,
    /// Take nothing new.
    pub draining: bool,
    /// The listeners by the generation of the edges that are told their numbers.
    listeners: HashMap<Generation, Vec<Counter>>,
    generation: Generation,
    stored: Vec<Stored>,
    /// The size of the log when they were read.
    stamp: u64,
    capsules: Capsules,
    /// Each session that is there holds a copy.
    present: Rc<()>,
    /// The sessions of clients that proxies named.
    presence: Rc<RefCell<Presence>>,
}

impl Authority {
    pub fn new(
        slice: VaultSlice,
        generation: Generation,
        stored: Vec<Stored>,
        mut consumed: Consumed,
        clock: Clock,
    ) -> Result<Self, String> {
        let credentials = Credentials::new(&slice.credentials, &stored);
        let (hasher, now) = (Hasher::new(consumed.hash_key), clock.now());
        let mut failures = Failures::new(hasher);
        failures.load(&consumed.buckets, std::mem::take(&mut consumed.homes), now);
        Ok(Self {
            credentials,
            clock,
            limits: Limits::new(consumed, hasher, now),
            cache: Cache::new()?,
            failures,
            noticed: Noticed::default(),
            draining: false,
            listeners: HashMap::from([(generation, slice.listeners.clone())]),
            generation,
            stored,
            stamp: 0,
            capsules: Capsules::default(),
            present: Rc::default(),
            presence: Rc::default(),
            slice,
        })
    }

    /// Why a configuration can't come into force: a credential or a key of it is the vault's already. One that a start took so is
    /// in force already, and no reason to refuse all that comes after it.
    pub fn conflict(&self, slice: &VaultSlice) -> Option<String> {
        let in_force = &self.slice.credentials;
        slice.credentials.iter().find_map(|Declared { id, secrets, .. }| {
            let before = in_force.iter().find(|before| before.id == *id);
            if before.is_none() && self.stored.iter().any(|stored| stored.id == *id) {
                return Some(format!(
                    "credential {id:?} is in the vault already: give this one another id, or remove that one first \
                     (gatepost credential remove {id})"
                ));
            }
            let keys = self.stored.iter().flat_map(|stored| stored.keys.iter().map(move |key| (&key.id, &stored.id)));
            let is_new = |key: &str| before.is_none_or(|before| before.secrets.iter().all(|own| own.key != key));
            let (key, owner) =
                keys.into_iter().find(|(key, _)| is_new(key) && secrets.iter().any(|own| own.key == **key))?;
            Some(format!("the key id {key:?} of credential {id:?} is used by {owner:?} in the vault: choose another"))
        })
    }

    /// Takes a new configuration. Edges of the one before go on under its numbers until they have drained.
    pub fn switch(&mut self, generation: Generation, slice: VaultSlice) {
        let before = self.generation;
        self.listeners.retain(|known, _| *known >= before);
        self.listeners.insert(generation, slice.listeners.clone());
        self.generation = generation;
        self.slice = slice;
        self.credentials = Credentials::new(&self.slice.credentials, &self.stored);
    }

    /// Of the configuration that is in force.
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// Takes the credentials of the vault as they were when the log had this size; later ones are never undone by earlier ones.
    pub fn replace(&mut self, stamp: u64, stored: Vec<Stored>) {
        if stamp < self.stamp {
            return;
        }
        (self.stamp, self.stored) = (stamp, stored);
        self.credentials = Credentials::new(&self.slice.credentials, &self.stored);
    }

    /// What auditors see of whose events.
    pub fn masks(&self) -> Masks {
        Masks::new(self.slice.audit.mask, &self.slice.credentials, &self.stored)
    }

    /// How long messages under a policy are tried.
    pub fn lifetime(&self, policy: &Policy) -> Duration {
        policy.ttl_seconds.map_or(self.slice.lifetime, Duration::from_secs)
    }

    /// Octets of one message under a policy, with what the edge adds.
    pub fn max_size(&self, policy: &Policy) -> u64 {
        policy.max_size.map_or(self.slice.max_size, |own| own.saturating_add(FIX_UPS).min(self.slice.max_size))
    }

    pub fn grant(&self, credential: &Credential) -> Grant {
        let max_recipients = self.most_recipients(credential);
        Grant { max_recipients, ..credential.policy.grant(&credential.id, &self.slice.routes) }
    }

    /// Recipients of one message: never more than any limit could ever let through.
    pub fn most_recipients(&self, credential: &Credential) -> u32 {
        let Tiers { global, address, prefix, wide_prefix } = &self.slice.limits.tiers;
        let tiers = [global, address, prefix, wide_prefix].map(Rates::most_recipients);
        tiers.into_iter().fold(credential.policy.most_recipients(), u32::min)
    }

    /// Lets go of what is over. Gives what limits refused since it was told.
    pub fn sweep(&mut self) -> Vec<Event> {
        let now = self.clock.now();
        self.failures.sweep(now);
        self.limits.sweep(now)
    }

    /// The last that is written down of limits: what they refused, and failed logins as they are, with nothing ahead.
    pub fn settle(&mut self) -> (Vec<Event>, Vec<Bucket>) {
        (self.limits.untold(u64::MAX), self.failures.settle())
    }

    /// Nothing comes of a message.
    pub fn release(&mut self, reservation: Reservation) {
        self.limits.release(reservation, self.clock.now());
    }

    /// Sessions that are there.
    pub fn present(&self) -> u64 {
        u64::try_from(Rc::strong_count(&self.present).saturating_sub(1)).unwrap_or(u64::MAX)
    }

    /// Where a message of a credential comes from, and what it is held to.
    pub fn origin<'a>(
        slice: &'a VaultSlice,
        credential: &'a Credential,
        listener: &Counter,
        address: IpAddr,
    ) -> Origin<'a> {
        let rules = &credential.policy.limits;
        Origin {
            credential: &credential.id,
            rules,
            tiers: &slice.limits.tiers,
            anomaly: rules.anomaly.unwrap_or(slice.limits.anomaly),
            address: listener.knows_addresses().then_some(address),
        }
    }

    /// The upstreams of the route of a recipient, in order, as one word; empty when there is no route any more.
    pub fn lane(&self, principal: &str, sender: &ReversePath, recipient: &Address) -> String {
        let route = route::find(&self.slice.routes, principal, sender, recipient);
        let via = route.map(|route| route.via.as_slice()).unwrap_or_default();
        let names = via.iter().filter_map(|number| self.slice.upstreams.get(usize::from(*number)));
        names.map(String::as_str).collect::<Vec<_>>().join(",")
    }

    /// The same of a message that may be a test, which waits where no upstream takes anything from.
    pub fn lane_of(&self, manner: &Manner, principal: &str, sender: &ReversePath, recipient: &Address) -> String {
        if manner.test { LANE.to_owned() } else { self.lane(principal, sender, recipient) }
    }

    /// Whether a session is what the edge says: made by the listener, for this edge, lately, and not shown before. Gives
    /// the visitor that it is of, which has a place from here on. `now_us` is by the clock of introductions.
    pub fn admit(
        &mut self,
        capsule: &Capsule,
        via: Via,
        edge: Instance,
        generation: Generation,
        now_us: u64,
    ) -> Result<Visitor, Inadmissible> {
        let violation = |word| Err(Inadmissible::Violation(word));
        let Introduction { session, listener, accepted_us, .. } = capsule.introduction;
        if !capsule.is_genuine(&self.slice.capsule_key) {
            return violation("capsule-forged");
        }
        if capsule.introduction.edge != edge {
            return violation("capsule-of-another-edge");
        }
        if accepted_us > now_us.saturating_add(CLOCK_SLACK_US) {
            return violation("capsule-of-the-future");
        }
        if accepted_us.saturating_add(CAPSULE_AGE_US) < now_us {
            return Err(Inadmissible::TooOld);
        }
        let listeners = self.listeners.get(&generation).or_else(|| self.listeners.get(&self.generation));
        let counter = listeners.into_iter().flatten().find(|counter| counter.number == listener).cloned();
        let counter = counter.ok_or(Inadmissible::Violation("listener-unknown"))?;
        let (peer, listener) =
            visitor::identify(capsule.introduction.peer, via, counter).map_err(Inadmissible::Violation)?;
        if !self.capsules.take(session, accepted_us, now_us) {
            return violation("capsule-shown-before");
        }
        // Those that come by themselves have their place at the listener.
        let place = match via {
            Via::Direct => None,
            Via::Proxy(_) | Via::Xclient(_) => {
                let place = Place::take(&self.presence, peer.ip(), listener.caps);
                Some(place.ok_or(Inadmissible::Crowded)?)
            }
        };
        let stay = Stay { _place: place, _present: Rc::clone(&self.present) };
        Ok(Visitor { introduction: Introduction { peer, ..capsule.introduction.clone() }, listener, stay })
    }
}

/// The sessions that were admitted lately.
#[derive(Default)]
struct Capsules {
    seen: HashSet<Uuid>,
    order: VecDeque<(u64, Uuid)>,
    /// Nothing that was accepted before this is believed: what was seen then is forgotten.
    floor_us: u64,
}

impl Capsules {
    fn take(&mut self, session: Uuid, accepted_us: u64, now_us: u64) -> bool {
        if accepted_us < self.floor_us || !self.seen.insert(session) {
            return false;
        }
        self.order.push_back((accepted_us, session));
        while let Some((accepted_us, session)) = self.order.front().copied() {
            if self.order.len() <= CAPSULES && accepted_us.saturating_add(CAPSULE_AGE_US) >= now_us {
                break;
            }
            self.order.pop_front();
            self.seen.remove(&session);
            self.floor_us = self.floor_us.max(accepted_us.saturating_add(1).min(now_us));
        }
        true
    }
}
