//! The beginning of an incident with a credential, for the log: what is done about it are commands of their own.

use crate::ipc::admin::Response;
use crate::vault::Vault;
use crate::vault::admin::unknown;
use crate::vault::audit::event::{Event, Field, Name, Outcome};
use crate::vault::queue::noted;

/// Errors: there is no such credential, or nothing could be written.
pub async fn open(vault: &Vault, credential: &str, note: Option<String>, actor: &str) -> Result<Response, String> {
    {
        let authority = vault.authority.borrow();
        if authority.credentials.get(credential).is_none() {
            return Err(unknown::in_force(credential, &authority));
        }
    }
    let data = note.map(|note| serde_json::json!({ "note": noted(&note) }).to_string());
    let (actor, reason) = (Some(actor.to_owned()), Some("ordered".to_owned()));
    let event = Event { severity: 4, actor, reason, data, ..Event::new(Name::IncidentOpened, Outcome::Info) };
    let event = event.with(Field::Account, credential);
    let done = vault.writer.run(move |store| store.record(vec![event])).await;
    done.map(|()| Response::Done).map_err(|error| error.to_string())
}
