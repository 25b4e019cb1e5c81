//! The field in which proxies say whose a request is: what a stranger wrote into it never names somebody over what a trusted proxy added.

use ipnet::IpNet;

use crate::config::slice::ForwardedBy;
use crate::edge::http::forwarded_client;
use hyper::header::{HeaderMap, HeaderValue};

/// The peer, and whom it heard.
const PROXY: &str = "10.0.0.9";
const CLIENT: &str = "192.0.2.7";
const FAR: &str = "2001:db8::7";

/// The first octet's lowest bit says which of the two fields; the rest is the lines that came with the request.
pub fn run(input: &[u8]) {
    let Some((way, text)) = input.split_first() else { return };
    let by = if way & 1 == 0 { ForwardedBy::XForwardedFor } else { ForwardedBy::Forwarded };
    let trusted: [IpNet; 2] = ["10.0.0.0/8", "2001:db8:1::/48"].map(|network| network.parse().expect("a network"));
    let of = |lines: &[&[u8]]| {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(by.field(), HeaderValue::from_bytes(line).ok()?);
        }
        Some(forwarded_client(&headers, by, &trusted))
    };
    let lines: Vec<&[u8]> = text.split(|octet| *octet == b'\n').collect();
    let Some(said) = of(&lines) else { return };
    if let Some(client) = said {
        let ip = client.ip();
        assert_eq!(client.port(), 0);
        assert!(!ip.is_unspecified() && !ip.is_multicast(), "{ip}");
        assert_eq!(ip, ip.to_canonical(), "one address, two spellings");
    }

    // Whatever came: what a trusted proxy adds at its end says whom that proxy heard.
    let word = |address: &str| match by {
        ForwardedBy::XForwardedFor => address.to_owned(),
        ForwardedBy::Forwarded => format!("for={address}"),
    };
    let (client, proxy) = (word(CLIENT), word(PROXY));
    let heard = Some(CLIENT.parse().expect("an address"));
    let name = |lines: &[&[u8]]| of(lines).expect("a field").map(|client| client.ip());
    assert_eq!(name(&[&lines[..], &[client.as_bytes()]].concat()), heard, "a line more");
    let (last, others) = lines.split_last().expect("a line at least");
    let longer = [last, b", ".as_slice(), client.as_bytes()].concat();
    assert_eq!(name(&[others, &[&longer[..]]].concat()), heard, "the same line");
    let twice = [&longer[..], b", ", proxy.as_bytes()].concat();
    assert_eq!(name(&[others, &[&twice[..]]].concat()), heard, "through another trusted one");
    if by == ForwardedBy::Forwarded {
        quoted(last, |line| name(&[others, &[line]].concat()));
    }
}

/// The same where a proxy writes its element in quotes: an address of IPv6, and the name of a host that its client has chosen. That is
/// the line itself here, once as it is and once from each of its commas on.
fn quoted(line: &[u8], name: impl Fn(&[u8]) -> Option<std::net::IpAddr>) {
    let far: std::net::IpAddr = FAR.parse().expect("an address");
    let near: std::net::IpAddr = CLIENT.parse().expect("an address");
    let element = format!(", for=\"[{FAR}]:4711\"");
    assert_eq!(name(&[line, element.as_bytes()].concat()), Some(far), "in quotes");
    let whole = std::iter::once(line);
    let tails = line.iter().enumerate().filter(|(_, octet)| **octet == b',').map(|(at, _)| &line[at..]);
    for host in whole.chain(tails.take(8)) {
        let escaped: Vec<u8> = host.iter().flat_map(|octet| escaped(*octet)).collect();
        for end in ["\"", "\";proto=https", "\";by=\"[2001:db8:1::9]\"", "\";proto=https, for=\"[2001:db8:1::9]:80\""] {
            let element = [format!(", for={CLIENT};host=\"").as_bytes(), &escaped, end.as_bytes()].concat();
            assert_eq!(name(&[line, &element].concat()), Some(near), "beside a host");
        }
    }
}

/// As it stands in quotes (RFC 9110 section 5.6.4).
fn escaped(octet: u8) -> impl Iterator<Item = u8> {
    let escape = matches!(octet, b'"' | b'\\').then_some(b'\\');
    escape.into_iter().chain([octet])
}
