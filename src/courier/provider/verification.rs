//! Whether a provider takes a key that somebody shows us as a password: it is asked what it would be asked before a first message.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::access::Access;
use super::rehearsal::Finding;
use super::{Provider, judgement};
use crate::ipc::delivery::Verified;
use crate::secret::Secret;

/// How long it has for all of it. A client waits, and so does the vault, somewhat longer.
const VERIFY: Duration = Duration::from_secs(15);
/// Keys that are verified at a time, beside the messages under way: a login must not wait for those.
pub const AT_ONCE: usize = 2;
/// Too many questions: says nothing of the key.
const TOO_MANY: u16 = 429;

impl Provider {
    /// Asks with this key. No word of the provider's is in the answer, which may have quoted it.
    pub async fn verify(&self, key: &Secret<String>) -> Verified {
        let Ok(access) = Access::new(&self.settings, Some(key)) else { return Verified::Refused };
        let until = Instant::now() + VERIFY;
        let Ok(Ok(_permit)) = timeout_at(until, self.verifying.acquire()).await else {
            return Verified::Unknown("too many keys are being verified".to_owned());
        };
        let mut open = None;
        let checks = access.api().checks(&self.settings.path);
        if checks.is_empty() {
            open = Some("its API has no question that tells".to_owned());
        }
        for check in checks {
            let path = check.path.clone();
            let asked = async { self.ask(self.connect().await?.0, check, access.secrets()).await };
            match timeout_at(until, asked).await {
                Err(_) => return Verified::Unknown(self.named(&format!("not done within {} s", VERIFY.as_secs()))),
                Ok(Err(reason)) => open = Some(self.named(&format!("GET {path}: {reason}"))),
                Ok(Ok(reply)) => match access.api().finding(&reply) {
                    Finding::Taken => return Verified::Taken,
                    // Some say so of a key that they don't know.
                    _ if reply.status == 401 || reply.status == 403 => {}
                    Finding::Refused if reply.status != TOO_MANY => {}
                    _ => open = Some(self.named(&format!("GET {path}: {}", judgement::told(&reply)))),
                },
            }
        }
        open.map_or(Verified::Refused, Verified::Unknown)
    }
}
