//! What can be tried of a provider without a message: the way there, and whether it is who it says.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;

use super::Provider;
use crate::ipc::delivery::Line;

/// How long a place among the connections, and then the connection, is waited for.
const STEP: Duration = Duration::from_secs(50);

impl Provider {
    /// Connects and shakes hands. True when that comes about. Whether the secret is right shows with a message alone: these APIs
    /// have nothing else that they all answer.
    pub async fn rehearse(&self, lines: &UnboundedSender<Line>) -> bool {
        // Who looked on may be gone; this ends by itself.
        let note = |text: &str| drop(lines.send(Line::note(text)));
        let Ok(Ok(_permit)) = timeout(STEP, self.free.acquire()).await else {
            note("all its connections are in use and stayed so: it is at work; ask again later");
            return false;
        };
        let tried = timeout(STEP, self.connect()).await;
        let tried = tried.unwrap_or_else(|_| Err(format!("not done within {} s", STEP.as_secs())));
        match &tried {
            Ok((_, Some(version))) => note(&self.named(&format!("connected by {version}"))),
            Ok((_, None)) => note(&self.named("connected in clear, on this machine")),
            Err(reason) => note(&self.named(reason)),
        }
        if tried.is_ok() {
            note("nothing was asked: whether it takes its secret shows with the first message");
        }
        tried.is_ok()
    }
}
