//! Version 2: a block of octets, with values of any kind behind the addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::crc32c::crc32c;
use super::{Malformed, Step, client};

/// How every block begins.
pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The part of fixed length: signature, version and command, family and protocol, length of the rest.
const HEAD: usize = 16;
/// Octets of the longest block that is read. The addresses take 52; the rest is room for what proxies add.
const MOST: usize = 4096;
/// The kind of the one value that is looked at: the block's checksum.
const CHECKSUM: u8 = 3;

pub fn read(octets: &[u8]) -> Result<Step, Malformed> {
    let Some((head, rest)) = octets.split_first_chunk::<HEAD>() else {
        return Ok(Step::More(HEAD - octets.len()));
    };
    let [.., command, kind, high, low] = *head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if HEAD + length > MOST {
        return Err(Malformed("the block is longer than 4096 octets"));
    }
    let named = match command {
        0x20 => false,
        0x21 => true,
        _ => return Err(Malformed("the block is of an unknown version or command")),
    };
    // The proxy's own connection has no family that would count.
    if named && (kind >> 4 > 3 || kind & 0xf > 2) {
        return Err(Malformed("the block names an unknown family or protocol"));
    }
    match length.checked_sub(rest.len()) {
        None => Err(Malformed("more was read than the block")),
        Some(0) if named => name(octets, kind, rest).map(Step::Whole),
        Some(0) => Ok(Step::Whole(None)),
        Some(missing) => Ok(Step::More(missing)),
    }
}

/// The client of a whole block. What is no TCP connection has no client here.
fn name(block: &[u8], kind: u8, rest: &[u8]) -> Result<Option<std::net::SocketAddr>, Malformed> {
    let addresses = match kind {
        0x11 | 0x12 => 12,
        0x21 | 0x22 => 36,
        0x31 | 0x32 => 216,
        // Not specified: what stands in the block means nothing.
        _ => return Ok(None),
    };
    let (addresses, values) =
        rest.split_at_checked(addresses).ok_or(Malformed("the block is shorter than its addresses"))?;
    check(block, values)?;
    match (kind, addresses) {
        (0x11, [a, b, c, d, _, _, _, _, high, low, _, _]) => {
            client(IpAddr::V4(Ipv4Addr::new(*a, *b, *c, *d)), u16::from_be_bytes([*high, *low]))
        }
        (0x21, [source @ .., _, _]) => match (source.first_chunk::<16>(), source.last_chunk::<2>()) {
            (Some(address), Some(port)) => client(IpAddr::V6(Ipv6Addr::from(*address)), u16::from_be_bytes(*port)),
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

/// Walks the values to the block's last octet. Those that are there may say what they like: TLS at the proxy, a name, a
/// certificate prove nothing here. A checksum must be right.
fn check(block: &[u8], mut values: &[u8]) -> Result<(), Malformed> {
    let mut checked = false;
    while let [kind, high, low, rest @ ..] = values {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, next) = rest.split_at_checked(length).ok_or(Malformed("a value in the block is cut off"))?;
        if *kind == CHECKSUM {
            let sum = <[u8; 4]>::try_from(value).map_err(|_| Malformed("the block's checksum is not four octets"))?;
            let before = block.len() - next.len() - sum.len();
            let (begin, end) = (block.get(..before).unwrap_or_default(), next);
            if checked || crc32c(&[begin, &[0; 4], end]) != u32::from_be_bytes(sum) {
                return Err(Malformed("the block's checksum is wrong"));
            }
            checked = true;
        }
        values = next;
    }
    match values {
        [] => Ok(()),
        _ => Err(Malformed("a value in the block is cut off")),
    }
}
