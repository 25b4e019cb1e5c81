//! Commands about addresses that nothing is sent to.

use crate::ipc::admin::Response;
use crate::ipc::admin::suppress::{Command, Entry, MOST, Place, Response as Part};
use crate::ipc::channel::Sender;
use crate::mail::address::Address;
use crate::policy::suppression::Reason;
use crate::vault::Vault;
use crate::vault::admin::unknown;
use crate::vault::audit::event::{Event, Field, Name, Outcome};
use crate::vault::audit::ledger::now_us;
use crate::vault::queue::noted;
use crate::vault::store::Store;
use crate::vault::store::suppressions::{Put, Suppressed, Terms};

/// Entries looked at in one transaction.
const LISTED: u32 = 200;

/// Errors: why it was refused, in words.
pub async fn perform(
    vault: &Vault,
    command: Command,
    actor: &str,
    parts: &Sender<Response>,
) -> Result<Response, String> {
    match command {
        Command::Add { entries, scope, expires_us, note, replace } => {
            known(vault, scope.as_deref())?;
            bounded(entries.len())?;
            let note = note.map(|note| noted(&note));
            let (terms, actor) = (Terms { scope, now_us: now_us(), expires_us, note, replace }, actor.to_owned());
            if terms.expires_us.is_some_and(|end| end <= terms.now_us) {
                return Err("its end is over already".to_owned());
            }
            let done = vault.writer.run(move |store| add(store, entries, &terms, &actor));
            let [added, changed, kept] = done.await.map_err(|error| error.to_string())?;
            say(parts, Part::Added { added, changed, kept }).await
        }
        Command::Remove { addresses, scope, note } => {
            bounded(addresses.len())?;
            let note = note.map(|note| noted(&note));
            let terms = Terms { scope, now_us: now_us(), expires_us: None, note, replace: false };
            let actor = actor.to_owned();
            let done = vault.writer.run(move |store| remove(store, addresses, &terms, &actor));
            let Removed { count, absent, holds } = done.await.map_err(|error| error.to_string())?;
            for address in absent {
                say(parts, Part::Absent(Box::new(address))).await?;
            }
            for one in holds {
                say(parts, Part::Holds(Box::new(entry(one)))).await?;
            }
            say(parts, Part::Changed(count)).await
        }
        Command::List { after, scope, address } => list(vault, (after, scope, address), actor, parts).await,
    }
}

/// How many were added, changed, and left as they were. Those that had no room are none of these.
fn add(
    store: &mut Store<'_>,
    entries: Vec<(Address, Reason)>,
    terms: &Terms,
    actor: &str,
) -> rusqlite::Result<[u64; 3]> {
    let ([mut added, mut changed, mut kept], mut put) = ([0; 3], Vec::with_capacity(entries.len()));
    for (address, reason) in entries {
        match store.suppressions.put(&address, reason, terms)? {
            Put::Added => added += 1,
            Put::Changed => changed += 1,
            Put::Kept => {
                kept += 1;
                continue;
            }
            Put::Full => break,
        }
        put.push((address, reason));
    }
    for reason in Reason::ALL {
        let all: Vec<&Address> = put.iter().filter(|one| one.1 == reason).map(|one| &one.0).collect();
        if !all.is_empty() {
            store.record(vec![event(Name::SuppressAdd, reason.word(), actor, terms, &all)])?;
        }
    }
    Ok([added, changed, kept])
}

struct Removed {
    count: u64,
    absent: Vec<Address>,
    /// By these nothing is sent to some of them all the same: for all, or for another credential.
    holds: Vec<Suppressed>,
}

fn remove(store: &mut Store<'_>, addresses: Vec<Address>, terms: &Terms, actor: &str) -> rusqlite::Result<Removed> {
    let (mut removed, mut absent, mut holds) = (Vec::new(), Vec::new(), Vec::new());
    for address in addresses {
        let was = store.suppressions.remove(&address, terms.scope.as_deref())?;
        for (_, one) in store.suppressions.of(&address)? {
            if terms.scope.is_none() || one.scope.is_none() {
                holds.push(Suppressed { address: Some(address.to_string()), ..one });
            }
        }
        if was { removed.push(address) } else { absent.push(address) }
    }
    let all: Vec<&Address> = removed.iter().collect();
    if !all.is_empty() {
        store.record(vec![event(Name::SuppressRemove, "ordered", actor, terms, &all)])?;
    }
    Ok(Removed { count: u64::try_from(all.len()).unwrap_or(u64::MAX), absent, holds })
}

/// What is shown is shown in clear, which the log tells: once in a list.
async fn list(
    vault: &Vault,
    (after, scope, address): (Option<Place>, Option<String>, Option<Address>),
    actor: &str,
    parts: &Sender<Response>,
) -> Result<Response, String> {
    let looked = after.is_none().then(|| Event {
        actor: Some(actor.to_owned()),
        severity: 5,
        ..Event::new(Name::SuppressView, Outcome::Info)
    });
    let looked = looked.map(|event| match &scope {
        Some(scope) => event.with(Field::Account, scope.clone()),
        None => event,
    });
    let after = after.map(|Place { tag, scope }| (tag, scope));
    let leaves_a_trace = looked.is_some();
    let work = move |store: &mut Store<'_>| {
        looked.map_or(Ok(()), |event| store.record(vec![event]))?;
        match address {
            Some(address) => Ok((store.suppressions.of(&address)?, true)),
            None => store.suppressions.list(after.as_ref(), LISTED).map(|all| (all, false)),
        }
    };
    let found = match leaves_a_trace {
        true => vault.writer.run(work).await,
        false => vault.writer.look(work).await,
    };
    let (all, is_whole) = found.map_err(|error| format!("the store can't be read: {error}"))?;
    let is_full = u32::try_from(all.len()).is_ok_and(|length| length == LISTED);
    let next = all.last().map(|(place, _)| place.clone()).filter(|_| is_full && !is_whole);
    for (_, one) in all.into_iter().filter(|(_, one)| scope.is_none() || one.scope == scope) {
        say(parts, Part::Entry(Box::new(entry(one)))).await?;
    }
    say(parts, Part::Next(next.map(|(tag, scope)| Place { tag, scope }))).await
}

fn entry(one: Suppressed) -> Entry {
    let Suppressed { scope, address, reason, since_us, expires_us, note } = one;
    Entry { scope, address, reason, since_us, expires_us, note }
}

/// Errors: there is no such credential.
fn known(vault: &Vault, scope: Option<&str>) -> Result<(), String> {
    let authority = vault.authority.borrow();
    match scope {
        Some(id) if authority.credentials.get(id).is_none() => Err(unknown::in_force(id, &authority)),
        _ => Ok(()),
    }
}

fn bounded(count: usize) -> Result<(), String> {
    if (1..=MOST).contains(&count) { Ok(()) } else { Err(format!("from one to {MOST} addresses at a time")) }
}

fn event(name: Name, reason: &str, actor: &str, terms: &Terms, addresses: &[&Address]) -> Event {
    let mut said = serde_json::Map::new();
    if let Some(expires) = terms.expires_us {
        said.insert("expires_us".into(), expires.into());
    }
    if let Some(note) = &terms.note {
        said.insert("note".into(), note.clone().into());
    }
    let event = Event {
        actor: Some(actor.to_owned()),
        severity: 5,
        reason: Some(reason.to_owned()),
        rcpt_count: u64::try_from(addresses.len()).ok(),
        data: (!said.is_empty()).then(|| serde_json::Value::Object(said).to_string()),
        ..Event::new(name, Outcome::Success)
    };
    let event = terms.scope.iter().fold(event, |event, scope| event.with(Field::Account, scope.clone()));
    event.recipients(addresses.iter().copied())
}

async fn say(parts: &Sender<Response>, part: Part) -> Result<Response, String> {
    parts.send(Response::Suppress(part)).await.map(|()| Response::Done).map_err(|_| "whoever asked is gone".to_owned())
}

/// What an order to erase a person's address has to do here.
pub async fn erase(vault: &Vault, address: &Address) -> Result<usize, String> {
    let own = address.clone();
    let erased = vault.writer.run(move |store| store.suppressions.erase(&own));
    erased.await.map_err(|error| error.to_string())
}
