//! THE table: what each role may do, each line with its reason. `linux` and `openbsd` enforce it; nothing else decides.

use crate::role::Role;

/// What a role may do once it is sealed. (Between the stages the same holds, save for the system calls.)
#[derive(Debug)]
pub struct Row {
    pub role: Role,
    /// pledge(2) on OpenBSD. Threads and the log pipe need nothing beyond `stdio`.
    pub promises: &'static str,
    pub files: Files,
    pub network: Network,
    /// Named sets of system calls on Linux (`syscalls`): what is in none of them kills the process.
    pub calls: &'static [Calls],
    /// RLIMIT_FSIZE in octets: the largest file it may write; none means no limit.
    pub largest_file: Option<u64>,
}

/// What a role may reach by path: landlock on Linux, unveil on OpenBSD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    Nothing,
    /// Read, write, create, rename and remove files in these directories of its home.
    Keep(&'static [&'static str]),
    /// Read below these directories, where they exist. Directories and not files, because resolv.conf is renamed over.
    Read(&'static [&'static str]),
    /// Whatever its user may: it runs a program of the operator's, which inherits whatever this process gives up. Neither landlock
    /// nor a filter of system calls: both need no_new_privs, with which no program can be what its file's owner or group is, as those
    /// that queue mail are.
    Run,
}

/// TCP by landlock; the socket calls themselves are in `calls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Neither binds nor connects.
    None,
    /// Connects to the ports of its grounds and to DNS.
    Connect,
}

/// A named set of system calls. `syscalls` lists each with its reason and its conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// Memory without execution, locks, clocks, random numbers, ends of threads and of the process.
    Base,
    /// read and write on what is open, and waiting for one descriptor.
    Stdio,
    /// tokio's event loop.
    Reactor,
    /// Messages with descriptors: the control channel and the hand-overs.
    Packets,
    /// Bytes on a connected socket, and who is at its ends.
    Connected,
    /// Ends one direction of a connected socket. Never with a listening one: shut down, it could be connected outwards.
    Shutdown,
    /// TCP_NODELAY and time limits on a connected socket.
    Options,
    /// Takes connections from listening sockets.
    Accept,
    /// Positioned reads and writes, and syncs, of files that were opened before.
    Slots,
    /// Files by path: what SQLite, the segments and the monthly files need.
    Database,
    /// What getaddrinfo does after it has warmed up.
    Resolve,
    /// New TCP and UDP sockets, connected outwards.
    Dial,
    /// Those from an address that the configuration names. In no row: `Grounds::sources` adds it to the dialer's.
    Source,
}

/// DNS over TCP, when an answer was cut short.
pub const DNS: u16 = 53;

/// Descriptors below which a process can't even hold what it is given: log, control channel, event loops, peers.
pub const FEWEST_DESCRIPTORS: u64 = 16;

/// What the resolver reads: its configuration, the places that /etc/resolv.conf may be a link into, and the modules that
/// nsswitch.conf names (loaded at warm-up, which comes after the files are closed). With users of its own a dialer can't
/// read the secrets below /etc; without root they are the same user's anyway, and it alone of all roles could.
#[cfg(target_os = "linux")]
pub const RESOLVER: &[&str] = &[
    "/etc",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
];
#[cfg(not(target_os = "linux"))]
pub const RESOLVER: &[&str] = &["/etc/hosts", "/etc/resolv.conf", "/etc/services"];

/// The largest file of heads that the sealer appends to: at a line a minute, ten years of them. It stops before it, because
/// the limit ends the process.
pub const LARGEST_ANCHOR: u64 = 1 << 30;

/// Every role but the parent, which `PARENT` is for.
pub const TABLE: [Row; 9] = [
    Row {
        role: Role::Sealer,
        // recvfd: a restarted vault's channel arrives on the control channel; so for every role below
        promises: "stdio recvfd",
        // its two slots, and the files it appends heads to, were opened before
        files: Files::Nothing,
        network: Network::None,
        calls: &[
            Calls::Base,
            Calls::Stdio,
            Calls::Reactor,
            Calls::Packets,
            Calls::Connected,
            Calls::Shutdown,
            Calls::Slots,
        ],
        // a slot has some hundred octets; a file of heads gets a line of them each time
        largest_file: Some(LARGEST_ANCHOR),
    },
    Row {
        role: Role::Vault,
        // rpath, wpath, cpath: journals and monthly files come and go; flock: SQLite's locks
        // fattr: SQLite gives a journal the mode that somebody has given its database
        promises: "stdio rpath wpath cpath fattr flock recvfd",
        // db: its own; audit: what auditors read. Its home holds nothing else and belongs to root
        files: Files::Keep(&["db", "audit"]),
        network: Network::None,
        calls: &[
            Calls::Base,
            Calls::Stdio,
            Calls::Reactor,
            Calls::Packets,
            Calls::Connected,
            Calls::Shutdown,
            Calls::Slots,
            Calls::Database,
        ],
        // the spool is as large as the disk
        largest_file: None,
    },
    Row {
        role: Role::Keyholder,
        promises: "stdio recvfd",
        // keys were read from descriptors before
        files: Files::Nothing,
        network: Network::None,
        calls: &[Calls::Base, Calls::Stdio, Calls::Reactor, Calls::Packets, Calls::Connected, Calls::Shutdown],
        largest_file: Some(0),
    },
    Row {
        role: Role::Dialer,
        // inet and dns: it is the one role that connects; rpath: hosts and resolv.conf; sendfd: hands the socket over
        promises: "stdio inet dns rpath sendfd recvfd",
        files: Files::Read(RESOLVER),
        network: Network::Connect,
        calls: &[
            Calls::Base,
            Calls::Stdio,
            Calls::Reactor,
            Calls::Packets,
            Calls::Connected,
            Calls::Options,
            Calls::Resolve,
            Calls::Dial,
        ],
        largest_file: Some(0),
    },
    Row {
        role: Role::Courier,
        promises: "stdio recvfd",
        // authorities and password were read from descriptors before
        files: Files::Nothing,
        // a hostile upstream that takes it over has nowhere to go: sockets are handed to it, connected
        network: Network::None,
        calls: EDGE,
        largest_file: Some(0),
    },
    Row {
        role: Role::EdgeSmtp,
        promises: "stdio recvfd",
        files: Files::Nothing,
        // connected sockets are handed to it; it never holds a listening one
        network: Network::None,
        calls: EDGE,
        largest_file: Some(0),
    },
    Row {
        role: Role::EdgeHttp,
        promises: "stdio recvfd",
        files: Files::Nothing,
        network: Network::None,
        calls: EDGE,
        largest_file: Some(0),
    },
    Row {
        role: Role::Listener,
        // unix: accept needs it or inet, and with inet it could connect; sendfd: hands connections over
        promises: "stdio unix sendfd recvfd",
        files: Files::Nothing,
        // its sockets are bound and listening already
        network: Network::None,
        // no Shutdown and no Options: a listening socket must stay one
        calls: &[Calls::Base, Calls::Stdio, Calls::Reactor, Calls::Packets, Calls::Connected, Calls::Accept],
        largest_file: Some(0),
    },
    Row {
        role: Role::Mailer,
        // proc, exec: the program, in a group that can be ended; rpath: which may look for it by a link; wpath, cpath, fattr: the message
        // in a file of its own that has no name and no mode; recvfd as above
        promises: "stdio rpath wpath cpath fattr proc exec recvfd",
        files: Files::Run,
        // the program may; this process has no rule that could say so
        network: Network::None,
        // none is named, because there is no filter to name it in: see `Files::Run`
        calls: &[],
        // the program writes to its queue
        largest_file: None,
    },
];

/// Serving connected sockets, and no more.
const EDGE: &[Calls] =
    &[Calls::Base, Calls::Stdio, Calls::Reactor, Calls::Packets, Calls::Connected, Calls::Shutdown, Calls::Options];

/// The parent keeps what it needs to replace a child: on Linux a deny-list (`syscalls::PARENT`), few capabilities and
/// landlock over paths and ports; on OpenBSD these promises. `proc exec`: spawns; `sendfd`: hands files and sockets over.
pub const PARENT_PROMISES: &str = "stdio rpath inet sendfd proc exec";

/// What one keeps of root's capabilities on Linux that starts mailers: making them another user's (SETUID, SETGID, SETPCAP), and
/// ending them (KILL).
pub const LAUNCHER_KEEPS: u64 = 0x1e0;
/// What starts mailers: their processes, whose channels come from the parent.
pub const LAUNCHER_PROMISES: &str = "stdio recvfd rpath proc exec";

/// What an operator is told of a process that `Files::Run` is for.
pub const WEAKEST: &str = "a mailer runs a program without landlock and without a filter of system calls, which the program would \
                           inherit: it is the weakest process here; an upstream of kind smtp at 127.0.0.1:25 has none";

/// The row of a role; none for the parent.
pub fn of(role: Role) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.role == role)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role;

    #[test]
    fn every_role_but_the_parent_has_one_row() {
        for role in role::TABLE.iter().map(|row| row.role) {
            let rows = TABLE.iter().filter(|row| row.role == role).count();
            assert_eq!(rows, usize::from(role != Role::Parent), "{role}");
        }
    }

    #[test]
    fn only_the_dialer_makes_sockets_and_only_the_vault_keeps_files() {
        for row in &TABLE {
            assert_eq!(row.calls.contains(&Calls::Dial), row.role == Role::Dialer, "{}", row.role);
            assert_eq!(row.network == Network::Connect, row.role == Role::Dialer, "{}", row.role);
            assert_eq!(row.calls.contains(&Calls::Database), row.role == Role::Vault, "{}", row.role);
            assert_eq!(row.promises.contains("inet"), row.role == Role::Dialer, "{}", row.role);
            // What a mailer may write to is unveiled: one folder.
            assert_eq!(row.promises.contains("wpath"), matches!(row.role, Role::Vault | Role::Mailer), "{}", row.role);
        }
    }

    #[test]
    fn only_the_mailer_runs_programs_and_only_it_has_no_filter() {
        for row in &TABLE {
            assert_eq!(row.files == Files::Run, row.role == Role::Mailer, "{}", row.role);
            assert_eq!(row.calls.is_empty(), row.role == Role::Mailer, "{}", row.role);
            assert_eq!(row.promises.contains("exec"), row.role == Role::Mailer, "{}", row.role);
        }
    }

    #[test]
    fn who_accepts_can_neither_shut_down_nor_set_options() {
        for row in TABLE.iter().filter(|row| row.calls.contains(&Calls::Accept)) {
            assert_eq!(row.role, Role::Listener);
            assert!(!row.calls.contains(&Calls::Shutdown) && !row.calls.contains(&Calls::Options));
        }
    }
}
