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
    /// The webhook that is told in its place, where `bounce` of the first of them says so.
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
        // Another one that takes no reports is passed over: those that are asked before it take them.
        if let Some(webhook) = bounce.and_then(|bounce| bounce.webhook.clone()) {
            if names.is_empty() {
                way.webhook.get_or_insert(webhook);
            } else {
                continue;
            }
        }
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

/// Whom reports are from that leave by that upstream: nobody, unless `bounce` stands for it; and nobody at all where others send its
/// reports and it sends none for others.
pub fn reporters(slice: &VaultSlice, upstream: &str) -> Vec<ReversePath> {
    reporters_of(&slice.bounces, &slice.upstreams, upstream)
}

fn reporters_of(bounces: &[Bounce], upstreams: &[String], upstream: &str) -> Vec<ReversePath> {
    let number = upstreams.iter().position(|name| name == upstream).and_then(|at| u16::try_from(at).ok());
    let Some(number) = number else { return Vec::new() };
    let own = bounces.iter().find(|bounce| bounce.upstream == number);
    let from = own.and_then(|own| own.from.clone());
    let mut all = Vec::new();
    if own.is_none_or(|own| own.via.is_none()) {
        all.push(from.clone());
    }
    for other in bounces.iter().filter(|other| other.via == Some(number)) {
        let sender = other.from.clone().or_else(|| from.clone());
        if !all.contains(&sender) {
            all.push(sender);
        }
    }
    all
}

fn bounce_of(slice: &VaultSlice, number: u16) -> Option<&Bounce> {
    slice.bounces.iter().find(|bounce| bounce.upstream == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_reports_are_from_is_by_the_upstream_that_they_leave_by() {
        let address = |text: &str| Address::parse(text).ok();
        let bounce = |upstream: u16, from: Option<&str>, via: Option<u16>| Bounce {
            upstream,
            from: from.and_then(address),
            via,
            webhook: None,
            requiretls: false,
        };
        let own = address("own@gate.example");
        let other = address("other@gate.example");
        for (bounces, expected) in [
            (vec![], vec![None]),
            (vec![bounce(0, Some("own@gate.example"), None)], vec![own.clone()]),
            (vec![bounce(0, None, Some(1))], vec![]),
            (vec![bounce(1, None, Some(0))], vec![None]),
            (vec![bounce(1, Some("other@gate.example"), Some(0))], vec![None, other.clone()]),
            (vec![bounce(0, Some("own@gate.example"), None), bounce(1, None, Some(0))], vec![own]),
        ] {
            let names = ["a", "b"].map(str::to_owned).to_vec();
            assert_eq!(reporters_of(&bounces, &names, "a"), expected, "{bounces:?}");
            assert_eq!(reporters_of(&bounces, &names, "c"), Vec::<ReversePath>::new());
        }
    }
}
