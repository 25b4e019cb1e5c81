//! A post: one place in the house that a process fills, and that is filled again when the process falls.

use std::fmt;

use super::launcher::LAUNCHER;
use crate::role::Role;
use crate::sys::running::{self, Process};

/// What each process below the parent is called, before its post.
pub const TITLE: &str = "gatepost: ";

/// The parent of a service, and those below it.
pub type Family = (Process, Vec<Process>);

/// The parent of a running service and those below it, also the mailers, which its launcher starts. None where the system shows no
/// such thing, or it is gone.
pub fn family(parent: i32) -> Option<Family> {
    running::family(parent, &format!("{TITLE}{LAUNCHER}"))
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Post {
    pub role: Role,
    /// The zone of an edge, the upstream of a courier or mailer; empty otherwise.
    pub label: String,
}

impl Post {
    pub fn new(role: Role, label: &str) -> Self {
        Self { role, label: label.to_owned() }
    }
}

impl fmt::Display for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.label.as_str() {
            "" => write!(f, "{}", self.role),
            label => write!(f, "{} {label}", self.role),
        }
    }
}
