//! Vault and sealer: heads of the audit tree.

use serde::{Deserialize, Serialize};

/// A SHA-256 value of the tree.
pub type Hash = [u8; 32];

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Ask {
    /// What did you seal last, and with which key?
    Head,
    /// Sign this head. `proof` shows that it extends the last one sealed (RFC 6962 section 2.1.2); empty after nothing.
    Seal { size: u64, root: Hash, proof: Vec<Hash> },
    /// Anchor your last head now, at the anchors you make by yourself or the one of that name.
    Anchor { name: Option<String> },
    /// What became of these anchors since you were asked last?
    Anchors,
    /// Sign this head although it can't be shown to extend the last one: an administrator says so. `last` is what you sealed
    /// last, as you said it, or none if you have lost it. The note says what is given up: the first `kept` events of the old
    /// head's are in the new one for certain.
    Resume { last: Option<(u64, Hash)>, kept: u64, old: (u64, Hash), size: u64, root: Hash },
}

/// What became of a head at one of the sealer's own anchors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchored {
    pub name: String,
    pub size: u64,
    /// Why it is not there.
    pub failed: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// `vkey` is the verifier key in the form of C2SP signed-note.
    /// `last` is none when it was lost, and `refuses` says why nothing can be signed until an administrator resumes.
    Head { last: Option<(u64, Hash)>, refuses: Option<String>, vkey: String },
    /// The whole note: a C2SP tlog-checkpoint with its signature. Written after the head was made durable.
    Sealed { size: u64, note: String },
    /// Not an extension of what was signed before. Mail goes on; the log is unsealed from here until this is resolved.
    Refused { size: u64, reason: String },
    /// Since the last such answer.
    Anchors { done: Vec<Anchored> },
}
