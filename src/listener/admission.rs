//! Who is let in: sessions counted by address and by prefix.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::slice::Admission;

/// What counts as one address, and as one neighbourhood. One IPv6 customer has a whole /64 at least.
const ADDRESS: (u8, u8) = (32, 64);
const PREFIX: (u8, u8) = (24, 56);

/// Sessions by network. It holds an entry only for networks that hold sessions, so their cap bounds it.
#[derive(Debug, Default)]
pub struct Counts {
    sessions: HashMap<IpNet, u32>,
}

impl Counts {
    pub fn admits(&self, address: IpAddr, listener: &Admission) -> bool {
        let count = |width| self.sessions.get(&network(address, width)).copied().unwrap_or(0);
        count(ADDRESS) < listener.per_address && count(PREFIX) < listener.per_prefix
    }

    pub fn enter(&mut self, address: IpAddr) {
        for width in [ADDRESS, PREFIX] {
            *self.sessions.entry(network(address, width)).or_default() += 1;
        }
    }

    pub fn leave(&mut self, address: IpAddr, sessions: u32) {
        for width in [ADDRESS, PREFIX] {
            let network = network(address, width);
            if let Some(count) = self.sessions.get_mut(&network) {
                *count = count.saturating_sub(sessions);
                if *count == 0 {
                    self.sessions.remove(&network);
                }
            }
        }
    }
}

/// The network an address is counted in. An IPv4 address inside IPv6 (`::ffff:192.0.2.1`) counts as IPv4.
fn network(address: IpAddr, (v4, v6): (u8, u8)) -> IpNet {
    let address = address.to_canonical();
    let width = if address.is_ipv4() { v4 } else { v6 };
    // Both widths are within their family's, so this never falls back to the single address.
    IpNet::new(address, width).unwrap_or_else(|_| IpNet::from(address)).trunc()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::slice::Protocol;

    fn listener(per_address: u32, per_prefix: u32) -> Admission {
        Admission {
            number: 0,
            name: String::new(),
            protocol: Protocol::Smtp,
            tls: crate::config::slice::TlsMode::None,
            zone: String::new(),
            per_address,
            per_prefix,
            behind_tls_proxy: false,
        }
    }

    #[test]
    fn rule_s4_an_address_over_its_cap_is_refused_and_admitted_again_when_one_leaves() {
        let (mut counts, listener) = (Counts::default(), listener(2, 10));
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        counts.enter(address);
        counts.enter("::ffff:192.0.2.1".parse().unwrap());
        assert!(!counts.admits(address, &listener));
        assert!(counts.admits("192.0.2.2".parse().unwrap(), &listener));
        counts.leave(address, 1);
        assert!(counts.admits(address, &listener));
        counts.leave(address, 1);
        assert!(counts.sessions.is_empty());
    }

    #[test]
    fn rule_s4_the_addresses_of_one_ipv6_customer_count_as_one() {
        let (mut counts, listener) = (Counts::default(), listener(2, 3));
        counts.enter("2001:db8:0:1::1".parse().unwrap());
        counts.enter("2001:db8:0:1::2".parse().unwrap());
        assert!(!counts.admits("2001:db8:0:1::3".parse().unwrap(), &listener));
        assert!(counts.admits("2001:db8:0:2::1".parse().unwrap(), &listener));
        counts.enter("2001:db8:0:2::1".parse().unwrap());
        assert!(!counts.admits("2001:db8:0:3::1".parse().unwrap(), &listener), "the /56 is full");
    }
}
