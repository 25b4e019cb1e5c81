//! Clocks that nobody sets: how long the system has run, and how long ago it was booted.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Time in which this system ran: it stands still while the machine sleeps. Zero where there is no such clock.
pub fn running() -> Duration {
    #[cfg(target_os = "openbsd")]
    return read(ClockId::from_raw(libc::CLOCK_UPTIME));
    #[cfg(not(target_os = "openbsd"))]
    read(ClockId::CLOCK_MONOTONIC)
}

/// The same, and the time it slept. Where the system can't tell, it never slept.
pub fn elapsed() -> Duration {
    #[cfg(any(target_os = "openbsd", target_os = "linux"))]
    return read(ClockId::from_raw(libc::CLOCK_BOOTTIME));
    #[cfg(not(any(target_os = "openbsd", target_os = "linux")))]
    running()
}

/// The same as `running`, in microseconds.
pub fn running_us() -> u64 {
    u64::try_from(running().as_micros()).unwrap_or(u64::MAX)
}

/// Whether something keeps the clock of this machine right, by the kernel's word. None where the kernel can't say.
#[cfg(target_os = "linux")]
pub fn is_kept_right() -> Option<bool> {
    // SAFETY: `timex` is numbers alone, for which zero is a value.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live variable of the right type. With no modes set it is only written to.
    let status = unsafe { libc::adjtimex(&raw mut state) };
    (status >= 0).then_some(status != libc::TIME_ERROR && state.status & libc::STA_UNSYNC == 0)
}

#[cfg(not(target_os = "linux"))]
pub fn is_kept_right() -> Option<bool> {
    None
}

fn read(clock: ClockId) -> Duration {
    clock_gettime(clock).map(Duration::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_that_counts_sleep_is_never_behind_the_other() {
        let (running, elapsed) = (running(), elapsed());
        assert!(running > Duration::ZERO && elapsed >= running, "{running:?} {elapsed:?}");
    }
}
