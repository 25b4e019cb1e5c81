//! The PROXY header: whose connection it is, as the proxy in front says it before anything else (HAProxy's proxy-protocol.txt).
//!
//! Two forms: a line of text (version 1) and a block of octets (version 2). Nothing is read or written here. Whoever reads
//! asks how many octets to read next, and is never told to read one that stands behind the header: that one is the client's.

mod block;
mod crc32c;
mod line;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

/// The shortest header of all, `PROXY UNKNOWN` and its CRLF.
const LEAST: usize = 15;

/// How far a header has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many octets of it are still to come, at least.
    More(usize),
    /// This is all of it: the client's address, or none when the proxy doesn't say whose connection it is.
    Whole(Option<SocketAddr>),
}

/// What is wrong with a header, in words that hold nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// Reads what there is of a header.
///
/// Errors: it is none, whatever may come behind it.
pub fn read(octets: &[u8]) -> Result<Step, Malformed> {
    let begins = |with: &[u8]| octets.iter().zip(with).all(|(octet, expected)| octet == expected);
    match octets {
        [] => Ok(Step::More(LEAST)),
        _ if begins(&block::SIGNATURE) => block::read(octets),
        _ if begins(line::BEGIN) => line::read(octets),
        _ => Err(Malformed("it begins like neither version")),
    }
}

/// The address of a client, which is one that a connection can come from.
pub fn client(address: IpAddr, port: u16) -> Result<Option<SocketAddr>, Malformed> {
    let address = address.to_canonical();
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    if address.is_unspecified() || address.is_multicast() || is_broadcast {
        return Err(Malformed("no connection comes from the address in it"));
    }
    Ok(Some(SocketAddr::new(address, port)))
}
