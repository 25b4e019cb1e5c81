//! Whether a provider takes a key that somebody shows us as a password: it is asked what it would be asked before a first message.

use std::time::Duration;

use std::sync::{Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::access::Access;
use super::rehearsal::{Check, Finding};
use super::{Api, Provider};
use crate::ipc::delivery::Verified;
use crate::secret::Secret;

/// How long it has for all of it. A client waits, and so does the vault, somewhat longer.
const VERIFY: Duration = Duration::from_secs(15);
/// Keys that are verified at a time, beside the messages under way: a login must not wait for those.
/// As many as the vault asks for one credential.
const AT_ONCE: usize = 8;
/// Too many questions: says nothing of the key.
const TOO_MANY: u16 = 429;
/// How long nothing is asked then, where the provider doesn't say, and the longest that it may say: our own mail comes from the same
/// address, and whoever guesses must not be able to keep the provider at it.
const QUIET: Duration = Duration::from_secs(30);
const MAX_QUIET: Duration = Duration::from_secs(300);

/// What there is of it.
pub struct Verifying {
    places: Semaphore,
    /// Until when the provider wants to be asked nothing.
    quiet: Mutex<Option<Instant>>,
}

impl Default for Verifying {
    fn default() -> Self {
        Self { places: Semaphore::new(AT_ONCE), quiet: Mutex::default() }
    }
}

impl Verifying {
    fn is_quiet(&self) -> bool {
        let quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        quiet.is_some_and(|until| Instant::now() < until)
    }

    fn keep_quiet(&self, wait: Option<Duration>) {
        let until = Instant::now() + wait.unwrap_or(QUIET).clamp(QUIET, MAX_QUIET);
        *self.quiet.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }
}

impl Api {
    /// What tells whether somebody's own key is taken, as far as it is one of ours there.
    fn own_checks(&self, path: &str) -> Vec<Check> {
        match self {
            Self::Cloudflare(cloudflare) => cloudflare.own_checks(path),
            Self::Webhook(_) | Self::Bytesend(_) => self.checks(path),
        }
    }
}

impl Provider {
    /// Asks with this key. No word of the provider's is in the answer, which may have quoted it.
    pub async fn verify(&self, key: &Secret<String>) -> Verified {
        let Ok(access) = Access::new(&self.settings, Some(key)) else { return Verified::Refused };
        let until = Instant::now() + VERIFY;
        let Ok(Ok(_permit)) = timeout_at(until, self.verifying.places.acquire()).await else {
            return Verified::Unknown("too many keys are being verified".to_owned());
        };
        if self.verifying.is_quiet() {
            return Verified::Unknown(self.named("it was asked too often, and is left alone for a while"));
        }
        let mut open = None;
        let checks = access.api().own_checks(&self.settings.path);
        if checks.is_empty() {
            open = Some("its API has no question that tells".to_owned());
        }
        for check in checks {
            let (named, is_optional) = (check.named(), check.is_optional());
            let asked = async { self.ask(self.connect().await?.0, check, access.secrets()).await };
            match timeout_at(until, asked).await {
                Err(_) => return Verified::Unknown(self.named(&format!("not done within {} s", VERIFY.as_secs()))),
                Ok(Err(reason)) => open = Some(self.named(&format!("{named}: {reason}"))),
                Ok(Ok(reply)) => match access.api().finding(&reply, is_optional) {
                    Finding::Taken => return Verified::Taken,
                    _ if reply.status == TOO_MANY => {
                        self.verifying.keep_quiet(reply.wait);
                        return Verified::Unknown(self.named(&format!("{named}: HTTP {}", reply.status)));
                    }
                    Finding::Refused if is_optional => return Verified::Refused,
                    Finding::Mute | Finding::Unknown if is_optional => {}
                    // Some say so of a key that they don't know.
                    Finding::Mute if reply.status == 403 => {}
                    Finding::Refused => {}
                    Finding::Mute | Finding::Unknown => {
                        open = Some(self.named(&format!("{named}: HTTP {}", reply.status)));
                    }
                },
            }
        }
        open.map_or(Verified::Refused, Verified::Unknown)
    }
}
