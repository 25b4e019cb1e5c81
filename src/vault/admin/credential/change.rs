//! What commands change in the store, with the events of it: the same whether the service runs or is stopped.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::patch::{differences, patched};
use crate::config::slice::Declared;
use crate::ipc::admin::credential::Queue;
use crate::policy::Policy;
use crate::vault::admin::unknown;
use crate::vault::audit::event::{Event, Field, Name, Outcome};
use crate::vault::limits::suspension::Suspension;
use crate::vault::login::credentials;
use crate::vault::store::Store;
use crate::vault::store::credentials::{Key, Stored};

/// Secrets of one credential: the current one and, while it is replaced, the other.
const MOST_KEYS: usize = 2;

/// A change with all that it needs: secrets are hashed by now.
#[derive(Debug)]
pub enum Change {
    Add {
        id: String,
        policy: Box<Policy>,
        key: Key,
        imported: bool,
    },
    Set {
        id: String,
        patch: String,
    },
    Disable {
        id: String,
        queue: Queue,
    },
    Enable {
        id: String,
        /// A suspension by rule that ends with it.
        lifted: Option<Suspension>,
    },
    Remove {
        id: String,
        queue: Queue,
    },
    Rotate {
        id: String,
        key: Key,
        overlap_us: Option<u64>,
    },
    Retire {
        id: String,
        key: Option<String>,
        queue: Queue,
    },
}

impl Change {
    pub fn id(&self) -> &str {
        match self {
            Self::Add { id, .. }
            | Self::Set { id, .. }
            | Self::Disable { id, .. }
            | Self::Enable { id, .. }
            | Self::Remove { id, .. }
            | Self::Rotate { id, .. }
            | Self::Retire { id, .. } => id,
        }
    }
}

/// What was done: the secrets that came or went, and what is to become of the queue.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Done {
    pub keys: Vec<String>,
    pub queue: Option<Queue>,
}

/// Does it in this transaction, or says in words why not; then nothing was changed.
pub fn perform(
    store: &mut Store<'_>,
    change: Change,
    declared: &[Declared],
    actor: &str,
    now_us: u64,
) -> rusqlite::Result<Result<Done, String>> {
    let id = change.id().to_owned();
    // A suspension is the gate's own doing, and its end too.
    let lifts = matches!(change, Change::Enable { lifted: Some(_), .. });
    let found = store.credentials.get(&id)?;
    // One that is in both places is not in force in the vault's: it can go from there.
    let goes = matches!(change, Change::Remove { .. }) && found.is_some();
    if declared.iter().any(|declared| declared.id == id) && !lifts && !goes {
        return Ok(Err(match change {
            Change::Add { .. } => format!("{id:?} stands in the configuration: choose another id, or remove it there"),
            _ => format!("{id:?} stands in the configuration file: change it there, and reload"),
        }));
    }
    if let Change::Add { key, .. } | Change::Rotate { key, .. } = &change
        && let Some(owner) = declared.iter().find(|declared| declared.secrets.iter().any(|known| known.key == key.id))
    {
        let (key, owner) = (&key.id, &owner.id);
        return Ok(Err(format!(
            "the key id {key:?} is used by credential {owner:?} of the configuration: choose another"
        )));
    }
    let keeps = matches!(change, Change::Remove { .. } | Change::Disable { .. } | Change::Retire { .. });
    if found.as_ref().is_some_and(|stored| stored.is_strange) && !keeps {
        return Ok(Err(format!(
            "{id:?} asks for what this version does not know, and would be held to less: change it with the version that made \
             it, or remove it"
        )));
    }
    let is_shadowed = declared.iter().any(|declared| declared.id == id);
    let mut scribe = Scribe { store, id: &id, actor, now_us };
    match (change, found) {
        (Change::Add { .. }, Some(_)) => {
            Ok(Err(format!("there is a credential {id:?} in the vault already: choose another id")))
        }
        (Change::Add { policy, key, imported, .. }, None) => scribe.add(&policy, &key, imported),
        (Change::Enable { lifted: Some(lifted), .. }, None) => scribe.enable(None, Some(lifted)),
        (_, None) => {
            let stored = scribe.store.credentials.all()?;
            let known = stored.iter().map(|stored| &stored.id).chain(declared.iter().map(|declared| &declared.id));
            Ok(Err(unknown::credential(&id, known.map(String::as_str))))
        }
        (Change::Set { patch, .. }, Some(stored)) => scribe.set(&stored, &patch),
        (Change::Disable { .. }, Some(Stored { disabled_us: Some(_), .. })) => {
            Ok(Err(format!("credential {id:?} is disabled already")))
        }
        (Change::Disable { queue, .. }, Some(stored)) => scribe.disable(&stored, queue),
        (Change::Enable { lifted: None, .. }, Some(Stored { disabled_us: None, .. })) => {
            Ok(Err(format!("credential {id:?} is not disabled, and not suspended")))
        }
        (Change::Enable { lifted, .. }, Some(stored)) => scribe.enable(Some(&stored), lifted),
        (Change::Remove { .. }, Some(stored)) if is_shadowed => scribe.remove_shadowed(&stored),
        (Change::Remove { queue, .. }, Some(stored)) => scribe.remove(&stored, queue),
        (Change::Rotate { key, overlap_us, .. }, Some(stored)) => scribe.rotate(&stored, key, overlap_us),
        (Change::Retire { key, queue, .. }, Some(stored)) => scribe.retire(&stored, key, queue),
    }
}

type Outcomes = rusqlite::Result<Result<Done, String>>;

/// One change to one credential, and its event.
struct Scribe<'s, 'c> {
    store: &'s mut Store<'c>,
    id: &'s str,
    actor: &'s str,
    now_us: u64,
}

impl Scribe<'_, '_> {
    fn add(&mut self, policy: &Policy, key: &Key, imported: bool) -> Outcomes {
        if let Err(why) = credentials::check(self.id, policy) {
            return Ok(Err(why));
        }
        if let Some(owner) = self.store.credentials.owner(&key.id)? {
            return Ok(Err(format!("the key id {:?} is used by credential {owner:?}: choose another", key.id)));
        }
        self.store.credentials.add(self.id, policy, self.now_us)?;
        self.store.credentials.add_key(self.id, key)?;
        self.record(Name::CredentialCreate, json!({ "keys": [key.id], "imported": imported }))?;
        Ok(Ok(Done { keys: vec![key.id.clone()], queue: None }))
    }

    fn set(&mut self, stored: &Stored, patch: &str) -> Outcomes {
        let policy = match patched(&stored.policy, patch) {
            Ok(policy) if policy == stored.policy => return Ok(Err("that is how it is already".to_owned())),
            Ok(policy) => policy,
            Err(why) => return Ok(Err(why)),
        };
        if policy.test != stored.policy.test {
            return Ok(Err("a credential is for tests from its beginning to its end: make another one".to_owned()));
        }
        if policy.form.is_some() != stored.policy.form.is_some() {
            let why = "a credential is a form's from its beginning to its end, and its key says so: make another one";
            return Ok(Err(why.to_owned()));
        }
        if let Err(why) = credentials::check(self.id, &policy) {
            return Ok(Err(why));
        }
        self.store.credentials.update(self.id, &policy, stored.disabled_us)?;
        self.record(Name::CredentialChange, json!({ "changed": differences(&stored.policy, &policy) }))?;
        Ok(Ok(Done::default()))
    }

    fn disable(&mut self, stored: &Stored, queue: Queue) -> Outcomes {
        self.store.credentials.update(self.id, &stored.policy, Some(self.now_us))?;
        self.record(Name::CredentialDisable, json!({}))?;
        Ok(Ok(Done { keys: Vec::new(), queue: Some(queue) }))
    }

    fn enable(&mut self, stored: Option<&Stored>, lifted: Option<Suspension>) -> Outcomes {
        if let Some(stored) = stored.filter(|stored| stored.disabled_us.is_some()) {
            self.store.credentials.update(self.id, &stored.policy, None)?;
        }
        let data = if lifted.is_some() { json!({ "suspension": "lifted" }) } else { json!({}) };
        if let Some(lifted) = lifted {
            self.store.consumption.suspend(&lifted)?;
        }
        self.record(Name::CredentialEnable, data)?;
        Ok(Ok(Done::default()))
    }

    fn remove(&mut self, stored: &Stored, queue: Queue) -> Outcomes {
        let keys: Vec<String> = stored.keys.iter().map(|key| key.id.clone()).collect();
        self.store.credentials.remove(self.id)?;
        self.store.suppressions.forget(self.id)?;
        self.store.once.forget_of(self.id)?;
        self.record(Name::CredentialRevoke, json!({ "keys": keys }))?;
        Ok(Ok(Done { keys, queue: Some(queue) }))
    }

    /// Mail, list and answers under this id are the configuration's, whose credential is the one in force.
    fn remove_shadowed(&mut self, stored: &Stored) -> Outcomes {
        let keys: Vec<String> = stored.keys.iter().map(|key| key.id.clone()).collect();
        self.store.credentials.remove(self.id)?;
        self.record(Name::CredentialRevoke, json!({ "keys": keys, "shadowed": true }))?;
        Ok(Ok(Done { keys, queue: None }))
    }

    fn rotate(&mut self, stored: &Stored, key: Key, overlap_us: Option<u64>) -> Outcomes {
        let live: Vec<&str> = stored.live(self.now_us).map(|key| key.id.as_str()).collect();
        if live.len() >= MOST_KEYS {
            return Ok(Err(format!(
                "credential {:?} has two live secrets already ({}): end the old one with --finish, or one of them with \
                 --retire",
                self.id,
                live.join(", ")
            )));
        }
        let end = overlap_us.map(|overlap| self.now_us.saturating_add(overlap));
        for old in &stored.keys {
            if !live.contains(&old.id.as_str()) {
                self.store.credentials.remove_key(&old.id)?;
            } else if let Some(end) = end {
                self.store.credentials.expire_key(&old.id, old.expires_us.map_or(end, |own| own.min(end)))?;
            }
        }
        self.store.credentials.add_key(self.id, &key)?;
        let mut data = json!({ "step": "begin", "key": key.id, "before": live });
        if let (Some(end), Some(object)) = (end, data.as_object_mut()) {
            object.insert("before_until".to_owned(), time(end));
        }
        self.record(Name::CredentialRotate, data)?;
        Ok(Ok(Done { keys: vec![key.id], queue: None }))
    }

    fn retire(&mut self, stored: &Stored, key: Option<String>, queue: Queue) -> Outcomes {
        let live: Vec<&Key> = stored.live(self.now_us).collect();
        let old: Vec<String> = match &key {
            None => live.iter().rev().skip(1).map(|key| key.id.clone()).collect(),
            Some(key) => stored.keys.iter().filter(|own| own.id == *key).map(|own| own.id.clone()).collect(),
        };
        if old.is_empty() {
            return Ok(Err(match key {
                None => format!("credential {:?} has one live secret: there is no rotation to finish", self.id),
                Some(key) => format!("credential {:?} has no secret with the key id {key:?}", self.id),
            }));
        }
        if live.iter().all(|key| old.contains(&key.id)) {
            return Ok(Err(format!(
                "this is the only live secret of credential {:?}: rotate it first, or disable the credential",
                self.id
            )));
        }
        for key in &old {
            self.store.credentials.remove_key(key)?;
        }
        self.record(Name::CredentialRotate, json!({ "step": "end", "keys": old }))?;
        Ok(Ok(Done { keys: old, queue: Some(queue) }))
    }

    fn record(&mut self, name: Name, data: Value) -> rusqlite::Result<()> {
        let data = data.as_object().filter(|object| !object.is_empty()).map(|_| data.to_string());
        let event =
            Event { actor: Some(self.actor.to_owned()), severity: 5, data, ..Event::new(name, Outcome::Success) };
        self.store.record(vec![event.with(Field::Account, self.id)])
    }
}

pub fn time(us: u64) -> Value {
    let time = i64::try_from(us).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
    time.map_or_else(|| json!(us), |time| json!(time.to_string()))
}
