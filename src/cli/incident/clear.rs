//! Recipients in full, from the running service, which tells the log who asked for whose.

use std::collections::BTreeMap;
use std::path::Path;

use crate::cli::control::{Line, nobody};
use crate::ipc::admin::queue::listing::Standing;
use crate::ipc::admin::queue::{Command, Response};
use crate::ipc::admin::{Command as Any, Response as Answer};
use crate::mail::id::MessageId;

/// By messages: who they are to, and where each stands.
pub type Recipients = BTreeMap<MessageId, Vec<(String, Standing)>>;

/// Of a message that is forgotten by now there are none.
///
/// Errors: no service can be asked.
pub fn recipients(runtime: &Path, messages: &[MessageId]) -> Result<Recipients, String> {
    let mut line = Line::open(runtime)?
        .ok_or_else(|| format!("--clear: the service does not run ({}): start it, or leave it out", nobody(runtime)))?;
    let mut all = Recipients::new();
    for message in messages {
        let mut own = Vec::new();
        let show = Any::Queue(Command::Show { message: *message, clear: true });
        let asked = line.ask(show, |part| {
            if let Answer::Queue(Response::Stop(stop)) = part {
                own.push((stop.recipient, stop.standing));
            }
            Ok(())
        });
        // It is not known any more.
        if asked.is_ok() && !own.is_empty() {
            all.insert(*message, own);
        }
    }
    Ok(all)
}
