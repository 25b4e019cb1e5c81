//! The only unsafe code, and the calls that differ between systems. Each function here is small, says what keeps it
//! sound, and does nothing else.

#![allow(unsafe_code)]

pub mod allocator;
#[cfg(target_os = "linux")]
pub mod capability;
pub mod clock;
pub mod descriptor;
#[cfg(test)]
pub mod heap;
pub mod letter;
pub mod lock;
pub mod peer;
pub mod plain;
pub mod priority;
#[cfg(target_os = "linux")]
pub mod probe;
pub mod program;
pub mod rights;
pub mod room;
pub mod running;
#[cfg(target_os = "linux")]
pub mod seccomp;
pub mod service;
pub mod signal;
pub mod sqlite;
pub mod syslog;
pub mod title;
