//! What each listener shows to whom.

use ipnet::IpNet;

use super::Look;
use super::finding::Sheet;
use crate::config::plan::{Bind, Listener};
use crate::config::slice::{Serve, TlsMode};

/// Proxies are named one by one, or as a small network: the prefixes from which on a network is one.
const NARROW: (u8, u8) = (24, 64);
/// Those who watch the service are a site's.
const SITE: (u8, u8) = (16, 48);

pub fn look(look: &Look<'_>, sheet: &mut Sheet) {
    for listener in &look.plan.listeners {
        let name = &listener.name;
        let in_the_clear = is_exposed(listener) && listener.tls == TlsMode::None;
        if in_the_clear && listener.identify_by_network {
            sheet.warn(
                "exposure.tls",
                format!("listener {name:?} takes mail without TLS from other machines"),
                "whoever is on the way reads it, and is anybody in its networks who can take an address there",
                "keep it to a network of its own, with a packet filter before it, or give it TLS",
            );
        } else if in_the_clear && listener.proxy_from.is_empty() {
            sheet.warn(
                "exposure.tls",
                format!(
                    "listener {name:?} believes that a proxy does TLS for it, and takes connections from every address"
                ),
                "whoever reaches the port without the proxy says passwords in the clear",
                "name the proxies in proxy_from, which takes no others, or listen where nobody else can connect to",
            );
        }
        for network in
            listener.proxy_from.iter().chain(&listener.dialect.xclient_from).filter(|one| is_wide(one, NARROW))
        {
            sheet.warn(
                "exposure.proxies",
                format!("listener {name:?} believes everybody in {network} who says whose connection it is"),
                "each of them can be any client: limits by address, networks of credentials and the log believe it",
                "name the proxies by their addresses, 192.0.2.1/32",
            );
        }
        for network in listener.reach.ops_networks.iter().filter(|one| is_wide(one, SITE)) {
            sheet.warn(
                "exposure.ops",
                format!("listener {name:?} tells everybody in {network} how the service stands (serve = [\"ops\"])"),
                "volumes and names of upstreams are nobody else's business",
                "name those who watch it in ops_networks",
            );
        }
        let serves_ops = listener.serve.contains(&Serve::Ops);
        if serves_ops
            && is_exposed(listener)
            && listener.tls == TlsMode::None
            && !listener.reach.ops_networks.is_empty()
        {
            sheet.warn(
                "exposure.ops",
                format!("listener {name:?} tells other machines how the service stands, without TLS"),
                "whoever is on the way reads it, and can change it",
                "give operation a listener of its own on loopback, or TLS",
            );
        }
    }
    let by_network = look.plan.listeners.iter().any(|listener| listener.identify_by_network);
    for account in look.accounts.iter().filter(|account| account.enabled && by_network) {
        for network in account.policy.identified_by.iter().filter(|one| is_wide(one, NARROW)) {
            sheet.warn(
                "exposure.networks",
                format!("everybody in {network} is credential {:?} without a secret", account.id),
                "any machine there that is taken over sends as it",
                "name the devices' own addresses",
            );
        }
    }
    let count = look.plan.listeners.len();
    sheet.pass_unless_told(
        "exposure.tls",
        format!("{count} listeners: none takes a secret in the clear from elsewhere"),
    );
    sheet.pass_unless_told("exposure.proxies", "no wide network is believed to say whose connection it is");
    sheet.pass_unless_told("exposure.ops", "operation is shown to nobody who shouldn't see it");
    sheet.pass_unless_told("exposure.networks", "no wide network stands for a secret");
}

/// Whether other machines may reach it. What systemd has bound is not known here.
pub fn is_exposed(listener: &Listener) -> bool {
    listener.addresses.iter().any(|bind| !matches!(bind, Bind::Address(address) if address.ip().is_loopback()))
}

fn is_wide(network: &IpNet, (v4, v6): (u8, u8)) -> bool {
    let least = if network.addr().is_ipv4() { v4 } else { v6 };
    network.prefix_len() < least && !network.addr().is_loopback()
}
