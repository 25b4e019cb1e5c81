//! Vault and courier of a witness: a head and the proof that it extends the last one the witness saw, and what it said.
//!
//! One question at a time. Nothing in it is secret, and the vault believes no answer that the witness' key did not sign.

use serde::{Deserialize, Serialize};

use super::sealing::Hash;

/// How the label of a courier begins that asks a witness; the anchor's name follows. No upstream has such a name.
const POST: &str = "anchor/";

/// The label of the courier that asks this witness.
pub fn post(anchor: &str) -> String {
    format!("{POST}{anchor}")
}

/// The anchor that the courier of this label is for.
pub fn anchor(label: &str) -> Option<&str> {
    label.strip_prefix(POST)
}

pub fn is_post(label: &str) -> bool {
    anchor(label).is_some()
}

/// The longest text of a witness that is passed on: some dozen cosignatures, or its words.
pub const MAX_TEXT: usize = 8 * 1024;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Ask {
    /// C2SP tlog-witness, add-checkpoint: `proof` shows that the note's head extends the one of `old` leaves.
    /// `question` comes back with the answer.
    Cosign { question: u64, old: u64, proof: Vec<Hash>, note: String },
}

/// An answer, and to which question: one that comes too late must not be taken for the next one's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub question: u64,
    pub answer: Answer,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Its signature lines, as they came.
    Cosigned { lines: String },
    /// 409: the last head it saw has this many leaves.
    Holds { size: u64 },
    /// Any other status, with its words.
    Refused { status: u16, said: String },
    /// It could not be asked, or what it said is no answer.
    Failed { reason: String },
}
