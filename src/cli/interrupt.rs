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
}
