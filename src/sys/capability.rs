//! Linux capabilities of the calling thread: its five sets, read, narrowed and emptied. To be called while there is but
//! one thread, because the kernel keeps them per thread.

use std::io;

pub const KILL: u32 = 5;
pub const SETGID: u32 = 6;
pub const SETUID: u32 = 7;
pub const SETPCAP: u32 = 8;
pub const NET_BIND_SERVICE: u32 = 10;
pub const SYS_CHROOT: u32 = 18;

/// _LINUX_CAPABILITY_VERSION_3: 64 bits in two halves.
const VERSION: u32 = 0x2008_0522;
/// Numbers of capabilities end below this; the kernel says EINVAL for those it doesn't know.
const END: u32 = 64;

/// The five sets, one bit per capability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sets {
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
    pub bounding: u64,
    pub ambient: u64,
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// What the calling thread holds.
pub fn read() -> io::Result<Sets> {
    let header = Header { version: VERSION, pid: 0 };
    let mut halves = [Half::default(); 2];
    // SAFETY: capget reads the header and writes two halves for this version; both live until it returns.
    if unsafe { libc::syscall(libc::SYS_capget, &raw const header, halves.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let [low, high] = halves;
    let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let mut sets = Sets {
        effective: join(low.effective, high.effective),
        permitted: join(low.permitted, high.permitted),
        inheritable: join(low.inheritable, high.inheritable),
        bounding: 0,
        ambient: 0,
    };
    for capability in 0..END {
        let bounding = control(libc::PR_CAPBSET_READ, capability.into(), 0);
        if bounding < 0 {
            break; // past the last one this kernel knows
        }
        let ambient = control(libc::PR_CAP_AMBIENT, bits(libc::PR_CAP_AMBIENT_IS_SET), capability.into());
        sets.bounding |= u64::from(bounding == 1) << capability;
        sets.ambient |= u64::from(ambient == 1) << capability;
    }
    Ok(sets)
}

/// Takes everything but `keep` out of the bounding set (which needs CAP_SETPCAP), and empties the ambient set.
pub fn bound(keep: u64) -> io::Result<()> {
    if control(libc::PR_CAP_AMBIENT, bits(libc::PR_CAP_AMBIENT_CLEAR_ALL), 0) != 0 {
        return Err(io::Error::last_os_error());
    }
    let sets = read()?;
    for capability in (0..END).filter(|c| sets.bounding & !keep & (1 << c) != 0) {
        if control(libc::PR_CAPBSET_DROP, capability.into(), 0) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Makes the effective and permitted sets what of `keep` is permitted already, and empties the inheritable set.
pub fn limit(keep: u64) -> io::Result<()> {
    let held = read()?;
    // Whoever holds no more already needs no call for it, which a service manager may forbid to one that never was root.
    if held.permitted & !keep == 0 && held.effective == held.permitted && held.inheritable == 0 {
        return Ok(());
    }
    let permitted = held.permitted & keep;
    let header = Header { version: VERSION, pid: 0 };
    let half = |bits: u64| {
        let bits = u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default();
        Half { effective: bits, permitted: bits, inheritable: 0 }
    };
    let halves = [half(permitted), half(permitted >> 32)];
    // SAFETY: capset reads the header and two halves for this version; both live until it returns.
    if unsafe { libc::syscall(libc::SYS_capset, &raw const header, halves.as_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn control(option: libc::c_int, first: libc::c_ulong, second: libc::c_ulong) -> libc::c_int {
    let none: libc::c_ulong = 0;
    // SAFETY: the options used here take numbers and no pointers.
    unsafe { libc::prctl(option, first, second, none, none) }
}

fn bits(value: libc::c_int) -> libc::c_ulong {
    libc::c_ulong::from(value.cast_unsigned())
}
