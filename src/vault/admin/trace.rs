//! The command that follows sessions. Who asks for what is in the audit log before anything is shown.

use std::rc::Rc;

use crate::ipc::admin::trace::{Filter, Response};
use crate::ipc::admin::{Request, Response as Answer};
use crate::ipc::channel::{Receiver, Sender};
use crate::vault::Vault;
use crate::vault::admin::unknown;
use crate::vault::audit::event::{Event, Field, Name, Outcome};
use crate::vault::trace::{Counts, Place};

/// Shows sessions until the operator is gone, or the service stops.
pub async fn follow(
    vault: Rc<Vault>,
    filter: Filter,
    actor: String,
    responses: Sender<Answer>,
    mut requests: Receiver<Request>,
) {
    let place = match begin(&vault, &filter, &actor, &responses).await {
        Ok(place) => place,
        Err(reason) => {
            let _ = responses.send(Answer::Refused { reason }).await;
            return;
        }
    };
    let mut ended = false;
    if responses.send(Answer::Trace(Response::Begun)).await.is_ok() {
        tokio::select! {
            // There is nothing to be said but that it is over.
            _ = requests.receive() => {}
            () = vault.traces.ended() => ended = true,
        }
    }
    let counts = place.counts();
    drop(place);
    vault.writer.record(vec![event(Name::TraceEnd, &filter, &actor, Some(counts))]).await;
    if ended {
        let _ = responses.try_send(Answer::Trace(Response::Ended));
    }
}

/// Takes a place, writes down that it begins, and begins.
///
/// Errors: why it can't, in words.
async fn begin(vault: &Vault, filter: &Filter, actor: &str, responses: &Sender<Answer>) -> Result<Place, String> {
    let mut devices = Vec::new();
    if let Some(id) = &filter.credential {
        let authority = vault.authority.borrow();
        let Some(credential) = authority.credentials.get(id) else {
            return Err(unknown::in_force(id, &authority));
        };
        devices.clone_from(&credential.policy.identified_by);
    }
    let place = vault.traces.place()?;
    let event = event(Name::TraceBegin, filter, actor, None);
    let written = vault.writer.run(move |store| store.record(vec![event])).await;
    written.map_err(|error| format!("the event of it could not be written: {error}"))?;
    place.begin(filter.clone(), devices, responses.clone());
    Ok(place)
}

fn event(name: Name, filter: &Filter, actor: &str, counts: Option<Counts>) -> Event {
    let mut data = serde_json::Map::new();
    if let Some(Counts { lines, left_out }) = counts {
        data.insert("lines".to_owned(), lines.into());
        data.insert("left_out".to_owned(), left_out.into());
    }
    let mut event = Event {
        actor: Some(actor.to_owned()),
        severity: 5,
        session: filter.session,
        ..Event::new(name, Outcome::Info)
    };
    if let Some(credential) = &filter.credential {
        event = event.with(Field::Account, credential);
    }
    match filter.address {
        None => (),
        Some(network) if network.prefix_len() == network.max_prefix_len() => event = event.client(network.addr()),
        // What auditors are shown of an address says as much.
        Some(network) if network.prefix_len() <= if network.addr().is_ipv4() { 24 } else { 48 } => {
            data.insert("network".to_owned(), network.to_string().into());
        }
        Some(network) => event = event.with(Field::ClientIp, network.to_string()),
    }
    event.data = (!data.is_empty()).then(|| serde_json::Value::Object(data).to_string());
    event
}
