//! Ways to log in, or to be known, that nobody can go: what each key allows by itself, and all of them together don't.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;

use super::Config;
use super::findings::Findings;
use super::plan::{Bind, Listener, Plan};
use super::slice::{ClientCertificates, Declared, Protocol, TlsMode};
use crate::policy::certificate::Wanted;
use crate::policy::mechanism::Mechanism;
use crate::policy::scope::Scope;

/// Warns of them, each at the table where it can be mended.
pub fn look(plan: &Plan, config: &Config, findings: &mut Findings<'_>) {
    let now_us = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0);
    for (listener, written) in plan.listeners.iter().zip(&config.listener) {
        let own = &written.get_ref().certificates;
        let mut odd = at_listener(listener, &plan.credentials);
        odd.extend(by_network(listener, &plan.credentials, now_us));
        if listener.tls == TlsMode::None && (own.is_some() || written.get_ref().certificate.is_some()) {
            odd.push("there is no TLS here: its certificates are shown to nobody".to_owned());
        }
        for text in odd {
            findings.warn(Some(written.span()), format!("listener {:?}: {text}", listener.name));
        }
    }
    for (credential, written) in plan.credentials.iter().zip(&config.credential) {
        for text in at_credential(credential) {
            findings.warn(Some(written.span()), format!("credential {:?}: {text}", credential.id));
        }
    }
    let mut holders: BTreeMap<&Wanted, &str> = BTreeMap::new();
    let is_enough = plan.listeners.iter().any(|listener| listener.mechanisms.contains(&Mechanism::External));
    for (credential, written) in plan.credentials.iter().zip(&config.credential).filter(|_| is_enough) {
        for wanted in &credential.certificates {
            if let Some(other) = holders.insert(wanted, &credential.id).filter(|other| *other != credential.id) {
                let text = format!(
                    "credential {:?}: {other:?} has the same certificate: by EXTERNAL a client must say which of them it is, \
                     and one that says nothing, as none can over HTTP, is nobody",
                    credential.id
                );
                findings.warn(Some(written.span()), text);
            }
        }
    }
}

fn at_listener(listener: &Listener, credentials: &[Declared]) -> Vec<String> {
    let mut odd = Vec::new();
    let mechanisms = &listener.mechanisms;
    let has_certificates = credentials.iter().any(|credential| !credential.certificates.is_empty());
    let mut secrets = credentials.iter().flat_map(|credential| &credential.secrets).peekable();
    let is_scram = !mechanisms.is_empty() && mechanisms.iter().all(|mechanism| mechanism.is_scram());
    if is_scram && secrets.peek().is_some() && secrets.all(|secret| secret.scram.is_none()) {
        odd.push(
            "mechanisms: no secret in this file has scram, so none of its credentials can log in here: \
             `gatepost credential hash --scram`"
                .to_owned(),
        );
    }
    if mechanisms[..] == [Mechanism::ScramSha256Plus] {
        odd.push("mechanisms: SCRAM-SHA-256-PLUS alone lets in nobody who has TLS 1.2: add SCRAM-SHA-256".to_owned());
    }
    if mechanisms.contains(&Mechanism::External) && !has_certificates {
        odd.push("mechanisms: no credential has certificates, so nobody can log in by EXTERNAL".to_owned());
    }
    if listener.client_certificates == Some(ClientCertificates::Require) && !has_certificates {
        odd.push(
            "client_certificates: \"require\" wants one that the credential has, and none has certificates: nobody can \
             log in here"
                .to_owned(),
        );
    }
    odd
}

/// Why no address is anybody's on a listener that knows its clients by them. Nobody who is added while it runs has a network, so
/// that all there are stand in the file.
fn by_network(listener: &Listener, credentials: &[Declared], now_us: u64) -> Option<String> {
    if !listener.identify_by_network {
        return None;
    }
    let known: Vec<_> = credentials.iter().filter(|one| !one.policy.identified_by.is_empty()).collect();
    if known.is_empty() {
        return Some("it identifies by network, but no credential has identified_by: nobody can send there".to_owned());
    }
    let sends = |one: &&&Declared| one.enabled && !one.policy.is_over(now_us) && one.policy.scopes.has(Scope::Smtp);
    let live: Vec<_> = known.iter().filter(sends).collect();
    if live.is_empty() {
        let text = "every credential with identified_by is disabled, expired or without the scope \"smtp\": nobody can send there";
        return Some(text.to_owned());
    }
    // What comes to an address of loopback comes from one, unless somebody in between says otherwise.
    let is_direct = listener.proxy_from.is_empty() && listener.dialect.xclient_from.is_empty();
    let from = listener.addresses.iter().map(|bind| match bind {
        Bind::Address(address) => Some(address.ip()).filter(IpAddr::is_loopback),
        Bind::Systemd(_) => None,
    });
    let from: Option<Vec<IpAddr>> = from.collect();
    let meets = |own: &IpAddr| {
        live.iter().flat_map(|one| &one.policy.identified_by).any(|network| {
            let begin = network.network();
            begin.is_ipv4() == own.is_ipv4() && (begin.is_loopback() || network.contains(own))
        })
    };
    (is_direct && from.is_some_and(|from| !from.iter().any(meets))).then(|| {
        "its clients come from loopback, which no identified_by that is in use has: nobody can send there".to_owned()
    })
}

fn at_credential(credential: &Declared) -> Vec<String> {
    let (policy, mut odd) = (&credential.policy, Vec::new());
    let derived = credential.secrets.iter().filter(|secret| secret.scram.is_some()).count();
    if derived > 0 && derived < credential.secrets.len() {
        odd.push("one of its secrets has scram and another has not, so that one doesn't log in by SCRAM".to_owned());
    }
    let meets = |one: &IpNet, other: &IpNet| one.contains(other) || other.contains(one);
    let places = &policy.identified_by;
    if !places.is_empty() && !policy.networks.is_empty() {
        let is_met = places.iter().any(|one| policy.networks.iter().any(|other| meets(one, other)));
        if !is_met {
            odd.push("networks has nothing of identified_by: nobody could ever be it".to_owned());
        }
    }
    if !places.is_empty() && !policy.scopes.has(Scope::Smtp) {
        odd.push("scopes: identified_by is for SMTP, and it has no scope \"smtp\": it may send nothing".to_owned());
    }
    if let Some(mapped) = places.iter().find(|network| is_mapped(network)) {
        odd.push(format!("identified_by: {mapped} matches nobody, because such addresses count as IPv4: write that"));
    }
    odd
}

/// Whether it is of IPv4 addresses in the form of IPv6.
fn is_mapped(network: &IpNet) -> bool {
    matches!(network, IpNet::V6(network) if network.prefix_len() >= 96 && network.network().to_ipv4_mapped().is_some())
}

/// Refuses a gateway's clients where none of them can have what is required.
pub fn judge_gateways(listener: &Listener, written: &super::file::Listener, findings: &mut Findings<'_>) {
    let is_required = listener.client_certificates == Some(ClientCertificates::Require);
    let (key, who, list) = match listener.protocol {
        Protocol::Smtp => ("xclient_from", "gateway", &written.xclient_from),
        Protocol::Http => ("trusted_proxies", "proxy", &written.trusted_proxies),
    };
    if let (true, Some(place)) = (is_required, list.iter().flatten().next()) {
        let text = format!(
            "{key}: client_certificates = \"require\" beside it lets in none of the {who}'s clients: the {who}'s certificate is \
             not theirs: write \"request\", or give the {who} a listener of its own"
        );
        findings.refuse(place.span(), text);
    }
}
