//! A credential as an API shows it to whom it is of, and to who may see them all: what it may, and nothing that is its operator's
//! alone. No secret, no hash, no upstream, nobody who gets its mail beside those whom it names.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::policy::mask::Mask;
use crate::policy::rule::SenderRule;
use crate::policy::scope::Scopes;
use crate::policy::{Delivery, Limits, Recipients};

/// Keys that a card names: with the rules of a credential it fits into one frame.
pub const MOST_KEYS: usize = 16;
/// Cards in one answer; an answer has fewer when they are long.
pub const MOST_CARDS: u8 = 100;
/// Octets of the cards in one answer. The rules of one credential have less.
pub const MOST_OCTETS: usize = 14 * 1024;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    pub id: String,
    pub enabled: bool,
    /// Its time is over.
    pub expired: bool,
    /// The public parts of its keys: of its own, the one that asks. None of a client that is known by its address.
    pub keys: Vec<CardKey>,
    pub scopes: Scopes,
    pub senders: Vec<SenderRule>,
    pub recipients: Recipients,
    pub networks: Vec<IpNet>,
    /// It must show a certificate beside its key.
    pub certificate: bool,
    pub limits: Limits,
    /// As the gate has it when absent.
    pub max_size: Option<u64>,
    pub max_recipients: u32,
    pub delivery: Delivery,
    pub mask: Mask,
    /// None for one of the configuration.
    pub created_us: Option<u64>,
    pub expires_us: Option<u64>,
    /// The day on which it last sent something, in days since 1970, as far as that is remembered.
    pub last_day: Option<i64>,
    /// What it sends never leaves.
    pub test: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardKey {
    pub id: String,
    pub expires_us: Option<u64>,
}

/// Which credentials are looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Which {
    One(String),
    /// By their ids in order, so many at most, from behind this one on or from the first.
    After(Option<String>, u8),
    /// The last of those before this one.
    Before(String, u8),
}
