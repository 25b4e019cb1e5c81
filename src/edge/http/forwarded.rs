//! Whose request it is, where a proxy that is trusted says so in a field of the head.
//!
//! Each proxy adds whom it heard to the right of what it got, and what it got may be anybody's invention. So the list is walked
//! from the right: whoever is no trusted proxy is the client, and nothing to its left is looked at (RFC 7239 section 8).

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use hyper::header::HeaderMap;
use ipnet::IpNet;

use super::media::is_token;
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
    let hops = lines.iter().rev().flat_map(|line| match by {
        ForwardedBy::XForwardedFor => listed(line.as_bytes()),
        ForwardedBy::Forwarded => forwarded(line.as_bytes()),
    });
    let mut good = None;
    for hop in hops.take(HOPS) {
        match hop {
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

/// The elements of a plain list, the last one first. Nothing can be quoted in it.
fn listed(line: &[u8]) -> Vec<Hop> {
    let elements = line.rsplit(|octet| *octet == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty());
    elements.take(HOPS).map(|element| std::str::from_utf8(element).map_or(Hop::Malformed, node)).collect()
}

/// The elements of a line of Forwarded, the last one first.
///
/// Each is found from the end of the line: there stands what proxies wrote, and nothing that a stranger wrote to the left of that, as
/// a quote that he left open, changes what it is. What one of them has quoted of a stranger's, as the name of a host, has its commas
/// between quotes, and quotes only as they are escaped.
fn forwarded(line: &[u8]) -> Vec<Hop> {
    // Octets that are no text stand in no address, and no sign of this grammar is among them: each is as good as another.
    let text = String::from_utf8_lossy(line);
    let (mut hops, mut rest) = (Vec::new(), Some(&*text));
    while let Some(line) = rest.filter(|_| hops.len() < HOPS) {
        let (left, last) = last(line);
        let last = last.trim_matches([' ', '\t']);
        if !last.is_empty() {
            hops.push(element(last).unwrap_or(Hop::Malformed));
        }
        rest = left;
    }
    hops
}

/// What stands behind the last comma that is not between quotes, and what is to the left of that comma. A quote with an odd number of
/// backslashes before it is escaped: outside of quotes there are none.
fn last(line: &str) -> (Option<&str>, &str) {
    let octets = line.as_bytes();
    let is_escaped = |at: usize| {
        let before = octets.get(..at).unwrap_or_default();
        before.iter().rev().take_while(|octet| **octet == b'\\').count() % 2 == 1
    };
    let mut is_quoted = false;
    for (at, octet) in octets.iter().enumerate().rev() {
        match octet {
            b'"' if !is_escaped(at) => is_quoted = !is_quoted,
            b',' if !is_quoted => return (line.get(..at), line.get(at + 1..).unwrap_or_default()),
            _ => {}
        }
    }
    (None, line)
}

/// RFC 7239 section 4: pairs between semicolons. None: it is no such element.
fn element(mut rest: &str) -> Option<Hop> {
    let mut names = Vec::new();
    loop {
        let (name, behind) = rest.split_once('=').filter(|(name, _)| is_token(name))?;
        let (value, behind) = value(behind)?;
        if name.eq_ignore_ascii_case("for") {
            names.push(value);
        }
        rest = behind.trim_start_matches([' ', '\t']);
        match rest.strip_prefix(';') {
            Some(behind) => rest = behind.trim_start_matches([' ', '\t']),
            None if rest.is_empty() => break,
            None => return None,
        }
    }
    Some(match names.as_slice() {
        [only] => node(only),
        _ => Hop::Malformed,
    })
}

/// A token or a quoted string (RFC 9110 section 5.6), and what stands behind it. An address with a port stands in quotes by the
/// standard, and without them in what some proxies write.
fn value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (bare, behind) = text.split_at(text.find([' ', '\t', ';', ',']).unwrap_or(text.len()));
        return (!bare.contains(['"', '\\'])).then_some((Cow::Borrowed(bare), behind));
    };
    let (mut value, mut signs) = (String::new(), quoted.char_indices());
    while let Some((at, sign)) = signs.next() {
        match sign {
            '"' => return Some((Cow::Owned(value), quoted.get(at + 1..).unwrap_or_default())),
            '\\' => value.push(signs.next()?.1),
            other => value.push(other),
        }
    }
    None
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
    use hyper::header::HeaderValue;

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
        let cases: [(&[&str], Option<&str>); 28] = [
            (&["for=192.0.2.7"], Some("192.0.2.7")),
            (&["For=\"[2001:db8::7]:4711\";proto=https;by=10.0.0.1"], Some("2001:db8::7")),
            (&["for=192.0.2.7:4711; proto=http"], Some("192.0.2.7")),
            (&["for=203.0.113.1, proto=https; for=192.0.2.7;host=gate", "for=10.0.0.9"], Some("192.0.2.7")),
            (&["for=203.0.113.1;host=\"a, for=10.0.0.1\", for=10.0.0.2"], Some("203.0.113.1")),
            // Left open by a stranger, before what a proxy has added.
            (&["for=\"x, for=192.0.2.7"], Some("192.0.2.7")),
            (&["for=\"x, for=192.0.2.7, for=10.0.0.9"], Some("192.0.2.7")),
            (&["for=192.0.2.1, for=\"x, for=10.0.0.9"], Some("10.0.0.9")),
            (&["for=203.0.113.1;x=\"", "for=192.0.2.7"], Some("192.0.2.7")),
            (&["for=203.0.113.1;x=\", for=192.0.2.7;host=\"gate\""], Some("192.0.2.7")),
            (&["for=\"x, for=\"[2001:db8::7]:4711\""], Some("2001:db8::7")),
            (&["for=\"x\\, for=\"[2001:db8::7]:4711\", for=\"[2001:db8:1::9]\""], Some("2001:db8::7")),
            // Chosen by a stranger, and quoted by a proxy.
            (&["for=192.0.2.7;host=\"\\\", for=203.0.113.1;x=\\\"\""], Some("192.0.2.7")),
            (&["for=192.0.2.7;host=\"x, for=203.0.113.1\""], Some("192.0.2.7")),
            (&["for=192.0.2.7;host=\"x\\\\\", for=10.0.0.9"], Some("192.0.2.7")),
            (&["for=203.0.113.1;a=\", for=192.0.2.7;host=\";y\""], Some("192.0.2.7")),
            (&["for=203.0.113.1;a=\", for=192.0.2.7;host=\"y, for=203.0.113.2\";proto=http"], Some("192.0.2.7")),
            (&["for=\"x, for=192.0.2.7;host=\"y, for=203.0.113.2;a=\\\"\""], Some("192.0.2.7")),
            (&["for=\"x, for=192.0.2.7;host=\"y, for=203.0.113.2;a=\\\\\";proto=http"], Some("192.0.2.7")),
            // What no proxy wrote so: a quote within a token, and one that nothing closes.
            (&["for=192.0.2.7;host=y\"z, for=203.0.113.2;a=\""], None),
            (&["for=192.0.2.7, for=203.0.113.2;host=y\"z"], None),
            (&["for=unknown"], None),
            (&["for=192.0.2.7, for=_gazonk"], None),
            (&["by=192.0.2.7"], None),
            (&["for=192.0.2.7;for=192.0.2.8"], None),
            (&["192.0.2.7"], None),
            (&["for=192.0.2.7, for="], None),
            (&["for=\"192.0.2.7\\"], None),
        ];
        for (lines, expected) in cases {
            assert_eq!(named(ForwardedBy::Forwarded, lines).as_deref(), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_long_line_of_commas_and_quotes_hides_nobody_behind_it() {
        for part in [",a=b", ",\"", "\\\"", ",\\\"", ",", "a=\\"] {
            let line = format!("{}, for=192.0.2.7", part.repeat(16 * 1024));
            assert_eq!(named(ForwardedBy::Forwarded, &[&line]).as_deref(), Some("192.0.2.7"));
        }
    }

    #[test]
    fn rule_w13_octets_that_are_no_text_hide_nobody() {
        let lines: [(&[u8], Option<&str>); 4] = [
            (b"for=203.0.113.1;host=\"\xe9, for=192.0.2.7", Some("192.0.2.7")),
            (b"for=192.0.2.7;host=\"\xe9\\\xff\"", Some("192.0.2.7")),
            (b"for=\x80, for=192.0.2.7", Some("192.0.2.7")),
            (b"for=192.0.2.7\x80", None),
        ];
        for (line, expected) in lines {
            let headers = HeaderMap::from_iter([(hyper::header::FORWARDED, HeaderValue::from_bytes(line).unwrap())]);
            let named = client(&headers, ForwardedBy::Forwarded, &[]).map(|client| client.ip().to_string());
            assert_eq!(named.as_deref(), expected, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn rule_w13_the_other_field_is_not_looked_at() {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "192.0.2.7".parse().unwrap());
        assert_eq!(client(&headers, ForwardedBy::Forwarded, &[]), None);
    }
}
