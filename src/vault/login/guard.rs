//! Failed logins around one login: it counts as failed before anything is looked at, and no more once it was right.

use super::failures::{Attempt, From, Mercy};
use super::homes::Home;
use super::reason::Reason;
use super::{Credential, Login, describe, key, tell_failure};
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
    let begun = {
        let mut authority = vault.authority.borrow_mut();
        let now = authority.clock.now();
        let rules = authority.slice.limits.failed_logins;
        authority.failures.begin(from(login), &rules, now)
    };
    match begun {
        Ok(attempt) => Ok(attempt),
        Err(locked) if locked.is_crowd => {
            tell_failure(vault, login, credential, Reason::Busy).await;
            Err(Denial::Busy)
        }
        Err(locked) => {
            let event =
                Event { reason: Some("too-many-failures".into()), ..Event::new(Name::AuthLocked, Outcome::Denied) };
            tell(vault, describe(event, login, credential), Some(locked.by)).await;
            Err(Denial::Wait(locked.wait))
        }
    }
}

/// It was wrong, or came to nothing. Nobody learns of a guess that the disk knows nothing of. A full disk is no reason to let nobody in.
pub async fn fail(vault: &Vault, attempt: &Attempt) {
    let ahead = vault.authority.borrow_mut().failures.fail(attempt);
    if !ahead.is_empty() {
        let _ = keep(vault, ahead, None, Vec::new()).await;
    }
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
pub fn told_by(vault: &Vault, login: &Login, is_busy: bool) -> Option<By> {
    let mut authority = vault.authority.borrow_mut();
    let now = authority.clock.now();
    let rules = authority.slice.limits.failed_logins;
    let [seconds, _] = rules.windows;
    let window_us = u64::from(seconds) * 1_000_000;
    if is_busy {
        return Some(By { key: Key::new(Tier::Global, ""), limit: "hash_queue", window_us });
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
