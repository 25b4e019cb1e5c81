//! Version 1: one line of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::{LEAST, Malformed, Step, client};

/// How every line begins.
pub const BEGIN: &[u8] = b"PROXY ";
/// Octets of the longest line, with its CRLF.
const MOST: usize = 107;
/// The shortest line that names a client: `PROXY TCP6 :: :: 0 0` and `PROXY TCP4 0.0.0.0 0.0.0.0 0 0`.
const LEAST_TCP6: usize = 22;
const LEAST_TCP4: usize = 32;

pub fn read(octets: &[u8]) -> Result<Step, Malformed> {
    match memchr::memchr2(b'\r', b'\n', octets) {
        None if octets.len() + 2 > MOST => Err(Malformed("the line is longer than 107 octets")),
        None => Ok(Step::More(least(octets).saturating_sub(octets.len()).max(2))),
        Some(end) => match octets.split_at(end) {
            (_, b"\r") if octets.len() + 1 > MOST => Err(Malformed("the line is longer than 107 octets")),
            (_, b"\r") => Ok(Step::More(1)),
            (line, b"\r\n") => parse(line).map(Step::Whole),
            _ => Err(Malformed("the line does not end in CRLF")),
        },
    }
}

/// Octets of the shortest line that begins so.
fn least(octets: &[u8]) -> usize {
    match octets.get(BEGIN.len()..).and_then(|rest| rest.get(..4)) {
        Some(b"TCP4") => LEAST_TCP4,
        Some(b"TCP6") => LEAST_TCP6,
        _ => LEAST,
    }
}

/// A line without its CRLF.
fn parse(line: &[u8]) -> Result<Option<std::net::SocketAddr>, Malformed> {
    let rest = line.strip_prefix(BEGIN).ok_or(Malformed("it begins like neither version"))?;
    // What else it says must not be looked at.
    if rest == b"UNKNOWN" || rest.starts_with(b"UNKNOWN ") {
        return Ok(None);
    }
    let rest = str::from_utf8(rest).map_err(|_| Malformed("the line is not ASCII"))?;
    let words: Vec<&str> = rest.split(' ').collect();
    let [family, source, target, source_port, target_port] = words[..] else {
        return Err(Malformed("the line does not have six words, each behind one blank"));
    };
    let source = match family {
        "TCP4" => address::<Ipv4Addr>(source, target)?,
        "TCP6" => address::<Ipv6Addr>(source, target)?,
        _ => return Err(Malformed("the line names another protocol than TCP4, TCP6 and UNKNOWN")),
    };
    port(target_port)?;
    client(source, port(source_port)?)
}

/// The first of two addresses of one family.
fn address<T: FromStr + Into<IpAddr>>(source: &str, target: &str) -> Result<IpAddr, Malformed> {
    match (source.parse::<T>(), target.parse::<T>()) {
        (Ok(source), Ok(_)) => Ok(source.into()),
        _ => Err(Malformed("the line has an address that is none of its family")),
    }
}

/// Digits alone, and no zero before another.
fn port(text: &str) -> Result<u16, Malformed> {
    let is_plain = text.bytes().all(|octet| octet.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain).ok_or(Malformed("the line has a port that is none"))
}
