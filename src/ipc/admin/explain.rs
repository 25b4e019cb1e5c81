//! What would become of a message, and by which rule: a question that leaves no trace and takes nothing.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::mail::address::Address;

/// Recipients of one question: they fit into a frame.
pub const MOST: usize = 16;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Question {
    pub credential: String,
    pub sender: Address,
    pub recipients: Vec<Address>,
    /// Where the client would come from.
    pub address: Option<IpAddr>,
}

/// What is asked of a message, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    Login,
    Sender,
    Recipient,
    Route,
    Copy,
    Suppression,
    /// Limits, load and room, as they are at this moment.
    Moment,
    /// A token that a person wrote it.
    Proof,
}

impl Stage {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Sender => "sender",
            Self::Recipient => "recipient",
            Self::Route => "route",
            Self::Copy => "copy",
            Self::Suppression => "suppression",
            Self::Moment => "moment",
            Self::Proof => "proof",
        }
    }
}

/// One thing that was asked, and the rule that decided it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub stage: Stage,
    /// Whom or what it is about.
    pub about: String,
    /// In the words of the configuration.
    pub rule: String,
    pub refused: Option<Refused>,
}

/// The word that the audit log has for it, and after how many seconds it might be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub word: String,
    pub wait: Option<u32>,
}
