//! An administrator's commands: a fixed list, from a connection whose user the parent has checked.

use std::rc::Rc;

use tokio::sync::mpsc::UnboundedSender;

use super::Vault;
use super::audit::event::{Event, Field, Name, Outcome};
use super::audit::ledger::now_us;
use super::audit::publish::Publisher;
use super::audit::seal;
use super::control;
use super::login::{credentials, key};
use super::store::Store;
use super::store::credentials::Stored;
use crate::ipc::admin::{Command, Response};
use crate::ipc::channel::{Receiver, Sender};
use crate::ipc::control::{ChildPackets, Report};
use crate::policy::Policy;
use crate::secret::Secret;

/// Serves one connection until it closes or says what can't be read.
pub async fn serve(
    vault: Rc<Vault>,
    publisher: Publisher,
    sealing: UnboundedSender<seal::Order>,
    parent: Rc<ChildPackets>,
    responses: Sender<Response>,
    mut commands: Receiver<Command>,
) {
    loop {
        let command = match commands.receive().await {
            Ok(Some(command)) => command,
            Ok(None) => return,
            Err(error) => return tracing::warn!(%error, "an administrator's connection was ended"),
        };
        let response = match command {
            Command::CredentialAdd { id, policy } => match credential_add(&vault, id.clone(), policy).await {
                Ok(secret) => Response::Secret { id, secret },
                Err(reason) => Response::Refused { reason },
            },
            Command::Publish => {
                // Counted first: what comes meanwhile is not what was asked for.
                let events = vault.writer.size();
                match control::settle(&sealing, &publisher).await {
                    Ok(size) => Response::Published { size, events },
                    Err(reason) => Response::Refused { reason },
                }
            }
            Command::Reload => match parent.send(&Report::Reload, None).await {
                Ok(()) => Response::Done,
                Err(error) => Response::Refused { reason: format!("the parent can't be reached: {error}") },
            },
        };
        if responses.send(response).await.is_err() {
            return;
        }
    }
}

async fn credential_add(vault: &Vault, id: String, policy: Policy) -> Result<Secret<String>, String> {
    credentials::check(&id, &policy, &vault.authority.borrow().slice.credentials)?;
    let (key, secret) = key::generate()?;
    let busy = "logins are being checked as fast as possible and the key can't be hashed now: try again in a moment";
    let phc = vault.hashers.hash(secret.clone()).map_err(|_| busy)?.await.map_err(|_| "the hashing ended")??;
    let stored = Stored { id, policy, generation: 1, secrets: vec![(key, phc)] };
    let added = stored.clone();
    let done = vault.writer.run(move |store| add(store, &added, "control socket")).await;
    if !done.map_err(|error| format!("the store took nothing: {error:?}"))? {
        return Err(taken(&stored.id));
    }
    vault.authority.borrow_mut().add(stored);
    Ok(secret)
}

pub fn taken(id: &str) -> String {
    format!("there is a credential {id:?} in the vault already: choose another id")
}

/// Adds a credential and the event of it. False when there is one of that name.
pub fn add(store: &mut Store<'_>, stored: &Stored, actor: &str) -> rusqlite::Result<bool> {
    if store.credentials.exists(&stored.id)? {
        return Ok(false);
    }
    store.credentials.add(stored, now_us())?;
    let keys: Vec<&str> = stored.secrets.iter().map(|(key, _)| key.as_str()).collect();
    let event = Event {
        actor: Some(actor.to_owned()),
        severity: 5,
        data: Some(serde_json::json!({ "keys": keys }).to_string()),
        ..Event::new(Name::CredentialCreate, Outcome::Success)
    };
    store.record(vec![event.with(Field::Account, stored.id.clone())])?;
    Ok(true)
}
