//! From which load on mail is put off, and whose.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Two thresholds of one figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thresholds<T> {
    /// From here on credentials that have more than their share are told to come again.
    pub heavy: T,
    /// From here on all are. Never less.
    pub all: T,
}

/// All of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shedding {
    /// Messages that the spool holds, and their octets.
    pub messages: Thresholds<u64>,
    pub octets: Thresholds<u64>,
    /// How long a commit of the vault's store takes, smoothed.
    pub latency: Thresholds<Duration>,
}
