//! The escape list: each thing that an intruder in a role would try, by name.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

use libc::{AF_INET, MSG_FASTOPEN, MSG_NOSIGNAL, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM};

use super::targets::Targets;
use crate::sys::probe::{self, Attempt};

type Try = fn(&Targets) -> Attempt;

const MULTIPATH: i32 = 262;

/// Name and attempt. An attempt that gives `Ok` has escaped.
const ACTIONS: &[(&str, Try)] = &[
    // files
    ("read-etc-passwd", |_| File::open("/etc/passwd").map(drop)),
    ("list-root", |_| fs::read_dir("/").map(drop)),
    ("stat-etc-passwd", |_| {
        // The standard library's call, then the C library's.
        fs::metadata("/etc/passwd").map(drop).or_else(|_| Ok(nix::sys::stat::stat("/etc/passwd").map(drop)?))
    }),
    ("read-strange-file", |to| File::open(&to.file).map(drop)),
    ("read-parent-memory", |to| File::open(format!("/proc/{}/mem", to.parent)).map(drop)),
    ("read-own-memory", |_| File::open("/proc/self/mem").map(drop)),
    ("create-in-root", |_| File::create("/gatepost-probe-was-here").map(drop)),
    ("create-in-tmp", |_| File::create(std::env::temp_dir().join("gatepost-probe-was-here")).map(drop)),
    ("remove-strange-file", |to| fs::remove_file(&to.file)),
    ("watch-files", |_| probe::call(libc::SYS_inotify_init1, [0; 4]).map(drop)),
    // outwards
    ("connect", |to| probe::connect(tcp()?.as_fd(), to.tcp)),
    ("connect-allowed-port", |to| probe::connect(tcp()?.as_fd(), to.allowed)),
    ("connect-inherited-socket", |to| probe::connect(to.unconnected.as_fd(), to.tcp)),
    ("fast-open", |to| probe::send_to(tcp()?.as_fd(), to.tcp, MSG_FASTOPEN | MSG_NOSIGNAL)),
    ("fast-open-message", |to| probe::send_message(tcp()?.as_fd(), to.tcp, MSG_FASTOPEN | MSG_NOSIGNAL)),
    ("fast-open-inherited-socket", |to| {
        probe::send_message(to.unconnected.as_fd(), to.tcp, MSG_FASTOPEN | MSG_NOSIGNAL)
    }),
    ("fast-open-on-connect", |to| {
        let socket = tcp()?;
        probe::set_option(socket.as_fd(), libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT, 1)?;
        probe::connect(socket.as_fd(), to.tcp)?;
        probe::send_message(socket.as_fd(), to.tcp, MSG_NOSIGNAL)
    }),
    ("multipath", |to| probe::connect(probe::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, MULTIPATH)?.as_fd(), to.tcp)),
    ("udp", |to| {
        let socket = probe::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)?;
        probe::connect(socket.as_fd(), to.udp)?;
        nix::unistd::write(&socket, b"!").map(drop).map_err(Into::into)
    }),
    ("udp-inherited-socket", |to| probe::send_to(to.datagram.as_fd(), to.udp, MSG_NOSIGNAL)),
    ("raw-socket", |_| probe::socket(AF_INET, SOCK_RAW, libc::IPPROTO_ICMP).map(drop)),
    ("ping-socket", |_| probe::socket(AF_INET, SOCK_DGRAM, libc::IPPROTO_ICMP).map(drop)),
    ("packet-socket", |_| probe::socket(libc::AF_PACKET, SOCK_DGRAM, 0).map(drop)),
    ("netlink-socket", |_| probe::socket(libc::AF_NETLINK, SOCK_RAW, libc::NETLINK_ROUTE).map(drop)),
    ("vsock-socket", |_| probe::socket(libc::AF_VSOCK, SOCK_STREAM, 0).map(drop)),
    ("unix-socket-pair", |_| UnixStream::pair().map(drop)),
    ("unix-pathname", |to| UnixStream::connect(&to.pathname).map(drop)),
    ("unix-abstract", |to| UnixStream::connect_addr(&SocketAddr::from_abstract_name(&to.abstract_name)?).map(drop)),
    // inwards, and what a listening socket could be turned into
    ("bind", |_| probe::bind(tcp()?.as_fd())),
    ("bind-inherited-socket", |to| probe::bind(to.unconnected.as_fd())),
    ("listen-without-bind", |to| probe::listen(to.unconnected.as_fd())),
    ("accept", |to| probe::accept(to.listener.as_fd())),
    ("listener-connect", |to| {
        probe::shut_down(to.listener.as_fd())?;
        probe::connect(to.listener.as_fd(), to.tcp)
    }),
    ("listener-fast-open", |to| {
        probe::shut_down(to.listener.as_fd())?;
        probe::send_to(to.listener.as_fd(), to.tcp, MSG_FASTOPEN | MSG_NOSIGNAL)
    }),
    ("listener-fast-open-message", |to| {
        probe::shut_down(to.listener.as_fd())?;
        probe::send_message(to.listener.as_fd(), to.tcp, MSG_FASTOPEN | MSG_NOSIGNAL)
    }),
    ("listener-fast-open-at-once", |to| probe::send_message(to.listener.as_fd(), to.tcp, MSG_FASTOPEN | MSG_NOSIGNAL)),
    ("listener-filter", |to| probe::attach_filter(to.listener.as_fd())),
    // processes
    ("fork", |_| probe::fork()),
    ("thread", |_| std::thread::Builder::new().spawn(|| ()).map(drop)),
    ("execute-shell", |_| probe::execute(c"/bin/sh", c"exit 0")),
    ("execute-itself", |_| probe::execute(c"/proc/self/exe", c"")),
    ("execute-open-file", |to| probe::execute_descriptor(to.program.as_fd())),
    ("execute-memory", |to| probe::execute_descriptor(to.memory_program.as_fd())),
    ("make-memory-file", |_| probe::memory_file().map(drop)),
    ("trace-sibling", |to| probe::trace(to.sibling)),
    ("trace-parent", |to| probe::trace(to.parent)),
    ("read-sibling", |to| probe::read_memory(to.sibling)),
    ("take-descriptor", |to| probe::take_descriptor(to.sibling)),
    ("signal-sibling", |to| probe::signal(to.sibling)),
    ("signal-parent", |to| probe::signal(to.parent)),
    ("pin-sibling", |to| probe::pin(to.sibling)),
    ("limits-of-sibling", |to| probe::limits_of(to.sibling)),
    // memory
    ("map-writable-code", |_| {
        probe::map(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC, libc::MAP_PRIVATE).map(drop)
    }),
    ("write-then-execute", |_| probe::write_then_execute()),
    ("share-memory", |_| probe::map(libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED).map(drop)),
    // rights
    ("become-root", |_| probe::become_root()),
    ("new-user-space", |_| probe::call(libc::SYS_unshare, [libc::CLONE_NEWUSER.into(), 0, 0, 0]).map(drop)),
    ("change-root", |_| probe::change_root()),
    ("mount", |_| probe::mount()),
    ("become-readable", |_| probe::call(libc::SYS_prctl, [libc::PR_SET_DUMPABLE.into(), 1, 0, 0]).map(drop)),
    ("type-into-terminal", |to| match &to.terminal {
        Some(terminal) => probe::type_into(terminal.as_fd()),
        None => Err(io::ErrorKind::NotFound.into()),
    }),
    // the kernel's less trodden ways in
    ("io-uring", |_| probe::ring()),
    ("bpf", |_| probe::kernel_map()),
    ("performance-events", |_| probe::performance()),
    ("user-faults", |_| probe::call(libc::SYS_userfaultfd, [1, 0, 0, 0]).map(drop)),
    ("read-keyring", |_| probe::call(libc::SYS_keyctl, [0, -3, 0, 0]).map(drop)),
    ("add-key", |_| probe::add_key()),
    #[cfg(target_arch = "x86_64")]
    ("other-call-numbers", |_| probe::other_numbers()),
];

pub fn named(name: &str) -> Option<Try> {
    ACTIONS.iter().find(|(known, _)| *known == name).map(|(_, attempt)| *attempt)
}

/// Every attempt, for the test that makes them all.
pub fn names() -> impl Iterator<Item = &'static str> {
    ACTIONS.iter().map(|(name, _)| *name)
}

fn tcp() -> io::Result<OwnedFd> {
    probe::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)
}
