//! Ctrl-C and its like, caught from the start: whoever interrupts must not leave a service, a folder or half a file behind.

use std::os::fd::OwnedFd;

use nix::sys::signal::Signal;
use nix::unistd::read;

use crate::sys::signal;

pub struct Interrupt(OwnedFd);

impl Interrupt {
    pub fn catch() -> Result<Self, String> {
        let caught = signal::catch(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
        caught.map(Self).map_err(|error| format!("catching Ctrl-C: {error}"))
    }

    /// Whether somebody asked to end since the last look.
    pub fn came(&self) -> bool {
        read(&self.0, &mut [0; 1]).is_ok_and(|n| n > 0)
    }

    /// The same, but for this signal.
    pub fn came_but(&self, passed: Signal) -> bool {
        let mut one = [0; 1];
        while read(&self.0, &mut one).is_ok_and(|n| n > 0) {
            if Signal::try_from(i32::from(one[0])) != Ok(passed) {
                return true;
            }
        }
        false
    }
}
