//! Whose request it is, where a proxy that is trusted says so in a field of the head.
//!
//! Each proxy adds whom it heard to the right of what it got, and what it got may be anybody's invention. So the list is walked
//! from the right: whoever is no trusted proxy is the client, and nothing to its left is looked at (RFC 7239 section 8).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use hyper::header::HeaderMap;
use ipnet::IpNet;

use crate::config::slice::ForwardedBy;
use crate::edge::proxy;

/// Proxies behind one another: more is a loop or an invention.
const HOPS: usize = 20;

/// What one element of the list says.
enum Hop {
    Address(IpAddr),
    /// It says that it doesn't say.
    Hidden,
    Malformed,
}

/// The client that a trusted peer names. None: it names nobody that can be believed, and the peer itself is all that is known.
pub fn client(headers: &HeaderMap, by: ForwardedBy, trusted: &[IpNet]) -> Option<SocketAddr> {
    let lines: Vec<_> = headers.get_all(by.field()).iter().collect();
    let elements = lines.iter().rev().flat_map(|line| elements(line.as_bytes()));
    let mut good = None;
    for element in elements.filter(|element| !element.is_empty()).take(HOPS) {
        match read(element, by) {
            Hop::Address(address) => {
                good = Some(SocketAddr::new(address, 0));
                if !trusted.iter().any(|network| network.contains(&address)) {
                    break;
                }
            }
            Hop::Hidden => return None,
            Hop::Malformed => break,
        }
    }
    good
}

/// The elements of one line, the last one first. Quotes are told apart from that end too: one that a stranger left open doesn't
/// reach what a proxy has added.
fn elements(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    line.rsplit(move |octet| {
        quoted ^= *octet == b'"';
        *octet == b',' && !quoted
    })
    .map(<[u8]>::trim_ascii)
}

fn read(element: &[u8], by: ForwardedBy) -> Hop {
    let Ok(text) = std::str::from_utf8(element) else { return Hop::Malformed };
    match by {
        ForwardedBy::XForwardedFor => node(text),
        ForwardedBy::Forwarded => {
            let mut named = text.split(';').filter_map(|pair| {
                let (name, value) = pair.trim_ascii().split_once('=')?;
                name.eq_ignore_ascii_case("for").then_some(value)
            });
            match (named.next(), named.next()) {
                (Some(value), None) => {
                    let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
                    node(unquoted.unwrap_or(value))
                }
                _ => Hop::Malformed,
            }
        }
    }
}

/// An address with or without a port, or a word for none (RFC 7239 section 6).
fn node(text: &str) -> Hop {
    if text.eq_ignore_ascii_case("unknown") || text.starts_with('_') {
        return Hop::Hidden;
    }
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::from);
    let address = text.parse::<IpAddr>().ok().or_else(bracketed);
    let address = address.or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    match address.map(|address| proxy::client(address, 0)) {
        Some(Ok(Some(client))) => Hop::Address(client.ip()),
        _ => Hop::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(by: ForwardedBy, lines: &[&str]) -> Option<String> {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "2001:db8:1::/48".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(by.field(), line.parse().unwrap());
        }
        headers.append("x-real-ip", "203.0.113.99".parse().unwrap());
        client(&headers, by, &trusted).map(|client| client.ip().to_string())
    }

    #[test]
    fn rule_w13_the_list_is_walked_from_the_right_over_all_its_lines() {
        let long = "10.0.0.1, ".repeat(30);
        let cases: [(&[&str], Option<&str>); 22] = [
            (&["192.0.2.7"], Some("192.0.2.7")),
            (&["203.0.113.1, 192.0.2.7"], Some("192.0.2.7")),
            (&["203.0.113.1, 192.0.2.7, 10.0.0.9"], Some("192.0.2.7")),
            (&["203.0.113.1", "192.0.2.7", "10.0.0.9 , 10.0.0.8"], Some("192.0.2.7")),
            (&["192.0.2.7,, ,"], Some("192.0.2.7")),
            (&["192.0.2.7:4711"], Some("192.0.2.7")),
            (&["2001:db8::7"], Some("2001:db8::7")),
            (&["[2001:db8::7]:4711, 2001:db8:1::9"], Some("2001:db8::7")),
            (&["[2001:db8::7]"], Some("2001:db8::7")),
            (&["::ffff:192.0.2.7, ::ffff:10.0.0.9"], Some("192.0.2.7")),
            (&["10.0.0.1, 10.0.0.2"], Some("10.0.0.1")),
            (&["192.0.2.7, nonsense, 10.0.0.9"], Some("10.0.0.9")),
            (&["192.0.2.7, 10.0.0.9.1"], None),
            (&["192.0.2.7, 0.0.0.0"], None),
            (&["192.0.2.7, unknown, 10.0.0.9"], None),
            (&["192.0.2.7, _hidden"], None),
            (&["nonsense"], None),
            (&["192.0.2.7, 203.0.113.5 203.0.113.6"], None),
            (&["for=192.0.2.7"], None),
            (&[""], None),
            (&[], None),
            (&["192.0.2.7", &long], Some("10.0.0.1")),
        ];
        for (lines, expected) in cases {
            assert_eq!(named(ForwardedBy::XForwardedFor, lines).as_deref(), expected, "{lines:?}");
        }
    }

    #[test]
    fn rule_w13_the_standards_field_has_its_own_grammar() {
        let cases: [(&[&str], Option<&str>); 12] = [
            (&["for=192.0.2.7"], Some("192.0.2.7")),
            (&["For=\"[2001:db8::7]:4711\";proto=https;by=10.0.0.1"], Some("2001:db8::7")),
            (&["for=203.0.113.1, proto=https; for=192.0.2.7;host=gate", "for=10.0.0.9"], Some("192.0.2.7")),
            (&["for=203.0.113.1;host=\"a, for=10.0.0.1\", for=10.0.0.2"], Some("203.0.113.1")),
            (&["for=\"x, for=192.0.2.7"], Some("192.0.2.7")),
            (&["for=192.0.2.1, for=\"x, for=10.0.0.9"], Some("10.0.0.9")),
            (&["for=unknown"], None),
            (&["for=192.0.2.7, for=_gazonk"], None),
            (&["by=192.0.2.7"], None),
            (&["for=192.0.2.7;for=192.0.2.8"], None),
            (&["192.0.2.7"], None),
            (&["for=192.0.2.7, for="], None),
        ];
        for (lines, expected) in cases {
            assert_eq!(named(ForwardedBy::Forwarded, lines).as_deref(), expected, "{lines:?}");
        }
    }

    #[test]
    fn rule_w13_the_other_field_is_not_looked_at() {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "192.0.2.7".parse().unwrap());
        assert_eq!(client(&headers, ForwardedBy::Forwarded, &[]), None);
    }
}
