//! Commands about the audit log.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Move all events to the auditors' file now, and seal them.
    Publish,
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
