//! Failed logins around one login: it counts as failed before anything is looked at, and no more once it was right.

use super::failures::{Attempt, From, Mercy};
use super::{Credential, Login, describe, key};
use crate::ipc::session::{Denial, Mechanism};
use crate::vault::Vault;
use crate::vault::audit::event::{Event, Name, Outcome};
use crate::vault::limits::denial::later;
use crate::vault::store::writer::Stored;

/// Who tries to log in from where.
fn from(login: &Login) -> From<'_> {
    let name = match login.mechanism {
        Mechanism::Bearer => key::id(login.password.expose()).unwrap_or_default(),
        Mechanism::Plain | Mechanism::Login => &login.user,
    };
    From { address: (!login.listener.behind_tls_proxy).then_some(login.address), name }
}

/// Counts a login as failed, before anything is hashed; with what is being written of it.
pub async fn begin(
    vault: &Vault,
    login: &Login,
    credential: Option<&Credential>,
) -> Result<(Attempt, Option<Stored<()>>), Denial> {
    let begun = {
        let mut authority = vault.authority.borrow_mut();
        let now = authority.clock.now();
        let rules = authority.slice.limits.failed_logins;
        let begun = authority.failures.begin(from(login), &rules, now);
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

/// Whether a password may be compared with those that were right lately: not by who was refused too often for guessing.
pub fn may_recall(vault: &Vault, login: &Login) -> bool {
    let mut authority = vault.authority.borrow_mut();
    let now = authority.clock.now();
    authority.failures.may_recall(from(login), now)
}

/// It was no failure: what the disk was told ahead is taken back.
pub async fn forgive(vault: &Vault, attempt: &Attempt) {
    let mercy = {
        let mut authority = vault.authority.borrow_mut();
        let now = authority.clock.now();
        authority.failures.forgive(attempt, now)
    };
    write(vault, mercy).await;
}

/// It was right: who logs in is at home where it did.
pub async fn welcome(vault: &Vault, login: &Login, attempt: &Attempt) {
    let mercy = {
        let mut authority = vault.authority.borrow_mut();
        let now = authority.clock.now();
        let mercy = authority.failures.forgive(attempt, now);
        Mercy { home: authority.failures.remember(from(login), now), ..mercy }
    };
    write(vault, mercy).await;
}

/// Waited for: who logs in right, and right before a kill, again and again, must not be taken for a guesser.
async fn write(vault: &Vault, Mercy { exact, home }: Mercy) {
    if exact.is_empty() && home.is_none() {
        return;
    }
    let written = vault.writer.run(move |store| {
        store.consumption.keep(&exact)?;
        home.iter().try_for_each(|home| store.consumption.keep_home(home))
    });
    // On a full disk nobody is kept out; until there is room, it has more than failed.
    let _ = written.await;
}
