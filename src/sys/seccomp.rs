//! Whether this kernel can filter system calls.

use std::io;

/// Asks without changing anything. Errors: ENOSYS or EINVAL without filters, EOPNOTSUPP without the action, EPERM or EACCES
/// when a container's own filter hides the call.
pub fn can_kill_process() -> io::Result<()> {
    let action: u32 = libc::SECCOMP_RET_KILL_PROCESS;
    let none: libc::c_ulong = 0;
    // SAFETY: SECCOMP_GET_ACTION_AVAIL reads four octets from the pointer, which lives until the call returns.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, none, &raw const action) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
