//! Commands about a copy of all that the vault keeps, file by file. Whoever takes the copy asks for each window of it, so
//! that no more is under way than it can hold.

use serde::{Deserialize, Serialize};

use crate::ipc::bytes::Octets;

/// Pieces that answer one `Next`.
pub const WINDOW: usize = 64;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Make a consistent copy beside everything else that goes on.
    Begin,
    /// Give the next window of it.
    Next,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Response {
    /// The copy is being made: a sign of life.
    Working,
    /// The copy is made; what is in it.
    Ready(Contents),
    /// A file begins; the one before is over.
    File {
        name: String,
        octets: u64,
    },
    Piece(Octets),
    /// That was the last file.
    End,
}

/// What a copy holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Which Gatepost made it, and the schema of its database.
    pub version: String,
    pub schema: u32,
    /// Events of the audit log, and the root of their tree.
    pub size: u64,
    pub root: [u8; 32],
    /// The master keys that the bodies in it need, by name.
    pub masters: Vec<String>,
    /// What is missing of the log or damaged in it, in words: the rest is in the copy.
    pub faults: Vec<String>,
}
