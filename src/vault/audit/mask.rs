//! What auditors see of a personal value: by default enough to count and group by, too little to know who.

use std::net::IpAddr;

use ipnet::{Ipv4Net, Ipv6Net};

/// What stands where nothing is shown.
pub const HIDDEN: &str = "***";

/// The mailbox without its local part; the null sender stays what it is.
pub fn mailbox(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((_, domain)) => format!("***@{domain}"),
        None if address == "<>" => address.to_owned(),
        None => HIDDEN.to_owned(),
    }
}

/// The network an address is in: /24, or /48 for IPv6.
pub fn address_of_network(address: &str) -> String {
    match address.parse() {
        Ok(IpAddr::V4(v4)) => Ipv4Net::new(v4, 24).map_or_else(|_| HIDDEN.into(), |net| net.trunc().to_string()),
        Ok(IpAddr::V6(v6)) => Ipv6Net::new(v6, 48).map_or_else(|_| HIDDEN.into(), |net| net.trunc().to_string()),
        Err(_) => HIDDEN.to_owned(),
    }
}

/// The first character and how many follow. For names that nobody has: they may be passwords in the wrong field.
pub fn unknown_name(name: &str) -> String {
    let mut characters = name.chars().filter(|c| !c.is_control());
    match characters.next() {
        Some(first) => format!("{first}***({})", characters.count() + 1),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_keeps_the_domain_and_the_network_and_nothing_closer() {
        assert_eq!(mailbox("billing@example.net"), "***@example.net");
        assert_eq!(mailbox("a@b@example.net"), "***@example.net");
        assert_eq!(mailbox("<>"), "<>");
        assert_eq!(address_of_network("192.0.2.77"), "192.0.2.0/24");
        assert_eq!(address_of_network("2001:db8:1:2::3"), "2001:db8:1::/48");
        assert_eq!(address_of_network("nonsense"), "***");
        assert_eq!(unknown_name("hunter2"), "h***(7)");
        assert_eq!(unknown_name(""), "");
    }
}
