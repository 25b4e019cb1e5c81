//! `gatepost queue retry`: what waits for a later time is due now.

use std::process::ExitCode;

use clap::Args;

use super::Order;
use crate::ipc::admin::queue::{Deed, Which};
use crate::mail::id::MessageId;

#[derive(Debug, Args)]
pub struct Retry {
    #[command(flatten)]
    which: Choice,
    #[command(flatten)]
    order: Order,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Choice {
    /// This message: its id, in either form
    #[arg(value_name = "ID")]
    message: Option<MessageId>,
    /// Those that this credential sent
    #[arg(long, value_name = "ID")]
    credential: Option<String>,
    /// Those that this upstream is tried for, which rests no longer
    #[arg(long, value_name = "UPSTREAM")]
    route: Option<String>,
    /// Everything that waits and is not held
    #[arg(long)]
    all: bool,
}

impl Retry {
    pub fn run(&self) -> ExitCode {
        let Choice { message, credential, route, .. } = &self.which;
        let which = match (message, credential, route) {
            (Some(message), ..) => Which::Message(*message),
            (_, Some(id), _) => Which::Credential(id.clone()),
            (_, _, Some(name)) => Which::Upstream(name.clone()),
            // Exactly one of the four is given.
            (None, None, None) => Which::All,
        };
        self.order.run(Deed::Retry, which)
    }
}
