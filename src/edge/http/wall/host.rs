//! A host as the Host field and a target name it: a name or an address, and perhaps a port (RFC 9110 section 7.2).

use std::net::Ipv6Addr;

/// The longest: a name of 253 octets and a port.
const MOST: usize = 260;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    /// An address of IPv6 has its brackets.
    pub name: &'a str,
    pub port: Option<u16>,
}

impl<'a> Host<'a> {
    /// None: it names no host. Who is asked is no secret and no path: users, escapes and empty names are refused.
    pub fn read(text: &'a str) -> Option<Self> {
        if text.len() > MOST {
            return None;
        }
        let end = match text.strip_prefix('[') {
            Some(rest) => rest.find(']')? + 2,
            None => text.find(':').unwrap_or(text.len()),
        };
        let (name, port) = text.split_at_checked(end)?;
        let is_sound = match name.strip_prefix('[') {
            Some(address) => address.strip_suffix(']')?.parse::<Ipv6Addr>().is_ok(),
            None => !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
        };
        let port = match port {
            // A port may be empty, and then is that of the scheme (RFC 3986 section 3.2.3).
            "" | ":" => None,
            _ => {
                let digits = port.strip_prefix(':')?;
                let is_sound = digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit());
                Some(digits.parse().ok().filter(|_| is_sound)?)
            }
        };
        is_sound.then_some(Self { name, port })
    }

    /// Whether both are the same, whatever their case; who names no port means this one.
    pub fn is(&self, other: &Self, port: u16) -> bool {
        self.name.eq_ignore_ascii_case(other.name) && self.port.unwrap_or(port) == other.port.unwrap_or(port)
    }
}
