//! Who talks to whom, about what, over which kind of socket. The parent makes exactly these channels and no others.

use serde::{Deserialize, Serialize};

use super::Role;
use crate::ipc::{feedback, turnstile, witnessing};

/// A conversation between two roles. Each has its file in `ipc/` with the two enums that can be said in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Talk {
    /// Listener to edge: a connected socket and the capsule that introduces it.
    Handover,
    /// Edge to vault: logins, envelopes, messages.
    Session,
    /// Edge to keyholder: signatures of TLS handshakes.
    Signing,
    /// Vault to sealer: heads of the audit tree.
    Sealing,
    /// Vault to courier or mailer: messages out, outcomes back.
    Delivery,
    /// Courier to dialer: connected sockets by upstream number.
    Dialing,
    /// Vault to courier: heads of the audit tree for a witness.
    Witnessing,
    /// Vault to courier: what became of mail, for a webhook.
    Feedback,
    /// Vault to courier: tokens of visitors of web pages, for Turnstile.
    Turnstile,
}

/// Which side of a conversation a process is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum End {
    Asks,
    Answers,
}

/// The kind of socket pair a conversation runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// SOCK_STREAM with length-prefixed frames: many small frames per write, never a descriptor.
    Stream,
    /// SOCK_SEQPACKET: one message at a time, each with at most one descriptor.
    Packet,
}

/// One possible channel.
#[derive(Debug)]
pub struct Link {
    pub asks: Role,
    pub answers: Role,
    pub talk: Talk,
    pub wire: Wire,
}

impl Link {
    /// Whether a process of that role and label has a part in it: a courier carries mail, asks a witness or
    /// Turnstile, or tells a webhook, and nothing beside it.
    pub fn suits(&self, role: Role, label: &str) -> bool {
        let (witness, webhook, turnstile) =
            (witnessing::is_post(label), feedback::is_post(label), turnstile::is_post(label));
        match self.talk {
            Talk::Delivery => role != Role::Courier || !(witness || webhook || turnstile),
            Talk::Witnessing => role != Role::Courier || witness,
            Talk::Feedback => role != Role::Courier || webhook,
            Talk::Turnstile => role != Role::Courier || turnstile,
            _ => true,
        }
    }
}

pub const LINKS: [Link; 13] = [
    Link { asks: Role::Listener, answers: Role::EdgeSmtp, talk: Talk::Handover, wire: Wire::Packet },
    Link { asks: Role::Listener, answers: Role::EdgeHttp, talk: Talk::Handover, wire: Wire::Packet },
    Link { asks: Role::EdgeSmtp, answers: Role::Keyholder, talk: Talk::Signing, wire: Wire::Stream },
    Link { asks: Role::EdgeHttp, answers: Role::Keyholder, talk: Talk::Signing, wire: Wire::Stream },
    Link { asks: Role::EdgeSmtp, answers: Role::Vault, talk: Talk::Session, wire: Wire::Stream },
    Link { asks: Role::EdgeHttp, answers: Role::Vault, talk: Talk::Session, wire: Wire::Stream },
    Link { asks: Role::Vault, answers: Role::Sealer, talk: Talk::Sealing, wire: Wire::Stream },
    Link { asks: Role::Vault, answers: Role::Courier, talk: Talk::Delivery, wire: Wire::Stream },
    Link { asks: Role::Vault, answers: Role::Mailer, talk: Talk::Delivery, wire: Wire::Stream },
    Link { asks: Role::Vault, answers: Role::Courier, talk: Talk::Witnessing, wire: Wire::Stream },
    Link { asks: Role::Vault, answers: Role::Courier, talk: Talk::Feedback, wire: Wire::Stream },
    Link { asks: Role::Vault, answers: Role::Courier, talk: Talk::Turnstile, wire: Wire::Stream },
    Link { asks: Role::Courier, answers: Role::Dialer, talk: Talk::Dialing, wire: Wire::Packet },
];

/// The channels a process of this role can have, with the side it is on.
pub fn of(role: Role) -> impl Iterator<Item = (&'static Link, End)> {
    LINKS.iter().filter_map(move |link| match role {
        r if r == link.asks => Some((link, End::Asks)),
        r if r == link.answers => Some((link, End::Answers)),
        _ => None,
    })
}
