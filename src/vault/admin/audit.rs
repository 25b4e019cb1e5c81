//! Commands about the audit log.

use super::Desk;
use crate::ipc::admin::Response;
use crate::ipc::admin::audit::{self, Command};
use crate::vault::control;

/// Errors: why it was refused, in words.
pub async fn perform(desk: &Desk, command: Command) -> Result<Response, String> {
    match command {
        Command::Publish => {
            // Counted first: what comes meanwhile is not what was asked for.
            let events = desk.vault.writer.size();
            let size = control::settle(&desk.sealing, &desk.publisher).await?;
            Ok(Response::Audit(audit::Response::Published { size, events }))
        }
    }
}
