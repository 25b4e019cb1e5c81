//! Mail of credentials that end otherwise than by a command: disabled in the file, gone from it, or over. What waits of theirs
//! is held, as `gatepost credential disable` holds it, once; what is released after that goes, because somebody wants it.
//!
//! Each credential of the file has a mark in the store while it is in force, so that one that went while nobody was here is found
//! at the next start. Reports of the gate's own go on: they are words of the gate, whoever's mail they tell of.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use rusqlite::Result as Sql;
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::schedule::{TICK, persist};
use crate::config::slice::Declared;
use crate::vault::Vault;
use crate::vault::queue::REVOKED;
use crate::vault::queue::ended::{self, Ended, Until};
use crate::vault::store::Store;

/// Why a credential may send no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Disabled,
    Removed,
    Expired,
}

impl Why {
    /// The word in the log: as the command has it, where a command could have done it.
    const fn word(self) -> &'static str {
        match self {
            Self::Disabled | Self::Removed => REVOKED,
            Self::Expired => "expired",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Disabled => "its credential is disabled in the configuration file",
            Self::Removed => "its credential is gone from the configuration file",
            Self::Expired => "its credential is over",
        }
    }
}

/// The credentials of the file, and which of them are in force.
#[derive(Clone)]
pub struct Filed {
    all: HashSet<String>,
    enabled: HashSet<String>,
}

impl Filed {
    pub fn of(declared: &[Declared]) -> Self {
        let ids = |enabled: bool| {
            let own = declared.iter().filter(|own| own.enabled || !enabled);
            own.map(|own| own.id.clone()).collect()
        };
        Self { all: ids(false), enabled: ids(true) }
    }
}

/// Before anything is offered.
pub async fn begin(vault: &Rc<Vault>) {
    let filed = Filed::of(&vault.authority.borrow().slice.credentials);
    if let Some(gone) = persist(vault, move |store| look(store, &filed)).await {
        hold_all(vault, gone, Until::now(vault));
    }
}

/// Another file comes into force: from here on nothing is offered of those that it ends.
pub fn change(vault: &Rc<Vault>, declared: &[Declared]) {
    let filed = Filed::of(declared);
    let before = Filed::of(&vault.authority.borrow().slice.credentials);
    let ended: Vec<String> = before.enabled.difference(&filed.enabled).cloned().collect();
    vault.schedule.borrow_mut().barred.bar(&ended);
    // What is begun behind this is of one that is back.
    let (own, until) = (Rc::clone(vault), Until::now(vault));
    spawn_local(async move {
        let Some(gone) = persist(&own, move |store| look(store, &filed)).await else { return };
        hold_all(&own, gone, until);
        own.schedule.borrow_mut().barred.free(&ended);
        own.poke.notify_one();
    });
}

/// Those that were in force and are no more; whatever is gets its mark.
fn look(store: &mut Store<'_>, filed: &Filed) -> Sql<Vec<(String, Why)>> {
    let mut gone = Vec::new();
    for id in store.credentials.filed()? {
        if filed.enabled.contains(&id) {
            continue;
        }
        if store.credentials.get(&id)?.is_some_and(|stored| stored.disabled_us.is_none()) {
            // It has moved into the vault.
            store.credentials.unfile(&id)?;
            continue;
        }
        let why = if filed.all.contains(&id) { Why::Disabled } else { Why::Removed };
        gone.push((id, why));
    }
    filed.enabled.iter().try_for_each(|id| store.credentials.file(id))?;
    Ok(gone)
}

/// Holds what they have in the queue up to that message, beside all else; nothing of it is offered until that is done.
fn hold_all(vault: &Rc<Vault>, gone: Vec<(String, Why)>, until: Until) {
    if gone.is_empty() {
        return;
    }
    let ids: Vec<String> = gone.iter().map(|(id, _)| id.clone()).collect();
    vault.schedule.borrow_mut().barred.bar(&ids);
    let own = Rc::clone(vault);
    spawn_local(async move {
        hold(&own, gone, until).await;
        let away: Vec<String> = {
            let authority = own.authority.borrow();
            let is_back = |id: &String| authority.slice.credentials.iter().any(|one| one.id == *id && one.enabled);
            ids.iter().filter(|id| !is_back(id)).cloned().collect()
        };
        let _ = persist(&own, move |store| away.iter().try_for_each(|id| store.credentials.unfile(id))).await;
        own.schedule.borrow_mut().barred.free(&ids);
        own.poke.notify_one();
    });
}

/// Holds all that waits of credentials up to that message, also what is past its dot and not on the disk yet, as soon as there is room
/// for that.
pub async fn hold(vault: &Vault, gone: Vec<(String, Why)>, until: Until) {
    if gone.is_empty() {
        return;
    }
    let ended = gone.iter().map(|(id, why)| (id.clone(), why.word(), why.words()));
    let ended = Arc::new(Ended::new(ended, until));
    let counts = loop {
        match ended::hold(vault, &ended).await {
            Ok(counts) => break counts,
            // A full disk is told of elsewhere; a store that has ended takes all this with it.
            Err(_) => sleep(TICK).await,
        }
    };
    for (id, why) in &gone {
        if let Some(counts) = counts.get(id) {
            tracing::warn!(
                credential = id,
                messages = counts.messages,
                recipients = counts.recipients,
                reason = why.words(),
                "what a credential has in the queue is held"
            );
        }
    }
}
