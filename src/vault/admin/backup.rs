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
/// How long a window may lie untaken: a slow disk of the one who takes it is no reason to give up, but as long as a copy is
/// there no body leaves the disk.
pub const STALLED: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 300 });

const GIVEN_UP: &str =
    "no copy is kept for this connection (any more): whoever takes a backup must not stop for minutes";

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
            // A file of the log that takes no events is no reason to save no mail.
            let unmoved = control::settle(&desk.sealing, &desk.publisher).await.err();
            let pause = desk.publisher.pause().await?;
            let mut making = std::pin::pin!(Backup::make(&desk.vault, pause, unmoved, actor));
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
            let mut copy = held.take().ok_or(GIVEN_UP)?;
            let mut window = Vec::new();
            let ended = copy.next(&desk.vault, &mut window).await?;
            let all = async {
                for part in window {
                    say(parts, part).await?;
                }
                Ok::<_, String>(())
            };
            timeout(STALLED, all).await.map_err(|_| give_up())??;
            *held = Some(copy).filter(|_| !ended);
            Ok(Response::Done)
        }
    }
}

/// A copy is dropped because nobody takes it.
pub fn give_up() -> String {
    let seconds = STALLED.as_secs();
    tracing::warn!(seconds, "a backup was given up: nothing of it was taken for too long");
    GIVEN_UP.to_owned()
}

async fn say(parts: &Sender<Response>, part: backup::Response) -> Result<(), String> {
    parts.send(Response::Backup(part)).await.map_err(|_| "whoever asked is gone".to_owned())
}
