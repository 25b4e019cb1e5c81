//! What the attempts aim at, made before the sandbox is entered. A test that wants to see whether a target notices makes it
//! itself and names it in the environment; by hand they are the probe's own.

use std::fs::File;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;

use crate::sys::probe;

/// Each `told` name is the environment variable `GATEPOST_PROBE_` and the name.
pub struct Targets {
    /// A TCP port on loopback that no role is told it may connect to, and one that the dialer is.
    pub tcp: u16,
    pub allowed: u16,
    pub udp: u16,
    /// Unix sockets that listen: by path, and by abstract name.
    pub pathname: PathBuf,
    pub abstract_name: String,
    /// A process that runs beside it, under the same user where a test arranges that.
    pub sibling: i32,
    pub parent: i32,
    /// A file that is not the role's.
    pub file: PathBuf,
    /// What a process might have inherited: a listening socket with a connection waiting, an unconnected socket, a
    /// terminal, a program in memory, a program on disk.
    pub listener: TcpListener,
    pub unconnected: OwnedFd,
    pub datagram: OwnedFd,
    pub terminal: Option<OwnedFd>,
    pub memory_program: OwnedFd,
    pub program: File,
    /// Keeps what was made here alive.
    _kept: Kept,
}

#[derive(Default)]
struct Kept {
    tcp: Vec<TcpListener>,
    udp: Option<UdpSocket>,
    unix: Vec<UnixListener>,
    waiting: Option<std::net::TcpStream>,
}

impl Targets {
    pub fn prepare() -> io::Result<Self> {
        let mut kept = Kept::default();
        let mut port = |name: &str| match number(name) {
            Some(port) => Ok(port),
            None => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                let port = listener.local_addr()?.port();
                kept.tcp.push(listener);
                io::Result::Ok(port)
            }
        };
        let (tcp, allowed) = (port("TCP")?, port("ALLOWED")?);
        let udp = match number("UDP") {
            Some(port) => port,
            None => kept.udp.insert(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?).local_addr()?.port(),
        };
        let own = format!("gatepost-probe-{}", std::process::id());
        let pathname = match told("UNIX") {
            Some(path) => path.into(),
            None => {
                let path = std::env::temp_dir().join(format!("{own}.sock"));
                kept.unix.push(UnixListener::bind(&path)?);
                path
            }
        };
        let abstract_name = match told("ABSTRACT") {
            Some(name) => name,
            None => {
                kept.unix.push(UnixListener::bind_addr(&SocketAddr::from_abstract_name(&own)?)?);
                own
            }
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        kept.waiting = Some(std::net::TcpStream::connect(listener.local_addr()?)?);
        let mut memory_program = File::from(probe::memory_file()?);
        memory_program.write_all(&std::fs::read("/bin/true")?)?;
        let parent = std::os::unix::process::parent_id().cast_signed();
        Ok(Self {
            tcp,
            allowed,
            udp,
            pathname,
            abstract_name,
            sibling: number("SIBLING").unwrap_or(parent),
            parent,
            file: told("FILE").map_or_else(|| "/etc/passwd".into(), PathBuf::from),
            listener,
            unconnected: probe::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0)?,
            datagram: probe::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0)?,
            terminal: probe::terminal().ok(),
            memory_program: memory_program.into(),
            program: File::open("/bin/true")?,
            _kept: kept,
        })
    }
}

pub fn told(name: &str) -> Option<String> {
    std::env::var(format!("GATEPOST_PROBE_{name}")).ok()
}

fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    told(name)?.parse().ok()
}
