//! Mail that would wait for longer than it lives is refused while its sender can still be told: routes whose upstreams have a
//! pace, and more that waits than it lets through in time.

use std::collections::HashSet;
use std::time::Instant;

use crate::mail::address::{Address, ReversePath};
use crate::policy::refusal::Refusal;
use crate::policy::route::{self, BackedUp, Route};
use crate::vault::Vault;
use crate::vault::login::credentials::Credential;

/// What an edge is told of at most; the rest is refused at the dot.
const MOST: usize = 256;

/// The routes of a credential that a message which begins now must not take.
pub fn routes(vault: &Vault, credential: &Credential) -> Vec<BackedUp> {
    if !vault.schedule.borrow().has_paces() {
        return Vec::new();
    }
    let authority = vault.authority.borrow();
    let mut seen = HashSet::new();
    let own = authority.slice.routes.iter().filter(|route| route.can_apply_to(&credential.id));
    let distinct = own.filter(|route| seen.insert(&route.via));
    let backed_up = distinct
        .filter_map(|route| Some(BackedUp { via: route.via.clone(), seconds: seconds(vault, credential, route)? }));
    backed_up.take(MOST).collect()
}

/// The same of a message that is whole.
///
/// Errors: one of its recipients is behind such a route.
pub fn check(
    vault: &Vault,
    credential: &Credential,
    sender: &ReversePath,
    recipients: &[Address],
) -> Result<(), Refusal> {
    if !vault.schedule.borrow().has_paces() {
        return Ok(());
    }
    let authority = vault.authority.borrow();
    let mut seen = HashSet::new();
    let policy = &credential.policy;
    let named = recipients.iter().map(|to| policy.redirect.as_ref().unwrap_or(to));
    let all = named.chain(policy.copies(recipients.iter()));
    let routes = all.filter_map(|to| route::find(&authority.slice.routes, &credential.id, sender, to));
    let longest = routes.filter(|route| seen.insert(&route.via)).filter_map(|route| seconds(vault, credential, route));
    longest.max().map_or(Ok(()), |seconds| Err(Refusal::BackedUp(seconds)))
}

/// How many seconds a sender is to wait, when too much waits for a route.
fn seconds(vault: &Vault, credential: &Credential, route: &Route) -> Option<u32> {
    let authority = vault.authority.borrow();
    let names = route.via.iter().filter_map(|number| authority.slice.upstreams.get(usize::from(*number)));
    let via: Vec<&str> = names.map(String::as_str).collect();
    let lifetime = authority.lifetime(&credential.policy);
    vault.schedule.borrow().is_backed_up(&via, &credential.id, lifetime, Instant::now())
}
