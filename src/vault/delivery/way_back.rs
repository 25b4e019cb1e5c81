//! The way of a report: by the route that mail to the sender takes, but where an upstream's `bounce` says otherwise.

use crate::config::slice::{Bounce, VaultSlice};
use crate::mail::address::{Address, ReversePath};
use crate::policy::route;
use crate::vault::authority::Authority;

/// How a report leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WayBack {
    /// The upstreams in order, as one word; empty when there is no route.
    pub lane: String,
    /// Its envelope's sender: nobody (RFC 3461 section 6.1), or an address where an upstream of these takes no mail from nobody.
    pub from: ReversePath,
    /// Each of them offers REQUIRETLS.
    pub keeps_tls: bool,
    /// The webhook that is told in its place, where `bounce` of one of them says so.
    pub webhook: Option<String>,
}

/// The lane of one who waits: of mail by its route, of a report the way back.
pub fn lane(authority: &Authority, principal: &str, is_report: bool, sender: &ReversePath, to: &Address) -> String {
    match is_report || sender.is_none() {
        true => find(&authority.slice, principal, to).lane,
        false => authority.lane(principal, sender, to),
    }
}

/// To the sender of a message of that credential.
pub fn find(slice: &VaultSlice, principal: &str, sender: &Address) -> WayBack {
    let Some(route) = route::find(&slice.routes, principal, &None, sender) else { return WayBack::default() };
    let (mut names, mut way) = (Vec::new(), WayBack { keeps_tls: route.requiretls, ..WayBack::default() });
    for number in &route.via {
        let bounce = bounce_of(slice, *number);
        let by = bounce.and_then(|bounce| bounce.via).unwrap_or(*number);
        way.webhook = way.webhook.or_else(|| bounce?.webhook.clone());
        let own = || bounce_of(slice, by).and_then(|bounce| bounce.from.clone());
        way.from = way.from.or_else(|| bounce.and_then(|bounce| bounce.from.clone())).or_else(own);
        way.keeps_tls &= bounce.is_none_or(|bounce| bounce.via.is_none() || bounce.requiretls);
        if let Some(name) = slice.upstreams.get(usize::from(by)).map(String::as_str)
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    way.lane = names.join(",");
    way
}

fn bounce_of(slice: &VaultSlice, number: u16) -> Option<&Bounce> {
    slice.bounces.iter().find(|bounce| bounce.upstream == number)
}
