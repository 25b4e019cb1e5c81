//! `gatepost status`: what is going on, looked at without taking anything.

use crate::ipc::admin::overview::{Edge, MOST, Overview};
use crate::ipc::allowance::Allowance;
use crate::vault::Vault;
use crate::vault::alerts::expiries;
use crate::vault::authority::Authority;
use crate::vault::limits::origin::Origin;

pub fn look(vault: &Vault) -> Overview {
    let authority = vault.authority.borrow();
    let mut edges = edges(&authority);
    // Of what is used up first, and the same order each time.
    edges.sort_by(|a, b| {
        let rest = |edge: &Edge| u128::from(edge.left) * 1_000_000 / u128::from(edge.quota.max(1));
        (rest(a), &a.credential, a.limit.word()).cmp(&(rest(b), &b.credential, b.limit.word()))
    });
    let more = u64::try_from(edges.len().saturating_sub(MOST)).unwrap_or(u64::MAX);
    edges.truncate(MOST);
    Overview { sessions: authority.present(), edges, more, shown: expiries(vault), written: authority.slice.written }
}

/// Every limit of which little is left, of every credential.
fn edges(authority: &Authority) -> Vec<Edge> {
    let mut all = Vec::new();
    each(authority, |id, allowance| {
        let suspended = allowance.suspended.is_some();
        all.extend(allowance.own.iter().filter(|left| Edge::is_near(left)).map(|left| Edge {
            credential: id.to_owned(),
            limit: left.limit,
            quota: left.quota,
            left: left.left,
            suspended,
        }));
    });
    all
}

/// What every credential has left.
pub fn each(authority: &Authority, mut see: impl FnMut(&str, &Allowance)) {
    let (now, limits) = (authority.clock.now(), &authority.slice.limits);
    for credential in authority.credentials.iter() {
        let rules = &credential.policy.limits;
        let anomaly = rules.anomaly.unwrap_or(limits.anomaly);
        let origin = Origin { credential: &credential.id, rules, tiers: &limits.tiers, anomaly, address: None };
        see(&credential.id, &authority.limits.left(&origin, now));
    }
}
