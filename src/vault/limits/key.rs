//! What is counted: a tier, and a name in it.

use std::net::IpAddr;

use ipnet::IpNet;

use super::rate::Series;

/// The tiers. The numbers stand in the store and are never used for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    Credential = 0,
    /// A credential and a domain that it sends to.
    RecipientDomain = 1,
    Global = 2,
    Address = 3,
    Prefix = 4,
    WidePrefix = 5,
    /// A name that was claimed in a login, and the prefix it was claimed from.
    CredentialPrefix = 6,
}

impl Tier {
    pub const ALL: [Self; 7] = [
        Self::Credential,
        Self::RecipientDomain,
        Self::Global,
        Self::Address,
        Self::Prefix,
        Self::WidePrefix,
        Self::CredentialPrefix,
    ];

    /// The tiers of where something comes from.
    pub const PLACES: [Self; 3] = [Self::Address, Self::Prefix, Self::WidePrefix];

    pub fn of(number: i64) -> Option<Self> {
        usize::try_from(number).ok().and_then(|number| Self::ALL.get(number)).copied()
    }

    pub const fn number(self) -> i64 {
        self as i64
    }

    /// The word for it in the audit log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Credential => "credential",
            Self::RecipientDomain => "recipient-domain",
            Self::Global => "global",
            Self::Address => "address",
            Self::Prefix => "prefix",
            Self::WidePrefix => "wide-prefix",
            Self::CredentialPrefix => "credential-prefix",
        }
    }

    /// The number of one of its buckets in the store.
    pub const fn scope(self, series: Series) -> i64 {
        self.number() + 16 * (series as i64)
    }

    /// The network around an address that this tier counts by. Whoever has one address of an IPv6 /64 has them all.
    pub fn network(self, address: IpAddr) -> Option<IpNet> {
        let address = address.to_canonical();
        let width = match (self, address.is_ipv4()) {
            (Self::Address, true) => 32,
            (Self::Prefix | Self::CredentialPrefix, true) => 24,
            (Self::WidePrefix, true) => 20,
            (Self::Address, false) => 64,
            (Self::Prefix | Self::CredentialPrefix, false) => 56,
            (Self::WidePrefix, false) => 48,
            _ => return None,
        };
        IpNet::new(address, width).ok().map(|network| network.trunc())
    }
}

/// One thing that is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub tier: Tier,
    pub name: Box<str>,
}

impl Key {
    pub fn new(tier: Tier, name: impl Into<Box<str>>) -> Self {
        Self { tier, name: name.into() }
    }

    pub fn place(tier: Tier, address: IpAddr) -> Option<Self> {
        tier.network(address).map(|network| Self::new(tier, network.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tier_is_found_by_its_number() {
        for tier in Tier::ALL {
            assert_eq!(Tier::of(tier.number()), Some(tier));
        }
        assert_eq!((Tier::of(7), Tier::of(-1)), (None, None));
        assert_eq!(Tier::Credential.scope(Series::PerMinute), 0, "what version 1 wrote");
    }

    #[test]
    fn places_are_of_three_widths_and_a_mapped_address_is_what_it_stands_for() {
        let names = |address: &str| {
            Tier::PLACES.map(|tier| Key::place(tier, address.parse().unwrap()).unwrap().name.to_string())
        };
        assert_eq!(names("192.0.2.77"), ["192.0.2.77/32", "192.0.2.0/24", "192.0.0.0/20"]);
        assert_eq!(names("::ffff:192.0.2.77"), names("192.0.2.77"));
        assert_eq!(names("2001:db8:1:2:3::4"), ["2001:db8:1:2::/64", "2001:db8:1::/56", "2001:db8:1::/48"]);
    }
}
