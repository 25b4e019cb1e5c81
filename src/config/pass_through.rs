//! `pass_through` of credentials: keys of a provider go to that provider, and nowhere else.

use super::file::{self, Config};
use super::findings::{Findings, suggestion};
use super::plan::Upstream;
use super::providers::Provider;
use super::slice::{Api, Declared};
use crate::policy::route::Route;
use crate::policy::rule::RecipientRule;

/// Refuses those whose keys nobody could verify, and those whose mail a route leads elsewhere, where their keys are of no use.
pub fn look(
    credentials: &[Declared],
    upstreams: &[Upstream],
    routes: &[Route],
    config: &Config,
    findings: &mut Findings<'_>,
) {
    for (credential, table) in credentials.iter().zip(&config.credential) {
        let file::Credential { pass_through: Some(written), .. } = table.get_ref() else { continue };
        let (id, name) = (&credential.id, written.get_ref());
        let Some((number, upstream)) = (0_u16..).zip(upstreams).find(|(_, upstream)| upstream.name == *name) else {
            let names: Vec<&str> = upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
            let text = match names.is_empty() {
                true => format!("pass_through: there is no upstream {name:?}"),
                false => format!("pass_through: there is no upstream {name:?}: {}", suggestion(name, &names)),
            };
            findings.refuse(written.span(), text);
            continue;
        };
        if !can_verify(upstream) {
            let text = format!(
                "pass_through: upstream {name:?} can't be asked whether it takes a key: it must be of kind \"bytesend\" or \"cloudflare\""
            );
            findings.refuse(written.span(), text);
        } else if let Some(text) = astray(id, number, name, routes) {
            findings.refuse(written.span(), text);
        }
        if credential.policy.networks.is_empty() && table.get_ref().certificates.is_empty() {
            let text = format!(
                "pass_through: whoever has a key of {name:?}, of any account that it knows, logs in as {id:?}: name the networks or certificates that they come from"
            );
            findings.warn(Some(written.span()), text);
        }
    }
}

fn can_verify(upstream: &Upstream) -> bool {
    let api = upstream.provider.as_ref().map(|Provider { api, .. }| api);
    matches!(api, Some(Api::Cloudflare { .. } | Api::Bytesend { .. }))
}

/// Why some of its mail would not go there, and there alone.
fn astray(id: &str, number: u16, name: &str, routes: &[Route]) -> Option<String> {
    let advice = format!("write a [[route]] with credential = {id:?} and via = [{name:?}] before all others");
    for route in routes.iter().filter(|route| route.can_apply_to(id)) {
        if route.via != [number] {
            return Some(format!(
                "pass_through: a route leads mail of {id:?} elsewhere than to {name:?} alone: {advice}"
            ));
        }
        if route.from.is_none() && route.to == RecipientRule::Any {
            return None;
        }
    }
    Some(format!("pass_through: no route takes all mail of {id:?} to {name:?}: {advice}"))
}
