//! The way back to the version before: ordered while the service runs, done when it has stopped.

use rusqlite::Result as Sql;

use crate::ipc::admin::Response;
use crate::vault::Vault;
use crate::vault::audit::event::{Event, Name, Outcome};
use crate::vault::store::Store;
use crate::vault::store::schema::{BEFORE, VERSION, demand_known_before};

/// From here on the end of this service leaves the database of the version before.
///
/// Errors: the version before can't take what there is, or nothing could be written.
pub async fn order(vault: &Vault, actor: &str) -> Result<Response, String> {
    let actor = actor.to_owned();
    let told = vault.writer.run(move |store| match tell(store, &actor)? {
        Ok(()) => store.marker.go_back().map(Ok),
        refused => Ok(refused),
    });
    let told = told.await;
    told.map_err(|error| error.to_string())??;
    vault.goes_back.set(true);
    Ok(Response::Done)
}

/// Tells the log who wants it, before anything is changed.
///
/// Errors: what the version before can't take, in words.
pub fn tell(store: &mut Store<'_>, actor: &str) -> Sql<Result<(), String>> {
    if let Err(reason) = demand_known_before(store)? {
        return Ok(Err(reason));
    }
    let data = Some(serde_json::json!({ "from": VERSION, "to": BEFORE }).to_string());
    let event = Event::new(Name::StoreDowngrade, Outcome::Info);
    let event = Event { severity: 4, actor: Some(actor.to_owned()), reason: Some("ordered".to_owned()), data, ..event };
    store.record(vec![event]).map(Ok)
}
