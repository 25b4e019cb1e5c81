//! Commands about what waits to be delivered.

use super::Desk;
use crate::ipc::admin::Response;
use crate::ipc::admin::queue::{self, Command};
use crate::ipc::channel::Sender;
use crate::vault::queue::{Order, carry_out};
use crate::vault::rekey;

/// Errors: why it was refused, in words.
pub async fn perform(desk: &Desk, command: Command, actor: &str, parts: &Sender<Response>) -> Result<Response, String> {
    match command {
        Command::Do { deed, which, note } => {
            let order = Order { deed, which, actor: Some(actor.to_owned()), reason: "ordered", note };
            let tell = async |counts| {
                // Whoever asked may be gone; the order is carried out to its end.
                let _ = parts.send(Response::Queue(queue::Response::Counted(counts))).await;
            };
            carry_out(&desk.vault, order, tell).await.map(|_| Response::Done)
        }
        Command::Rekey => {
            let keys = rekey::change(&desk.vault, &desk.parent, actor).await?;
            Ok(Response::Queue(queue::Response::Wrapped { keys }))
        }
    }
}
