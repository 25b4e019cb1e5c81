//! A login whose password is a provider's key (`pass_through`): the provider says whether it is one. It is kept in the session's
//! memory alone, for what that sends; of one that was taken a keyed hash is remembered for a while, as of every password.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::credentials::{Credential, Known, Passed};
use super::reason::Reason;
use super::{Gone, Login, certificate, data, describe, fail, guard, way};
use crate::ipc::delivery::Verified;
use crate::ipc::session::Denial;
use crate::vault::Vault;
use crate::vault::audit::event::{Event, Name, Outcome};
use crate::vault::audit::ledger::now_us;
use crate::vault::delivery::verification::Verification;
use crate::vault::limits::denial::By;
use crate::vault::limits::key::{Key, Tier};
use crate::vault::shares::{Beyond, Share};
use crate::vault::telling::tell;

/// How long the courier has: it asks for less. The edge waits longer.
const ANSWER: Duration = Duration::from_secs(20);
/// Keys of one credential, from one network, and of all, that are verified at a time: each is a connection to the provider, and
/// whoever guesses asks for many.
const OF_ONE: u64 = 8;
const FROM_ONE: u64 = 4;
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
        authority.cache.mark(&credential.id, credential.generation, &login.password, Some(login.address))
    };
    let is_remembered = vault.authority.borrow().cache.recall(&mark, Instant::now()).is_some();
    if is_remembered && obstacle(&login, &credential).is_none() && guard::may_recall(vault, &login) {
        let known = known(vault, credential, &login);
        succeed(vault, &login, &known, true).await;
        return Ok(known);
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
    // Whoever has a key of that provider may be anybody, so nobody is at home by it.
    guard::forgive(vault, &attempt).await;
    let known = known(vault, current, &login);
    succeed(vault, &login, &known, false).await;
    Ok(known)
}

fn known(vault: &Vault, credential: Rc<Credential>, login: &Login) -> Known {
    let key = login.password.clone();
    let tag = vault.tagger.tag(key.expose());
    Known { credential, key: None, passed: Some(Rc::new(Passed { key, tag })) }
}

/// Tells of it, with what tells the key from others. Of a remembered one once an hour from each network.
async fn succeed(vault: &Vault, login: &Login, known: &Known, is_remembered: bool) {
    let tag = known.passed.as_ref().map(|passed| passed.tag).unwrap_or_default();
    let event = describe(Event::new(Name::AuthSuccess, Outcome::Success), login, Some(&known.credential));
    let event = Event { data: Some(data(login, Some(tag))), ..event };
    let by = guard::remembered(login, &known.credential);
    let key = Key::new(by.key.tier, format!("{} {tag:04x}", by.key.name));
    tell(vault, event, is_remembered.then_some(By { key, ..by })).await;
}

fn obstacle(login: &Login, credential: &Credential) -> Option<Reason> {
    let obstacles = credential.obstacles(None, way(login), now_us());
    obstacles.into_iter().next().or(certificate::suits(login, credential).err())
}

/// What a question counts as until it is answered.
fn places(vault: &Vault, login: &Login, credential: &Credential) -> Result<Vec<Share>, Beyond> {
    let network = Tier::Address.network(login.address).filter(|_| login.listener.knows_addresses());
    let near = network.map(|network| (format!("{} {network}", credential.id), FROM_ONE));
    let bounds = [(credential.id.clone(), OF_ONE), (String::new(), OF_ALL)].into_iter().chain(near);
    let place = |(of, most): (String, u64)| {
        let mut place = vault.logins.verified.share(&of);
        place.grow(1, most).map(|()| place)
    };
    bounds.map(place).collect()
}

/// Says so in the log, as often as it has lines for it: anybody can bring that about.
fn warn(vault: &Vault, upstream: &str, account: &str, why: &str) {
    let further = {
        let upstream = upstream.to_owned();
        move |logins| {
            tracing::warn!(
                upstream,
                logins,
                "whether the provider takes keys is not known: further logins, not told one by one"
            )
        }
    };
    if vault.logins.unverified.has_line(further) {
        tracing::warn!(upstream, account, why, "whether the provider takes a key is not known");
    }
}

/// Errors: `Wrong`, the provider has no such key; `ProviderAway`, it can't be asked now.
async fn verify(vault: &Vault, login: &Login, credential: &Credential, gone: Gone) -> Result<(), Reason> {
    let upstream = credential.policy.pass_through.as_deref().unwrap_or_default();
    let places = places(vault, login, credential).map_err(|_| Reason::Busy)?;
    let (told, answer) = oneshot::channel();
    let verification = Verification { key: login.password.clone(), told, places };
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
                warn(vault, upstream, &credential.id, &why);
                Err(Reason::ProviderAway)
            }
        },
        _ = gone => Err(Reason::Gone),
    }
}
