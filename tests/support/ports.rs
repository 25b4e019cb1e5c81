//! Ports for the services under test that nothing else takes: outside the range that the kernel gives to outgoing connections,
//! and in a block that is this process's alone.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{Mutex, PoisonError};

/// The least port that is given; what listens at fixed ports does so below.
const LEAST: u16 = 10_000;
/// Ports that a process reserves at a time.
const BLOCK: u16 = 64;

static BLOCKS: Mutex<Option<Block>> = Mutex::new(None);

struct Block {
    left: Range<u16>,
    /// Names of abstract sockets, bound for as long as this process lives: other test processes pass these blocks over.
    reserved: Vec<UnixListener>,
}

/// A port that nothing listens on, and that nobody but the caller will be given.
pub fn free_port() -> u16 {
    let mut blocks = BLOCKS.lock().unwrap_or_else(PoisonError::into_inner);
    let block = blocks.get_or_insert_with(|| Block { left: 0..0, reserved: Vec::new() });
    loop {
        match block.left.next() {
            None => block.reserve(),
            Some(port) if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() => return port,
            Some(_) => {}
        }
    }
}

impl Block {
    fn reserve(&mut self) {
        let ports = ours();
        let blocks = u32::from((ports.end - ports.start) / BLOCK);
        for at in 0..blocks {
            let number = u16::try_from((std::process::id() + at) % blocks).unwrap();
            let first = ports.start + number * BLOCK;
            let name = SocketAddr::from_abstract_name(format!("gatepost-test-ports-{first}")).unwrap();
            if let Ok(reserved) = UnixListener::bind_addr(&name) {
                self.reserved.push(reserved);
                self.left = first..first + BLOCK;
                return;
            }
        }
        panic!("every block of ports in {ports:?} is taken");
    }
}

/// The larger part of what the kernel gives to nobody by itself.
fn ours() -> Range<u16> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ends = range.split_whitespace().filter_map(|end| end.parse::<u16>().ok());
    let (low, high) = (ends.next().unwrap_or(32_768), ends.next().unwrap_or(60_999));
    let (below, above) = (LEAST..low.max(LEAST), high.saturating_add(1).max(LEAST)..u16::MAX);
    let larger = if below.len() >= above.len() { below } else { above };
    assert!(larger.len() >= 16 * usize::from(BLOCK), "net.ipv4.ip_local_port_range leaves the tests no ports: {range}");
    larger
}
