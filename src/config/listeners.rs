//! Listeners and their certificates: who may be reached from where, and what must be encrypted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::certificates::{Certificates, pairs};
use super::credentials::networks;
use super::file::{self, At, Config};
use super::findings::Findings;
use super::limits::{PER_ADDRESS, PER_PREFIX, whole};
use super::name;
use super::plan::{Bind, Certificate, Listener, label, number, word};
use super::slice::{Protocol, Serve, TlsMode};
use super::{client_certificates, mechanisms};
use super::{dialect, extensions, reach, ways};

/// The zone of a listener that names none.
const ZONE: &str = "main";

/// The words for TLS, the same for listeners and upstreams.
pub const TLS: [(&str, TlsMode); 3] =
    [("none", TlsMode::None), ("starttls", TlsMode::Starttls), ("implicit", TlsMode::Implicit)];

pub fn plan(config: &Config, findings: &mut Findings<'_>) -> (Vec<Listener>, Vec<Certificate>) {
    let mut numbered = Certificates::default();
    let general = pairs(&config.tls.certificate, &config.tls.key, &config.tls.certificates, findings);
    let (mut names, mut addresses) = (BTreeSet::new(), BTreeMap::new());
    let mut listeners = Vec::new();
    for (index, table) in config.listener.iter().enumerate() {
        let written = table.get_ref();
        let tls = written.tls.as_ref().and_then(|tls| word(tls, "tls", &TLS, &[], findings)).unwrap_or_default();
        let protocol = protocol(written, table, findings);
        let own = pairs(&written.certificate, &written.key, &written.certificates, findings);
        let certificates = match own.or_else(|| general.clone()) {
            _ if tls == TlsMode::None => Vec::new(),
            Some(pairs) => pairs.into_iter().map(|pair| numbered.number(pair, findings)).collect(),
            None => {
                findings.refuse(table.span(), "tls needs a certificate: give certificate and key here or under [tls]");
                Vec::new()
            }
        };
        let mechanisms = mechanisms::offered(written, table, protocol, tls, findings);
        let asked = client_certificates::plan(written, tls, &mechanisms, findings);
        let name = label(written.name.as_ref(), table, "name", &mut names, findings);
        let listener = Listener {
            number: number(index, "listeners", findings),
            addresses: binds(written, table, &name, &mut addresses, findings),
            name,
            protocol,
            serve: serve(written, protocol, findings),
            tls,
            certificates,
            client_certificates: asked.as_ref().map(|(asked, _)| *asked),
            client_authorities: asked.map(|(_, authorities)| authorities),
            behind_tls_proxy: written.behind_tls_proxy.as_ref().is_some_and(|flag| *flag.get_ref()),
            proxy_from: proxy_from(written, table, findings),
            identify_by_network: written.identify_by_network.as_ref().is_some_and(|flag| *flag.get_ref()),
            plain_login: false,
            mechanisms,
            extensions_off: extensions::off(written, protocol, findings),
            future_release: extensions::future_release(written, protocol, findings),
            delivery: extensions::delivery(written, protocol, findings),
            dialect: dialect::plan(written, protocol, findings),
            reach: reach::plan(written, table, protocol, findings),
            zone: zone(&written.zone, findings),
            per_address: whole(&written.per_address, &PER_ADDRESS, findings),
            per_prefix: whole(&written.per_prefix, &PER_PREFIX, findings),
        };
        let plain_login = judge(&listener, written, table, findings);
        listeners.push(Listener { plain_login, ..listener });
    }
    if listeners.is_empty() {
        findings.refuse_whole("no [[listener]]: there is nothing to listen on");
    }
    (listeners, numbered.into_list())
}

/// Refuses what would carry passwords or mail in the clear, or believe an address that says nothing. Tells whether a
/// password may be said without TLS.
fn judge(
    listener: &Listener,
    written: &file::Listener,
    table: &At<file::Listener>,
    findings: &mut Findings<'_>,
) -> bool {
    let Listener { tls, protocol, behind_tls_proxy, identify_by_network, .. } = *listener;
    let is_loopback = |bind: &Bind| matches!(bind, Bind::Address(address) if address.ip().is_loopback());
    let exposed = listener.addresses.iter().position(|bind| !is_loopback(bind));
    let tls_place = written.tls.as_ref().map_or_else(|| table.span(), At::span);
    if listener.dialect.lmtp {
        dialect::judge_lmtp(written, &listener.addresses, &listener.extensions_off, findings);
    }
    if protocol == Protocol::Http && tls == TlsMode::Starttls {
        findings.refuse(tls_place.clone(), "tls: HTTP has no STARTTLS: write \"implicit\" or \"none\"");
    }
    if behind_tls_proxy && tls != TlsMode::None {
        findings.refuse(tls_place, "tls: behind_tls_proxy says that TLS ends at the proxy: write \"none\", or drop it");
    }
    if let (true, Some(flag)) = (identify_by_network, &written.identify_by_network) {
        if protocol != Protocol::Smtp {
            findings.refuse(flag.span(), "identify_by_network is for protocol = \"smtp\": over HTTP a key is needed");
        }
        if behind_tls_proxy {
            let text =
                "identify_by_network: behind a proxy every client has the proxy's address: choose one of the two";
            findings.refuse(flag.span(), text);
        }
    }
    dialect::judge_gateways(listener, written, findings);
    ways::judge_gateways(listener, written, findings);
    let in_the_clear = tls == TlsMode::None && !behind_tls_proxy && !identify_by_network;
    if let (true, Some(place)) = (in_the_clear, exposed.and_then(|at| written.address.get(at))) {
        let starttls = if protocol == Protocol::Smtp { "\"starttls\" or " } else { "" };
        let text = format!(
            "address: {:?} is not loopback and has no TLS: set tls = {starttls}\"implicit\", listen on 127.0.0.1, or \
             say behind_tls_proxy = true when a proxy does TLS for it",
            place.get_ref()
        );
        findings.refuse(place.span(), text);
    }
    for (key, list) in [
        ("proxy_from", &written.proxy_from),
        ("xclient_from", &written.xclient_from),
        ("trusted_proxies", &written.trusted_proxies),
    ] {
        if let (true, None, Some(place)) = (in_the_clear, exposed, list.iter().flatten().next()) {
            let who = if key == "xclient_from" { "gateway" } else { "proxy" };
            let text = format!(
                "{key}: clients come from elsewhere through the {who}, and there is no TLS: set tls, or say \
                 behind_tls_proxy = true when the {who} does TLS for it"
            );
            findings.refuse(place.span(), text);
        }
    }
    tls == TlsMode::None && !identify_by_network && (behind_tls_proxy || exposed.is_none())
}

/// The proxies whose headers are believed.
fn proxy_from(written: &file::Listener, table: &At<file::Listener>, findings: &mut Findings<'_>) -> Vec<IpNet> {
    let Some(list) = &written.proxy_from else { return Vec::new() };
    if list.is_empty() {
        let text = "proxy_from is empty: name the addresses of the proxies that send a PROXY header, or drop it";
        findings.refuse(table.span(), text);
    }
    networks::believed(list, "proxy_from", findings)
}

fn protocol(written: &file::Listener, table: &At<file::Listener>, findings: &mut Findings<'_>) -> Protocol {
    let Some(protocol) = &written.protocol else {
        findings.refuse(table.span(), "protocol is missing: \"smtp\", \"lmtp\" or \"http\"");
        return Protocol::Smtp;
    };
    let here = [("smtp", Protocol::Smtp), (dialect::LMTP, Protocol::Smtp), ("http", Protocol::Http)];
    word(protocol, "protocol", &here, &[], findings).unwrap_or(Protocol::Smtp)
}

fn serve(written: &file::Listener, protocol: Protocol, findings: &mut Findings<'_>) -> Vec<Serve> {
    match (protocol, &written.serve) {
        (Protocol::Smtp, None) => Vec::new(),
        (Protocol::Smtp, Some(list)) => {
            for item in list.iter().take(1) {
                findings.refuse(item.span(), "serve: is for protocol = \"http\"");
            }
            Vec::new()
        }
        (Protocol::Http, None) => vec![Serve::V1],
        (Protocol::Http, Some(list)) => {
            let here = [
                ("v1", Serve::V1),
                ("ops", Serve::Ops),
                ("send", Serve::Send),
                ("resend", Serve::Resend),
                ("postmark", Serve::Postmark),
                ("usesend", Serve::Usesend),
                ("hooks", Serve::Hooks),
            ];
            list.iter().filter_map(|item| word(item, "serve", &here, &[], findings)).collect()
        }
    }
}

fn zone(written: &Option<At<String>>, findings: &mut Findings<'_>) -> String {
    let Some(written) = written else { return ZONE.into() };
    if !name::is_label(written.get_ref()) {
        findings.refuse(written.span(), format!("zone: write {}", name::LABEL));
    }
    written.get_ref().clone()
}

/// Whether one of them is every address of the other's kind, at the same port: the system gives such a port once. The two kinds are
/// apart, for a socket of IPv6 takes no IPv4 here.
fn is_within(one: SocketAddr, other: SocketAddr) -> bool {
    let is_same = one.port() == other.port() && one.port() != 0 && one.is_ipv4() == other.is_ipv4() && one != other;
    is_same && (one.ip().is_unspecified() || other.ip().is_unspecified())
}

/// Why the system wouldn't give this listener that address, with who has it.
fn conflict(bind: &Bind, name: &str, taken: &BTreeMap<Bind, String>) -> Option<String> {
    let whose = |other: &str| if other == name { "this listener".to_owned() } else { format!("listener {other:?}") };
    if let Some(other) = taken.get(bind) {
        return Some(format!("is used twice: {} has it", whose(other)));
    }
    let Bind::Address(address) = bind else { return None };
    if let IpAddr::V6(ip) = address.ip()
        && let Some(mapped) = ip.to_ipv4_mapped()
    {
        let port = address.port();
        return Some(format!("is IPv4 in the form of IPv6, where nobody can listen: write {mapped}:{port}"));
    }
    taken.iter().find_map(|(other, holder)| match other {
        Bind::Address(other) if is_within(*address, *other) => Some(format!(
            "meets {other}, which {} has, and one of the two is all addresses of this port: name each address, or choose another \
             port",
            whose(holder)
        )),
        _ => None,
    })
}

/// Each address once; port 0 (the system chooses) as often as one likes. What is taken stays with who has it.
fn binds(
    written: &file::Listener,
    table: &At<file::Listener>,
    name: &str,
    taken: &mut BTreeMap<Bind, String>,
    findings: &mut Findings<'_>,
) -> Vec<Bind> {
    if written.address.is_empty() {
        findings.refuse(table.span(), "address is missing: a list such as [\"127.0.0.1:2525\"]");
    }
    let mut binds = Vec::new();
    for place in &written.address {
        let text = place.get_ref();
        let bind = match text.strip_prefix("systemd:") {
            Some(name) if !name.is_empty() && !name.contains(':') => Some(Bind::Systemd(name.into())),
            Some(_) => None,
            None => text.parse::<SocketAddr>().ok().map(Bind::Address),
        };
        let Some(bind) = bind else {
            let text = format!(
                "address: {text:?}: write an address and a port, \"127.0.0.1:2525\" or \"[::1]:2525\", or \
                 \"systemd:NAME\" for a socket of systemd"
            );
            findings.refuse(place.span(), text);
            continue;
        };
        if let Some(why) = conflict(&bind, name, taken) {
            findings.refuse(place.span(), format!("address: {text:?} {why}"));
        }
        if !matches!(&bind, Bind::Address(address) if address.port() == 0) {
            taken.entry(bind.clone()).or_insert_with(|| name.to_owned());
        }
        binds.push(bind);
    }
    binds
}
