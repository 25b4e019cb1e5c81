//! Parent and child: how a process gets what it holds, and how it says that it is ready or why it isn't.

use serde::{Deserialize, Serialize};

use super::bytes::Octets;
use super::packet;
use super::reload::{Ticket, Verdict};
use crate::role::link::{End, Talk};
use crate::role::{Generation, Instance, Role};
use crate::sandbox::Grounds;

/// The parent's end of a child's control channel, and the child's own.
pub type ParentEnd = packet::Blocking<Order, Report>;
pub type ChildEnd = packet::Blocking<Report, Order>;
pub type ChildPackets = packet::Packets<Report, Order>;

/// What a descriptor that comes with an order is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum File {
    /// PEM certificate chain of certificate number n: edge and keyholder.
    Chain(u16),
    /// PEM private key of certificate number n: keyholder.
    Key(u16),
    /// PEM bundle of authorities to verify certificates of clients with, by the number of their listener: edge.
    ClientAuthorities(u16),
    /// PEM bundle of authorities to verify an upstream with: courier.
    Authorities,
    /// The upstream's password, one line: courier.
    Password,
    /// The webhook's secret before that one, one line: courier.
    PreviousSecret,
    /// What the upstream's token endpoint knows us by, one line: courier.
    ClientSecret,
    /// What it gives access tokens for, one line: courier.
    RefreshToken,
    /// PEM bundle of authorities to verify it with: courier.
    TokenAuthorities,
    /// Our own PEM certificate chain for the upstream: courier.
    OwnChain,
    /// Its PEM private key: courier.
    OwnKey,
    /// The Ed25519 seed of the audit log, 32 octets: sealer.
    LogKey,
    /// State slot 0 or 1, read and write: sealer.
    Slot(u8),
    /// An append-only file for heads of the log, by the number of its anchor: sealer.
    Anchor(u16),
    /// A bound and listening socket, by the number of its listener: listener.
    Listening(u16),
    /// A connection to the control socket, from this user, whom the parent has checked: vault.
    Administrator(u32),
    /// The key that wraps the keys of bodies, or the one that takes its place, 32 octets: vault.
    MasterKey { next: bool },
}

/// A new channel to another process, as the receiver should think of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    pub talk: Talk,
    /// Which side the receiver is on.
    pub end: End,
    pub role: Role,
    pub instance: Instance,
    pub generation: Generation,
    /// The zone of an edge, the upstream of a courier; empty otherwise.
    pub label: String,
}

/// What the parent says to a child. The slice of configuration comes first, in parts, then files and peers, then `Enter`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Order {
    /// Who the child is.
    You { role: Role, instance: Instance, generation: Generation, label: String, grounds: Grounds },
    /// The next part of the slice.
    Slice { part: Octets, last: bool },
    /// Comes with a descriptor.
    File(File),
    /// Comes with a descriptor.
    Peer(Peer),
    /// All is handed over: enter the sandbox and report.
    Enter,
    /// Take this generation of edges (listener) or of configuration (vault) from now on. A new slice came before.
    Switch(Generation),
    /// A newer generation serves from now on: nothing new will come; serve what is there to its end, then exit.
    Retire,
    /// The service stops: finish what is at hand (a transaction, a delivery), begin nothing, then exit.
    Drain,
    /// Whether the local syslog takes the lines that the sealer says (vault).
    Syslog { works: bool },
    /// Something that belongs in the audit log (vault).
    Record(Happening),
    /// What became of the reload that was asked for by these, and by all before them (vault).
    Reloaded { through: Ticket, verdict: Verdict },
}

/// What a child says to the parent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Report {
    /// The first word: who it is and which build; a differing build means that the program file was replaced.
    Hello { role: Role, build: String },
    /// Inside the sandbox. Names what this kernel can't give.
    Ready { missing: Vec<String> },
    /// It can't serve, and why; it exits after this. From a vault that serves: it can't take the new slice, and goes on with
    /// the one it has.
    Failed { reason: String },
    /// It took the generation it was switched to.
    Switched(Generation),
    /// An administrator asks for a reload, and waits for what becomes of it (vault). `by` is who, for the log.
    Reload { ticket: Ticket, by: String },
    /// An administrator changes the master key: the next one is wanted (vault).
    NextMasterKey,
    /// The watchdog's sign of life (vault, sealer's answer included).
    Alive,
    /// That edge or courier said what it may not, and its channel was ended: it is to be replaced (vault).
    LetGo(Instance),
}

/// What the parent sees and the vault writes down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Happening {
    /// The service serves. `digest` is the configuration's SHA-256, `separate` whether each role has a user of its own, and
    /// `missing` what this kernel can't give of the sandbox.
    Started {
        version: String,
        digest: String,
        separate: bool,
        missing: Vec<String>,
    },
    Stopping,
    /// `violation`: its own system call filter ended it.
    Fell {
        role: Role,
        instance: Instance,
        how: String,
        violation: bool,
    },
    Loaded {
        generation: Generation,
        digest: String,
        occasion: Occasion,
        /// The settings that are other ones than before, by their names, and who asked by a command.
        changed: Vec<String>,
        by: Option<String>,
    },
    Rejected {
        reason: String,
        occasion: Occasion,
        by: Option<String>,
    },
}

/// What a reload is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Occasion {
    /// Somebody asked for it: the configuration is read anew.
    Asked,
    /// Files of certificates changed: the configuration stays the one that serves, whatever is in its file by now.
    Files,
}

impl Occasion {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Files => "certificate-files",
        }
    }
}

/// Characters of a process' last words, and of why a configuration was refused: both come from children, and must fit into a
/// packet whatever they say.
pub const HOW: usize = 400;
pub const REASON: usize = 2000;
/// Octets of the names of settings that changed, for the audit log: some hundred of them.
const CHANGED: usize = 4096;
/// Characters of who asked: a few users, each with a login name.
pub const BY: usize = 120;

impl Happening {
    /// The same, with texts that are cut to what is kept of them.
    #[must_use]
    pub fn cut(self) -> Self {
        match self {
            Self::Fell { role, instance, how, violation } => {
                Self::Fell { role, instance, how: shortened(&how, HOW), violation }
            }
            Self::Rejected { reason, occasion, by } => {
                Self::Rejected { reason: shortened(&reason, REASON), occasion, by: by.map(|by| shortened(&by, BY)) }
            }
            Self::Loaded { generation, digest, occasion, changed, by } => {
                let (changed, by) = (first(changed), by.map(|by| shortened(&by, BY)));
                Self::Loaded { generation, digest, occasion, changed, by }
            }
            whole => whole,
        }
    }
}

/// As many as there is room for; the last one says how many are left out.
fn first(all: Vec<String>) -> Vec<String> {
    let (count, mut room) = (all.len(), CHANGED);
    let fits = |name: &String| {
        room = room.saturating_sub(name.len());
        room > 0
    };
    let mut kept: Vec<String> = all.into_iter().take_while(fits).collect();
    if kept.len() < count {
        kept.push(format!("and {} more", count - kept.len()));
    }
    kept
}

fn shortened(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// What fits into one part of a slice.
pub const PART: usize = super::frame::MAX_CONTENT;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::frame;

    #[test]
    fn whatever_a_child_says_last_its_fall_can_be_told_to_the_vault() {
        let said = "\u{1f4a3}".repeat(5000);
        let fell = Happening::Fell { role: Role::EdgeHttp, instance: Instance(7), how: said.clone(), violation: true };
        let by = Some(said.clone());
        let loaded = Happening::Loaded {
            generation: Generation(7),
            digest: "d".repeat(64),
            occasion: Occasion::Asked,
            changed: (0..5000).map(|at| format!("limits.{at}")).collect(),
            by: by.clone(),
        };
        let rejected = Happening::Rejected { reason: said, occasion: Occasion::Files, by };
        for happening in [fell, rejected, loaded] {
            assert!(frame::encode(&Order::Record(happening.clone())).is_err(), "as it came it has no packet");
            assert!(frame::encode(&Order::Record(happening.cut())).is_ok());
        }
    }
}
