//! Edge and vault: the fixed list of questions a stranger's session may raise, each with its proper moment.
//!
//! One channel carries all sessions of an edge. A session lives under a slot number that the edge chooses and that is
//! free again after `Close`. The vault keeps a state machine per slot and treats the edge as hostile: a question out of
//! its moment ends the session, and the audit log says so.

use std::net::SocketAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::allowance::Allowance;
use super::bytes::Octets;
use super::capsule::Capsule;
use super::counted::Counted;
use super::hook::{Posted, Verdict};
use super::inquiry::{Finding, Inquiry};
use super::label::Label;
use super::once::Once;
use super::token::Token;
use super::trace::Told;
use crate::mail::address::{Address, ReversePath};
use crate::mail::envelope::{Addressee, Manner};
use crate::mail::facts::Facts;
use crate::mail::flaw::Flaw;
use crate::mail::id::MessageId;
use crate::mail::spoken::Spoken;
use crate::policy::Grant;
use crate::policy::certificate::Presented;
use crate::policy::mechanism::Mechanism;
use crate::policy::refusal::Refusal;
use crate::policy::route::BackedUp;
use crate::secret::Secret;

/// A session's number on its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Slot(pub u32);

/// Which way a client came to its listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Via {
    /// By itself: it is the peer that the listener saw.
    Direct,
    /// Through a proxy, whose header named it; or none, when the header named nobody.
    Proxy(Option<SocketAddr>),
    /// Through a gateway, whose XCLIENT named it; or none, when that said that it is not known.
    Xclient(Option<SocketAddr>),
}

impl Via {
    /// The client that was named.
    pub fn named(self) -> Option<SocketAddr> {
        match self {
            Self::Direct => None,
            Self::Proxy(client) | Self::Xclient(client) => client,
        }
    }
}

/// What the edge knows of the session's TLS, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    pub version: String,
    pub cipher: String,
    /// The certificate that the client showed and that was verified, where it was asked for one.
    pub client: Option<Box<Presented>>,
}

/// What one TLS session alone can export (RFC 9266): a login by SCRAM can be bound by it.
pub type Exported = [u8; 32];

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Ask {
    /// Shows the capsule, once, with the session's first question.
    /// Answer: `Opened`, `Crowded`, or `Ended` when the capsule or the way is not to be believed.
    Open { slot: Slot, capsule: Capsule, via: Via },
    /// Answer: `Granted` or `Denied`.
    Login { slot: Slot, mechanism: Mechanism, user: String, password: Secret<String>, tls: Option<Tls> },
    /// The first message of a login by SCRAM, and what the session's TLS can be bound by.
    /// Answer: `Challenge`, or `Denied`.
    Scram { slot: Slot, mechanism: Mechanism, message: Secret<Vec<u8>>, exported: Option<Exported>, tls: Option<Tls> },
    /// What the client answers to a challenge. Answer: `Challenge`, `Granted` or `Denied`.
    Respond { slot: Slot, message: Secret<Vec<u8>> },
    /// A transaction begins: reserves limits and gives the message its id. Answer: `Reserved` or `Refused`; of a request that was
    /// done before, `Repeated`.
    Mail {
        slot: Slot,
        sender: ReversePath,
        size: Option<u64>,
        manner: Manner,
        helo: String,
        tls: Option<Tls>,
        /// Apart, as few have it: every question takes as much room as the longest.
        once: Option<Box<Once>>,
    },
    /// Recipients the grant's policy allows, as the client gave them; in batches, before the content. No answer.
    Recipients { slot: Slot, batch: Vec<Addressee> },
    /// A recipient of a live message, which the grant's policy allows. Answer: `Recipient`; several may be asked before it comes,
    /// up to `MAX_ASKED`, and are answered in their order.
    Recipient { slot: Slot, addressee: Addressee },
    /// The content begins. Answer: `Credit`.
    Content { slot: Slot },
    /// The next octets, within the credit: canonical lines that end in CRLF, dots un-stuffed, header fix-ups done.
    /// Answer, in time: `Credit`.
    Chunk { slot: Slot, octets: Octets },
    /// The dot. Answer: `Kept` once it is on disk, or `Refused`; of a live message `Passed`, or `Refused`.
    Commit { slot: Slot, facts: Facts },
    /// The transaction is given up (RSET, an error, a lost connection), or a challenge is not answered. No answer.
    Abort { slot: Slot },
    /// What became of mail of the one who is logged in, or what that one may. Between transactions. Answer: `Found`, or `Refused`.
    Inquire { slot: Slot, inquiry: Inquiry },
    /// A refusal that the edge decided by the grant's policy, for the audit log: of this sender's message, or of one
    /// recipient of it, with the number of further ones that were refused with it; and what was wrong with its form. No answer.
    Turned {
        slot: Slot,
        sender: ReversePath,
        recipient: Option<Address>,
        further: u32,
        refusal: Refusal,
        flaw: Option<Flaw>,
    },
    /// A line for those who follow this session, which the vault has asked for. No answer.
    Told { slot: Slot, told: Told },
    /// The session is over; the slot is free. No answer.
    Close { slot: Slot },
    /// Asked on a fresh channel after the vault was replaced: was this message committed? Answer: `Was`.
    Was { message: MessageId },
    /// Something was posted to a provider's hook, between transactions: its body follows, and then the answer, `Hooked`.
    Hook { slot: Slot, posted: Box<Posted> },
    /// The next octets of that body. No answer but that to all of it.
    Body { slot: Slot, octets: Octets },
    /// What the client says of the message beside it, of one that is not live, before its content; once. No answer.
    Label { slot: Slot, label: Box<Label> },
    /// Of no session: a certificate that is shown at this listener, and when it ends, in Unix seconds. No answer.
    Shown { listener: String, ends: u64 },
    /// What came with a message to prove that a person wrote it, of one that is not live, before its content; once. No answer.
    Prove { slot: Slot, token: Token },
    /// Of no session: what was counted at a listener. No answer.
    Counted(Box<Counted>),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// `network` is the grant of a device known by its address, on listeners that identify by network; `traced` as in
    /// `Trace`.
    Opened {
        slot: Slot,
        network: Option<Box<Grant>>,
        traced: bool,
    },
    Granted {
        slot: Slot,
        grant: Box<Grant>,
    },
    Denied {
        slot: Slot,
        denial: Denial,
    },
    /// To be told to the client, which answers it.
    Challenge {
        slot: Slot,
        message: Octets,
    },
    /// With the routes that too much waits for: their recipients are to be refused. `live`: it is delivered while its sender waits,
    /// and each recipient is to be asked for.
    Reserved {
        slot: Slot,
        message: MessageId,
        backed_up: Vec<BackedUp>,
        live: bool,
    },
    Recipient {
        slot: Slot,
        word: Word,
    },
    /// What the upstream said to the whole message, or is said in its stead.
    Passed {
        slot: Slot,
        spoken: Spoken,
    },
    /// The request was done before, and this came of it. No transaction has begun.
    Repeated {
        slot: Slot,
        message: MessageId,
    },
    Credit {
        slot: Slot,
        octets: u32,
    },
    /// With the numbers of those of its recipients, in the order in which they were named, to whom nothing is sent. Over HTTP, whose
    /// answers say it.
    Kept {
        slot: Slot,
        message: MessageId,
        suppressed: Vec<u32>,
    },
    Refused {
        slot: Slot,
        refusal: Refusal,
    },
    Found {
        slot: Slot,
        finding: Finding,
    },
    /// The credential was changed or revoked: whatever the session does next needs a new login.
    Revoked {
        slot: Slot,
    },
    /// Somebody follows this session, and wants to be told of it; or nobody does any more.
    Trace {
        slot: Slot,
        on: bool,
    },
    /// Somebody follows sessions from there: they are to be shown to the vault at their beginning, and not with their first
    /// question. In place of what was said before.
    Introduce {
        networks: Vec<IpNet>,
    },
    /// How the service is, in parts: for an edge that answers those who watch it.
    Figures {
        part: Octets,
        first: bool,
        last: bool,
    },
    /// There are as many sessions of the client that the proxy named as there may be. The session is over.
    Crowded {
        slot: Slot,
    },
    /// The session was ended: its capsule was not genuine, or the edge asked out of its moment.
    Ended {
        slot: Slot,
    },
    Was {
        message: MessageId,
        committed: bool,
    },
    Hooked {
        slot: Slot,
        verdict: Verdict,
    },
    /// What is left of the credential's limits behind the word that follows. Over HTTP, whose answers say it.
    Allowance {
        slot: Slot,
        allowance: Box<Allowance>,
    },
}

impl Answer {
    /// Its kind, for logs.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "opened",
            Self::Granted { .. } => "granted",
            Self::Denied { .. } => "denied",
            Self::Challenge { .. } => "challenge",
            Self::Reserved { .. } => "reserved",
            Self::Repeated { .. } => "repeated",
            Self::Recipient { .. } => "recipient",
            Self::Passed { .. } => "passed",
            Self::Credit { .. } => "credit",
            Self::Kept { .. } => "kept",
            Self::Refused { .. } => "refused",
            Self::Found { .. } => "found",
            Self::Revoked { .. } => "revoked",
            Self::Trace { .. } => "trace",
            Self::Introduce { .. } => "introduce",
            Self::Crowded { .. } => "crowded",
            Self::Ended { .. } => "ended",
            Self::Figures { .. } => "figures",
            Self::Was { .. } => "was",
            Self::Hooked { .. } => "hooked",
            Self::Allowance { .. } => "allowance",
        }
    }
}

/// Certificates of one edge that are kept in mind: more have no listener that would be told from others.
pub const MAX_SHOWN: usize = 256;

/// Recipients of a live message that may be asked for before one of them is answered: what a client pipelines in one read.
pub const MAX_ASKED: usize = 64;

/// What is said to a recipient of a live message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Word {
    Taken,
    Refused(Refusal),
    /// What the upstream said, or is said in its stead.
    Said(Spoken),
}

/// Why a login failed, as far as anybody outside the vault may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Denial {
    /// Unknown name, wrong password, disabled, expired, wrong network: one answer, in the same time. 535 5.7.8; 403.
    Invalid,
    /// No room to check it now: 454 4.7.0; 503.
    Busy,
    /// Too many failures from there: 454 4.7.0; 429. Carries the seconds to wait.
    Wait(u32),
    /// Whose key it would be can't be asked now: 454 4.7.0; 503.
    Away,
}
