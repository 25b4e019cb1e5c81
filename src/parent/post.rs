//! A post: one place in the house that a process fills, and that is filled again when the process falls.

use std::fmt;

use crate::role::Role;

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
