//! The attributes of XCLIENT and XFORWARD, as Postfix's XCLIENT_README and XFORWARD_README have them: what a gateway says of
//! the client behind it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::command::Fault;
use crate::mail::xtext;

/// Octets of a value, decoded.
const MAX_VALUE: usize = 255;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Name,
    Addr,
    Port,
    Proto,
    Helo,
    /// Who logged in at the gateway: of XCLIENT, never announced.
    Login,
    /// Of XFORWARD.
    Ident,
    Source,
}

impl Name {
    pub const XCLIENT: &[Self] = &[Self::Name, Self::Addr, Self::Port, Self::Proto, Self::Helo];
    pub const XFORWARD: &[Self] =
        &[Self::Name, Self::Addr, Self::Port, Self::Proto, Self::Helo, Self::Ident, Self::Source];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Name => "NAME",
            Self::Addr => "ADDR",
            Self::Port => "PORT",
            Self::Proto => "PROTO",
            Self::Helo => "HELO",
            Self::Login => "LOGIN",
            Self::Ident => "IDENT",
            Self::Source => "SOURCE",
        }
    }

    /// What is announced: these and nothing else.
    pub fn words(all: &[Self]) -> String {
        all.iter().map(|name| name.word()).collect::<Vec<_>>().join(" ")
    }
}

/// One of them; no value when the gateway says that it has none, for now or at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    pub name: Name,
    pub value: Option<String>,
}

/// Reads what stands behind the verb: `NAME=value` words, with values in xtext.
///
/// Errors: a name that is not among these, one said twice, none at all; or a value with octets that no address and no name has.
pub fn read(said: &str, known: &[Name]) -> Result<Vec<Attribute>, Fault> {
    let mut all: Vec<Attribute> = Vec::new();
    for word in said.split(' ') {
        let (name, value) = word.split_once('=').ok_or(Fault::Argument)?;
        let name = known.iter().find(|known| known.word().eq_ignore_ascii_case(name)).ok_or(Fault::Argument)?;
        if all.iter().any(|other| other.name == *name) {
            return Err(Fault::Argument);
        }
        all.push(Attribute { name: *name, value: meant(value)? });
    }
    Ok(all)
}

/// What a value means; none: it is not known.
fn meant(value: &str) -> Result<Option<String>, Fault> {
    if ["[UNAVAILABLE]", "[TEMPUNAVAIL]"].iter().any(|word| word.eq_ignore_ascii_case(value)) {
        return Ok(None);
    }
    let octets = xtext::decode(value).filter(|octets| (1..=MAX_VALUE).contains(&octets.len()));
    let octets = octets.filter(|octets| octets.iter().all(u8::is_ascii_graphic)).ok_or(Fault::Argument)?;
    String::from_utf8(octets).map(Some).map_err(|_| Fault::Argument)
}

/// ADDR: an IPv4 address, or an IPv6 address behind `IPV6:`.
pub fn address(value: &str) -> Option<IpAddr> {
    match value.split_at_checked(5) {
        Some((tag, rest)) if tag.eq_ignore_ascii_case("IPV6:") => rest.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        _ => value.parse::<Ipv4Addr>().ok().map(IpAddr::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_13_attributes_are_words_with_values_in_xtext() {
        let read = |said| read(said, Name::XCLIENT);
        let one = |name, value: Option<&str>| Attribute { name, value: value.map(str::to_owned) };
        assert_eq!(
            read("addr=192.0.2.7 Name=[unavailable] HELO=a+2Bb PORT=[TEMPUNAVAIL]").unwrap(),
            [
                one(Name::Addr, Some("192.0.2.7")),
                one(Name::Name, None),
                one(Name::Helo, Some("a+b")),
                one(Name::Port, None)
            ]
        );
        let long = format!("NAME={}", "x".repeat(256));
        for bad in [
            "",
            "ADDR",
            "ADDR=",
            "=x",
            " ADDR=192.0.2.7",
            "ADDR=192.0.2.7  NAME=x",
            "ADDR=192.0.2.7 addr=192.0.2.8",
            "SOURCE=LOCAL",
            "DESTADDR=192.0.2.1",
            "LOGIN=root",
            "HELO=a+0D+0Ab",
            "HELO=a+20b",
            "HELO=a+C3+A4",
            "HELO=a+0",
            "HELO=a+zz",
            "HELO=a=b",
            &long,
        ] {
            assert_eq!(read(bad), Err(Fault::Argument), "{bad:?}");
        }
        assert!(super::read("SOURCE=LOCAL IDENT=4F3", Name::XFORWARD).is_ok());
    }

    #[test]
    fn row_13_an_address_is_one_of_its_family() {
        assert_eq!(address("192.0.2.7"), "192.0.2.7".parse().ok());
        assert_eq!(address("ipv6:2001:db8::7"), "2001:db8::7".parse().ok());
        for bad in ["2001:db8::7", "IPV6:192.0.2.7", "[192.0.2.7]", "192.0.2", "IPV6:", "printer", "IPV6:fe80::1%eth0"]
        {
            assert_eq!(address(bad), None, "{bad}");
        }
    }
}
