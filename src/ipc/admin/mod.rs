//! Command line and vault, over the control socket: fixed commands, no SQL.

pub mod alert;
pub mod audit;
pub mod backup;
pub mod credential;
pub mod digest;
pub mod explain;
pub mod load;
pub mod overview;
pub mod queue;
pub mod reload;
pub mod route;
pub mod submit;
pub mod suppress;
pub mod trace;
pub mod webhook;

use serde::{Deserialize, Serialize};

use super::turnstile;

/// One command, and on whose behalf it is given. Root may name whomever it likes, so this says no more than root's own word.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// The login name behind `sudo` or `doas`.
    pub behalf: Option<String>,
    pub command: Command,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant)] // There is one at a time.
pub enum Command {
    Credential(credential::Command),
    Audit(audit::Command),
    Queue(queue::Command),
    Route(route::Command),
    Backup(backup::Command),
    /// Follow sessions until the connection closes.
    Trace(trace::Filter),
    /// Load the configuration anew (the parent does). Answer: a `Reload` for each setting that changed, and one for the end.
    Reload,
    /// Submit a message for a credential.
    Submit(submit::Command),
    /// Answer: a `Ready`.
    Ready,
    /// Addresses that nothing is sent to.
    Suppress(suppress::Command),
    Webhook(webhook::Command),
    /// Answer: an `Explained` for each thing that is asked of the message.
    Explain(explain::Question),
    /// Answer: an `Overview`.
    Overview,
    Alert(alert::Command),
    /// An incident with this credential begins: the log is told, with the reason that the administrator gives.
    Incident {
        credential: String,
        note: Option<String>,
    },
    /// How the gate stands, for a digest. Answer: a `Standing`.
    Standing,
    /// Ask Turnstile of a token that is none. Answer: a `Turnstile`.
    Turnstile,
    /// When the service stops, leave a database that the version before opens.
    Downgrade,
}

/// What comes back: any number of parts, then one of the two last words.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Response {
    Credential(credential::Response),
    Audit(audit::Response),
    Queue(queue::Response),
    Route(route::Response),
    Backup(backup::Response),
    Trace(trace::Response),
    Done,
    /// What was wrong and what to do about it.
    Refused {
        reason: String,
    },
    Submit(submit::Response),
    Ready(Box<load::Readiness>),
    Suppress(suppress::Response),
    Webhook(webhook::Response),
    Explained(explain::Step),
    Reload(reload::Response),
    Overview(Box<overview::Overview>),
    Alert(alert::Response),
    Standing(Box<digest::Standing>),
    Turnstile(turnstile::Answer),
}
