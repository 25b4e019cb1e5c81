//! Who somebody is: one login, from the question to the answer.

pub mod cache;
pub mod credentials;
pub mod failures;
mod guard;
pub mod hashing;
pub mod homes;
pub mod key;

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use uuid::Uuid;

use super::Vault;
use super::audit::event::{Event, Field, Name, Outcome};
use super::audit::mask;
use crate::config::slice::Counter;
use crate::ipc::session::{Denial, Mechanism, Tls};
use crate::secret::Secret;
use credentials::Credential;

/// One login as it was asked.
pub struct Login {
    pub session: Uuid,
    pub address: IpAddr,
    pub listener: Rc<Counter>,
    pub mechanism: Mechanism,
    pub user: String,
    pub password: Secret<String>,
    pub tls: Option<Tls>,
}

/// Why a login failed, for the audit log alone: outside, all but busy and locked are one answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    WrongListener,
    NoTls,
    NotAKey,
    Wrong,
    Changed,
    Busy,
}

impl Reason {
    const fn word(self) -> &'static str {
        match self {
            Self::WrongListener => "listener-identifies-by-network",
            Self::NoTls => "no-tls",
            Self::NotAKey => "not-a-key",
            Self::Wrong => "wrong-name-or-password",
            Self::Changed => "credential-changed",
            Self::Busy => "busy",
        }
    }
}

/// Decides a login. A password that was verified lately is answered without waiting for anything; every other one costs
/// the same work, whether the name is known or not.
pub async fn decide(vault: &Vault, login: Login) -> Result<Rc<Credential>, Denial> {
    if let Some(reason) = unfit(&login) {
        // Nothing is checked, but it is written down: that counts too.
        guard::begin(vault, &login, None).await?;
        return Err(fail(vault, &login, reason).await);
    }
    let now = Instant::now();
    let candidates = {
        let authority = vault.authority.borrow();
        let password = login.password.expose();
        authority.credentials.candidates(login.mechanism, &login.user, password, &vault.dummy)
    };
    let credential = candidates.as_ref().and_then(|candidates| candidates.credential.clone());
    let mark = credential.as_ref().map(|credential| {
        let authority = vault.authority.borrow();
        authority.cache.mark(&credential.id, credential.generation, &login.password, login.address)
    });
    if let (Some(mark), Some(credential)) = (&mark, &credential)
        && vault.authority.borrow().cache.knows(mark, now)
        && guard::may_recall(vault, &login)
    {
        succeed(vault, &login, credential).await;
        return Ok(Rc::clone(credential));
    }
    let (attempt, written) = guard::begin(vault, &login, credential.as_deref()).await?;
    let Some(candidates) = candidates else {
        return Err(fail(vault, &login, Reason::NotAKey).await);
    };
    let Ok(answer) = vault.hashers.verify(login.password.clone(), candidates.phcs) else {
        guard::forgive(vault, &attempt).await;
        return Err(fail(vault, &login, Reason::Busy).await);
    };
    let fits = matches!(answer.await, Ok(Some(_)));
    // Nobody learns of a guess that the disk knows nothing of. A full disk is no reason to let nobody in.
    if let Some(written) = written {
        let _ = written.answer().await;
    }
    let (true, Some(credential), Some(mark)) = (fits, credential, mark) else {
        return Err(fail(vault, &login, Reason::Wrong).await);
    };
    // It may have been changed or revoked while the password was being hashed.
    let current = vault.authority.borrow().credentials.get(&credential.id).cloned();
    let Some(current) = current.filter(|current| current.generation == credential.generation) else {
        return Err(fail(vault, &login, Reason::Changed).await);
    };
    vault.authority.borrow_mut().cache.learn(mark, Instant::now());
    guard::welcome(vault, &login, &attempt).await;
    succeed(vault, &login, &current).await;
    Ok(current)
}

/// Why a login can't be right, whoever it is.
fn unfit(login: &Login) -> Option<Reason> {
    if login.listener.identify_by_network {
        return Some(Reason::WrongListener);
    }
    (login.tls.is_none() && !login.listener.plain_login).then_some(Reason::NoTls)
}

async fn succeed(vault: &Vault, login: &Login, credential: &Credential) {
    let event = describe(Event::new(Name::AuthSuccess, Outcome::Success), login, Some(credential));
    vault.writer.record(vec![event]).await;
}

async fn fail(vault: &Vault, login: &Login, reason: Reason) -> Denial {
    let known = vault.authority.borrow().credentials.get(&login.user).cloned();
    let event = Event { reason: Some(reason.word().into()), ..Event::new(Name::AuthFailure, Outcome::Failure) };
    vault.writer.record(vec![describe(event, login, known.as_deref())]).await;
    tracing::info!(session = %login.session, reason = reason.word(), "a login failed");
    if reason == Reason::Busy { Denial::Busy } else { Denial::Invalid }
}

fn describe(event: Event, login: &Login, credential: Option<&Credential>) -> Event {
    let event = Event {
        session: Some(login.session),
        listener: Some(login.listener.name.clone()),
        tls: login.tls.as_ref().map(|tls| tls.version.clone()),
        data: Some(format!("{{\"mechanism\":\"{}\"}}", login.mechanism.name())),
        ..event
    };
    let event = match credential {
        Some(credential) => event.with(Field::Account, credential.id.clone()),
        None if login.user.is_empty() => event,
        None => event.with(Field::AuthUser, mask::unknown_name(&login.user)),
    };
    event.client(login.address)
}
