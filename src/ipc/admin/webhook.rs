//! Commands about the webhooks that are told what becomes of mail.

use serde::{Deserialize, Serialize};

use crate::ipc::feedback::Answer;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Answer: a `State` for each webhook.
    Status,
    /// Post an event that tells of nothing. Answer: `Tested`.
    Test { webhook: String },
    /// Post what waits for it now. Answer: `Retried`.
    Retry { webhook: String },
}

/// How a webhook stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    Up,
    /// It has failed, and nothing is posted for a while.
    Resting,
    /// It has failed, and one event at a time is tried.
    Probed,
    /// It said 410, and is posted nothing until the next reload or start.
    Disabled,
    /// No courier serves it.
    Absent,
    /// It is not in the configuration (any more), and something waits for it, or a credential names it.
    Unconfigured,
}

impl Standing {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Resting => "resting",
            Self::Probed => "probed",
            Self::Disabled => "disabled",
            Self::Absent => "absent",
            Self::Unconfigured => "unconfigured",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub webhook: String,
    pub standing: Standing,
    /// Events that it has not taken, and when the first of them is given up, in microseconds.
    pub waiting: u64,
    pub first_end_us: Option<u64>,
    pub under_way: u32,
    /// In a row, and why the last.
    pub failures: u32,
    pub fault: Option<String>,
    /// How much longer it rests.
    pub seconds: Option<u64>,
    /// Some that name it, when it is not in the configuration.
    pub credentials: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Response {
    State(Box<State>),
    Tested(Answer),
    /// How many events wait.
    Retried(u64),
}
