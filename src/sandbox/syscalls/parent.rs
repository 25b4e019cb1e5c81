//! The parent's deny-list. It replaces children, so it keeps the calls that make processes; what is left out here is what
//! neither it nor anything below it has a use for.

use super::Check::{Is, Masked};
use super::{Call, call, only};

/// What the parent and everything below it can never do again, answered EPERM: ways into other processes, into the kernel,
/// and around the file rules. Its children stack their own filters on top.
pub const PARENT: &[Call] = &[
    call(libc::SYS_ptrace, "into another process"),
    call(libc::SYS_process_vm_readv, "into another process"),
    call(libc::SYS_process_vm_writev, "into another process"),
    call(libc::SYS_process_madvise, "into another process"),
    call(libc::SYS_kcmp, "into another process"),
    call(libc::SYS_pidfd_getfd, "takes another process's descriptors"),
    call(libc::SYS_mount, "another view of the files"),
    call(libc::SYS_umount2, "another view of the files"),
    call(libc::SYS_pivot_root, "another view of the files"),
    call(libc::SYS_move_mount, "another view of the files"),
    call(libc::SYS_open_tree, "another view of the files"),
    call(libc::SYS_fsopen, "another view of the files"),
    call(libc::SYS_fsconfig, "another view of the files"),
    call(libc::SYS_fsmount, "another view of the files"),
    call(libc::SYS_fspick, "another view of the files"),
    call(libc::SYS_mount_setattr, "another view of the files"),
    call(libc::SYS_setns, "another view of the machine"),
    call(libc::SYS_unshare, "another view of the machine"),
    only(
        libc::SYS_clone,
        // CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET; clone3 hides its flags in memory, see PARENT_CLONE3
        &[
            &[Masked(0, 0x0002_0000, 0x0002_0000)],
            &[Masked(0, 0x0200_0000, 0x0200_0000)],
            &[Masked(0, 0x0400_0000, 0x0400_0000)],
            &[Masked(0, 0x0800_0000, 0x0800_0000)],
            &[Masked(0, 0x1000_0000, 0x1000_0000)],
            &[Masked(0, 0x2000_0000, 0x2000_0000)],
            &[Masked(0, 0x4000_0000, 0x4000_0000)],
        ],
        "another view of the machine",
    ),
    call(libc::SYS_open_by_handle_at, "files without their path"),
    call(libc::SYS_name_to_handle_at, "files without their path"),
    call(libc::SYS_fanotify_init, "watches files"),
    call(libc::SYS_mknodat, "devices"),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_mknod, "devices"),
    call(libc::SYS_memfd_create, "programs that no file rule sees"),
    call(libc::SYS_bpf, "programs in the kernel"),
    call(libc::SYS_perf_event_open, "the kernel's history of holes"),
    call(libc::SYS_userfaultfd, "makes holes in the kernel easy to use"),
    call(libc::SYS_io_uring_setup, "calls that no filter sees"),
    call(libc::SYS_io_uring_enter, "calls that no filter sees"),
    call(libc::SYS_io_uring_register, "calls that no filter sees"),
    call(libc::SYS_add_key, "keyrings"),
    call(libc::SYS_request_key, "keyrings"),
    call(libc::SYS_keyctl, "keyrings"),
    call(libc::SYS_init_module, "code in the kernel"),
    call(libc::SYS_finit_module, "code in the kernel"),
    call(libc::SYS_delete_module, "code in the kernel"),
    call(libc::SYS_kexec_load, "another kernel"),
    #[cfg(not(target_arch = "riscv64"))]
    call(libc::SYS_kexec_file_load, "another kernel"),
    call(libc::SYS_reboot, "the machine"),
    call(libc::SYS_swapon, "the machine"),
    call(libc::SYS_swapoff, "the machine"),
    call(libc::SYS_acct, "the machine"),
    call(libc::SYS_quotactl, "the machine"),
    call(libc::SYS_syslog, "the kernel's log, addresses in it"),
    call(libc::SYS_sethostname, "the machine"),
    call(libc::SYS_setdomainname, "the machine"),
    call(libc::SYS_clock_settime, "the clock: audit times"),
    call(libc::SYS_settimeofday, "the clock"),
    call(libc::SYS_clock_adjtime, "the clock"),
    call(libc::SYS_adjtimex, "the clock"),
    call(libc::SYS_personality, "memory that can be executed when it is read"),
    call(libc::SYS_migrate_pages, "another process's memory"),
    call(libc::SYS_move_pages, "another process's memory"),
    call(libc::SYS_vhangup, "terminals"),
    only(
        libc::SYS_ioctl,
        &[&[Is(1, 0x5412)], &[Is(1, 0x541c)]],
        "TIOCSTI, TIOCLINUX: types into the operator's terminal",
    ),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_iopl, "ports of devices"),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_ioperm, "ports of devices"),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_modify_ldt, "old segments"),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_uselib, "old loaders"),
];

/// clone3 hides its flags from filters: answered ENOSYS, and every C library falls back to clone, whose flags are seen.
pub const PARENT_CLONE3: &[Call] =
    &[call(libc::SYS_clone3, "new processes and threads by clone, where flags are seen")];
