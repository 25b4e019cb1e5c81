//! System calls by name: for each set of `policy::Calls` what it allows, under which conditions, and why.
//!
//! A filter sees numbers and arguments, never memory: where an address or a message header matters, the condition must be
//! on its length, its flags, or on the call not being there. The call is always the kernel's own name, so that a line here
//! and a line of strace read alike. Older names (open, stat, poll) exist on x86_64 alone.

mod parent;

use libc::c_long;

use super::policy::Calls;
pub use parent::{PARENT, PARENT_CLONE3};

/// One system call, when it is allowed, and why.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub number: c_long,
    /// Any of these must hold; none means always.
    pub when: &'static [&'static [Check]],
    pub why: &'static str,
}

/// A condition on one argument, counted from 0.
#[derive(Clone, Copy, Debug)]
pub enum Check {
    /// The lower 32 bits are this.
    Is(u8, u32),
    /// Of the lower 32 bits, those in the mask are this.
    Masked(u8, u32, u32),
    /// A null pointer, all 64 bits.
    Null(u8),
    /// This process's own number.
    Own(u8),
}

use Check::{Is, Masked, Null, Own};

const fn call(number: c_long, why: &'static str) -> Call {
    Call { number, when: &[], why }
}

const fn only(number: c_long, when: &'static [&'static [Check]], why: &'static str) -> Call {
    Call { number, when, why }
}

/// A flag or command of libc as the kernel compares it. All that we name are small and not negative.
const fn bits(value: libc::c_int) -> u32 {
    value.cast_unsigned()
}

const EXEC: u32 = bits(libc::PROT_EXEC);
/// Flags of a send that neither give an address nor open a connection: MSG_FASTOPEN must never pass.
const SEND_FLAGS: u32 = !bits(libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT);
/// The kind of socket without SOCK_NONBLOCK and SOCK_CLOEXEC.
const KIND: u32 = 0xf;
const INET: u32 = bits(libc::AF_INET);
const INET6: u32 = bits(libc::AF_INET6);
const STREAM: u32 = bits(libc::SOCK_STREAM);
const DATAGRAM: u32 = bits(libc::SOCK_DGRAM);
const TCP: u32 = bits(libc::IPPROTO_TCP);
const UDP: u32 = bits(libc::IPPROTO_UDP);
const SOCKET: u32 = bits(libc::SOL_SOCKET);
/// By descriptor and not by path.
const BY_NUMBER: u32 = bits(libc::AT_EMPTY_PATH);
/// FIONBIO, FIONREAD and TCGETS: c_ulong in one libc and c_int in another.
const NON_BLOCKING: u32 = 0x5421;
const HOW_MUCH: u32 = 0x541b;
const IS_TERMINAL: u32 = 0x5401;

pub fn set(calls: Calls) -> &'static [Call] {
    match calls {
        Calls::Base => BASE,
        Calls::Stdio => STDIO,
        Calls::Reactor => REACTOR,
        Calls::Packets => PACKETS,
        Calls::Connected => CONNECTED,
        Calls::Shutdown => SHUTDOWN,
        Calls::Options => OPTIONS,
        Calls::Accept => ACCEPT,
        Calls::Slots => SLOTS,
        Calls::Database => DATABASE,
        Calls::Resolve => RESOLVE,
        Calls::Dial => DIAL,
        Calls::Source => SOURCE,
    }
}

const BASE: &[Call] = &[
    call(libc::SYS_futex, "locks, and waking the other threads"),
    only(
        libc::SYS_mmap,
        // private memory without execution: no program can be brought in, nothing shared with another process
        &[&[Masked(2, EXEC, 0), Masked(3, bits(libc::MAP_SHARED), 0)]],
        "malloc: large blocks, new arenas",
    ),
    only(libc::SYS_mprotect, &[&[Masked(2, EXEC, 0)]], "malloc: an arena grows"),
    call(libc::SYS_munmap, "free: large blocks; a thread's stack at its end"),
    call(libc::SYS_mremap, "realloc of large blocks; can't change what may be executed"),
    call(libc::SYS_brk, "malloc on the main thread"),
    only(
        libc::SYS_madvise,
        &[&[Is(2, bits(libc::MADV_DONTNEED))], &[Is(2, bits(libc::MADV_FREE))]],
        "free: an arena shrinks; a thread's stack at its end",
    ),
    call(libc::SYS_close, "every descriptor's end"),
    call(libc::SYS_clock_gettime, "where the vDSO has to ask the kernel"),
    call(libc::SYS_clock_getres, "as above"),
    call(libc::SYS_gettimeofday, "SQLite's clock, as above"),
    call(libc::SYS_clock_nanosleep, "sleep"),
    call(libc::SYS_nanosleep, "sleep in older libraries"),
    call(libc::SYS_sched_yield, "spinning locks"),
    call(libc::SYS_getrandom, "keys, ids, hash seeds"),
    call(libc::SYS_gettid, "names of threads in panics and aborts"),
    call(libc::SYS_getpid, "abort"),
    only(libc::SYS_tgkill, &[&[Own(0)]], "abort: a signal to itself and to no other process"),
    call(libc::SYS_rt_sigaction, "abort, and the handler that tells a stack overflow: a crash must look like one"),
    call(libc::SYS_rt_sigprocmask, "abort; a thread's end"),
    call(libc::SYS_rt_sigreturn, "the end of a signal handler"),
    call(libc::SYS_sigaltstack, "a thread's beginning and end"),
    call(libc::SYS_restart_syscall, "a wait that was interrupted by SIGSTOP and SIGCONT"),
    call(libc::SYS_exit, "a thread's end"),
    call(libc::SYS_exit_group, "the process's end"),
    // A thread made just before the seal may still be in its first steps when the filter reaches it.
    call(libc::SYS_set_robust_list, "a thread's beginning"),
    call(libc::SYS_rseq, "a thread's beginning"),
    call(libc::SYS_sched_getaffinity, "a thread's beginning (where its stack is), malloc's number of arenas"),
    only(libc::SYS_prctl, &[&[Is(0, bits(libc::PR_SET_NAME))]], "a thread's beginning: its name"),
];

const STDIO: &[Call] = &[
    call(libc::SYS_read, "eventfd, sockets, files handed over"),
    call(libc::SYS_write, "the log pipe, eventfd, sockets"),
    call(libc::SYS_readv, "buffers in parts"),
    call(libc::SYS_writev, "buffers in parts; the standard library's error stream"),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_poll, "waiting for one descriptor with a time limit"),
    call(libc::SYS_ppoll, "as above"),
];

const REACTOR: &[Call] = &[
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_epoll_wait, "the event loop"),
    call(libc::SYS_epoll_pwait, "the event loop where epoll_wait doesn't exist"),
    call(libc::SYS_epoll_ctl, "a new or closed socket of the event loop"),
    only(
        libc::SYS_fcntl,
        &[
            &[Is(1, bits(libc::F_GETFL))],
            &[Is(1, bits(libc::F_SETFL))],
            &[Is(1, bits(libc::F_GETFD))],
            &[Is(1, bits(libc::F_SETFD))],
            &[Is(1, bits(libc::F_DUPFD_CLOEXEC))],
        ],
        "non-blocking, checks of the standard library, try_clone",
    ),
    only(libc::SYS_ioctl, &[&[Is(1, NON_BLOCKING)]], "non-blocking"),
];

const PACKETS: &[Call] = &[
    call(libc::SYS_recvmsg, "messages, and the descriptors that come with them"),
    // The address is in memory, where a filter can't look: so no flag that would open a connection to it.
    only(libc::SYS_sendmsg, &[&[Is(2, bits(libc::MSG_NOSIGNAL))]], "reports; sockets handed over"),
];

const CONNECTED: &[Call] = &[
    only(libc::SYS_recvfrom, &[&[Null(4)]], "recv"),
    only(libc::SYS_sendto, &[&[Null(4), Masked(3, SEND_FLAGS, 0)]], "send, without an address and without fast open"),
    call(libc::SYS_getsockname, "our end"),
    call(libc::SYS_getpeername, "the other end"),
    only(
        libc::SYS_getsockopt,
        &[&[Is(1, SOCKET), Is(2, bits(libc::SO_ERROR))], &[Is(1, SOCKET), Is(2, bits(libc::SO_PEERCRED))]],
        "why a socket failed; who is at the other end of a unix socket",
    ),
];

const SHUTDOWN: &[Call] = &[call(libc::SYS_shutdown, "the last byte was sent; tokio's write half at its end")];

const OPTIONS: &[Call] = &[only(
    libc::SYS_setsockopt,
    &[
        &[Is(1, TCP), Is(2, bits(libc::TCP_NODELAY))],
        &[Is(1, SOCKET), Is(2, bits(libc::SO_RCVTIMEO))],
        &[Is(1, SOCKET), Is(2, bits(libc::SO_SNDTIMEO))],
    ],
    "replies at once; time limits on a blocking channel",
)];

const ACCEPT: &[Call] = &[call(libc::SYS_accept4, "strangers' connections")];

const SLOTS: &[Call] = &[
    call(libc::SYS_pread64, "a slot, a page, a segment"),
    call(libc::SYS_pwrite64, "a slot, a page, a segment"),
    call(libc::SYS_fsync, "it is on disk"),
    call(libc::SYS_fdatasync, "it is on disk"),
    call(libc::SYS_ftruncate, "a journal's end, an empty slot"),
    call(libc::SYS_lseek, "the size of a file"),
    call(libc::SYS_fstat, "the size of a file"),
    only(libc::SYS_newfstatat, &[&[Masked(3, BY_NUMBER, BY_NUMBER)]], "the size of a file, as the C library asks"),
    only(libc::SYS_statx, &[&[Masked(2, BY_NUMBER, BY_NUMBER)]], "the size of a file, as the standard library asks"),
];

/// Which files these reach is up to landlock and the root directory. No fchown: SQLite doesn't run as root. fchmod is answered
/// softly: a new journal is to have the mode of its database, which may not be the one that our umask gives it.
const DATABASE: &[Call] = &[
    call(libc::SYS_openat, "databases, journals, segments, monthly files"),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_open, "as above, in older libraries"),
    call(libc::SYS_newfstatat, "does a journal exist, is it still the same file"),
    call(libc::SYS_statx, "the standard library's metadata"),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_stat, "as above, in older libraries"),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_lstat, "as above, in older libraries"),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_access, "SQLite: is there a hot journal"),
    call(libc::SYS_faccessat, "as above"),
    call(libc::SYS_faccessat2, "as above"),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_readlink, "SQLite: the full path of a database"),
    call(libc::SYS_readlinkat, "as above"),
    call(libc::SYS_getcwd, "SQLite: the full path of a database"),
    call(libc::SYS_geteuid, "SQLite: root would have to give files away"),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_unlink, "journals; months past their retention; segments"),
    call(libc::SYS_unlinkat, "as above"),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_rename, "the current month becomes a closed one"),
    #[cfg(not(target_arch = "riscv64"))]
    call(libc::SYS_renameat, "as above"),
    call(libc::SYS_renameat2, "as above"),
    call(libc::SYS_getdents64, "which segments and months there are"),
    call(libc::SYS_fallocate, "room for a segment"),
    call(libc::SYS_statfs, "how full the disk is"),
    call(libc::SYS_fstatfs, "as above"),
    only(libc::SYS_fcntl, &[&[Is(1, bits(libc::F_SETLK))], &[Is(1, bits(libc::F_GETLK))]], "SQLite's locks"),
];

const RESOLVE: &[Call] = &[
    // Read, and neither create nor truncate.
    only(
        libc::SYS_openat,
        &[&[Masked(2, bits(libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC), bits(libc::O_RDONLY))]],
        "hosts, resolv.conf, gai.conf, services",
    ),
    call(libc::SYS_newfstatat, "did resolv.conf change"),
    call(libc::SYS_fstat, "buffered reading"),
    call(libc::SYS_lseek, "buffered reading"),
    call(libc::SYS_uname, "the machine's own name"),
    only(libc::SYS_sendmmsg, &[&[Is(3, bits(libc::MSG_NOSIGNAL))]], "the questions for A and AAAA at once"),
    call(libc::SYS_recvfrom, "answers, and from where"),
    only(libc::SYS_ioctl, &[&[Is(1, HOW_MUCH)]], "how long an answer is"),
    only(
        libc::SYS_setsockopt,
        &[
            &[Is(1, bits(libc::IPPROTO_IP)), Is(2, bits(libc::IP_RECVERR))],
            &[Is(1, bits(libc::IPPROTO_IPV6)), Is(2, bits(libc::IPV6_RECVERR))],
        ],
        "a name server that refuses is known at once",
    ),
];

const DIAL: &[Call] = &[
    // Protocol by name: multipath TCP would slip past landlock's ports.
    only(
        libc::SYS_socket,
        &[
            &[Is(0, INET), Masked(1, KIND, STREAM), Is(2, 0)],
            &[Is(0, INET), Masked(1, KIND, STREAM), Is(2, TCP)],
            &[Is(0, INET), Masked(1, KIND, DATAGRAM), Is(2, 0)],
            &[Is(0, INET), Masked(1, KIND, DATAGRAM), Is(2, UDP)],
            &[Is(0, INET6), Masked(1, KIND, STREAM), Is(2, 0)],
            &[Is(0, INET6), Masked(1, KIND, STREAM), Is(2, TCP)],
            &[Is(0, INET6), Masked(1, KIND, DATAGRAM), Is(2, 0)],
            &[Is(0, INET6), Masked(1, KIND, DATAGRAM), Is(2, UDP)],
        ],
        "upstreams and name servers",
    ),
    call(libc::SYS_connect, "upstreams and name servers; the ports are landlock's"),
];

const SOURCE: &[Call] =
    &[call(libc::SYS_bind, "the address that an upstream is to see; any free port is landlock's, and nothing listens")];

/// What is answered EACCES instead of killing: libraries try these and live well with a refusal. glibc's free() opens
/// /proc/sys/vm/overcommit_memory after a while under load, and no warming up prevents it.
pub const SOFT: &[Call] = &[
    call(libc::SYS_openat, "free: overcommit_memory; time zones; SQLite: urandom"),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_open, "as above"),
    call(libc::SYS_newfstatat, "the standard library: how large is this file"),
    call(libc::SYS_statx, "as above"),
    call(libc::SYS_fstat, "as above"),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_stat, "as above"),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_lstat, "as above"),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_access, "does this file exist"),
    call(libc::SYS_faccessat, "as above"),
    call(libc::SYS_faccessat2, "as above"),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_readlink, "where does this link go"),
    call(libc::SYS_readlinkat, "as above"),
    call(
        libc::SYS_fchmod,
        "SQLite: a journal whose database somebody gave another mode; it doesn't look at the answer",
    ),
    call(libc::SYS_getcwd, "a panic's backtrace"),
    call(libc::SYS_uname, "the machine's name"),
    call(libc::SYS_sysinfo, "how much memory there is"),
    call(libc::SYS_prlimit64, "how large a stack may be"),
    call(libc::SYS_getrusage, "how much was used"),
    only(libc::SYS_ioctl, &[&[Is(1, IS_TERMINAL)]], "is the log a terminal"),
];

/// What is answered EACCES as well to a role that resolves names.
pub const SOFT_RESOLVE: &[Call] = &[
    only(
        libc::SYS_socket,
        &[&[Is(0, bits(libc::AF_UNIX))], &[Is(0, bits(libc::AF_NETLINK))]],
        "getaddrinfo: the name service cache; which addresses this machine has. Without both it asks DNS and all families",
    ),
    // A module of nsswitch.conf that warm-up did not meet: refused, and the next one is asked.
    only(libc::SYS_mmap, &[&[Masked(2, EXEC, EXEC)]], "getaddrinfo: a module that is loaded late"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::policy;

    #[test]
    fn every_call_says_why() {
        let sets = policy::TABLE.iter().flat_map(|row| row.calls).map(|calls| set(*calls));
        for call in sets.chain([SOFT, SOFT_RESOLVE, PARENT, PARENT_CLONE3]).flatten() {
            assert!(call.why.len() > 3, "{}", call.number);
        }
    }

    #[test]
    fn no_role_may_make_a_process_or_run_a_program() {
        let never = [
            libc::SYS_clone,
            libc::SYS_clone3,
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_bind,
            libc::SYS_listen,
            libc::SYS_setresuid,
            libc::SYS_kill,
            libc::SYS_seccomp,
        ];
        for row in &policy::TABLE {
            for call in row.calls.iter().flat_map(|calls| set(*calls)).chain(SOFT).chain(SOFT_RESOLVE) {
                assert!(!never.contains(&call.number), "{} may call {}", row.role, call.number);
            }
        }
    }
}
