//! Commands about a copy of all that is kept.

use std::time::Duration;

use tokio::time::timeout;

use super::Desk;
use crate::ipc::admin::Response;
use crate::ipc::admin::backup::{self, Command};
use crate::ipc::channel::Sender;
use crate::vault::backup::Backup;
use crate::vault::control;

/// How often whoever waits for a copy hears that it is being made.
const SIGN: Duration = Duration::from_secs(2);

/// `held` is the copy that this connection is being given.
///
/// Errors: why it was refused, in words.
pub async fn perform(
    desk: &Desk,
    command: Command,
    actor: &str,
    held: &mut Option<Backup>,
    parts: &Sender<Response>,
) -> Result<Response, String> {
    match command {
        Command::Begin => {
            *held = None;
            control::settle(&desk.sealing, &desk.publisher).await?;
            let pause = desk.publisher.pause().await?;
            let mut making = std::pin::pin!(Backup::make(&desk.vault, pause, actor));
            let made = loop {
                match timeout(SIGN, &mut making).await {
                    Ok(made) => break made?,
                    Err(_) => say(parts, backup::Response::Working).await?,
                }
            };
            say(parts, backup::Response::Ready(made.contents())).await?;
            *held = Some(made);
            Ok(Response::Done)
        }
        Command::Next => {
            let copy = held.as_mut().ok_or("no copy was made on this connection")?;
            let mut window = Vec::new();
            let ended = copy.next(&desk.vault, &mut window).await?;
            for part in window {
                say(parts, part).await?;
            }
            if ended {
                *held = None;
            }
            Ok(Response::Done)
        }
    }
}

async fn say(parts: &Sender<Response>, part: backup::Response) -> Result<(), String> {
    parts.send(Response::Backup(part)).await.map_err(|_| "whoever asked is gone".to_owned())
}
