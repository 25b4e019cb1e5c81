//! Parent and launcher: mailers are started by a process that is not confined as the parent is, because a program that they run would
//! inherit the parent's rules.

use serde::{Deserialize, Serialize};

use super::packet;
use crate::role::Instance;

/// The parent's end, and the launcher's own.
pub type ParentEnd = packet::Blocking<Ask, Word>;
pub type LauncherEnd = packet::Blocking<Word, Ask>;

/// What the parent asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Ask {
    /// Comes with a descriptor: where the next mailer logs to.
    Log,
    /// Start a mailer of this upstream. Comes with a descriptor, its control channel. Answered by `Started` or `Failed`.
    Launch { instance: Instance, upstream: String },
    /// End it, if it has not ended.
    Kill(Instance),
}

/// What the launcher says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Word {
    Started {
        instance: Instance,
        pid: u32,
    },
    Failed {
        instance: Instance,
        reason: String,
    },
    /// It has ended, with this status of wait(2).
    Ended {
        instance: Instance,
        status: i32,
    },
}
