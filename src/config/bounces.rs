//! `bounce` of an upstream: how reports leave to senders whose mail goes by one that takes none from nobody.

use super::file::{self, At, Config};
use super::findings::{Findings, suggestion};
use super::plan::{Plan, Upstream, Webhook};
use super::routes::{covers_recipient, covers_sender};
use super::slice::{Api, Bounce, Declared, Endpoint, OnUnsupported};
use super::webhooks;
use crate::mail::address::Address;
use crate::policy::Delivery;
use crate::policy::reports::Reports;
use crate::policy::route::Route;
use crate::policy::rule::{RecipientRule, SenderRule};

/// One for each upstream that has it.
pub fn plan(
    tables: &[At<file::Upstream>],
    upstreams: &[Upstream],
    webhooks: &[Webhook],
    findings: &mut Findings<'_>,
) -> Vec<Bounce> {
    let mut bounces = Vec::new();
    for (number, table) in (0_u16..).zip(tables) {
        let Some(written) = &table.get_ref().bounce else { continue };
        let file::Bounce { from, via, webhook } = written.get_ref();
        if let (Some(place), true) = (webhook, from.is_some() || via.is_some()) {
            findings.refuse(place.span(), "webhook: it is told in the place of reports: take from and via away");
        }
        let webhook = webhook.as_ref().and_then(|name| webhooks::named(name, "webhook", webhooks, findings));
        let from = from.as_ref().and_then(|from| sender(from, findings));
        let to = via.as_ref().and_then(|via| upstream(via, upstreams, findings));
        match via {
            None if written.get_ref().from.is_none() && written.get_ref().webhook.is_none() => {
                findings.refuse(written.span(), "bounce: give from, via or both, or webhook");
            }
            Some(via) if to == Some(number) && written.get_ref().from.is_none() => {
                let text = "via: it is this upstream itself: name another one, or give from, whom it takes mail from";
                findings.refuse(via.span(), text);
            }
            _ => {}
        }
        let requiretls = upstreams.iter().any(|upstream| Some(upstream.number) == to && upstream.requiretls);
        bounces.push(Bounce { upstream: number, from, via: to.filter(|to| *to != number), requiretls, webhook });
    }
    let senders: Vec<u16> =
        bounces.iter().filter(|bounce| bounce.via.is_some()).map(|bounce| bounce.upstream).collect();
    for (bounce, via) in
        bounces.iter().filter_map(|bounce| Some((bounce, bounce.via.filter(|via| senders.contains(via))?)))
    {
        let place = tables.get(usize::from(bounce.upstream)).map(At::span).unwrap_or_default();
        let name = upstreams.iter().find(|upstream| upstream.number == via).map_or("", |upstream| &upstream.name);
        findings.refuse(
            place,
            format!("bounce: via: {name:?} has others send its reports: name one that sends them itself"),
        );
    }
    bounces
}

/// In ASCII, so that any upstream takes it.
fn sender(written: &At<String>, findings: &mut Findings<'_>) -> Option<Address> {
    let refused =
        |why| format!("from: {:?} is not an address ({why}): write one of a domain of yours", written.get_ref());
    Address::parse(written.get_ref()).map_err(|why| findings.refuse(written.span(), refused(why))).ok()
}

fn upstream(via: &At<String>, upstreams: &[Upstream], findings: &mut Findings<'_>) -> Option<u16> {
    let name = via.get_ref().as_str();
    let found = upstreams.iter().find(|upstream| upstream.name == name);
    if found.is_none() {
        let names: Vec<&str> = upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
        findings.refuse(via.span(), format!("via: there is no upstream {name:?}: {}", suggestion(name, &names)));
    }
    found.map(|found| found.number)
}

/// Warns of upstreams that are known to refuse reports, and by which reports go.
pub fn look(plan: &Plan, config: &Config, findings: &mut Findings<'_>) {
    let mut refusing: Vec<(u16, String)> = Vec::new();
    for route in carriers(plan) {
        for number in &route.via {
            if let Some(why) = refuses(plan, *number).filter(|_| !refusing.iter().any(|(known, _)| known == number)) {
                refusing.push((*number, why));
            }
        }
    }
    for (number, why) in refusing {
        let place = config.upstream.get(usize::from(number)).map(At::span);
        findings.warn(place, why);
    }
}

/// Why a report that is to go by this upstream is refused, with what to do.
fn refuses(plan: &Plan, number: u16) -> Option<String> {
    let bounce = plan.bounces.iter().find(|bounce| bounce.upstream == number);
    let by = bounce.and_then(|bounce| bounce.via).unwrap_or(number);
    let theirs = plan.bounces.iter().find(|bounce| bounce.upstream == by);
    let has_from = bounce.into_iter().chain(theirs).any(|bounce| bounce.from.is_some());
    let upstream = plan.upstreams.get(usize::from(by))?;
    if bounce.is_some_and(|bounce| bounce.webhook.is_some()) {
        return None;
    }
    let what = match &upstream.provider.as_ref()?.api {
        Api::Bytesend { on_unsupported: OnUnsupported::Fail }
        | Api::Cloudflare { endpoint: Endpoint::Send(OnUnsupported::Fail), .. } => {
            "has no fields for their parts: give the upstream bounce = { via = ... }"
        }
        Api::Cloudflare { .. } if !has_from => {
            "takes no mail from nobody (<>): give the upstream bounce = { from = ... }, or via"
        }
        _ => return None,
    };
    Some(format!("reports to senders that go by upstream {:?} will be refused: it {what}", upstream.name))
}

/// The routes by which reports to the senders of this file's credentials go, as far as their rules tell. Where there is none in
/// it, nobody knows who they are: then, unless some route leads to an upstream that takes reports, all of them.
fn carriers(plan: &Plan) -> Vec<&Route> {
    let takes = |route: &&Route| route.via.iter().any(|number| refuses(plan, *number).is_none());
    if plan.credentials.is_empty() {
        return if plan.routes.iter().any(|route| takes(&route)) { Vec::new() } else { plan.routes.iter().collect() };
    }
    // Of what is delivered while its sender waits there are no reports.
    let is_told = |one: &&Declared| {
        one.enabled && one.policy.reports == Reports::Mail && one.policy.delivery(Delivery::Spool) != Delivery::Direct
    };
    let told = plan.credentials.iter().filter(is_told);
    told.flat_map(|one| one.policy.senders.iter().filter_map(|rule| carrier(plan, one, rule))).collect()
}

fn carrier<'a>(plan: &'a Plan, credential: &Declared, sender: &SenderRule) -> Option<&'a Route> {
    let back = match sender {
        SenderRule::Any => RecipientRule::Any,
        SenderRule::Domain(domain) => RecipientRule::Domain(domain.clone()),
        SenderRule::Address(address) | SenderRule::Tagged(address) => RecipientRule::Address(address.clone()),
    };
    plan.routes.iter().find(|route| {
        let from = route.from.as_ref().is_none_or(|rule| covers_sender(rule, sender));
        route.can_apply_to(&credential.id) && from && covers_recipient(&route.to, &back)
    })
}
