//! How much of addresses auditors see.

use serde::{Deserialize, Serialize};

/// What auditors see of mail addresses and of clients' addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mask {
    /// The domain of a mailbox, and the network of a client: enough to count and group by, too little to know who.
    #[default]
    LocalPart,
    /// That there was one.
    Full,
    /// Everything, also what clients and upstreams said of themselves.
    None,
}

impl Mask {
    pub const WORDS: [(&str, Self); 3] = [("local-part", Self::LocalPart), ("full", Self::Full), ("none", Self::None)];
}
