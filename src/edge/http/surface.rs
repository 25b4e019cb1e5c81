//! Surfaces: the APIs of others that are spoken beside `/v1`, so that their clients work once they have another base address.
//!
//! Each is a file below that turns its JSON into the members of `/v1/send`, which is read and checked once for all, and that
//! says faults as its clients expect them. `bulk` is our own, for many messages at a time. `call` knows the paths, `counter` serves
//! them, `tree` takes JSON apart.

mod addresses;
mod bulk;
mod call;
mod counter;
mod form;
mod gateway;
mod look;
mod postmark;
mod resend;
mod tree;
mod usesend;

/// What bodies become, for fuzzing.
#[cfg(any(test, fuzzing))]
#[path = "surface/tests/trial.rs"]
pub mod trial;

use hyper::header::HeaderMap;

use super::problem;
use super::reply::{self, Fault, Reply};
use crate::config::slice::Serve;
use crate::mail::id::MessageId;
#[cfg(test)]
pub use call::table;
pub use call::{Call, find};
pub use counter::serve;
pub use form::stands_in;

/// In whose words a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    V1,
    /// Of a listener without any API.
    Bare,
    Send,
    Resend,
    Postmark,
    Usesend,
}

/// What a listener must serve for a surface, where else than at the root it is mounted, and the first segments of its paths,
/// those that we don't serve among them: a client is answered in its own words there, too.
const SURFACES: [(Surface, Serve, Option<&str>, &[&str]); 5] = [
    (Surface::V1, Serve::V1, None, &["v1"]),
    (Surface::Send, Serve::Send, None, &["send"]),
    (
        Surface::Resend,
        Serve::Resend,
        Some("/resend"),
        &[
            "api-keys",
            "audiences",
            "broadcasts",
            "contacts",
            "domains",
            "emails",
            "segments",
            "templates",
            "topics",
            "webhooks",
        ],
    ),
    (
        Surface::Postmark,
        Serve::Postmark,
        Some("/postmark"),
        &[
            "bounces",
            "deliverystats",
            "domains",
            "email",
            "message-streams",
            "messages",
            "server",
            "servers",
            "stats",
            "templates",
            "triggers",
            "webhooks",
        ],
    ),
    (Surface::Usesend, Serve::Usesend, None, &["api"]),
];

impl Surface {
    /// Whose a path is: by where it is mounted, then by its first segment, then the only one that the listener serves, and
    /// `/v1` in the end, in whose words listeners without any answer, too.
    pub fn of(path: &str, served: &[Serve]) -> Self {
        let path = single(path);
        let here = || SURFACES.iter().filter(|row| served.contains(&row.1));
        let first = path.split('/').nth(1).unwrap_or_default();
        let mounted = here().find(|row| row.2.is_some_and(|mount| below(path, mount).is_some()));
        let named = || here().find(|row| row.3.contains(&first));
        let only = || here().next().filter(|_| here().count() == 1);
        let other = if served.contains(&Serve::V1) { Self::V1 } else { Self::Bare };
        mounted.or_else(named).or_else(only).map_or(other, |row| row.0)
    }

    /// A refusal in its words.
    pub fn fault(self, fault: &Fault, id: MessageId) -> Reply {
        match self {
            Self::V1 => reply::fault(fault, id),
            Self::Bare => reply::bare(fault, id),
            Self::Send => reply::finish(gateway::fault(fault, id), fault),
            Self::Resend => reply::finish(resend::fault(fault, id), fault),
            Self::Postmark => reply::finish(postmark::fault(fault, id), fault),
            Self::Usesend => reply::finish(usesend::fault(fault, id), fault),
        }
    }
}

/// In whose words and in which form the refusals of one request are told.
#[derive(Clone, Copy, Debug)]
pub struct Tongue {
    surface: Surface,
    is_problem: bool,
}

impl Tongue {
    /// By where it is asked, and by what its client wants to read.
    pub fn of(path: &str, headers: &HeaderMap, served: &[Serve]) -> Self {
        let surface = Surface::of(path, served);
        Self { surface, is_problem: surface == Surface::V1 && problem::is_wanted(headers) }
    }

    pub fn fault(self, fault: &Fault, id: MessageId) -> Reply {
        if self.is_problem { problem::fault(fault, id) } else { self.surface.fault(fault, id) }
    }
}

/// Clients whose base address ends in a slash ask for `//emails`.
fn single(path: &str) -> &str {
    if path.starts_with("//") { path.get(1..).unwrap_or_default() } else { path }
}

/// What stands below a mount, with its slash.
fn below<'p>(path: &'p str, mount: &str) -> Option<&'p str> {
    path.strip_prefix(mount).filter(|rest| rest.starts_with('/')).map(single)
}

#[cfg(test)]
mod tests;
