//! A login whose password is a provider's key (`pass_through`): the provider says whether it is one. It is kept in the session's
//! memory alone, for what that sends; of one that was taken a keyed hash is remembered for a while, as of every password.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::credentials::{Credential, Known};
use super::reason::Reason;
use super::{Gone, Login, certificate, fail, guard, succeed, way};
use crate::ipc::delivery::Verified;
use crate::ipc::session::Denial;
use crate::vault::Vault;
use crate::vault::audit::ledger::now_us;
use crate::vault::delivery::verification::Verification;

/// How long the courier has: it asks for less. The edge waits longer.
const ANSWER: Duration = Duration::from_secs(20);
/// Keys of one credential, and of all, that are verified at a time: each is a connection to the provider, and whoever guesses asks
/// for many.
const OF_ONE: u64 = 8;
const OF_ALL: u64 = 32;
/// What the cache has in the place of a secret's mark: a key has none of ours.
const NO_MARK: u64 = 0;

/// Whose login it is, where the credential that it names has a provider's keys for passwords.
pub fn owner(vault: &Vault, login: &Login) -> Option<Rc<Credential>> {
    let authority = vault.authority.borrow();
    let named = authority.credentials.get(&login.user)?;
    (named.policy.pass_through.is_some() && !login.mechanism.is_bearer()).then(|| Rc::clone(named))
}

/// Decides it.
pub async fn decide(vault: &Vault, login: Login, credential: Rc<Credential>, gone: Gone) -> Result<Known, Denial> {
    let mark = {
        let authority = vault.authority.borrow();
        authority.cache.mark(&credential.id, credential.generation, &login.password, login.address)
    };
    let is_remembered = vault.authority.borrow().cache.recall(&mark, Instant::now()).is_some();
    if is_remembered && obstacle(&login, &credential).is_none() && guard::may_recall(vault, &login) {
        succeed(vault, &login, &credential, Some(guard::remembered(&login, &credential))).await;
        return Ok(known(credential, &login));
    }
    let attempt = guard::begin(vault, &login, Some(&credential)).await?;
    // Who can't be let in is not asked about.
    let verified = match obstacle(&login, &credential) {
        Some(reason) => Err(reason),
        None => verify(vault, &login, &credential, gone).await,
    };
    // It may have changed while that was asked.
    let current = vault.authority.borrow().credentials.get(&credential.id).cloned();
    let current = current.filter(|current| current.generation == credential.generation).ok_or(Reason::Changed);
    let current = match verified.and(current) {
        Ok(current) => current,
        Err(reason) => return Err(fail(vault, &login, &attempt, Some(&credential), reason).await),
    };
    vault.authority.borrow_mut().cache.learn(mark, NO_MARK, Instant::now());
    guard::welcome(vault, &login, &attempt).await;
    succeed(vault, &login, &current, None).await;
    Ok(known(current, &login))
}

fn known(credential: Rc<Credential>, login: &Login) -> Known {
    Known { credential, key: None, passed: Some(Rc::new(login.password.clone())) }
}

fn obstacle(login: &Login, credential: &Credential) -> Option<Reason> {
    let obstacles = credential.obstacles(None, way(login), now_us());
    obstacles.into_iter().next().or(certificate::suits(login, credential).err())
}

/// Errors: `Wrong`, the provider has no such key; `ProviderAway`, it can't be asked now.
async fn verify(vault: &Vault, login: &Login, credential: &Credential, gone: Gone) -> Result<(), Reason> {
    let upstream = credential.policy.pass_through.as_deref().unwrap_or_default();
    let (mut own, mut all) = (vault.logins.verified.share(&credential.id), vault.logins.verified.share(""));
    own.grow(1, OF_ONE).and_then(|()| all.grow(1, OF_ALL)).map_err(|_| Reason::Busy)?;
    let (told, answer) = oneshot::channel();
    let verification = Verification { key: login.password.clone(), told };
    let is_asked = vault.schedule.borrow_mut().verify(upstream, verification);
    let answer = async {
        match timeout(ANSWER, answer).await {
            Ok(Ok(verified)) if is_asked => verified,
            Ok(_) => Verified::Unknown("its courier is away".to_owned()),
            Err(_) => Verified::Unknown("its courier said nothing in time".to_owned()),
        }
    };
    tokio::select! {
        verified = answer => match verified {
            Verified::Taken => Ok(()),
            Verified::Refused => Err(Reason::Wrong),
            Verified::Unknown(why) => {
                tracing::warn!(upstream, account = credential.id, why, "whether the provider takes a key is not known");
                Err(Reason::ProviderAway)
            }
        },
        _ = gone => Err(Reason::Gone),
    }
}
