//! Who somebody is: one login, from the question to the answer.

pub mod cache;
mod certificate;
pub mod credentials;
pub mod exchange;
pub mod exchanges;
pub mod expiry;
pub mod failures;
mod guard;
pub mod hashing;
pub mod homes;
pub mod key;
pub mod line;
pub mod pace;
mod passed;
pub mod pool;
pub mod posted;
pub mod proof;
pub mod reason;
pub mod scram;
pub mod strength;
pub mod tag;

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::time::sleep;
use uuid::Uuid;

use super::Vault;
use super::audit::event::{Event, Field, Name, Outcome};
use super::audit::ledger::now_us;
use super::audit::mask;
use super::limits::denial::By;
use super::telling::{count, tell};
use super::visitor::whereabouts;
use crate::config::slice::{Counter, Protocol};
use crate::ipc::session::{Denial, Tls};
use crate::policy::mechanism::Mechanism;
use crate::policy::scope::Scope;
use crate::secret::Secret;
use credentials::{Candidates, Credential, Known, Way};
use failures::Attempt;
use line::Claim;
use reason::Reason;

/// Logins of one credential with the right tag that may wait before others: its owner's workers that start at once. Whoever has a
/// key could ask for any number from any number of places.
const TAGGED: u64 = 4;

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

/// Resolves when whoever asked is gone.
pub type Gone = oneshot::Receiver<()>;

/// Decides a login. A password that was verified lately is answered without waiting for anything; every other one costs
/// the same work, or as much time, whether the name is known or not.
pub async fn decide(vault: &Vault, login: Login, gone: Gone) -> Result<Known, Denial> {
    // A password that comes as if it were proven is none.
    let unproven = login.mechanism.is_scram().then_some(Reason::Wrong);
    if let Some(reason) = unfit(&login).or(unproven) {
        // Nothing is checked, but it is written down: that counts too.
        let attempt = guard::begin(vault, &login, None).await?;
        return Err(fail(vault, &login, &attempt, None, reason).await);
    }
    if login.mechanism == Mechanism::External {
        return certificate::decide(vault, login).await;
    }
    if let Some(owner) = passed::owner(vault, &login) {
        return passed::decide(vault, login, owner, gone).await;
    }
    if let Some(known) = remembered(vault, &login) {
        succeed(vault, &login, &known.credential, Some(guard::remembered(&login, &known.credential))).await;
        return Ok(known);
    }
    let candidates = {
        let authority = vault.authority.borrow();
        let password = login.password.expose();
        authority.credentials.candidates(login.mechanism, &login.user, password, &vault.tagger, &vault.dummy)
    };
    let credential = candidates.as_ref().and_then(|candidates| candidates.credential.clone());
    let attempt = guard::begin(vault, &login, credential.as_deref()).await?;
    let Some(candidates) = candidates else {
        return Err(fail(vault, &login, &attempt, None, Reason::NotAKey).await);
    };
    let known = credential.as_deref();
    // Given back when it was checked.
    let mut place = vault.logins.tagged.share(credential.as_deref().map_or("", |credential| &credential.id));
    let claim = match &credential {
        _ if attempt.claim == Claim::Known || !candidates.is_tagged => attempt.claim,
        // As long as it may come in, and some others of the same credential don't wait already.
        Some(known) if known.obstacles(None, way(&login), now_us()).is_empty() && place.grow(1, TAGGED).is_ok() => {
            Claim::Tagged
        }
        _ => attempt.claim,
    };
    let checked = check(vault, claim, &login.password, &candidates, gone).await;
    let (key, credential) = match (checked, &credential) {
        (Ok(Some(key)), Some(credential)) if is_named(&login, credential) => (key, credential),
        (Ok(_), ..) => return Err(fail(vault, &login, &attempt, known, Reason::Wrong).await),
        (Err(reason), ..) => return Err(fail(vault, &login, &attempt, known, reason).await),
    };
    let current = match admit(vault, &login, credential, key) {
        Ok(current) => current,
        Err(reason) => return Err(fail(vault, &login, &attempt, known, reason).await),
    };
    {
        let cache = &mut vault.authority.borrow_mut().cache;
        let from = current.known_from(login.address);
        let mark = cache.mark(&current.id, current.generation, &login.password, from);
        cache.learn(mark, key, Instant::now());
    }
    guard::welcome(vault, &login, &attempt).await;
    succeed(vault, &login, &current, None).await;
    Ok(Known::by(current, Some(key)))
}

/// Whoever has shown this secret of a credential is let in, or why not. It may have been changed or revoked meanwhile.
fn admit(vault: &Vault, login: &Login, credential: &Credential, key: u64) -> Result<Rc<Credential>, Reason> {
    let authority = vault.authority.borrow();
    let current = authority.credentials.get(&credential.id).ok_or(Reason::Changed)?;
    if current.generation != credential.generation {
        return Err(Reason::Changed);
    }
    current.admits(key, way(login), now_us()).and_then(|()| certificate::suits(login, current))?;
    Ok(Rc::clone(current))
}

/// As `decide`, where there is nothing to wait for: the password was verified lately from there, and that is no news for the
/// log. None: it is to be decided.
pub fn recall(vault: &Vault, login: &Login) -> Option<Known> {
    let sayable = unfit(login).is_none() && !login.mechanism.is_scram();
    let known = sayable.then(|| remembered(vault, login)).flatten()?;
    count(vault, &guard::remembered(login, &known.credential)).then_some(known)
}

/// Who it is, when the password was verified lately and nothing is in the way. Where anything is, the answer takes as long as
/// any refusal.
fn remembered(vault: &Vault, login: &Login) -> Option<Known> {
    let known = {
        let authority = vault.authority.borrow();
        let credential = authority.credentials.owner(login.mechanism, &login.user, login.password.expose())?;
        is_named(login, credential).then_some(())?;
        let from = credential.known_from(login.address);
        let mark = authority.cache.mark(&credential.id, credential.generation, &login.password, from);
        let key = authority.cache.recall(&mark, Instant::now())?;
        credential.admits(key, way(login), now_us()).ok()?;
        certificate::suits(login, credential).ok()?;
        Known::by(Rc::clone(credential), Some(key))
    };
    guard::may_recall(vault, login).then_some(known)
}

fn way(login: &Login) -> Way {
    // What a key is good for over HTTP is asked request by request.
    let scopes = (login.listener.protocol == Protocol::Smtp).then_some(Scope::OF_SMTP);
    Way { address: Some(whereabouts(&login.listener, login.address)), scopes }
}

/// Which of the credential's secrets the password is. What is wrong by its tag takes as long as what must be hashed.
async fn check(
    vault: &Vault,
    claim: Claim,
    password: &Secret<String>,
    candidates: &Candidates,
    gone: Gone,
) -> Result<Option<u64>, Reason> {
    let Some(hashes) = candidates.hashes() else {
        let wait = vault.hashers.pace.draw(claim);
        return tokio::select! {
            () = sleep(wait) => Ok(None),
            _ = gone => Err(Reason::Gone),
        };
    };
    let pending = vault.hashers.verify(claim, password.clone(), hashes).map_err(|_| Reason::Busy)?;
    tokio::select! {
        found = pending.answer() => match found {
            Ok(found) => Ok(found.and_then(|found| candidates.key(found))),
            Err(_) => Err(Reason::Busy),
        },
        _ = gone => Err(Reason::Gone),
    }
}

/// A bearer need not say who it is, and may say nothing else.
fn is_named(login: &Login, credential: &Credential) -> bool {
    login.user == credential.id || login.mechanism.is_bearer() && login.user.is_empty()
}

/// Why a login can't be right, whoever it is.
fn unfit(login: &Login) -> Option<Reason> {
    if login.listener.identify_by_network {
        return Some(Reason::WrongListener);
    }
    if login.tls.is_none() && !login.listener.plain_login {
        return Some(Reason::NoTls);
    }
    (!login.listener.mechanisms.contains(&login.mechanism)).then_some(Reason::Mechanism)
}

async fn succeed(vault: &Vault, login: &Login, credential: &Credential, by: Option<By>) {
    let event = describe(Event::new(Name::AuthSuccess, Outcome::Success), login, Some(credential));
    tell(vault, event, by).await;
}

/// It is no login. What nobody looked at has not failed.
async fn fail(vault: &Vault, login: &Login, attempt: &Attempt, owner: Option<&Credential>, reason: Reason) -> Denial {
    let denial = match reason {
        Reason::Busy => Denial::Busy,
        Reason::ProviderAway => Denial::Away,
        _ => Denial::Invalid,
    };
    match denial {
        Denial::Invalid => guard::fail(vault, attempt).await,
        _ => guard::take_back(vault, attempt),
    }
    tell_failure(vault, login, owner, reason).await;
    denial
}

async fn tell_failure(vault: &Vault, login: &Login, owner: Option<&Credential>, reason: Reason) {
    let by = guard::told_by(vault, login, reason);
    tell_failure_by(vault, login, owner, reason, by).await;
}

async fn tell_failure_by(vault: &Vault, login: &Login, owner: Option<&Credential>, reason: Reason, by: Option<By>) {
    let claimed = vault.authority.borrow().credentials.get(&login.user).cloned();
    let known = owner.or(claimed.as_deref());
    let event = Event { reason: Some(reason.word().into()), ..Event::new(Name::AuthFailure, Outcome::Failure) };
    if tell(vault, describe(event, login, known), by).await {
        // A name that nobody has may be a password: the audit log has it masked.
        let account = known.map(|credential| credential.id.as_str());
        tracing::info!(
            session = %login.session, listener = login.listener.name, client = %login.address, account,
            mechanism = login.mechanism.name(), reason = reason.word(), "a login failed"
        );
    }
}

/// By what, and with what: the certificate that was shown, and of a provider's key its tag.
fn data(login: &Login, tag: Option<u16>) -> String {
    let shown = certificate::presented(login).map(|shown| format!(",\"certificate\":\"{shown}\"")).unwrap_or_default();
    let tag = tag.map(|tag| format!(",\"key\":\"{tag:04x}\"")).unwrap_or_default();
    format!("{{\"mechanism\":\"{}\"{shown}{tag}}}", login.mechanism.name())
}

fn describe(event: Event, login: &Login, credential: Option<&Credential>) -> Event {
    let event = Event {
        session: Some(login.session),
        listener: Some(login.listener.name.clone()),
        tls: login.tls.as_ref().map(|tls| tls.version.clone()),
        data: Some(data(login, None)),
        ..event
    };
    let event = match credential {
        Some(credential) => event.with(Field::Account, credential.id.clone()),
        None if login.user.is_empty() => event,
        None => event.with(Field::AuthUser, mask::unknown_name(&login.user)),
    };
    event.client(login.address)
}
