//! Commands about the upstreams that mail leaves by.

use serde::{Deserialize, Serialize};

use crate::ipc::delivery::Line;
use crate::mail::address::ReversePath;
use crate::policy::limits::Pace;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Answer: a `State` for each upstream.
    Status,
    /// Offer nothing to it until it is resumed, also after a restart. With the reason the administrator gives, for the log.
    Pause { upstream: String, note: Option<String> },
    /// The reverse; one that rests is tried at once.
    Resume { upstream: String, note: Option<String> },
    /// Go through all that comes before a message from `sender`, with each of its hosts. Answer: a `Line` for each that is said,
    /// and `Tested`.
    Test { upstream: String, sender: ReversePath },
}

/// How an upstream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    Up,
    /// It has failed, and nothing is tried for a while.
    Resting,
    /// It has failed; one message at a time is tried.
    Probed,
    /// It works again, and is given more and more.
    Recovering,
    /// By an administrator.
    Paused,
    /// It has had as much as its pace lets through, for now.
    Paced,
    /// No courier serves it.
    Absent,
    /// It was paused, and is not in the configuration any more.
    Unconfigured,
}

impl Standing {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Resting => "resting",
            Self::Probed => "probed",
            Self::Recovering => "recovering",
            Self::Paused => "paused",
            Self::Paced => "paced",
            Self::Absent => "absent",
            Self::Unconfigured => "unconfigured",
        }
    }
}

/// The pace of an upstream, and what is left of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paced {
    pub pace: Pace,
    pub minute_left: Option<u32>,
    pub day_left: Option<u32>,
    /// Messages that wait for it.
    pub waiting: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub upstream: String,
    pub standing: Standing,
    /// In a row.
    pub failures: u32,
    /// How much longer it rests, or is given nothing for its pace.
    pub seconds: Option<u64>,
    /// The word for the last failure, and what was said; its words may be a stranger's.
    pub fault: Option<(String, String)>,
    /// Messages that its couriers have.
    pub under_way: u32,
    /// How many its courier takes at once, and how many it is given while it recovers.
    pub slots: u32,
    pub window: Option<u32>,
    /// Where it has a pace.
    pub paced: Option<Paced>,
    /// Since when, and by whom; in microseconds.
    pub paused: Option<(u64, String)>,
    /// It answered or failed, for mail or for a test, since the service or its configuration began: until then "up" is a hope.
    pub tried: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Response {
    State(Box<State>),
    Line(Line),
    /// Whether every host would have taken the message.
    Tested(bool),
}
