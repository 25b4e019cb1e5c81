//! How the gate stands at a moment, for the digest of a day.

use serde::{Deserialize, Serialize};

use super::overview::Edge;

/// Certificates, upstreams and alerts that are named at most: all of them are one frame.
pub const MOST: usize = 20;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    pub hostname: String,
    /// Octets free on the disk, as far as they are known, and those that must be.
    pub free: Option<u64>,
    pub reserve: u64,
    /// Messages in the spool, and since when the one of a client has waited that has waited the longest.
    pub messages: u64,
    pub oldest_us: Option<u64>,
    /// Of listeners, in days; negative for those that are over.
    pub certificates: Vec<(String, i64)>,
    /// Upstreams by name, each with the word for how it stands.
    pub upstreams: Vec<(String, String)>,
    /// Limits of which little is left, and how many more there are.
    pub edges: Vec<Edge>,
    pub more: u64,
    /// The newest signed head: its events, and when.
    pub head: Option<(u64, u64)>,
    /// What goes on that operators were told of.
    pub alerts: Vec<String>,
}
