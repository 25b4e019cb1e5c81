//! Failed logins around one login: it counts as failed before anything is looked at, and no more once it was right.

use super::failures::{Attempt, From, Locked, Mercy};
use super::homes::Home;
use super::reason::Reason;
use super::{Credential, Login, describe, key, tell_failure_by};
use crate::ipc::session::Denial;
use crate::vault::Vault;
use crate::vault::audit::event::{Event, Name, Outcome};
use crate::vault::limits::denial::By;
use crate::vault::limits::key::{Key, Tier};
use crate::vault::limits::notices::REMEMBERED;
use crate::vault::limits::rate::HOUR_US;
use crate::vault::store::consumption::Bucket;
use crate::vault::store::writer::NotStored;
use crate::vault::telling::tell;

/// Logins by SCRAM that may have begun from one address at a time: each waits for its client to derive its keys. Where a
/// credential is at home its own have more, which nobody else's take from it.
const EXCHANGES: usize = 50;
const EXCHANGES_AT_HOME: usize = 200;

/// Who tries to log in from where.
fn from(login: &Login) -> From<'_> {
    let name = match login.mechanism.is_bearer() {
        true => key::id(login.password.expose()).unwrap_or(&login.user),
        false => &login.user,
    };
    From { address: login.listener.knows_addresses().then_some(login.address), name }
}

/// Counts a login as failed, before anything is hashed.
pub async fn begin(vault: &Vault, login: &Login, credential: Option<&Credential>) -> Result<Attempt, Denial> {
    match count(vault, login) {
        Ok(attempt) => Ok(attempt),
        Err(locked) if locked.is_crowd => {
            let by = By { limit: "logins_at_once", ..locked.by };
            tell_failure_by(vault, login, credential, Reason::Busy, Some(by)).await;
            Err(Denial::Busy)
        }
        Err(locked) => Err(refuse(vault, login, credential, locked).await),
    }
}

/// Whether a login would be refused for those that have failed, where there is nothing to look at yet. Nothing is counted.
pub async fn look(vault: &Vault, login: &Login, credential: Option<&Credential>) -> Result<(), Denial> {
    match count(vault, login) {
        Ok(attempt) => {
            take_back(vault, &attempt);
            Ok(())
        }
        Err(locked) if locked.is_crowd => Ok(()),
        Err(locked) => Err(refuse(vault, login, credential, locked).await),
    }
}

fn count(vault: &Vault, login: &Login) -> Result<Attempt, Locked> {
    let mut authority = vault.authority.borrow_mut();
    let now = authority.clock.now();
    let rules = authority.slice.limits.failed_logins;
    authority.failures.begin(from(login), &rules, now)
}

async fn refuse(vault: &Vault, login: &Login, credential: Option<&Credential>, locked: Locked) -> Denial {
    let event = Event { reason: Some("too-many-failures".into()), ..Event::new(Name::AuthLocked, Outcome::Denied) };
    let (tier, window) = (locked.by.key.tier.word(), locked.by.limit);
    if tell(vault, describe(event, login, credential), Some(locked.by)).await {
        let account = credential.map(|credential| credential.id.as_str());
        tracing::info!(
            session = %login.session, listener = login.listener.name, client = %login.address, account, tier, window,
            seconds = locked.wait, "logins are refused for a while: too many have failed"
        );
    }
    Denial::Wait(locked.wait)
}

/// Where a login by SCRAM counts while it goes on, and how many may there at once before the oldest ends. Who is at home counts by itself, and so does each
/// name that comes through a proxy, behind which no address says anything.
pub fn exchanges(vault: &Vault, login: &Login) -> (String, usize) {
    let authority = vault.authority.borrow();
    let (now, from) = (authority.clock.now(), from(login));
    match from.address.and_then(|address| Tier::Address.network(address)) {
        Some(place) if !authority.failures.is_at_home(from, now) => (place.to_string(), EXCHANGES),
        Some(place) => (format!("{place} {}", from.name), EXCHANGES_AT_HOME),
        None => (format!("{} {}", login.listener.name, from.name), EXCHANGES_AT_HOME),
    }
}

/// It was wrong, or came to nothing. Nobody learns of a guess that the disk knows nothing of. A full disk is no reason to let nobody in.
pub async fn fail(vault: &Vault, attempt: &Attempt) {
    let ahead = vault.authority.borrow_mut().failures.fail(attempt);
    if !ahead.is_empty() {
        let _ = keep(vault, ahead, None, Vec::new()).await;
    }
}

/// Whether whoever that is has logged in rightly from that address lately.
pub fn is_at_home(vault: &Vault, login: &Login) -> bool {
    let authority = vault.authority.borrow();
    let now = authority.clock.now();
    authority.failures.is_at_home(from(login), now)
}

/// Whether a password may be compared with those that were right lately: not by who was refused too often for guessing.
pub fn may_recall(vault: &Vault, login: &Login) -> bool {
    let mut authority = vault.authority.borrow_mut();
    let now = authority.clock.now();
    authority.failures.may_recall(from(login), now)
}

/// It was not looked at, so it is no failure.
pub fn take_back(vault: &Vault, attempt: &Attempt) {
    let mut authority = vault.authority.borrow_mut();
    let now = authority.clock.now();
    authority.failures.take_back(attempt, now);
}

/// How a failed login is told, where there may be any number of them: those that nobody had the time to look at, and those
/// through a proxy, which no address tells apart.
pub fn told_by(vault: &Vault, login: &Login, reason: Reason) -> Option<By> {
    let mut authority = vault.authority.borrow_mut();
    let now = authority.clock.now();
    let rules = authority.slice.limits.failed_logins;
    let [seconds, _] = rules.windows;
    let window_us = u64::from(seconds) * 1_000_000;
    match reason {
        Reason::Busy => return Some(By { key: Key::new(Tier::Global, ""), limit: "hash_queue", window_us }),
        Reason::ProviderAway => {
            return Some(By { key: Key::new(Tier::Global, ""), limit: "provider_away", window_us });
        }
        Reason::Exchanges => {
            let place = Tier::Address.network(login.address).map(|network| network.to_string()).unwrap_or_default();
            return Some(By { key: Key::new(Tier::Address, place), limit: "scram_exchanges", window_us });
        }
        _ => {}
    }
    let listener = &login.listener;
    let many = !listener.knows_addresses() && !authority.failures.is_told(&listener.name, &rules, now);
    many.then(|| By { key: Key::new(Tier::Global, listener.name.as_str()), limit: "failed_logins", window_us })
}

/// How a login with a remembered password is told: once an hour from each address.
pub fn remembered(login: &Login, credential: &Credential) -> By {
    let place = Tier::Address.network(login.address).map(|network| network.to_string()).unwrap_or_default();
    let key = Key::new(Tier::Credential, format!("{} {place}", credential.id));
    By { key, limit: REMEMBERED, window_us: HOUR_US }
}

/// It was right: who logs in is at home where it did.
pub async fn welcome(vault: &Vault, login: &Login, attempt: &Attempt) {
    let mercy = {
        let mut authority = vault.authority.borrow_mut();
        let now = authority.clock.now();
        let mercy = authority.failures.forgive(attempt, now);
        let home = authority.failures.remember(from(login), now);
        Mercy { home, left: authority.failures.homes.left(), ..mercy }
    };
    write(vault, mercy).await;
}

/// It was right, of a credential that nobody is at home by.
pub async fn forgive(vault: &Vault, attempt: &Attempt) {
    let mercy = {
        let mut authority = vault.authority.borrow_mut();
        let now = authority.clock.now();
        authority.failures.forgive(attempt, now)
    };
    write(vault, mercy).await;
}

/// Waited for: who logs in right, and right before a kill, again and again, must not be taken for a guesser.
async fn write(vault: &Vault, Mercy { exact, home, left }: Mercy) {
    if exact.is_empty() && home.is_none() {
        return;
    }
    // On a full disk nobody is kept out; until there is room, it has more than failed.
    let _ = keep(vault, exact, home, left).await;
}

/// Writes buckets down, and by which time.
async fn keep(vault: &Vault, buckets: Vec<Bucket>, home: Option<Home>, left: Vec<String>) -> Result<(), NotStored> {
    let now_us = vault.authority.borrow().clock.now().us;
    let kept = vault.writer.run(move |store| {
        store.consumption.keep(&buckets)?;
        store.consumption.stamp(now_us)?;
        left.iter().try_for_each(|alias| store.consumption.forget_home(alias))?;
        home.iter().try_for_each(|home| store.consumption.keep_home(home))
    });
    kept.await
}
