//! Commands about addresses that nothing is sent to.

use serde::{Deserialize, Serialize};

use crate::mail::address::Address;
use crate::policy::suppression::Reason;

/// Addresses in one command: they fit into a frame.
pub const MOST: usize = 40;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Send nothing to these: for all, or for one credential. What was said of one before is forgotten, unless it is for longer
    /// or for a stronger reason; with `replace` also then. Answer: `Added`.
    Add {
        entries: Vec<(Address, Reason)>,
        scope: Option<String>,
        expires_us: Option<u64>,
        note: Option<String>,
        replace: bool,
    },
    /// The reverse. Answer: `Absent` for each that was not there, `Holds` for each to whom nothing is sent all the same, and
    /// `Changed`, with how many of them were there.
    Remove { addresses: Vec<Address>, scope: Option<String>, note: Option<String> },
    /// Those behind that place, as far as they are one credential's, or of that address. Answer: `Entry` of each, and `Next`.
    List { after: Option<Place>, scope: Option<String>, address: Option<Address> },
}

/// Where a list goes on. What is in it says nothing to whoever asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub tag: [u8; 32],
    pub scope: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// For this credential's mail alone.
    pub scope: Option<String>,
    /// None when it was erased: it is suppressed still, and nobody can tell who it is.
    pub address: Option<String>,
    pub reason: Reason,
    pub since_us: u64,
    pub expires_us: Option<u64>,
    pub note: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Response {
    Added {
        added: u64,
        changed: u64,
        /// Left as they were.
        kept: u64,
    },
    Changed(u64),
    Absent(Box<Address>),
    Holds(Box<Entry>),
    Entry(Box<Entry>),
    Next(Option<Place>),
}
