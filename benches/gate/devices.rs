//! The gate as devices meet it: no TLS and no login, each credential is known by its network on loopback. What is measured so is
//! the gate's work on mail, without the other half of each handshake, which the clients would do on the same processors.

use std::io;
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};

/// The listener that devices come to.
pub fn listener(port: u16) -> String {
    format!(
        "[[listener]]\nname = \"devices\"\naddress = [\"127.0.0.1:{port}\"]\nprotocol = \"smtp\"\ntls = \"none\"\n\
         identify_by_network = true\nzone = \"devices\"\nper_address = 8192\nper_prefix = 8192\n\n"
    )
}

/// One that is everybody of a network, and sends as itself at example.net. Its limits are counted as always, and never met.
pub fn credential(id: &str, network: &str, delivery: &str) -> String {
    format!(
        "[[credential]]\nid = \"{id}\"\nsenders = [\"{id}@example.net\"]\nidentified_by = [\"{network}\"]\n\
         recipients = {{ allow = [\"@example.org\"] }}\nlimits = {{ per_minute = 100000000 }}\ndelivery = \"{delivery}\"\n\n"
    )
}

/// A connection from that address of loopback.
pub fn connect_from(from: Ipv4Addr, port: u16) -> io::Result<TcpStream> {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let [a, b, c, d] = from.octets();
    bind(socket.as_raw_fd(), &SockaddrIn::new(a, b, c, d, 0))?;
    connect(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port))?;
    Ok(TcpStream::from(socket))
}
