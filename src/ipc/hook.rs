//! What somebody posts to a provider's hook, as the edge saw it, and what the vault makes of it: carried by a session's questions and
//! answers. Whether a provider has said it, its signature tells, which the vault alone can look at.

use serde::{Deserialize, Serialize};

/// Octets of a body: an event that names fifty recipients has some five thousand.
pub const MOST_OCTETS: usize = 64 * 1024;
/// Octets of each text beside it; what is longer is none that a provider sends, and is not shown to the vault.
pub const MOST_TEXT: usize = 128;

/// What comes before the body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    /// The end of the path; empty: none that a hook can have.
    pub hook: String,
    /// The fields of those names, as they came: when it was signed, in milliseconds, and the signature with its version.
    pub timestamp: String,
    pub signature: String,
    /// Octets of the body, which follows.
    pub length: u32,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It is on the disk, or means nothing here. Not to be sent again.
    Taken,
    /// There is no such hook, or it isn't signed by what it is told by, or not now: one answer.
    Unsigned,
    /// It is signed, and can't be read as an event.
    Unreadable,
    /// Too much from there was not signed. Carries the seconds to wait.
    Wait(u32),
    /// It is to come again: there is no room for it, or the vault is about to end.
    Busy,
}
