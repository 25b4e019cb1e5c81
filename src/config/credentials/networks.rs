//! Lists of networks: those that stand for a password, and those that a login may come from.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::file::At;
use crate::config::findings::Findings;
use crate::policy::MOST_NETWORKS;

/// The widest networks that may stand for a password: 10.0.0.0/8 is the largest private one, and a /32 the least that a
/// provider gets. Anything wider would be an open relay by another name.
const WIDEST_V4: u8 = 8;
const WIDEST_V6: u8 = 32;

/// Networks whose members are a credential. Each stands for one credential only.
pub fn identified_by(list: &[At<String>], taken: &mut BTreeSet<IpNet>, findings: &mut Findings<'_>) -> Vec<IpNet> {
    bounded(list, "identified_by", findings);
    let mut networks = Vec::new();
    for written in list {
        match network(written.get_ref()).and_then(|network| narrow(network, "stand for a password")) {
            Err(why) => findings.refuse(written.span(), format!("identified_by: {why}")),
            Ok(network) if !taken.insert(network) => {
                findings
                    .refuse(written.span(), format!("identified_by: {network} stands for another credential already"));
            }
            Ok(network) => networks.push(network),
        }
    }
    networks
}

/// Networks that are believed when they say whose connection it is. Whoever is in one can say to be anybody.
pub fn believed(list: &[At<String>], key: &str, findings: &mut Findings<'_>) -> Vec<IpNet> {
    bounded(list, key, findings);
    let mut networks = Vec::new();
    for written in list {
        match network(written.get_ref()).and_then(|network| narrow(network, "be believed")) {
            Err(why) => findings.refuse(written.span(), format!("{key}: {why}")),
            Ok(network) => networks.push(network),
        }
    }
    networks
}

/// Networks that a credential may log in from.
pub fn networks(list: &[At<String>], findings: &mut Findings<'_>) -> Vec<IpNet> {
    bounded(list, "networks", findings);
    let mut networks = Vec::new();
    for written in list {
        match network(written.get_ref()) {
            Err(why) => findings.refuse(written.span(), format!("networks: {why}")),
            Ok(network) => networks.push(network),
        }
    }
    networks
}

fn bounded(list: &[At<String>], key: &str, findings: &mut Findings<'_>) {
    if let Some(beyond) = list.get(MOST_NETWORKS) {
        findings.refuse(beyond.span(), format!("{key}: at most {MOST_NETWORKS} networks"));
    }
}

/// A network, or one address.
pub fn network(text: &str) -> Result<IpNet, String> {
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network = parsed.map_err(|_| format!("{text:?} is not a network: write \"192.0.2.0/28\" or one address"))?;
    if network.addr() != network.network() {
        return Err(format!("{text:?} has bits beyond its prefix: {} is meant?", network.trunc()));
    }
    Ok(network)
}

fn narrow(network: IpNet, purpose: &str) -> Result<IpNet, String> {
    let widest = if network.addr().is_ipv4() { WIDEST_V4 } else { WIDEST_V6 };
    match network.prefix_len() < widest {
        true => Err(format!("\"{network}\" is too wide to {purpose}: /{widest} at the widest")),
        false => Ok(network),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_that_would_make_an_open_relay_are_refused() {
        for text in ["0.0.0.0/0", "::/0", "8.0.0.0/7", "2000::/3", "192.0.2.1/24", "printer", ""] {
            assert!(network(text).and_then(|network| narrow(network, "be believed")).is_err(), "{text}");
        }
        for text in ["10.0.0.0/8", "192.0.2.7", "2001:db8::/48", "::1"] {
            assert!(network(text).and_then(|network| narrow(network, "be believed")).is_ok(), "{text}");
        }
    }
}
