//! Commands about credentials.

mod change;
mod list;
mod material;
mod patch;
mod queue;
mod trial;

use std::time::Duration;

use crate::config::slice::Declared;
use crate::ipc::admin::Response;
use crate::ipc::admin::credential::{self, Command, Entry, Material, Trial, Verdict};
use crate::ipc::admin::queue::Counts;
use crate::ipc::channel::Sender;
use crate::secret::Secret;
use crate::vault::Vault;
use crate::vault::admin::unknown;
use crate::vault::audit::ledger::now_us;
use crate::vault::audit::month;
use crate::vault::limits::suspension::Suspension;
use crate::vault::login::credentials::Credentials;
use crate::vault::login::hashing::{Hashed, fits_here, make_here};
use crate::vault::login::key::Kind;
use crate::vault::login::line::Claim;
use crate::vault::store::credentials::Key;
use crate::vault::store::{Failure, Store};
use change::Change;
use material::Fresh;

pub use patch::patched;

const BUSY: &str =
    "logins are being checked as fast as possible and the key can't be hashed now: try again in a moment";

/// While the service runs.
///
/// Errors: why it was refused, in words.
pub async fn perform(
    vault: &Vault,
    command: Command,
    actor: &str,
    responses: &Sender<Response>,
) -> Result<Response, String> {
    match command {
        Command::List => {
            for entry in entries(vault).await? {
                let part = Response::Credential(credential::Response::Entry(Box::new(entry)));
                responses.send(part).await.map_err(|_| "whoever asked is gone")?;
            }
            Ok(Response::Done)
        }
        Command::Show { id } => {
            let entries = entries(vault).await?;
            let found = entries.iter().find(|entry| entry.id == id).cloned();
            let entry = found.ok_or_else(|| unknown::credential(&id, entries.iter().map(|one| one.id.as_str())))?;
            Ok(Response::Credential(credential::Response::Entry(Box::new(entry))))
        }
        Command::Test(trial) => {
            let verdict = test(vault, &trial).await?;
            Ok(Response::Credential(credential::Response::Tested(verdict)))
        }
        command => change_of(vault, command, actor).await.map(Response::Credential),
    }
}

async fn change_of(vault: &Vault, command: Command, actor: &str) -> Result<credential::Response, String> {
    heard(vault, &command)?;
    let kind = |id: &str| vault.authority.borrow().credentials.get(id).map(|found| Kind::of(&found.policy));
    let fresh = Fresh::of(&command, &vault.tagger, kind)?;
    let now = now_us();
    let hashed = match fresh.as_ref().map(|fresh| (fresh, &fresh.material)) {
        None => None,
        Some((_, Material::Hash(hash))) => Some(Hashed { phc: hash.clone(), scram: None }),
        Some((fresh, Material::Secret(secret))) => {
            let scram = {
                let authority = vault.authority.borrow();
                fresh.derives(command.of().and_then(|id| authority.credentials.get(id)).map(|found| &**found), now)
            };
            let hashed = vault.hashers.hash(secret.clone(), scram).map_err(|_| BUSY)?;
            Some(hashed.answer().await.map_err(|_| BUSY)??)
        }
    };
    let now = now_us();
    let lifted = match &command {
        Command::Enable { id } => {
            let mut authority = vault.authority.borrow_mut();
            let now = authority.clock.now();
            authority.limits.suspensions.lift(id, now)
        }
        _ => None,
    };
    let (change, shown) = change(command, fresh, hashed, lifted, now)?;
    let id = change.id().to_owned();
    let declared = vault.authority.borrow().slice.credentials.clone();
    let (actor, queue_actor) = (actor.to_owned(), actor.to_owned());
    let done = vault.writer.run(move |store| {
        let done = change::perform(store, change, &declared, &actor, now)?;
        Ok((done, store.ledger.size(), store.credentials.all()?))
    });
    let (done, stamp, stored) = done.await.map_err(|error| error.to_string())?;
    let done = done?;
    vault.authority.borrow_mut().replace(stamp, stored);
    if vault.authority.borrow().credentials.get(&id).is_none() {
        vault.onces.forget(&id);
    }
    let masks = vault.authority.borrow().masks();
    vault.writer.mask(masks).await;
    // Nobody may listen: there may be no edge now.
    let _ = vault.changed.send(());
    let counts = match done.queue {
        Some(what) => Some((what, queue::settle(vault, &id, what, &queue_actor).await?)),
        None => None,
    };
    Ok(response(id, done.keys, counts, shown))
}

/// Errors: it names a webhook that there isn't, or demands what nobody can be asked of.
fn heard(vault: &Vault, command: &Command) -> Result<(), String> {
    let demands = match command {
        Command::Add { policy, .. } | Command::Import { policy, .. } => policy.turnstile.is_some(),
        Command::Set { patch, .. } => {
            let patch: serde_json::Value = serde_json::from_str(patch).unwrap_or_default();
            patch.get("turnstile").is_some_and(|demanded| !demanded.is_null())
        }
        _ => false,
    };
    if demands && !vault.authority.borrow().slice.turnstile {
        return Err(
            "turnstile: nobody is asked of its tokens: write [turnstile] with secret_file into the configuration, and \
                    reload"
                .to_owned(),
        );
    }
    let wanted = match command {
        Command::Add { policy, .. } | Command::Import { policy, .. } => policy.webhook.clone(),
        Command::Set { patch, .. } => {
            let patch: serde_json::Value = serde_json::from_str(patch).unwrap_or_default();
            patch.get("webhook").and_then(|name| name.as_str()).map(str::to_owned)
        }
        _ => None,
    };
    let Some(wanted) = wanted else { return Ok(()) };
    let authority = vault.authority.borrow();
    let names: Vec<&str> = authority.slice.webhooks.iter().map(|webhook| webhook.name.as_str()).collect();
    match names.contains(&wanted.as_str()) {
        true => Ok(()),
        false => Err(unknown::named("webhook", &wanted, &names)),
    }
}

async fn entries(vault: &Vault) -> Result<Vec<Entry>, String> {
    let declared = vault.authority.borrow().slice.credentials.clone();
    let listed = vault.writer.look(move |store| {
        let stored = store.credentials.all()?;
        list::entries(store, &declared, &stored, now_us())
    });
    listed.await.map_err(|error| format!("the store can't be read: {error}"))
}

async fn test(vault: &Vault, trial: &Trial) -> Result<Verdict, String> {
    let candidates = trial::candidates(&vault.authority.borrow().credentials, trial, &vault.tagger);
    let found = match candidates.as_ref().and_then(|candidates| candidates.hashes()) {
        None => None,
        Some(hashes) => {
            let pending = vault.hashers.verify(Claim::Known, trial.secret.clone(), hashes).map_err(|_| BUSY)?;
            pending.answer().await.map_err(|_| BUSY)?
        }
    };
    Ok(trial::verdict(candidates.as_ref(), found, trial, now_us()))
}

/// While the service is stopped: the same over a store that this process has opened.
///
/// Errors: why it was refused, in words; or why the store can't be used.
pub fn perform_offline(
    store: &mut Store<'_>,
    command: Command,
    declared: &[Declared],
    actor: &str,
) -> Result<Vec<credential::Response>, String> {
    let now = now_us();
    let failed = |error: &dyn std::fmt::Display| format!("the database: {error}");
    match command {
        Command::List | Command::Show { .. } => {
            let entries = store.transaction(|store| {
                let stored = store.credentials.all()?;
                list::entries(store, declared, &stored, now)
            });
            let entries = entries.map_err(|error| failed(&error))?;
            let answer = |entry: &Entry| credential::Response::Entry(Box::new(entry.clone()));
            match &command {
                Command::Show { id } => {
                    let found = entries.iter().find(|entry| entry.id == *id).map(answer);
                    let unknown = || unknown::credential(id, entries.iter().map(|one| one.id.as_str()));
                    found.map(|found| vec![found]).ok_or_else(unknown)
                }
                _ => Ok(entries.iter().map(answer).collect()),
            }
        }
        Command::Test(trial) => {
            let known = store.transaction(|store| Ok((store.credentials.all()?, store.credentials.tagger()?)));
            let (stored, tagger) = known.map_err(|error| failed(&error))?;
            let candidates = trial::candidates(&Credentials::new(declared, &stored), &trial, &tagger);
            let hashes = candidates.as_ref().and_then(|candidates| candidates.hashes());
            let found = hashes.and_then(|hashes| hashes.iter().position(|phc| fits_here(&trial.secret, phc)));
            Ok(vec![credential::Response::Tested(trial::verdict(candidates.as_ref(), found, &trial, now))])
        }
        command => {
            let known = store.transaction(|store| Ok((store.credentials.all()?, store.credentials.tagger()?)));
            let (stored, tagger) = known.map_err(|error| failed(&error))?;
            let kind = |id: &str| stored.iter().find(|stored| stored.id == id).map(|stored| Kind::of(&stored.policy));
            let fresh = Fresh::of(&command, &tagger, kind)?;
            let hashed = match fresh.as_ref().map(|fresh| (fresh, &fresh.material)) {
                None => None,
                Some((_, Material::Hash(hash))) => Some(Hashed { phc: hash.clone(), scram: None }),
                Some((fresh, Material::Secret(secret))) => {
                    let stored = store.transaction(|store| store.credentials.all()).map_err(|error| failed(&error))?;
                    let all = Credentials::new(&[], &stored);
                    let beside = command.of().and_then(|id| all.get(id)).map(|found| &**found);
                    Some(make_here(secret, &fresh.derives(beside, now))?)
                }
            };
            let lifted = match &command {
                Command::Enable { id } => suspended(store, id, now).map_err(|error| failed(&error))?,
                _ => None,
            };
            let (change, shown) = change(command, fresh, hashed, lifted, now)?;
            let id = change.id().to_owned();
            let done = store.transaction(|store| {
                store.tell_unclean_stop()?;
                change::perform(store, change, declared, actor, now)
            });
            let done = done.map_err(|error| failed(&error))??;
            let counts = match done.queue {
                Some(what) => {
                    let settled = queue::settle_here(store, &id, what, actor);
                    Some((what, settled.map_err(|error| failed(&error))?))
                }
                None => None,
            };
            Ok(vec![response(id, done.keys, counts, shown)])
        }
    }
}

/// The end of a suspension that holds now, while the service is stopped.
fn suspended(store: &mut Store<'_>, id: &str, now_us: u64) -> Result<Option<Suspension>, Failure> {
    let (today, _) = month::today(now_us);
    let consumed = store.transaction(|store| store.consumption.all(now_us, today))?;
    let holds = |kept: &Suspension| kept.credential == id && kept.until_us.is_some_and(|until| until > now_us);
    let kept = consumed.suspensions.into_iter().find(holds);
    Ok(kept.map(|kept| Suspension { until_us: None, ..kept }))
}

/// What is shown once: the key id, the secret, and when those before it end.
type Shown = Option<(String, Secret<String>, Option<u64>)>;

/// The change that a command asks for, and what is to be shown of it.
fn change(
    command: Command,
    fresh: Option<Fresh>,
    hashed: Option<Hashed>,
    lifted: Option<Suspension>,
    now_us: u64,
) -> Result<(Change, Shown), String> {
    let overlap_us = match &command {
        Command::Rotate { overlap, .. } => overlap.map(microseconds),
        _ => None,
    };
    let end = overlap_us.map(|overlap| now_us.saturating_add(overlap));
    let shown = fresh.as_ref().and_then(|fresh| match &fresh.material {
        Material::Secret(secret) if fresh.generated => Some((fresh.id.clone(), secret.clone(), end)),
        _ => None,
    });
    let key: Option<Key> = fresh.zip(hashed).map(|(fresh, hashed)| fresh.key(hashed, now_us));
    let key = || key.ok_or_else(|| "there is no secret for it".to_owned());
    let change = match command {
        Command::Add { id, policy, .. } => Change::Add { id, policy, key: key()?, imported: false },
        Command::Import { id, policy, .. } => Change::Add { id, policy, key: key()?, imported: true },
        Command::Set { id, patch } => Change::Set { id, patch },
        Command::Disable { id, queue } => Change::Disable { id, queue },
        Command::Enable { id } => Change::Enable { id, lifted },
        Command::Remove { id, queue } => Change::Remove { id, queue },
        Command::Rotate { id, .. } => Change::Rotate { id, key: key()?, overlap_us },
        Command::Retire { id, key, queue } => Change::Retire { id, key, queue },
        Command::List | Command::Show { .. } | Command::Test(_) => return Err("this changes nothing".to_owned()),
    };
    Ok((change, shown))
}

fn response(
    id: String,
    keys: Vec<String>,
    queue: Option<(credential::Queue, Counts)>,
    shown: Shown,
) -> credential::Response {
    match shown {
        Some((key, secret, overlap_us)) => credential::Response::Secret { id, key, secret, overlap_us },
        None => credential::Response::Changed { id, keys, queue },
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
