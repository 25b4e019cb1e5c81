//! Routes: which upstreams take which mail, and whether some mail has none.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::credentials::encoded;
use super::file::{self, At};
use super::findings::{Findings, suggestion};
use super::plan::{Plan, Upstream};
use super::slice::{Declared, TlsMode, Verify};
use super::upstreams::is_loopback;
use crate::mail::address::Address;
use crate::policy::route::Route;
use crate::policy::rule::{NotARule, RecipientRule, SenderRule};
use crate::policy::{MAX_ENCODED, Policy};

/// What the routes of one credential may take in a grant: with its rules, its name and the frame around them it stays
/// under the longest frame between processes.
const MAX_ROUTES_ENCODED: usize = 3 * 1024;
const _: () = assert!(MAX_ROUTES_ENCODED + MAX_ENCODED + 512 <= crate::ipc::frame::MAX_FRAME);

pub fn plan(tables: &[At<file::Route>], upstreams: &[Upstream], findings: &mut Findings<'_>) -> Vec<Route> {
    let names: Vec<&str> = upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    let mut routes: Vec<Route> = Vec::new();
    let mut catch_all = false;
    for table in tables {
        if catch_all {
            findings.warn(Some(table.span()), "this route is never used: one before it takes all mail");
        }
        let written = table.get_ref();
        let via = via(table, &names, findings);
        weaker(&via, upstreams, table, findings);
        let has_it = |number: &u16| upstreams.get(usize::from(*number)).is_some_and(|upstream| upstream.requiretls);
        let route = Route {
            credential: written.credential.as_ref().map(|credential| credential.get_ref().clone()),
            from: written.from.as_ref().and_then(|from| rule(from, "from", findings)),
            to: written.to.as_ref().and_then(|to| rule(to, "to", findings)).unwrap_or(RecipientRule::Any),
            requiretls: !via.is_empty() && via.iter().all(has_it),
            via,
        };
        catch_all |= route.credential.is_none()
            && matches!(route.from, None | Some(SenderRule::Any))
            && route.to == RecipientRule::Any;
        routes.push(route);
    }
    fit(&routes, findings);
    routes
}

/// Warns of upstreams that no route leads to, and no report.
pub fn unused(plan: &Plan, written: &[At<file::Upstream>], findings: &mut Findings<'_>) {
    let Plan { upstreams, routes, bounces, .. } = plan;
    for (number, (upstream, table)) in (0_u16..).zip(upstreams.iter().zip(written)) {
        let reports = bounces.iter().any(|bounce| bounce.via == Some(number));
        if !reports && !routes.iter().any(|route| route.via.contains(&number)) {
            let text = format!("upstream {:?} is never used: no route names it", upstream.name);
            findings.warn(Some(table.span()), text);
        }
    }
}

fn rule<R: FromStr<Err = NotARule>>(written: &At<String>, key: &str, findings: &mut Findings<'_>) -> Option<R> {
    let parsed = written.get_ref().parse();
    parsed.map_err(|why| findings.refuse(written.span(), format!("{key}: {why}"))).ok()
}

fn via(table: &At<file::Route>, upstreams: &[&str], findings: &mut Findings<'_>) -> Vec<u16> {
    let written = &table.get_ref().via;
    if written.is_empty() {
        findings.refuse(table.span(), "via is missing or empty: name at least one upstream");
    }
    let mut numbers = Vec::new();
    for place in written {
        let name = place.get_ref().as_str();
        let found = upstreams.iter().position(|upstream| *upstream == name).and_then(|at| u16::try_from(at).ok());
        match found {
            Some(number) if numbers.contains(&number) => {
                findings.refuse(place.span(), format!("via: {name:?} is named twice"));
            }
            Some(number) => numbers.push(number),
            None if upstreams.is_empty() => {
                findings.refuse(place.span(), format!("via: there is no upstream {name:?}, nor any other"));
            }
            None => {
                let text = format!("via: there is no upstream {name:?}: {}", suggestion(name, upstreams));
                findings.refuse(place.span(), text);
            }
        }
    }
    numbers
}

/// How well what goes to an upstream is protected on its way; None where it doesn't leave this machine.
fn strength(upstream: &Upstream) -> Option<(u8, &'static str)> {
    let leaves = upstream.hosts.iter().any(|(host, _)| !is_loopback(host));
    leaves.then_some(match (upstream.tls, upstream.protection.verify) {
        (TlsMode::None, _) => (0, "without TLS"),
        (_, Verify::NoneInsecure) => (1, "by TLS to whoever answers"),
        (_, Verify::Full | Verify::Pin) => (2, "by verified TLS"),
    })
}

/// Warns where mail goes less protected when the first upstream of a route fails: whoever keeps that from answering would have
/// it so.
fn weaker(via: &[u16], upstreams: &[Upstream], table: &At<file::Route>, findings: &mut Findings<'_>) {
    let mut known = via.iter().filter_map(|number| upstreams.get(usize::from(*number)));
    let Some(first) = known.next() else { return };
    let Some((own, how)) = strength(first) else { return };
    for next in known {
        if let Some((_, less)) = strength(next).filter(|(other, _)| *other < own) {
            let text = format!(
                "via: mail that goes to upstream {:?} {how} goes to {:?} {less} when the first fails: give that one the same \
                 protection, or leave it out",
                first.name, next.name
            );
            findings.warn(Some(table.span()), text);
        }
    }
}

/// The routes that one credential gets told must fit into its grant.
fn fit(routes: &[Route], findings: &mut Findings<'_>) {
    let mut sizes: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for route in routes {
        *sizes.entry(route.credential.as_deref()).or_default() += encoded(route);
    }
    let general = sizes.remove(&None).unwrap_or(0);
    let worst = sizes.into_iter().max_by_key(|(_, size)| *size);
    let (name, own) = worst.map_or((None, 0), |(name, size)| (name, size));
    if general + own > MAX_ROUTES_ENCODED {
        let whose = name.map_or_else(|| "any credential".to_owned(), |name| format!("credential {name:?}"));
        findings.refuse_whole(format!(
            "the routes that can apply to {whose} take more than {} KiB together; use \"@domain\" or \".suffix\"",
            MAX_ROUTES_ENCODED / 1024
        ));
    }
}

/// A sender and a recipient rule of this credential that no route takes whole. Several routes that take it in parts are
/// not added up. Whoever may write from or to anybody is meant to go where routes lead: of "*" it is enough that one takes some.
pub fn uncovered(credential: &Declared, routes: &[Route]) -> Option<(SenderRule, RecipientRule)> {
    // All of it goes to one mailbox, whomever it names.
    if credential.policy.redirect.is_some() {
        return None;
    }
    let anybody = [RecipientRule::Any];
    let allow = &credential.policy.recipients.allow;
    let recipients = if allow.is_empty() { &anybody[..] } else { allow };
    let takes = |route: &Route, from: &SenderRule, to: &RecipientRule| {
        route.can_apply_to(&credential.id)
            && (*from == SenderRule::Any || route.from.as_ref().is_none_or(|rule| covers_sender(rule, from)))
            && (*to == RecipientRule::Any || covers_recipient(&route.to, to))
    };
    credential.policy.senders.iter().find_map(|from| {
        let to = recipients.iter().find(|to| !routes.iter().any(|route| takes(route, from, to)))?;
        Some((from.clone(), to.clone()))
    })
}

/// What is odd about a mailbox that all mail of a credential goes to instead of those whom it names, or beside them: no route
/// leads there, for one of its senders or, where none is known, at all. One warning for each.
pub fn astray(id: &str, policy: &Policy, routes: &[Route]) -> Vec<String> {
    let is_astray = |to: &Address| {
        let to = RecipientRule::Address(to.clone());
        let all = || routes.iter().filter(|route| route.can_apply_to(id) && covers_recipient(&route.to, &to));
        let covers =
            |from: &SenderRule| all().any(|route| route.from.as_ref().is_none_or(|rule| covers_sender(rule, from)));
        all().next().is_none() || !policy.senders.iter().all(covers)
    };
    let said = |key: &str, to: &Address, what: &str| {
        is_astray(to).then(|| format!("credential {id:?}: {key}: no route leads to {to}: {what}"))
    };
    // Where all mail is redirected there are no copies.
    let copies = if policy.redirect.is_some() { &[] } else { policy.always_bcc.as_slice() };
    let redirect =
        policy.redirect.iter().filter_map(|to| said("redirect", to, "each recipient of its mail is refused (550)"));
    let copies =
        copies.iter().filter_map(|to| said("always_bcc", to, "each message is refused until there is one (451)"));
    redirect.chain(copies).collect()
}

pub(super) fn covers_sender(rule: &SenderRule, other: &SenderRule) -> bool {
    match other {
        _ if rule == other => true,
        SenderRule::Address(address) => rule.matches(address),
        // What takes a whole domain takes each tag in it.
        SenderRule::Tagged(address) => matches!(rule, SenderRule::Any | SenderRule::Domain(_)) && rule.matches(address),
        SenderRule::Any | SenderRule::Domain(_) => *rule == SenderRule::Any,
    }
}

pub(super) fn covers_recipient(rule: &RecipientRule, other: &RecipientRule) -> bool {
    let within = |suffix: &str, domain: &str| domain.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'));
    match (rule, other) {
        _ if rule == other => true,
        (RecipientRule::Any, _) => true,
        (_, RecipientRule::Address(address)) => rule.matches(address),
        (RecipientRule::Suffix(suffix), RecipientRule::Domain(other) | RecipientRule::Suffix(other)) => {
            within(suffix, other)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_covers_what_lies_within_it_and_nothing_else() {
        let cases = [
            ("*", ".example.net", true),
            (".example.net", "@eu.example.net", true),
            (".example.net", ".eu.example.net", true),
            (".example.net", "@example.net", false),
            ("@example.net", "a@example.net", true),
            ("@example.net", "*", false),
            ("a@example.net", "@example.net", false),
        ];
        for (rule, other, expected) in cases {
            assert_eq!(covers_recipient(&rule.parse().unwrap(), &other.parse().unwrap()), expected, "{rule} {other}");
        }
        assert!(covers_sender(&"@example.net".parse().unwrap(), &"a@example.net".parse().unwrap()));
        assert!(!covers_sender(&"@example.net".parse().unwrap(), &"*".parse().unwrap()));
    }
}
