//! Requests whose signature is all that says who they are from: counted as logins that fail until they were found to be signed.
//!
//! Where the network is known and is no home of the hook, that is asked before anything is looked at. Where it is one, or where no
//! address tells strangers apart (behind a proxy), the signature is looked at first: strangers who post through the same provider or
//! proxy would lock it out otherwise, and a key of 24 octets at least is not guessed.

use std::net::IpAddr;
use std::rc::Rc;

use uuid::Uuid;

use super::failures::Attempt;
use super::{Login, guard};
use crate::config::slice::Counter;
use crate::ipc::hook::Verdict;
use crate::ipc::session::Denial;
use crate::policy::mechanism::Mechanism;
use crate::secret::Secret;
use crate::vault::Vault;
use crate::vault::audit::event::{Event, Name, Outcome};
use crate::vault::limits::denial::By;
use crate::vault::telling::tell;

/// The word for it in the log, whatever was wrong.
const REASON: &str = "hook-not-signed";

/// Who posts.
pub struct Poster {
    login: Login,
    /// The hook, where there is one of that name.
    hook: Option<String>,
}

impl Poster {
    pub fn new(whence: (Uuid, IpAddr, Rc<Counter>), given: &str, hook: Option<&str>) -> Self {
        let (session, address, listener) = whence;
        // No credential's name has a slash.
        let (user, password) = (format!("/hooks/{given}"), Secret::default());
        let login = Login { session, address, listener, mechanism: Mechanism::Bearer, user, password, tls: None };
        Self { login, hook: hook.map(str::to_owned) }
    }
}

/// Counts it, where that comes first. Errors: what is answered without a look.
pub async fn begin(vault: &Vault, poster: &Poster) -> Result<Option<Attempt>, Verdict> {
    if guard::is_at_home(vault, &poster.login) || !poster.login.listener.knows_addresses() {
        return Ok(None);
    }
    guard::begin(vault, &poster.login, None).await.map(Some).map_err(verdict)
}

/// It was not signed.
pub async fn fail(vault: &Vault, poster: &Poster, attempt: Option<Attempt>) -> Verdict {
    let attempt = match attempt {
        Some(attempt) => attempt,
        None => match guard::begin(vault, &poster.login, None).await {
            Ok(attempt) => attempt,
            Err(denial) => return verdict(denial),
        },
    };
    guard::fail(vault, &attempt).await;
    let login = &poster.login;
    let data = serde_json::json!({ "mechanism": "HMAC", "hook": poster.hook });
    let event = Event {
        session: Some(login.session),
        listener: Some(login.listener.name.clone()),
        reason: Some(REASON.to_owned()),
        data: Some(data.to_string()),
        ..Event::new(Name::AuthFailure, Outcome::Failure)
    };
    if tell(vault, event.client(login.address), told_by(vault, login)).await {
        let (listener, client, hook) = (&login.listener.name, login.address, &poster.hook);
        tracing::info!(session = %login.session, listener, %client, hook, reason = REASON, "a request to a hook was not signed");
    }
    Verdict::Unsigned
}

fn told_by(vault: &Vault, login: &Login) -> Option<By> {
    guard::told_by(vault, login, super::reason::Reason::Wrong)
}

/// It was signed: its provider is at home there.
pub async fn welcome(vault: &Vault, poster: &Poster, attempt: Option<Attempt>) {
    if let Some(attempt) = attempt {
        guard::welcome(vault, &poster.login, &attempt).await;
    }
}

const fn verdict(denial: Denial) -> Verdict {
    match denial {
        Denial::Invalid => Verdict::Unsigned,
        Denial::Busy | Denial::Away => Verdict::Busy,
        Denial::Wait(seconds) => Verdict::Wait(seconds),
    }
}
