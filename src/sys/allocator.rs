//! When memory that was freed goes back to the system.

/// Larger pieces come from the system one by one and go back to it: the memory of a password's hash, a message of many MiB.
/// Below it are the buffers of every message, for which a call to the system each would be felt.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: libc::c_int = 1024 * 1024;
/// So much that is free at the end of a heap is kept for what comes next.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT: libc::c_int = 4 * 1024 * 1024;

/// Gives back what is large as soon as it is freed. glibc learns from the first large piece that is freed to keep the next ones,
/// in a heap per thread, where small pieces come to lie between them: a process of some hours holds several times what it needs
/// at most (mallopt(3), `M_MMAP_THRESHOLD`). Other allocators do as is done here. Before threads are made.
pub fn give_back_what_is_large() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (which, value) in [(libc::M_MMAP_THRESHOLD, LARGE), (libc::M_TRIM_THRESHOLD, KEPT)] {
        // SAFETY: mallopt takes two numbers. When it fails, the allocator does as it did, which is slower growth and no harm.
        let _ = unsafe { libc::mallopt(which, value) };
    }
}
