//! Commands about the audit log.

use super::Desk;
use crate::ipc::admin::Response;
use crate::ipc::admin::audit::{self, Command};
use crate::vault::audit::event::{Event, Name, Outcome};
use crate::vault::control;

/// Errors: why it was refused, in words.
pub async fn perform(desk: &Desk, command: Command, actor: &str) -> Result<Response, String> {
    match command {
        Command::Publish => {
            // Counted first: what comes meanwhile is not what was asked for.
            let events = desk.vault.writer.size();
            let size = control::settle(&desk.sealing, &desk.publisher).await?;
            Ok(Response::Audit(audit::Response::Published { size, events }))
        }
        Command::Export { form, from, to } => {
            let data = serde_json::json!({ "format": form.word(), "from": from, "to": to }).to_string();
            let event = Event::new(Name::AuditExport, Outcome::Info);
            let event = Event { actor: Some(actor.to_owned()), severity: 5, data: Some(data), ..event };
            let written = desk.vault.writer.run(move |store| store.record(vec![event])).await;
            written.map_err(|error| format!("the event of it could not be written: {error:?}"))?;
            Ok(Response::Done)
        }
    }
}
