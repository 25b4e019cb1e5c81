//! Commands about the audit log.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Move all events to the auditors' file now, and seal them.
    Publish,
    /// Record that somebody takes these events away: from one place, before another.
    Export { form: Form, from: u64, to: u64 },
}

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    Jsonl,
    Csv,
    Tiles,
    Sqlite,
}

impl Form {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Tiles => "tiles",
            Self::Sqlite => "sqlite",
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Response {
    /// What is in the auditors' files now.
    Published {
        /// Everything up to this number of events is.
        size: u64,
        /// As many events there were when the command came: the rest waits, as long as a reader holds the file.
        events: u64,
    },
}
