//! How willingly a thread gives way to others.

/// Lets every other thread go first. Possible only before the sandbox closes, and only where a thread has a priority of its
/// own; elsewhere nothing changes, because lowering the whole process would slow down mail.
pub fn lower_this_thread() {
    #[cfg(target_os = "linux")]
    {
        const NICE: libc::c_int = 10;
        // SAFETY: setpriority takes three numbers and touches no memory. On Linux, 0 is the calling thread. Its failure
        // leaves the priority as it was, which is no harm.
        let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
    }
}
