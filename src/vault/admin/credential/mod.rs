//! Commands about credentials.

mod patch;

pub use patch::patched;

use crate::ipc::admin::Response;
use crate::ipc::admin::credential::{self, Command};
use crate::policy::Policy;
use crate::secret::Secret;
use crate::vault::Vault;
use crate::vault::audit::event::{Event, Field, Name, Outcome};
use crate::vault::audit::ledger::now_us;
use crate::vault::login::{credentials, key};
use crate::vault::store::Store;
use crate::vault::store::credentials::Stored;

/// Errors: why it was refused, in words.
pub async fn perform(vault: &Vault, command: Command, actor: &str) -> Result<Response, String> {
    match command {
        Command::Add { id, policy } => {
            let secret = generate(vault, id.clone(), policy, actor.to_owned()).await?;
            Ok(Response::Credential(credential::Response::Secret { id, secret }))
        }
    }
}

async fn generate(vault: &Vault, id: String, policy: Policy, actor: String) -> Result<Secret<String>, String> {
    credentials::check(&id, &policy, &vault.authority.borrow().slice.credentials)?;
    let (key, secret) = key::generate()?;
    let busy = "logins are being checked as fast as possible and the key can't be hashed now: try again in a moment";
    let phc = vault.hashers.hash(secret.clone()).map_err(|_| busy)?.await.map_err(|_| "the hashing ended")??;
    let stored = Stored { id, policy, generation: 1, secrets: vec![(key, phc)] };
    let added = stored.clone();
    let done = vault.writer.run(move |store| add(store, &added, &actor)).await;
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
