//! Whose process holds the other end of a connection within this machine: while the gate is stopped, any user can listen on its
//! port, and would be told the password.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream};

use nix::unistd::{Uid, User};

use crate::role::TABLE;
use crate::sandbox::fallback_identity;

/// Where Linux tells it. Elsewhere there are no such files.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// A table is read in pieces, between which it changes: a row can be missed once.
const ATTEMPTS: u8 = 3;
/// The columns of a row, and the states of connections that nobody holds any more, or none yet.
const LOCAL: usize = 1;
const REMOTE: usize = 2;
const STATE: usize = 3;
const USER: usize = 7;
const NO_CONNECTION: [&str; 2] = ["06", "0A"];
/// What a gate that never was root may run as, beside the users of its processes.
const SERVICE: &str = "gatepost";

/// None where it can't be known: on another system, or where the gate is in a network of its own.
pub fn of(stream: &TcpStream) -> Option<u32> {
    let (theirs, ours) = (stream.peer_addr().ok()?, stream.local_addr().ok()?);
    (0..ATTEMPTS).find_map(|_| {
        TABLES.iter().find_map(|table| find(BufReader::new(File::open(table).ok()?), theirs, ours).ok().flatten())
    })
}

/// Whether that user may be the gate: root and whoever calls are told nothing new.
pub fn is_the_gates(user: u32, own: u32) -> bool {
    if user == 0 || user == own {
        return true;
    }
    let users = || TABLE.iter().filter_map(|row| Some((row.role, row.user?)));
    match User::from_uid(Uid::from_raw(user)) {
        Ok(Some(found)) => found.name == SERVICE || users().any(|(_, name)| name == found.name),
        // A demonstration has made-up users in the place of those that the system doesn't have.
        Ok(None) => users()
            .any(|(role, name)| fallback_identity(role).user == user && matches!(User::from_name(name), Ok(None))),
        Err(_) => false,
    }
}

/// The user of the socket whose own end is `theirs`.
fn find(table: impl BufRead, theirs: SocketAddr, ours: SocketAddr) -> io::Result<Option<u32>> {
    let (theirs, ours) = (written(theirs), written(ours));
    for row in table.lines() {
        let row = row?;
        let mut columns = row.split_ascii_whitespace();
        let column = |at: usize| row.split_ascii_whitespace().nth(at).unwrap_or_default();
        let is_it = columns.nth(LOCAL).is_some_and(|local| theirs.iter().any(|end| end == local))
            && ours.iter().any(|end| end == column(REMOTE))
            && !NO_CONNECTION.contains(&column(STATE));
        if let (true, Ok(user)) = (is_it, column(USER).parse()) {
            return Ok(Some(user));
        }
    }
    Ok(None)
}

/// An end as the tables write it: words of four octets as numbers of this machine. A socket for both families has IPv4 within IPv6.
fn written(end: SocketAddr) -> Vec<String> {
    let six = |ip: Ipv6Addr| {
        let words = ip.octets();
        let words = words.chunks_exact(4).filter_map(|word| <[u8; 4]>::try_from(word).ok());
        words.map(|word| format!("{:08X}", u32::from_ne_bytes(word))).collect::<String>()
    };
    let addresses = match end.ip() {
        IpAddr::V4(ip) => vec![format!("{:08X}", u32::from_ne_bytes(ip.octets())), six(ip.to_ipv6_mapped())],
        IpAddr::V6(ip) => vec![six(ip)],
    };
    addresses.into_iter().map(|address| format!("{address}:{:04X}", end.port())).collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::TcpListener;

    use nix::unistd::geteuid;

    use super::*;

    #[test]
    fn whoever_holds_the_other_end_is_found_in_both_families() {
        for (listens, reached) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("[::]:0", "127.0.0.1")] {
            // A machine without IPv6 has none to look for.
            let Ok(listener) = TcpListener::bind(listens) else { continue };
            let reached = SocketAddr::new(reached.parse().unwrap(), listener.local_addr().unwrap().port());
            let stream = TcpStream::connect(reached).unwrap();
            let _taken = listener.accept().unwrap();
            assert_eq!(of(&stream), Some(geteuid().as_raw()), "{listens}");
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn only_the_row_of_this_connection_counts() {
        let row = |local: &str, remote: &str, state: &str, user: u32| {
            format!(
                "   1: {local} {remote} {state} 00000000:00000000 00:00000000 00000000  {user}        0 4711 1 0000 20 4 30 10 -1\n"
            )
        };
        let (gate, us) = ("0100007F:09DD", "0100007F:C350");
        let table = [
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
                .to_owned(),
            row(us, gate, "01", 1),
            row(gate, "00000000:0000", "0A", 2),
            row(gate, us, "06", 0),
            row(gate, "0100007F:C351", "01", 3),
            row(gate, us, "01", 1001),
        ]
        .concat();
        let found = |port: u16| {
            find(table.as_bytes(), "127.0.0.1:2525".parse().unwrap(), SocketAddr::new([127, 0, 0, 1].into(), port))
        };
        assert_eq!((found(50000).unwrap(), found(50002).unwrap()), (Some(1001), None));
    }

    #[test]
    fn the_gate_is_root_the_caller_or_a_user_of_its_own() {
        assert!(is_the_gates(0, 1000) && is_the_gates(1000, 1000));
        assert!(!is_the_gates(4_000_000_001, 1000));
    }
}
