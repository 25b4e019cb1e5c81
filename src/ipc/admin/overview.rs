//! What is going on in the vault at one moment, for one screen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ipc::allowance::{Left, Limit};

/// Limits that are named at most: more than a screen has lines for.
pub const MOST: usize = 40;

/// A limit of a credential of which little is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    pub credential: String,
    pub limit: Limit,
    /// How much there is in a window, and how much of it may be used now.
    pub quota: u64,
    pub left: u64,
    /// It sent far beyond its history, and may send nothing for now.
    pub suspended: bool,
}

impl Edge {
    /// One in five is left, or less.
    pub fn is_near(left: &Left) -> bool {
        left.quota > 0 && left.left <= left.quota / 5
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    /// Sessions of clients that asked the vault for something and are still there: all that logged in among them.
    pub sessions: u64,
    /// Those with the least left first, and how many more there are.
    pub edges: Vec<Edge>,
    pub more: u64,
    /// Each listener that shows certificates, and when the first of those ends, in Unix seconds.
    pub shown: BTreeMap<String, u64>,
    /// The digest of what the configuration in force says.
    pub written: [u8; 32],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_near_its_edge_when_a_fifth_is_left() {
        let near = |quota, left| Edge::is_near(&Left { limit: Limit::PerDay, quota, left, seconds: 0 });
        assert_eq!(
            [near(100, 21), near(100, 20), near(100, 0), near(3, 1), near(3, 0), near(0, 0)],
            [false, true, true, false, true, false]
        );
    }
}
