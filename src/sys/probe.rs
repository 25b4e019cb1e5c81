//! Attempts to escape, as an intruder would make them: by the bare system call. Used by `sandbox::probe` alone, in a
//! process that was started for one attempt and ends after it.

use std::ffi::CStr;
use std::io;
use std::mem::size_of;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::{c_int, c_long, c_void, pid_t};

/// What an attempt comes to: it succeeded, or the system's answer. A third outcome is the process's death.
pub type Attempt = io::Result<()>;

fn done(answer: c_long) -> Attempt {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn opened(answer: c_long) -> io::Result<OwnedFd> {
    done(answer)?;
    // SAFETY: the callers pass what a call that makes descriptors has just returned; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(answer as RawFd) })
}

/// A call that takes numbers alone.
pub fn call(number: c_long, arguments: [c_long; 4]) -> io::Result<c_long> {
    let [a, b, c, d] = arguments;
    // SAFETY: the callers below and in `sandbox::probe` pass numbers or null pointers only, and the process is one that
    // may be broken by it: that is the question.
    let answer = unsafe { libc::syscall(number, a, b, c, d) };
    done(answer).map(|()| answer)
}

pub fn socket(domain: c_int, kind: c_int, protocol: c_int) -> io::Result<OwnedFd> {
    opened(call(libc::SYS_socket, [domain.into(), kind.into(), protocol.into(), 0])?)
}

fn loopback(port: u16) -> libc::sockaddr_in {
    // SAFETY: all zeroes is a valid sockaddr_in.
    let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    address.sin_family = libc::AF_INET as libc::sa_family_t;
    address.sin_port = port.to_be();
    address.sin_addr.s_addr = u32::from(Ipv4Addr::LOCALHOST).to_be();
    address
}

const ADDRESS: libc::socklen_t = size_of::<libc::sockaddr_in>() as libc::socklen_t;

pub fn connect(socket: BorrowedFd<'_>, port: u16) -> Attempt {
    let address = loopback(port);
    // SAFETY: the address lives until the call returns, and its size is right.
    done(unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), ADDRESS) }.into())
}

pub fn bind(socket: BorrowedFd<'_>) -> Attempt {
    let address = loopback(0);
    // SAFETY: as for connect.
    done(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), ADDRESS) }.into())
}

pub fn listen(socket: BorrowedFd<'_>) -> Attempt {
    // SAFETY: takes numbers.
    done(unsafe { libc::listen(socket.as_raw_fd(), 1) }.into())
}

pub fn accept(socket: BorrowedFd<'_>) -> Attempt {
    let (none, length) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the kernel writes no address where both pointers are null.
    let answer = unsafe { libc::accept4(socket.as_raw_fd(), none, length, libc::SOCK_CLOEXEC) };
    opened(answer.into()).map(drop)
}

pub fn shut_down(socket: BorrowedFd<'_>) -> Attempt {
    // SAFETY: takes numbers.
    done(unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RDWR) }.into())
}

/// Sends one octet to a loopback port by sendto.
pub fn send_to(socket: BorrowedFd<'_>, port: u16, flags: c_int) -> Attempt {
    let address = loopback(port);
    let octet = [b'!'];
    // SAFETY: octet and address live until the call returns, and their sizes are right.
    let sent = unsafe {
        libc::sendto(socket.as_raw_fd(), octet.as_ptr().cast(), 1, flags, (&raw const address).cast(), ADDRESS)
    };
    done(sent as c_long)
}

/// The same by sendmsg, where a filter can't see the address.
pub fn send_message(socket: BorrowedFd<'_>, port: u16, flags: c_int) -> Attempt {
    let mut address = loopback(port);
    let mut octet = [b'!'];
    let mut part = libc::iovec { iov_base: octet.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: all zeroes is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = (&raw mut address).cast();
    message.msg_namelen = ADDRESS;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    // SAFETY: all that the header points to lives until the call returns.
    done(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) } as c_long)
}

pub fn set_option(socket: BorrowedFd<'_>, level: c_int, option: c_int, value: c_int) -> Attempt {
    let length = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: the value lives until the call returns, and its size is right.
    done(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length) }.into())
}

/// A packet filter that drops everything: a program for the kernel.
pub fn attach_filter(socket: BorrowedFd<'_>) -> Attempt {
    let mut drop_all = [libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: 0 }];
    let program = libc::sock_fprog { len: 1, filter: drop_all.as_mut_ptr() };
    let length = size_of::<libc::sock_fprog>() as libc::socklen_t;
    let (socket, option) = (socket.as_raw_fd(), libc::SO_ATTACH_FILTER);
    // SAFETY: program and filter live until the call returns, and the sizes are right.
    done(unsafe { libc::setsockopt(socket, libc::SOL_SOCKET, option, (&raw const program).cast(), length) }.into())
}

/// A child that ends at once.
pub fn fork() -> Attempt {
    // SAFETY: the child calls nothing but _exit, which is safe after a fork.
    match unsafe { libc::fork() } {
        // SAFETY: ends the child without running anything of ours.
        0 => unsafe { libc::_exit(0) },
        pid => done(pid.into()),
    }
}

/// Becomes the program of that path, which ends with 0.
pub fn execute(path: &CStr, argument: &CStr) -> Attempt {
    let arguments = [path.as_ptr(), c"-c".as_ptr(), argument.as_ptr(), std::ptr::null()];
    let environment = [std::ptr::null()];
    // SAFETY: both lists end with null, and all strings with NUL.
    done(unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) }.into())
}

/// Becomes the program that the descriptor holds.
pub fn execute_descriptor(program: BorrowedFd<'_>) -> Attempt {
    let arguments = [c"true".as_ptr(), std::ptr::null()];
    let environment = [std::ptr::null()];
    // SAFETY: both lists end with null, and all strings with NUL.
    done(unsafe { libc::fexecve(program.as_raw_fd(), arguments.as_ptr(), environment.as_ptr()) }.into())
}

pub fn memory_file() -> io::Result<OwnedFd> {
    // SAFETY: the name ends with NUL.
    opened(unsafe { libc::memfd_create(c"probe".as_ptr(), 0) }.into())
}

pub fn trace(process: pid_t) -> Attempt {
    const SEIZE: c_long = 0x4206;
    call(libc::SYS_ptrace, [SEIZE, process.into(), 0, 0]).map(drop)
}

/// EFAULT means that the memory was in reach and only the address was a guess.
pub fn read_memory(process: pid_t) -> Attempt {
    let mut octet = [0u8];
    let ours = libc::iovec { iov_base: octet.as_mut_ptr().cast(), iov_len: 1 };
    let theirs = libc::iovec { iov_base: 0x1000 as *mut c_void, iov_len: 1 };
    // SAFETY: the kernel writes one octet at most, into ours.
    let answer = unsafe { libc::process_vm_readv(process, &raw const ours, 1, &raw const theirs, 1, 0) };
    match done(answer as c_long) {
        Err(error) if error.raw_os_error() == Some(libc::EFAULT) => Ok(()),
        other => other,
    }
}

pub fn take_descriptor(process: pid_t) -> Attempt {
    let process = opened(call(libc::SYS_pidfd_open, [process.into(), 0, 0, 0])?)?;
    opened(call(libc::SYS_pidfd_getfd, [process.as_raw_fd().into(), 0, 0, 0])?).map(drop)
}

pub fn signal(process: pid_t) -> Attempt {
    call(libc::SYS_kill, [process.into(), 0, 0, 0]).map(drop)
}

pub fn pin(process: pid_t) -> Attempt {
    // SAFETY: all zeroes is a valid, empty set; CPU_SET stays within it.
    let mut first: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: 0 is within the set.
    unsafe { libc::CPU_SET(0, &mut first) };
    // SAFETY: the set lives until the call returns, and its size is right.
    done(unsafe { libc::sched_setaffinity(process, size_of::<libc::cpu_set_t>(), &raw const first) }.into())
}

pub fn limits_of(process: pid_t) -> Attempt {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let none = std::ptr::null();
    // SAFETY: the kernel writes one rlimit64.
    done(unsafe { libc::prlimit64(process, libc::RLIMIT_NOFILE, none, &raw mut limit) }.into())
}

const PAGE: usize = 4096;

/// Maps a page with these rights.
pub fn map(rights: c_int, flags: c_int) -> io::Result<*mut c_void> {
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing of ours.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), PAGE, rights, flags | libc::MAP_ANONYMOUS, -1, 0) };
    if page == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(page) }
}

/// Makes a page that was written to executable.
pub fn write_then_execute() -> Attempt {
    let page = map(libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE)?;
    // SAFETY: the page is ours alone, and nothing points into it.
    done(unsafe { libc::mprotect(page, PAGE, libc::PROT_READ | libc::PROT_EXEC) }.into())
}

pub fn become_root() -> Attempt {
    call(libc::SYS_setresuid, [0, 0, 0, 0]).map(drop)
}

pub fn mount() -> Attempt {
    let (kind, place) = (c"tmpfs".as_ptr(), c"/".as_ptr());
    // SAFETY: all strings end with NUL; tmpfs takes no data.
    done(unsafe { libc::mount(kind, place, kind, 0, std::ptr::null()) }.into())
}

pub fn change_root() -> Attempt {
    // SAFETY: the string ends with NUL.
    done(unsafe { libc::chroot(c".".as_ptr()) }.into())
}

/// A terminal, made before the sandbox, that an operator might sit at.
pub fn terminal() -> io::Result<OwnedFd> {
    // SAFETY: takes numbers.
    opened(unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY) }.into())
}

pub fn type_into(terminal: BorrowedFd<'_>) -> Attempt {
    let letter = b'!';
    // SAFETY: TIOCSTI reads one octet.
    done(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSTI, &raw const letter) }.into())
}

pub fn ring() -> Attempt {
    let mut parameters = [0u64; 32];
    // SAFETY: the kernel reads and writes struct io_uring_params, which is shorter than this.
    let answer = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr()) };
    opened(answer).map(drop)
}

/// A map, the least of what bpf gives.
pub fn kernel_map() -> Attempt {
    let attributes: [u32; 32] = std::array::from_fn(|at| [2u32, 4, 4, 1].get(at).copied().unwrap_or(0));
    // SAFETY: the kernel reads as much as it is told, which is there.
    opened(unsafe { libc::syscall(libc::SYS_bpf, 0, attributes.as_ptr(), 64) }).map(drop)
}

/// Counts this process's own time, the least of what perf gives.
pub fn performance() -> Attempt {
    let mut attributes = [0u32; 32];
    (attributes[0], attributes[1]) = (1, 128); // PERF_TYPE_SOFTWARE, the size
    // SAFETY: the kernel reads 128 octets, which are there.
    let answer = unsafe { libc::syscall(libc::SYS_perf_event_open, attributes.as_ptr(), 0, -1, -1, 0) };
    opened(answer).map(drop)
}

pub fn add_key() -> Attempt {
    const PROCESS_KEYRING: c_int = -2;
    let (kind, name) = (c"user".as_ptr(), c"probe".as_ptr());
    // SAFETY: strings end with NUL; the payload is one octet of the name.
    done(unsafe { libc::syscall(libc::SYS_add_key, kind, name, name, 1usize, PROCESS_KEYRING) })
}

/// The same table of calls under its other numbers: x32 on x86_64.
#[cfg(target_arch = "x86_64")]
pub fn other_numbers() -> Attempt {
    call(libc::SYS_getpid | 0x4000_0000, [0; 4]).map(drop)
}

/// Closes what a shell or a test left open; the parent gives its children no more than 0, 1 and 2 either.
///
/// Only as a program's first step, when nothing in it owns a descriptor yet.
pub fn close_inherited() -> Attempt {
    call(libc::SYS_close_range, [3, c_long::from(u32::MAX), 0, 0]).map(drop)
}

/// Which descriptors are open, below a limit. Needs no files.
pub fn open_descriptors(below: RawFd) -> Vec<RawFd> {
    // SAFETY: F_GETFD on any number is harmless.
    (0..below).filter(|number| unsafe { libc::fcntl(*number, libc::F_GETFD) } >= 0).collect()
}
