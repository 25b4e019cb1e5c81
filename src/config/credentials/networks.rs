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

/// Public addresses that may be somebody without a password, in all: as many as the largest organisation has for its devices, a /16;
/// of IPv6 a site's worth of networks, a /48. More would be an open relay in parts.
const PUBLIC_V4: u64 = 1 << 16;
const PUBLIC_V6: u64 = 1 << 16;

/// The networks that stand for a password so far, and how many addresses (of IPv6: /64) of them are public.
#[derive(Debug, Default)]
pub struct Identified {
    taken: BTreeSet<IpNet>,
    public: [u64; 2],
}

impl Identified {
    /// Takes one more.
    ///
    /// Errors: in words.
    fn take(&mut self, network: IpNet) -> Result<IpNet, String> {
        if !self.taken.insert(network) {
            return Err(format!("{network} stands for another credential already"));
        }
        let [v4, v6] = &mut self.public;
        let (sum, width, most, kind) = match network {
            _ if !is_public(network) => return Ok(network),
            IpNet::V4(_) => (v4, 32, PUBLIC_V4, "addresses"),
            IpNet::V6(_) => (v6, 64, PUBLIC_V6, "networks (/64)"),
        };
        *sum = sum.saturating_add(1 << width.max(network.prefix_len()).saturating_sub(network.prefix_len()).min(63));
        match *sum > most {
            true => Err(format!(
                "with {network} more than {most} public {kind} would need no password, which is an open relay in parts: name the \
                 devices' own networks"
            )),
            false => Ok(network),
        }
    }
}

/// Whether a network is anything but an organisation's own by its number (RFC 1918, 3927, 4193, 4291, 6598).
fn is_public(network: IpNet) -> bool {
    const OWN: [&str; 9] = [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "fc00::/7",
        "fe80::/10",
        "::1/128",
    ];
    !OWN.iter().filter_map(|own| own.parse::<IpNet>().ok()).any(|own| own.contains(&network))
}

/// Networks whose members are a credential. Each stands for one credential only.
pub fn identified_by(list: &[At<String>], all: &mut Identified, findings: &mut Findings<'_>) -> Vec<IpNet> {
    bounded(list, "identified_by", findings);
    let mut networks = Vec::new();
    for written in list {
        let network = network(written.get_ref()).and_then(|network| narrow(network, "stand for a password"));
        match network.and_then(|network| all.take(network)) {
            Err(why) => findings.refuse(written.span(), format!("identified_by: {why}")),
            Ok(network) => networks.push(network),
        }
    }
    networks
}

/// Networks that are believed when they say whose connection it is. Whoever is in one can say to be anybody.
pub fn believed(list: &[At<String>], key: &str, findings: &mut Findings<'_>) -> Vec<IpNet> {
    within(list, key, "be believed", findings)
}

fn within(list: &[At<String>], key: &str, purpose: &str, findings: &mut Findings<'_>) -> Vec<IpNet> {
    bounded(list, key, findings);
    let mut networks = Vec::new();
    for written in list {
        match network(written.get_ref()).and_then(|network| narrow(network, purpose)) {
            Err(why) => findings.refuse(written.span(), format!("{key}: {why}")),
            Ok(network) => networks.push(network),
        }
    }
    networks
}

/// Networks from which the service may be watched.
pub fn watching(list: &[At<String>], key: &str, findings: &mut Findings<'_>) -> Vec<IpNet> {
    within(list, key, "watch the service", findings)
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

    #[test]
    fn rule_a1_public_networks_together_are_no_open_relay_either() {
        let take = |all: &mut Identified, text: &str| all.take(network(text).unwrap());
        let mut all = Identified::default();
        for own in ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fc00::/32", "fe80::/64"] {
            assert!(take(&mut all, own).is_ok(), "{own}");
        }
        assert!(take(&mut all, "198.51.0.0/17").is_ok() && take(&mut all, "203.0.0.0/17").is_ok());
        assert!(take(&mut all, "192.0.2.1").unwrap_err().contains("open relay"));
        assert!(take(&mut all, "2001:db8::/49").is_ok() && take(&mut all, "2001:db8:0:8000::/49").is_ok());
        assert!(take(&mut all, "2001:db8:1::7").unwrap_err().contains("open relay"));
        assert!(take(&mut Identified::default(), "8.0.0.0/8").is_err());
        // One of its own by half is none of its own.
        assert!(take(&mut Identified::default(), "172.0.0.0/8").is_err());
    }
}
