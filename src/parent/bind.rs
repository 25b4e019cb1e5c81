//! The listening sockets. The parent keeps them open, whoever accepts on them: the port never refuses.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket, sockopt,
};

use crate::config::plan::{Bind, Listener, Plan};
use crate::sys::descriptor::listens_at;
use crate::sys::rights::Rights;
use crate::sys::service::{KEPT, Notifier};

/// Connections that may wait to be accepted: what the system takes as its own default maximum (SOMAXCONN).
const BACKLOG: Backlog = Backlog::MAXCONN;

/// Below it a port needs root (IPPORT_RESERVED), unless the system was told otherwise.
const PRIVILEGED: u16 = 1024;

#[derive(Debug, Default)]
pub struct Sockets {
    /// By listener number and configured address.
    bound: Vec<(u16, Bind, OwnedFd)>,
    /// What the service manager passed, by name.
    inherited: Vec<(String, OwnedFd)>,
}

impl Sockets {
    /// Those of a start. What the service manager kept of our predecessor is bound already, and who waits there is not refused.
    pub fn bind(plan: &Plan, inherited: Vec<(String, OwnedFd)>, manager: &Notifier) -> Result<Self, String> {
        let (kept, inherited) = inherited.into_iter().partition::<Vec<_>, _>(|(name, _)| name == KEPT);
        let mut kept: Vec<_> =
            kept.into_iter().filter_map(|(_, socket)| Some((listens_at(&socket)?, socket))).collect();
        let mut bound = Vec::new();
        for listener in &plan.listeners {
            for wanted in &listener.addresses {
                let found = kept.iter().position(|(at, _)| *wanted == Bind::Address(*at));
                bound.extend(found.map(|at| (listener.number, wanted.clone(), kept.swap_remove(at).1)));
            }
        }
        // Those of addresses that are configured no more are closed before others are bound, by the manager too: all addresses of a
        // port are in the way of one.
        if !kept.is_empty() {
            drop(kept);
            manager.forget().map_err(|error| format!("having the service manager close old sockets: {error}"))?;
        }
        Self { bound, inherited }.rebind(plan)
    }

    /// The sockets of another configuration: those that stay are kept, new ones bound. The old set is not touched.
    pub fn rebind(&self, plan: &Plan) -> Result<Self, String> {
        let copy =
            |socket: &OwnedFd| socket.try_clone().map_err(|error| format!("keeping a listening socket: {error}"));
        let mut bound = Vec::new();
        for listener in &plan.listeners {
            for address in &listener.addresses {
                let kept = self.bound.iter().find(|(_, before, _)| before == address);
                let socket = match (kept, address) {
                    (Some((_, _, socket)), _) => copy(socket)?,
                    (None, Bind::Address(address)) => {
                        open(*address).map_err(|error| explain(listener, *address, &error))?
                    }
                    (None, Bind::Systemd(name)) => {
                        let passed = self.inherited.iter().find(|(of, _)| of == name);
                        let (_, socket) = passed.ok_or_else(|| {
                            format!(
                                "listener {:?}: the service manager passed no socket named {name:?}: \
                                 set FileDescriptorName={name} in the socket unit",
                                listener.name
                            )
                        })?;
                        copy(socket)?
                    }
                };
                bound.push((listener.number, address.clone(), socket));
            }
        }
        let inherited = self
            .inherited
            .iter()
            .map(|(name, socket)| Ok((name.clone(), copy(socket)?)))
            .collect::<Result<_, String>>()?;
        Ok(Self { bound, inherited })
    }

    /// Those that we bound, and not the service manager.
    pub fn own(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.bound.iter().filter(|(_, at, _)| matches!(at, Bind::Address(_))).map(|(_, _, socket)| socket.as_fd())
    }

    pub fn iter(&self) -> impl Iterator<Item = (u16, &OwnedFd)> {
        self.bound.iter().map(|(number, _, socket)| (*number, socket))
    }
}

/// A bound, listening, non-blocking socket. What is set here is inherited by each accepted connection, so that no child
/// needs a call to set it.
fn open(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = bound(address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn bound(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    setsockopt(&socket, sockopt::TcpNoDelay, &true)?;
    if address.is_ipv6() {
        // "[::]:587" beside "0.0.0.0:587" are two sockets, each for its family.
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(socket)
}

/// Whether a start could bind what is configured, but for those addresses that are held for it. Each is bound and let go again, and
/// nobody can connect meanwhile. `in_the_way`: those that whoever runs now lets go before that. `rights`: those of the one that starts.
///
/// Errors: for each that it could not, why and what to do.
pub fn foresee(plan: &Plan, held: &[SocketAddr], in_the_way: &[SocketAddr], rights: &Rights) -> Vec<String> {
    let mut faults = Vec::new();
    for listener in &plan.listeners {
        for address in &listener.addresses {
            let Bind::Address(address) = address else { continue };
            if held.contains(address) {
                continue;
            }
            let try_it = || bound(*address).map(drop);
            let Err(error) = rights.lend(try_it).unwrap_or_else(|_| try_it()) else { continue };
            let is_let_go = |at: &SocketAddr| (at.port(), at.is_ipv4()) == (address.port(), address.is_ipv4());
            let passes = match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EADDRINUSE) => in_the_way.iter().any(is_let_go),
                // The service manager may let the service what it doesn't let us, and whoever runs now shows whether it does.
                Some(Errno::EACCES | Errno::EPERM) => rights.user != 0 && rights.binds_low_ports().unwrap_or(true),
                _ => false,
            };
            if !passes {
                faults.push(explain(listener, *address, &error));
            }
        }
    }
    faults
}

fn explain(listener: &Listener, address: SocketAddr, error: &io::Error) -> String {
    let advice = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EADDRINUSE) => "another process has this port: stop it, or change `address`",
        Some(Errno::EACCES | Errno::EPERM) if address.port() < PRIVILEGED => {
            "ports below 1024 need root, and one that was not configured at start needs a restart instead of a reload"
        }
        Some(Errno::EACCES | Errno::EPERM) => {
            "a port that was not configured at start needs a restart instead of a reload"
        }
        Some(Errno::EADDRNOTAVAIL) => "this machine has no such address: change `address`",
        _ => "change `address`",
    };
    format!("listener {:?}: binding {address}: {error}: {advice}", listener.name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    #[test]
    fn a_port_of_roots_is_foreseen_for_who_the_service_is_and_not_for_who_looks() {
        let keeps_ports = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
        let keeps_ports = keeps_ports.is_ok_and(|first| first.trim() == "1024");
        if !nix::unistd::geteuid().is_root() || !keeps_ports || bound("127.0.0.1:9".parse().unwrap()).is_err() {
            eprintln!("not tried: it needs root, a system that keeps ports for root, and one that is free");
            return;
        }
        let text = "version = 1\nhostname = \"gate.example.net\"\n[[listener]]\nname = \"low\"\naddress = [\"127.0.0.1:9\"]\n\
                    protocol = \"smtp\"\ntls = \"none\"\n";
        let plan = Config::foresee(Path::new("gatepost.toml"), text).unwrap();
        let low = 1 << crate::sys::rights::NET_BIND_SERVICE;
        let faults = |user, capabilities| foresee(&plan, &[], &[], &Rights::of(user, capabilities, None));
        assert!(matches!(faults(47_110, Some(0)).as_slice(), [one] if one.contains("ports below 1024 need root")));
        // Its service manager lets it, as that of a service that runs does; or nobody knows.
        for (user, capabilities) in [(47_110, Some(low)), (47_110, None), (0, Some(low))] {
            assert_eq!(faults(user, capabilities), [""; 0], "{user} {capabilities:?}");
        }
    }
}
