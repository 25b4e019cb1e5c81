//! Mail that would wait for longer than it lives is refused while its sender can still be told: routes whose upstreams have a
//! pace, and more that waits than it lets through in time.

use std::collections::HashSet;
use std::time::Instant;

use crate::mail::address::{Address, ReversePath};
use crate::policy::refusal::Refusal;
use crate::policy::route::{self, BackedUp, Route};
use crate::vault::Vault;
use crate::vault::limits::denial::Denied;
use crate::vault::login::credentials::Credential;

/// What an edge is told of at most; the rest is refused at the dot.
const MOST: usize = 256;

/// The routes of a credential that a message which begins now must not take.
pub fn routes(vault: &Vault, credential: &Credential) -> Vec<BackedUp> {
    if !vault.schedule.borrow().has_paces() {
        return Vec::new();
    }
    if credential.policy.test {
        return Vec::new();
    }
    let authority = vault.authority.borrow();
    let mut seen = HashSet::new();
    let own = authority.slice.routes.iter().filter(|route| route.can_apply_to(&credential.id));
    let distinct = own.filter(|route| seen.insert(&route.via));
    let backed_up = distinct
        .filter_map(|route| Some(BackedUp { via: route.via.clone(), seconds: jam(vault, credential, route)?.seconds }));
    backed_up.take(MOST).collect()
}

/// A route that too much waits for.
struct Jam {
    seconds: u32,
    /// The upstream that it waits for.
    upstream: String,
}

/// At MAIL: whether copies of each message, whatever it names, are to go by such a route, or have none, which is for whoever runs
/// the gate to mend. They would be refused at the dot, each time that the sender comes again with the whole.
///
/// Errors: they are, or have none.
pub fn copies(vault: &Vault, credential: &Credential, sender: &ReversePath) -> Result<(), Denied> {
    if credential.policy.test {
        return Ok(());
    }
    let has_route = |to| route::find(&vault.authority.borrow().slice.routes, &credential.id, sender, to).is_some();
    if !credential.policy.copies(std::iter::empty()).all(has_route) {
        return Err(Refusal::CopyNoRoute.into());
    }
    decide(vault, credential, sender, credential.policy.copies(std::iter::empty()))
}

/// The same of a message that is whole, and of all to whom it goes.
///
/// Errors: one of them is behind such a route.
pub fn check(
    vault: &Vault,
    credential: &Credential,
    sender: &ReversePath,
    recipients: &[Address],
) -> Result<(), Denied> {
    let policy = &credential.policy;
    let named = recipients.iter().map(|to| policy.redirect.as_ref().unwrap_or(to));
    decide(vault, credential, sender, named.chain(policy.copies(recipients.iter())))
}

fn decide<'a>(
    vault: &Vault,
    credential: &Credential,
    sender: &ReversePath,
    all: impl Iterator<Item = &'a Address>,
) -> Result<(), Denied> {
    if !vault.schedule.borrow().has_paces() {
        return Ok(());
    }
    let authority = vault.authority.borrow();
    let mut seen = HashSet::new();
    let routes = all.filter_map(|to| route::find(&authority.slice.routes, &credential.id, sender, to));
    let jams = routes.filter(|route| seen.insert(&route.via)).filter_map(|route| jam(vault, credential, route));
    match jams.max_by_key(|jam| jam.seconds) {
        Some(Jam { seconds, upstream }) => {
            Err(Denied { upstream: Some(upstream), ..Denied::from(Refusal::BackedUp(seconds)) })
        }
        None => Ok(()),
    }
}

/// Whether too much waits for a route, and for how many seconds its sender is to wait.
fn jam(vault: &Vault, credential: &Credential, route: &Route) -> Option<Jam> {
    let authority = vault.authority.borrow();
    let names = route.via.iter().filter_map(|number| authority.slice.upstreams.get(usize::from(*number)));
    let via: Vec<&str> = names.map(String::as_str).collect();
    let lifetime = authority.lifetime(&credential.policy);
    let seconds = vault.schedule.borrow().is_backed_up(&via, &credential.id, lifetime, Instant::now())?;
    Some(Jam { seconds, upstream: via.first().map_or_else(String::new, |name| (*name).to_owned()) })
}
