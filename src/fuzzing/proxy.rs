//! The PROXY header: in whatever portions it comes, it ends at one place, within its bound, and nothing behind is asked for.

use std::net::{IpAddr, SocketAddr};

use crate::edge::proxy::{Malformed, Step, read};

/// Octets of the longest header.
const MOST: usize = 4096;

/// Reads as whoever reads a connection does: as many octets as it is told, or fewer.
fn fed(octets: &[u8], mut portion: impl FnMut(usize) -> usize) -> Result<(Option<SocketAddr>, usize), Malformed> {
    let mut taken = 0;
    loop {
        match read(&octets[..taken])? {
            Step::Whole(client) => return Ok((client, taken)),
            Step::More(0) => panic!("nothing to read, and no end"),
            Step::More(_) if taken == octets.len() => return Err(Malformed("cut off")),
            Step::More(wanted) => {
                assert!(taken + wanted <= MOST, "more is asked for than a header has");
                taken = (taken + portion(wanted).clamp(1, wanted)).min(octets.len());
            }
        }
    }
}

/// The first octet says how large the portions are.
pub fn run(input: &[u8]) {
    let Some((portion, octets)) = input.split_first() else { return };
    let (at_once, cut) = (fed(octets, |wanted| wanted), fed(octets, |_| usize::from(*portion)));
    // Why a header is refused may depend on how much of it has come; whether it is may not.
    assert_eq!(at_once.as_ref().ok(), cut.as_ref().ok(), "portions change what is read");
    let Ok((client, taken)) = at_once else { return };
    assert!((15..=MOST).contains(&taken));
    assert!(octets.get(..=taken).is_none_or(|more| read(more).is_err()), "what is behind the header is taken for it");
    if let Some(client) = client {
        let ip = client.ip();
        assert!(!ip.is_unspecified() && !ip.is_multicast(), "{ip}");
        assert!(!matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()), "{ip}: one address, two spellings");
    }
}
