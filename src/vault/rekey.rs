//! A new master key: it wraps what comes from now on, and the keys of all that waits are wrapped anew, in slices beside
//! everything else that goes on. Broken off anywhere, it goes on at the next start, with both keys.

use std::fs::File;
use std::rc::Rc;
use std::time::Duration;

use rusqlite::Result as Sql;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Vault;
use super::audit::event::{Event, Name, Outcome};
use super::master::{self, Master};
use super::store::Store;
use super::store::writer::NotStored;
use crate::ipc::control::{ChildPackets, File as Handed, Report};
use crate::role::start::Start;

/// Keys wrapped anew in one transaction.
const SLICE: u32 = 500;
/// How long the parent may take to open a file.
const PARENT: Duration = Duration::from_secs(10);

/// The master keys at start: the one that wraps first. With a second one, a change of keys was broken off.
pub fn handed_over(start: &mut Start) -> Result<Vec<Master>, String> {
    let read = |file| Master::read(File::from(file)).map_err(|error| format!("the master key: {error}"));
    let current = read(start.file(&Handed::MasterKey { next: false })?)?;
    match start.file(&Handed::MasterKey { next: true }) {
        Ok(next) => Ok(vec![read(next)?, current]),
        Err(_) => Ok(vec![current]),
    }
}

/// Holds the messages that no master key here can open, and says so.
pub fn hold_foreign(store: &mut Store<'_>) -> Sql<()> {
    let foreign = store.keys.foreign()?;
    let mut held = 0;
    for open in &foreign {
        held += usize::from(store.hold.hold(open.row)? > 0);
    }
    if !foreign.is_empty() {
        let messages = foreign.len();
        tracing::error!(
            messages,
            "messages wait whose master key is not here: they are held. Keep the key that is here now, and see \
             \"An older master key\" in the operations manual for how to use both; or drop them"
        );
    }
    if held > 0 {
        let event = Event {
            severity: 2,
            reason: Some("master-key-unknown".into()),
            data: Some(serde_json::json!({ "messages": held }).to_string()),
            ..Event::new(Name::IntegrityFailure, Outcome::Failure)
        };
        store.record(vec![event])?;
    }
    Ok(())
}

/// What became of a change of the master key.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// So many keys were wrapped.
    Done(u64),
    /// The key that was named is in none of our hands: the parent has that one, or none. Nothing was touched.
    Another(Option<String>),
}

/// Takes the next master key from the parent and wraps all keys with it, if it is the one of that name.
///
/// Errors: in words; the key of before still holds for what was not wrapped anew.
pub async fn change(vault: &Vault, parent: &ChildPackets, actor: &str, named: &str) -> Result<Change, String> {
    let (sender, next) = oneshot::channel();
    {
        let mut waiting = vault.next_master.borrow_mut();
        if waiting.as_ref().is_some_and(|waiting| !waiting.is_closed()) {
            return Err("the master key is being changed already".into());
        }
        *waiting = Some(sender);
    }
    let asked = parent.send(&Report::NextMasterKey, None).await;
    asked.map_err(|error| format!("the parent can't be reached: {error}"))?;
    let next = timeout(PARENT, next).await.ok().and_then(Result::ok);
    let handed = next.as_ref().map(|next| master::name(&next.id));
    if handed.as_deref() != Some(named) {
        let names = |store: &mut Store<'_>| Ok(store.keys.masters().iter().map(|one| master::name(&one.id)).collect());
        let ours: Vec<String> =
            vault.writer.run(names).await.map_err(|error| format!("the store can't be read: {error:?}"))?;
        if !ours.iter().any(|ours| ours == named) {
            return Ok(Change::Another(handed));
        }
    }
    let next = next.filter(|_| handed.as_deref() == Some(named));
    let next = next.ok_or("the parent did not hand over the next key: its log says why")?;
    let id = next.id;
    let adopted = vault.writer.run(move |store| {
        let current = store.keys.masters().iter().find(|master| master.id != next.id).cloned();
        store.keys.adopt(std::iter::once(next).chain(current).collect());
        Ok(())
    });
    adopted.await.map_err(|error| error.to_string())?;
    let count = wrap_all(vault).await.map_err(|error| format!("not all keys were wrapped anew: {error:?}"))?;
    let data = serde_json::json!({ "master": master::name(&id), "keys": count }).to_string();
    let event = Event { actor: Some(actor.to_owned()), severity: 5, data: Some(data), ..event() };
    let done = vault.writer.run(move |store| {
        // The old one is forgotten here before its file is.
        let current = store.keys.masters().first().cloned();
        store.keys.adopt(current.into_iter().collect());
        store.record(vec![event])
    });
    done.await.map_err(|error| format!("the event was not written: {error:?}"))?;
    Ok(Change::Done(count))
}

/// At start: ends what was broken off, as far as the vault has a part in it.
pub async fn go_on(vault: Rc<Vault>) {
    let two = vault.writer.run(|store| Ok(store.keys.masters().len() > 1)).await;
    if two != Ok(true) {
        return;
    }
    if let Ok(count) = wrap_all(&vault).await {
        tracing::warn!(count, "a change of the master key was broken off: end it with gatepost queue rekey");
    }
}

async fn wrap_all(vault: &Vault) -> Result<u64, NotStored> {
    let (mut after, mut count) = (0, 0);
    while let Some((last, wrapped)) = vault.writer.run(move |store| store.keys.rewrap(after, SLICE)).await? {
        (after, count) = (last, count + wrapped);
    }
    Ok(count)
}

fn event() -> Event {
    Event::new(Name::StoreRekey, Outcome::Success)
}
