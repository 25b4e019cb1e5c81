//! Who somebody is: one login, from the question to the answer.

pub mod cache;
pub mod credentials;
pub mod failures;
pub mod hashing;
pub mod key;

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use uuid::Uuid;

use super::Vault;
use super::audit::event::{Event, Field, Name, Outcome};
use super::audit::mask;
use super::limits::denial::later;
use super::store::writer::Stored;
use crate::config::slice::Counter;
use crate::ipc::session::{Denial, Mechanism, Tls};
use crate::secret::Secret;
use credentials::Credential;
use failures::{Attempt, From};

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
        begin(vault, &login, None).await?;
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
    {
        succeed(vault, &login, credential).await;
        return Ok(Rc::clone(credential));
    }
    let (attempt, written) = begin(vault, &login, credential.as_deref()).await?;
    let Some(candidates) = candidates else {
        return Err(fail(vault, &login, Reason::NotAKey).await);
    };
    let Ok(answer) = vault.hashers.verify(login.password.clone(), candidates.phcs) else {
        forgive(vault, &attempt).await;
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
    forgive(vault, &attempt).await;
    succeed(vault, &login, &current).await;
    Ok(current)
}

/// Counts a login as failed, before anything is hashed; with what is being written of it.
async fn begin(
    vault: &Vault,
    login: &Login,
    credential: Option<&Credential>,
) -> Result<(Attempt, Option<Stored<()>>), Denial> {
    let begun = {
        let mut authority = vault.authority.borrow_mut();
        let now = authority.clock.now();
        let rules = authority.slice.limits.failed_logins;
        let address = (!login.listener.behind_tls_proxy).then_some(login.address);
        let name = match login.mechanism {
            Mechanism::Bearer => key::id(login.password.expose()).unwrap_or_default(),
            Mechanism::Plain | Mechanism::Login => &login.user,
        };
        let begun = authority.failures.begin(From { address, name }, &rules, now);
        begun.map_err(|locked| {
            let event =
                Event { reason: Some("too-many-failures".into()), ..Event::new(Name::AuthLocked, Outcome::Denied) };
            let told = authority.limits.notices.tell(&locked.by, describe(event, login, credential), now.us);
            (locked.wait, told)
        })
    };
    let mut attempt = match begun {
        Ok(attempt) => attempt,
        Err((wait, (before, event))) => {
            let events: Vec<Event> = before.into_iter().chain(event).collect();
            if !events.is_empty() {
                vault.writer.record(events).await;
            }
            return Err(Denial::Wait(later(wait)));
        }
    };
    let ahead = std::mem::take(&mut attempt.ahead);
    let written = match ahead.is_empty() {
        true => None,
        false => vault.writer.queue(0, move |store| store.consumption.keep(&ahead)).await.ok(),
    };
    Ok((attempt, written))
}

/// It was no failure: what the disk was told ahead is taken back.
async fn forgive(vault: &Vault, attempt: &Attempt) {
    let exact = {
        let mut authority = vault.authority.borrow_mut();
        let now = authority.clock.now();
        authority.failures.forgive(attempt, now)
    };
    if !exact.is_empty() {
        // Waited for: who logs in right and right before a kill, again and again, must not be taken for a guesser.
        let _ = vault.writer.run(move |store| store.consumption.keep(&exact)).await;
    }
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
