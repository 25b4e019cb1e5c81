//! Who is there: sessions counted by address and by prefix. The listener counts those that it sees, the vault those that a
//! proxy names.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// What counts as one address, and as one neighbourhood. One IPv6 customer has a whole /64 at least.
const ADDRESS: (u8, u8) = (32, 64);
const PREFIX: (u8, u8) = (24, 56);

/// How many sessions there may be from one address, and from one prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caps {
    pub address: u32,
    pub prefix: u32,
}

/// Sessions by network. It holds an entry only for networks that hold sessions, so their cap bounds it.
#[derive(Debug, Default)]
pub struct Presence {
    sessions: HashMap<IpNet, u32>,
}

impl Presence {
    pub fn admits(&self, address: IpAddr, caps: Caps) -> bool {
        let count = |width| self.sessions.get(&network(address, width)).copied().unwrap_or(0);
        count(ADDRESS) < caps.address && count(PREFIX) < caps.prefix
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

/// What counts as the same address.
pub fn near(address: IpAddr) -> IpNet {
    network(address, ADDRESS)
}

/// The prefix around an address.
pub fn neighbourhood(address: IpAddr) -> IpNet {
    network(address, PREFIX)
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

    #[test]
    fn rule_s4_an_address_over_its_cap_is_refused_and_admitted_again_when_one_leaves() {
        let (mut presence, caps) = (Presence::default(), Caps { address: 2, prefix: 10 });
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        presence.enter(address);
        presence.enter("::ffff:192.0.2.1".parse().unwrap());
        assert!(!presence.admits(address, caps));
        assert!(presence.admits("192.0.2.2".parse().unwrap(), caps));
        presence.leave(address, 1);
        assert!(presence.admits(address, caps));
        presence.leave(address, 1);
        assert!(presence.sessions.is_empty());
    }

    #[test]
    fn rule_s4_the_addresses_of_one_ipv6_customer_count_as_one() {
        let (mut presence, caps) = (Presence::default(), Caps { address: 2, prefix: 3 });
        presence.enter("2001:db8:0:1::1".parse().unwrap());
        presence.enter("2001:db8:0:1::2".parse().unwrap());
        assert!(!presence.admits("2001:db8:0:1::3".parse().unwrap(), caps));
        assert!(presence.admits("2001:db8:0:2::1".parse().unwrap(), caps));
        presence.enter("2001:db8:0:2::1".parse().unwrap());
        assert!(!presence.admits("2001:db8:0:3::1".parse().unwrap(), caps), "the /56 is full");
    }
}
