//! One dial: the hosts of an upstream in order, the addresses of a host in order, the next one at once on failure.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream as StdStream};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use super::resolve::Resolvers;
use crate::config::slice::Destination;

/// One dial in all, whatever number of hosts and addresses there is: the courier's message could be waiting for an
/// attempt elsewhere. Each host has its share of what is left, so that one that lives is reached behind any number of dead ones.
const DIAL: Duration = Duration::from_secs(30);
/// Bounds of the configured connect deadline (RFC 5321 has none; a smart host that takes longer is down).
const CONNECT: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(5);
/// Addresses of one name that are worth trying.
const MAX_ADDRESSES: usize = 8;
/// Reasons in one answer and octets in each, so that an answer fits a frame whatever the configuration holds.
const MAX_REASONS: usize = 32;
const MAX_REASON: usize = 200;

/// A connected socket, and which host of the list it goes to.
#[derive(Debug)]
pub struct Reached {
    pub socket: StdStream,
    pub index: u16,
    pub host: String,
    pub address: SocketAddr,
}

/// Tries each host once, beginning with number `first` (modulo their number). Errors: one short reason for each host.
pub async fn reach(
    upstream: &Destination,
    first: u16,
    resolvers: &Resolvers,
    connect: Duration,
) -> Result<Reached, Vec<String>> {
    let deadline = Instant::now() + DIAL;
    let connect = connect.clamp(*CONNECT.start(), *CONNECT.end());
    let mut reasons = Vec::new();
    let hosts = &upstream.hosts;
    let begin = usize::from(first).checked_rem(hosts.len()).unwrap_or(0);
    let tour = hosts.iter().enumerate().cycle().skip(begin).take(hosts.len());
    for ((index, (host, port)), left) in tour.zip((1..=hosts.len()).rev()) {
        let share = deadline.saturating_duration_since(Instant::now()) / u32::try_from(left).unwrap_or(u32::MAX);
        let outcome = match timeout(share, reach_host((host, *port), upstream, resolvers, connect)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("not within {} ms, its share of {} s", share.as_millis(), DIAL.as_secs())),
        };
        match (outcome, u16::try_from(index)) {
            (Ok((socket, address)), Ok(index)) => {
                tracing::debug!(upstream = %upstream.name, host, %address, "connected");
                return Ok(Reached { socket, index, host: host.clone(), address });
            }
            (Ok(_), Err(_)) => reasons.push(format!("{host}:{port}: too far down the list")),
            (Err(reason), _) => reasons.push(shorten(format!("{host}:{port}: {reason}"))),
        }
    }
    tracing::info!(upstream = %upstream.name, reasons = reasons.join("; "), "no host can be reached");
    reasons.truncate(MAX_REASONS);
    Err(reasons)
}

async fn reach_host(
    (host, port): (&str, u16),
    Destination { family, sources, .. }: &Destination,
    resolvers: &Resolvers,
    connect: Duration,
) -> Result<(StdStream, SocketAddr), String> {
    let addresses = match literal(host) {
        Some(address) => vec![address],
        None => resolvers.addresses(host).await?,
    };
    let mut reason = None;
    for address in addresses.into_iter().filter(|address| family.has(*address)).take(MAX_ADDRESSES) {
        let source = sources.iter().find(|source| source.is_ipv4() == address.is_ipv4());
        if source.is_none() && !sources.is_empty() {
            // The upstream would see another address than it is to.
            reason.get_or_insert_with(|| format!("{address}: there is no source_address of its family"));
            continue;
        }
        let address = SocketAddr::new(address, port);
        match timeout(connect, open(address, source.copied())).await {
            Ok(Ok(socket)) => return Ok((socket, address)),
            Ok(Err(error)) => reason = Some(format!("{}: {error}", address.ip())),
            Err(_) => reason = Some(format!("{}: no connection within {} s", address.ip(), connect.as_secs())),
        }
    }
    Err(reason.unwrap_or_else(|| format!("it has no {} address", family.name())))
}

/// Connects, and takes the socket out of this process's event loop, where the courier could not remove it.
async fn open(address: SocketAddr, source: Option<IpAddr>) -> io::Result<StdStream> {
    let socket = match source {
        None => TcpStream::connect(address).await?,
        Some(source) => {
            let socket = if source.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            let bound = socket.bind(SocketAddr::new(source, 0));
            bound.map_err(|error| io::Error::new(error.kind(), format!("from source_address {source}: {error}")))?;
            socket.connect(address).await?
        }
    };
    // Set here, because the courier writes whole groups at once and may set no option itself.
    socket.set_nodelay(true)?;
    socket.into_std()
}

/// The address that a host's name spells, with or without the brackets of an IPv6 literal.
pub fn literal(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

fn shorten(mut reason: String) -> String {
    reason.truncate(reason.floor_char_boundary(MAX_REASON));
    reason
}
