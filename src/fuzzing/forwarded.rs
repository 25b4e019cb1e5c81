//! The field in which proxies say whose a request is: what a stranger wrote into it never names somebody over what a trusted proxy added.

use ipnet::IpNet;

use crate::config::slice::ForwardedBy;
use crate::edge::http::forwarded_client;
use hyper::header::{HeaderMap, HeaderValue};

/// The peer, and whom it heard.
const PROXY: &str = "10.0.0.9";
const CLIENT: &str = "192.0.2.7";

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
}
