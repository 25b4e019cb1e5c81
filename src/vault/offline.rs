//! Commands while the service is stopped: the vault's own code, in a process that has become the vault's user and entered its
//! sandbox.

use std::path::Path;

use super::admin::credential::{add, taken};
use super::login::{credentials, hashing, key};
use super::store::Store;
use super::store::credentials::Stored;
use super::store::open::Database;
use crate::config::slice::Declared;
use crate::ipc::admin::credential::{Command, Response};

/// Does a command about credentials in the vault under `home`. The event of it is sealed when the service starts.
///
/// Errors: in words, with what to do: why it was refused, a database in use or unfit.
pub fn credential(home: &Path, command: Command, declared: &[Declared], actor: &str) -> Result<Response, String> {
    let Command::Add { id, policy } = command;
    credentials::check(&id, &policy, declared)?;
    let (key, secret) = key::generate()?;
    let phc = hashing::hash_here(&secret)?;
    let stored = Stored { id, policy, generation: 1, secrets: vec![(key, phc)] };
    let database = Database::open(home)?;
    let explain = |error: &dyn std::fmt::Display| format!("{}: {error}", database.path.display());
    let mut store = Store::prepare(&database).map_err(|error| explain(&error))?;
    let added = store.transaction(|store| {
        store.tell_unclean_stop()?;
        add(store, &stored, actor)
    });
    if !added.map_err(|error| explain(&error))? {
        return Err(taken(&stored.id));
    }
    store.checkpoint(true).map_err(|error| explain(&error))?;
    Ok(Response::Secret { id: stored.id, secret })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::session::Mechanism;
    use crate::policy::Policy;
    use crate::secret::Secret;
    use crate::vault::audit::ledger::now_us;
    use crate::vault::login::credentials::Credentials;

    #[test]
    fn a_credential_made_while_the_service_is_stopped_can_log_in_and_is_in_the_log() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("db")).unwrap();
        let policy = Policy { senders: vec!["@example.net".parse().unwrap()], ..Policy::default() };
        let add = |id: &str| {
            let command = Command::Add { id: id.into(), policy: policy.clone() };
            credential(home.path(), command, &[], "uid 0")
        };
        let Response::Secret { secret, .. } = add("shop").unwrap();
        assert!(add("shop").unwrap_err().contains("already"));
        assert!(add("no good").is_err());

        let database = Database::open(home.path()).unwrap();
        let mut store = Store::prepare(&database).unwrap();
        assert_eq!(store.ledger.size(), 1);
        let stored = store.credentials.all(now_us()).unwrap();
        assert_eq!(stored[0].policy, policy);
        let all = Credentials::new(&[], &stored);
        let candidates = all.candidates(Mechanism::Bearer, "", secret.expose(), &Secret::default()).unwrap();
        assert_eq!(candidates.credential.unwrap().id, "shop");
        let (hashers, _) = hashing::Hashers::start(1, 1).unwrap();
        assert_eq!(hashers.verify(secret, candidates.phcs).unwrap().blocking_recv(), Ok(Some(0)));
    }
}
